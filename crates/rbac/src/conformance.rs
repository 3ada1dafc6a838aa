//! The suite of [`RbacStore`](crate::RbacStore): every adapter passes it, ours and yours.
//!
//! `rbac_store_conformance!(mod memory_rbac_store, factory());` makes a module of tests, where `factory()` is an expression that
//! returns a future of a [`Fixture`] with an empty store. It needs `tokio` with `macros` and `rt-multi-thread` among the
//! dev-dependencies.

#![expect(clippy::expect_used, reason = "a suite fails by panicking")]

mod fixture;
mod intercepted;
mod model;
mod pages;
mod races;
mod records;

use std::sync::Arc;

use stanchion_core::{
    Author, Event, PageRequest, Revision, Scope, StoreErrorKind, TenantId, Timestamp, Versioned,
};

pub use fixture::Fixture;
use fixture::{
    SYSTEM, assign, assignment, at, change, denial, deny, event, id, put_role, role, tenant, user,
};
pub use intercepted::{Answer, Call, Intercept, Intercepted, Pending};

use crate::{Assignment, Denial, MemoryRbacStore, RbacChange, RecordFilter, RecordKey, RecordKind, Role};

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $fixture:ident => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($fixture: Fixture) $body)+

        /// Runs the suite of `RbacStore`: `rbac_store_conformance!(mod memory_rbac_store, factory());`, where the factory is an
        /// expression that returns a future of a [`Fixture`](crate::conformance::Fixture).
        #[macro_export]
        macro_rules! rbac_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() { $crate::conformance::$case($dollar factory.await).await; })+
                }
            };
        }
    };
}

suite! { $
    /// A scope without a change is empty at revision zero.
    empty_reads_as_empty: fixture => {
        for scope in [Scope::Platform, tenant(1)] {
            let snapshot = fixture.store.load(scope).await.expect("reads");
            assert_eq!((snapshot.revision, snapshot.roles.len()), (Revision::ZERO, 0));
            let records = fixture.store.subject(scope, &user("alice")).await.expect("reads");
            assert_eq!((records.revision, records.assignments.len()), (Revision::ZERO, 0));
            assert!(records.denials.is_empty());
            assert_eq!(fixture.store.get_role(scope, &id("admin")).await.expect("reads"), None);
            let page = PageRequest::default();
            for kind in RecordKind::ALL {
                let filter = RecordFilter::all(kind);
                assert!(fixture.store.list(scope, &filter, &page).await.expect("reads").items.is_empty());
            }
        }
    }

    /// A role is read back as it was written, with the revision and times of its writes.
    a_role_reads_back: fixture => {
        let mut written = role("admin").with_includes([id("viewer"), id("0")]).with_permissions(
            ["*", "invoices.*:re*:platform", "document:read:own"].map(|text| text.parse().expect("a permission")),
        );
        written.name = "Administrator – 管理者".parse().expect("a name");
        written.description = Some("line one\n\"line\" two \\ 'three' 😀".parse().expect("a note"));
        (written.active, written.system) = (false, true);
        fixture.apply(tenant(1), 0, vec![RbacChange::put(written.clone())]).await;
        let created = Versioned::created(written.clone(), Revision::from_number(1), at(0));
        assert_eq!(fixture.store.get_role(tenant(1), &id("admin")).await.expect("reads"), Some(created.clone()));
        assert_eq!(fixture.store.load(tenant(1)).await.expect("reads").roles, vec![created.clone()]);

        let plain = role("admin");
        fixture.apply(tenant(1), 1, vec![RbacChange::put(plain.clone())]).await;
        let replaced = created.replaced(plain, Revision::from_number(2), at(1));
        assert_eq!(fixture.list::<Role>(tenant(1)).await, [replaced]);
    }

    /// An assignment is read back as it was written, to the microsecond; a second one of the role replaces it.
    an_assignment_reads_back: fixture => {
        let mut held = assignment("alice", "admin")
            .starting(Timestamp::MIN)
            .expiring(Timestamp::from_micros(at(9).micros() + 123_456))
            .because("on call, 'til Monday \u{1f319}".parse().expect("a note"));
        held.granted_by = Some(Author::system("seed").actor);
        fixture.apply(tenant(1), 0, vec![RbacChange::put(held.clone())]).await;
        let created = Versioned::created(held, Revision::from_number(1), at(0));
        let records = fixture.store.subject(tenant(1), &user("alice")).await.expect("reads");
        assert_eq!((records.revision, records.assignments), (Revision::from_number(1), vec![created.clone()]));

        let again = assignment("alice", "admin").expiring(Timestamp::MAX);
        fixture.apply(tenant(1), 1, vec![RbacChange::put(again.clone())]).await;
        let replaced = created.replaced(again, Revision::from_number(2), at(1));
        let records = fixture.store.subject(tenant(1), &user("alice")).await.expect("reads");
        assert_eq!(records.assignments, [replaced]);
    }

    /// A denial is read back as it was written; a second one of the permission replaces it.
    a_denial_reads_back: fixture => {
        let because = |text: &str| denial("alice", "document:*:own").because(text.parse().expect("a note"));
        fixture.apply(tenant(1), 0, vec![RbacChange::put(because("under investigation"))]).await;
        fixture.apply(tenant(1), 1, vec![RbacChange::put(because("guilty")), deny("alice", "document:*")]).await;
        let records = fixture.store.subject(tenant(1), &user("alice")).await.expect("reads");
        let created = Versioned::created(because("under investigation"), Revision::from_number(1), at(0));
        let second = Versioned::created(denial("alice", "document:*"), Revision::from_number(2), at(1));
        let replaced = created.replaced(because("guilty"), Revision::from_number(2), at(1));
        assert_eq!(records.denials, [second, replaced]);
    }

    /// Users, services and groups of one name are three subjects, and what a subject holds comes in the order of the roles.
    subjects_are_told_apart: fixture => {
        let of = |text: &str| Assignment::new(text.parse().expect("a subject"), id("admin"));
        let parts = ["user:a", "service:a", "user:aa", "user:A"].map(|text| RbacChange::put(of(text)));
        let more = ["b", "a.b", "a-b", "a_b", "a", "0"].map(|role| assign("many", role));
        fixture.apply(tenant(1), 0, parts.into_iter().chain(more).collect()).await;
        let gone = RbacChange::Delete(RecordKey::Assignment { subject: user("a"), role: id("admin"), resource: None });
        fixture.apply(tenant(1), 1, vec![gone]).await;
        assert_eq!(fixture.held(tenant(1), "a").await, [""; 0]);
        assert_eq!(fixture.held(tenant(1), "A").await, ["admin"]);
        assert_eq!(fixture.held(tenant(1), "aa").await, ["admin"]);
        let service = "service:a".parse().expect("a subject");
        let records = fixture.store.subject(tenant(1), &service).await.expect("reads");
        assert_eq!(records.assignments.len(), 1);
        assert_eq!(fixture.held(tenant(1), "many").await, ["0", "a", "a-b", "a.b", "a_b", "b"]);
    }

    /// What is removed is gone, and nothing else is.
    only_what_is_removed_is_gone: fixture => {
        let scope = tenant(1);
        let kept = vec![put_role("b"), assign("alice", "b"), deny("alice", "x:z"), assign("bob", "a"), deny("bob", "x:y")];
        let gone = vec![put_role("a"), assign("alice", "a"), deny("alice", "x:y")];
        fixture.apply(scope, 0, kept.into_iter().chain(gone).collect()).await;
        let permission = "x:y".parse().expect("a permission");
        fixture.apply(scope, 1, vec![
            RbacChange::Delete(RecordKey::Role(id("a"))),
            RbacChange::Delete(RecordKey::Assignment { subject: user("alice"), role: id("a"), resource: None }),
            RbacChange::Delete(RecordKey::Denial { subject: user("alice"), permission, resource: None }),
        ]).await;
        assert_eq!(fixture.roles(scope).await, ["b"]);
        assert_eq!(fixture.held(scope, "alice").await, ["b", "not x:z"]);
        assert_eq!(fixture.held(scope, "bob").await, ["a", "not x:y"]);
    }

    /// What is written after it was removed is new. Removing what is not there does nothing but count.
    removed_is_forgotten: fixture => {
        let scope = tenant(1);
        fixture.apply(scope, 0, vec![put_role("a"), assign("alice", "a"), deny("alice", "x:y")]).await;
        let permission = "x:y".parse().expect("a permission");
        let gone = vec![
            RbacChange::Delete(RecordKey::Role(id("a"))),
            RbacChange::Delete(RecordKey::Assignment { subject: user("alice"), role: id("a"), resource: None }),
            RbacChange::Delete(RecordKey::Denial { subject: user("alice"), permission, resource: None }),
        ];
        assert_eq!(fixture.apply(scope, 1, gone.clone()).await, 2);
        assert_eq!(fixture.roles(scope).await, [""; 0]);
        assert_eq!(fixture.held(scope, "alice").await, [""; 0]);
        assert_eq!(fixture.apply(scope, 2, gone).await, 3);
        fixture.apply(scope, 3, vec![put_role("a"), assign("alice", "a")]).await;
        let again = fixture.store.get_role(scope, &id("a")).await.expect("reads").expect("is there");
        assert_eq!((again.created_at, again.revision.number()), (at(3), 4));
        let records = fixture.store.subject(scope, &user("alice")).await.expect("reads");
        assert_eq!(records.assignments.first().map(|held| held.created_at), Some(at(3)));
    }

    /// The parts of a change are written in order.
    parts_are_written_in_order: fixture => {
        let parts = vec![
            put_role("a"),
            RbacChange::Delete(RecordKey::Role(id("a"))),
            RbacChange::Delete(RecordKey::Role(id("b"))),
            put_role("b"),
            assign("alice", "x"),
            RbacChange::Delete(RecordKey::Assignment { subject: user("alice"), role: id("x"), resource: None }),
            assign("alice", "y"),
        ];
        assert_eq!(fixture.apply(tenant(1), 0, parts).await, 1);
        assert_eq!(fixture.roles(tenant(1)).await, ["b"]);
        assert_eq!(fixture.held(tenant(1), "alice").await, ["y"]);
    }

    /// A change that expects another revision is a conflict and leaves nothing behind: no record, no revision, no feed entry, no
    /// event.
    a_stale_change_leaves_no_trace: fixture => {
        let scope = tenant(1);
        fixture.apply(scope, 0, vec![put_role("a")]).await;
        fixture.apply(scope, 1, vec![assign("alice", "a")]).await;
        let before = fixture.everything(scope).await;
        let (_, cursor) = fixture.feed(None).await;
        for expected in [0, 1, 3] {
            let mut stale = change(expected, 9, vec![put_role("b"), assign("alice", "b"), deny("bob", "x:y")]);
            stale.events = vec![event(expected, scope)];
            let error = fixture.store.apply(scope, stale).await.expect_err("is stale");
            assert_eq!(error.kind(), StoreErrorKind::Conflict);
        }
        assert_eq!(fixture.everything(scope).await, before);
        assert_eq!(fixture.feed(Some(&cursor)).await.0, []);
        if let Some(outbox) = &fixture.outbox {
            assert_eq!(outbox.pending(SYSTEM, 10).await.expect("reads"), []);
        }
    }

    /// Each scope has its own records and its own revision.
    scopes_are_apart: fixture => {
        let scopes = [Scope::Platform, tenant(1), tenant(2)];
        for (number, scope) in scopes.into_iter().enumerate() {
            let name = format!("role-{number}");
            let parts = vec![put_role(&name), assign("alice", &name), deny("alice", &format!("{name}:do"))];
            fixture.apply(scope, 0, parts).await;
        }
        fixture.apply(tenant(1), 1, vec![assign("bob", "role-1")]).await;
        assert_eq!(fixture.revision(Scope::Platform).await, 1);
        assert_eq!(fixture.revision(tenant(1)).await, 2);
        for (number, scope) in scopes.into_iter().enumerate() {
            let (own, other) = (format!("role-{number}"), format!("role-{}", (number + 1) % 3));
            assert_eq!(fixture.roles(scope).await, vec![own.clone()]);
            assert_eq!(fixture.held(scope, "alice").await, [own.clone(), format!("not {own}:do")]);
            assert_eq!(fixture.store.get_role(scope, &id(&other)).await.expect("reads"), None);
            let filter = RecordFilter::all(RecordKind::Assignment).of_subject(user("alice"));
            let page = fixture.store.list(scope, &filter, &PageRequest::default()).await.expect("reads");
            assert_eq!(page.items.len(), 1);
            assert_eq!(fixture.list::<Denial>(scope).await.len(), 1);
        }
        let gone = RbacChange::Delete(RecordKey::Assignment { subject: user("alice"), role: id("role-1"), resource: None });
        fixture.apply(tenant(2), 1, vec![gone, RbacChange::Delete(RecordKey::Role(id("role-1")))]).await;
        assert_eq!(fixture.roles(tenant(1)).await, ["role-1"]);
        assert_eq!(fixture.held(tenant(1), "alice").await.len(), 2);
        let other = fixture.store.subject(tenant(2), &user("bob")).await.expect("reads");
        assert!(other.assignments.is_empty());
    }

    /// The pages of the roles cover all of them once, in the order of their ids.
    roles_are_paged: fixture => {
        pages::roles_are_paged(&fixture).await;
    }

    /// The pages of the assignments cover all that are picked once, in the order of subjects and roles.
    assignments_are_paged: fixture => {
        pages::assignments_are_paged(&fixture).await;
    }

    /// The pages of the denials cover all of them once, in the order of subjects and permissions.
    denials_are_paged: fixture => {
        pages::denials_are_paged(&fixture).await;
    }

    /// The pages of the grants of what covers a permission cover all of them once, in the order of their keys.
    grants_of_what_covers_a_permission_are_paged: fixture => {
        pages::grants_of_what_covers_a_permission_are_paged(&fixture).await;
    }

    /// The pages of every kind cover all that are picked once, by whatever is picked, in the order of their keys.
    every_kind_is_paged: fixture => {
        pages::every_kind_is_paged(&fixture).await;
    }

    /// A record of whatever kind is read back with all that it holds, replaced with all of that, and removed.
    every_kind_reads_back: fixture => {
        records::every_kind_reads_back(&fixture).await;
    }

    /// Of two parts of a change that write one record, of whatever kind and side by side, the last stands.
    the_last_of_two_puts_of_a_record_stands: fixture => {
        records::the_last_of_two_puts_of_a_record_stands(&fixture).await;
    }

    /// Records that differ only in the resource they are about are two.
    resources_are_told_apart: fixture => {
        records::resources_are_told_apart(&fixture).await;
    }

    /// What a member holds tells the groups it is in, and what a group holds tells none of its members.
    members_know_their_groups: fixture => {
        records::members_know_their_groups(&fixture).await;
    }

    /// Many subjects are read as each of them is, in the order in which they are asked for, the unknown and the repeated too.
    many_subjects_are_read_as_each_is: fixture => {
        records::many_subjects_are_read_as_each_is(&fixture).await;
    }

    /// The feed has a key for each kind of record, whether it was written or removed.
    the_feed_names_every_kind: fixture => {
        records::the_feed_names_every_kind(&fixture).await;
    }

    /// A change of many thousand parts is written as if one by one.
    a_change_of_many_parts_is_written_whole: fixture => {
        records::a_change_of_many_parts_is_written_whole(&fixture).await;
    }

    /// The feed names the keys of each change, scope by scope in the order of the revisions, and leaves none out between two pages.
    the_feed_names_what_changed: fixture => {
        let start = fixture.store.changes(SYSTEM, None, 10).await.expect("reads");
        assert!(start.reset && start.entries.is_empty());
        let permission = "x:y".parse().expect("a permission");
        fixture.apply(tenant(1), 0, vec![put_role("a"), assign("alice", "a")]).await;
        fixture.apply(Scope::Platform, 0, vec![deny("bob", "x:y"), put_role("b")]).await;
        fixture.apply(tenant(1), 1, vec![
            RbacChange::Delete(RecordKey::Role(id("a"))),
            RbacChange::Delete(RecordKey::Assignment { subject: user("alice"), role: id("a"), resource: None }),
            RbacChange::Delete(RecordKey::Denial { subject: user("carol"), permission, resource: None }),
        ]).await;
        let expected = [
            (tenant(1), 1, vec!["role:a", "subject:user:alice"]),
            (Scope::Platform, 1, vec!["subject:user:bob", "role:b"]),
            (tenant(1), 2, vec!["role:a", "subject:user:alice", "subject:user:carol"]),
        ];
        let mut seen = Vec::new();
        let mut cursor = start.cursor;
        loop {
            let page = fixture.store.changes(SYSTEM, Some(&cursor), 2).await.expect("reads");
            assert!(!page.reset && page.entries.len() <= 2);
            cursor = page.cursor;
            if page.entries.is_empty() {
                break;
            }
            seen.extend(page.entries);
        }
        assert_eq!(seen.len(), expected.len());
        for (scope, revision, keys) in expected {
            let entry = seen.iter().find(|entry| (entry.scope, entry.revision.number()) == (scope, revision));
            let entry = entry.expect("is in the feed");
            assert_eq!(entry.keys.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), keys);
        }
        let of_tenant: Vec<u64> = seen
            .iter()
            .filter(|entry| entry.scope == tenant(1))
            .map(|entry| entry.revision.number())
            .collect();
        assert_eq!(of_tenant, [1, 2]);
    }

    /// Events are in the outbox if and only if their change was committed, in the order of the changes.
    events_are_committed_with_their_change: fixture => {
        let Some(outbox) = &fixture.outbox else { return };
        let scope = tenant(1);
        for number in 0..3 {
            let mut change = change(number, 0, vec![put_role("a")]);
            change.events = vec![event(10 + number, scope), event(20 + number, scope)];
            fixture.store.apply(scope, change).await.expect("writes");
        }
        let mut stale = change(1, 0, vec![put_role("a")]);
        stale.events = vec![event(30, scope)];
        fixture.store.apply(scope, stale).await.expect_err("is stale");
        let pending = outbox.pending(SYSTEM, 10).await.expect("reads");
        let read: Vec<Event> = pending.into_iter().map(|record| record.event).collect();
        assert_eq!(read, [10, 20, 11, 21, 12, 22].map(|seed| event(seed, scope)));
    }

    /// The tenants that use a role of the platform are found: they assign or include its name and have no such role of their own.
    tenants_using_a_role_are_found: fixture => {
        let including = |name: &str, included: &str| RbacChange::put(role(name).with_includes([id(included)]));
        fixture.apply(Scope::Platform, 0, vec![put_role("auditor"), including("chief", "auditor"), assign("op", "auditor")]).await;
        fixture.apply(tenant(1), 0, vec![assign("alice", "auditor")]).await;
        fixture.apply(tenant(2), 0, vec![including("lead", "auditor")]).await;
        fixture.apply(tenant(3), 0, vec![put_role("auditor"), assign("alice", "auditor")]).await;
        fixture.apply(tenant(4), 0, vec![assign("alice", "auditors"), put_role("lead")]).await;
        fixture.apply(tenant(5), 0, vec![assign("alice", "auditor")]).await;
        let gone = RbacChange::Delete(RecordKey::Assignment { subject: user("alice"), role: id("auditor"), resource: None });
        fixture.apply(tenant(5), 1, vec![gone]).await;
        let mut expected: Vec<TenantId> = [tenant(1), tenant(2)].into_iter().filter_map(Scope::tenant).collect();
        expected.sort_unstable();
        let found = fixture.store.tenants_using(SYSTEM, &id("auditor"), 10).await.expect("reads");
        assert_eq!(found, expected);
        let found = fixture.store.tenants_using(SYSTEM, &id("auditor"), 1).await.expect("reads");
        assert_eq!(found, expected.get(..1).expect("two of them"));
        assert_eq!(fixture.store.tenants_using(SYSTEM, &id("nobody"), 10).await.expect("reads"), []);
    }

    /// What has expired is found in every scope, by kind, and no more of it than is asked for.
    what_has_expired_is_found: fixture => {
        records::what_has_expired_is_found(&fixture).await;
    }

    /// Of many writers that expect the same revision one succeeds, and no write is lost when the others try again.
    concurrent_changes_lose_nothing: fixture => {
        races::concurrent_changes_lose_nothing(&fixture).await;
    }

    /// Of many changes at one revision exactly one is written.
    one_of_many_wins: fixture => {
        races::one_of_many_wins(&fixture).await;
    }

    /// Nobody sees half a change: what a change writes together is read together, at its revision.
    a_change_is_seen_whole: fixture => {
        races::a_change_is_seen_whole(&fixture).await;
    }

    /// Random changes leave the same records, revisions and feed as they leave in the in-memory reference.
    equals_the_reference: fixture => {
        model::run(&fixture, Fixture { store: Arc::new(MemoryRbacStore::new(None)), outbox: None }).await;
    }
}
