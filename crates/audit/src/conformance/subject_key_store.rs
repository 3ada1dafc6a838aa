//! The suite of [`SubjectKeyStore`].

use std::sync::Arc;

use stanchion_core::{
    Actor, Change, IdGen as _, Revision, Scope, StoreErrorKind, SystemRandom, TenantId, Text, Timestamp,
};
use tokio::task::JoinSet;

use super::fixture::{NOON, SYSTEM};
use crate::{
    Basis, DataSubject, Exception, KeyName, KeyNode, KeyPlace, ProtectionChange, RetentionClass, Rewrapped,
    StoredKey, SubjectKeyId, SubjectKeyStore,
};

type Store = Arc<dyn SubjectKeyStore>;

fn subject(name: &str) -> DataSubject {
    format!("user:{name}").parse().expect("a subject")
}

fn scope() -> Scope {
    Scope::Tenant(TenantId::from_uuid(SystemRandom::default().uuid(NOON)))
}

fn name(scope: Scope, of: &str, period: &'static str) -> KeyName {
    KeyName { scope, subject: subject(of), period: Text::Static(period) }
}

fn key(name: KeyName, byte: u8) -> StoredKey {
    let id = SubjectKeyId::from_uuid(SystemRandom::default().uuid(NOON));
    StoredKey { id, node: KeyNode::Root, name, version: 1, wrapped: [byte; 60].into(), created_at: NOON }
}

fn change(expected: Revision, change: ProtectionChange) -> Change<ProtectionChange> {
    Change { expected, changes: vec![change], at: NOON, actor: Actor::Anonymous, events: Vec::new() }
}

fn erase(of: &str, had: &[StoredKey], keeps: &[StoredKey]) -> ProtectionChange {
    let had = had.iter().map(StoredKey::place).collect();
    ProtectionChange::Erase { subject: subject(of), had, keeps: keeps.to_vec() }
}

async fn create(store: &Store, keys: &[StoredKey]) -> Vec<StoredKey> {
    store.create(SYSTEM, keys).await.expect("writes").into_iter().map(|key| key.expect("is there")).collect()
}

async fn of(store: &Store, scope: Scope, name: &str) -> Vec<StoredKey> {
    store.of_subject(scope, &subject(name)).await.expect("reads")
}

async fn revision(store: &Store, scope: Scope) -> Revision {
    store.exceptions(scope).await.expect("reads").0
}

fn exception(id: &str) -> Exception {
    Exception {
        id: id.parse().expect("a name"),
        subject: Some(subject("alice")),
        class: Some(RetentionClass::Security),
        field: Some("details.email".parse().expect("a field")),
        basis: Basis::LegalClaims,
        until: Timestamp::from_micros(NOON.micros() + 1),
        reason: "a claim: \"ü\"".into(),
    }
}

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $store:ident => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($store: Arc<dyn SubjectKeyStore>) $body)+

        /// Runs the suite of `SubjectKeyStore`: `subject_key_store_conformance!(mod memory_subject_key_store, factory());`, where the
        /// factory is an expression that returns a future of an empty `Arc<dyn SubjectKeyStore>`.
        #[macro_export]
        macro_rules! subject_key_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() {
                        $crate::conformance::subject_key_store::$case($dollar factory.await).await;
                    })+
                }
            };
        }
    };
}

suite! { $
    /// Of nobody there is a key before one was made.
    an_empty_store_has_no_keys: store => {
        let scope = scope();
        let names = [name(scope, "alice", "2026-03"), name(Scope::Platform, "alice", "2026-03")];
        assert_eq!(store.current(SYSTEM, &names).await.expect("reads"), [None, None]);
        assert_eq!(store.current(SYSTEM, &[]).await.expect("reads"), []);
        assert_eq!(store.create(SYSTEM, &[]).await.expect("writes"), []);
        assert_eq!(store.by_id(scope, &[]).await.expect("reads"), []);
        assert_eq!(of(&store, scope, "alice").await, []);
        assert_eq!(store.exceptions(scope).await.expect("reads"), (Revision::ZERO, Vec::new()));
        assert_eq!(store.outdated(SYSTEM, 9, 10).await.expect("reads"), []);
    }

    /// Keys come back as they were written, for their own names, subjects and ids.
    keys_read_back_as_written: store => {
        let scope = scope();
        let made = [
            key(name(scope, "alice", "2026-02"), 1),
            key(name(scope, "alice", "2026-03"), 2),
            key(name(scope, "bob", "2026-03"), 3),
            key(name(Scope::Platform, "alice", "2026-03"), 4),
        ];
        assert_eq!(create(&store, &made).await, made);
        let names = [made[2].name.clone(), name(scope, "carol", "2026-03"), made[0].name.clone()];
        let found = store.current(SYSTEM, &names).await.expect("reads");
        assert_eq!(found, [Some(made[2].clone()), None, Some(made[0].clone())], "in the order asked");
        assert_eq!(of(&store, scope, "alice").await, made[..2]);
        assert_eq!(of(&store, Scope::Platform, "alice").await, made[3..]);
        let ids = [made[1].id, made[3].id];
        assert_eq!(store.by_id(scope, &ids).await.expect("reads"), made[1..2], "an id names a key within its scope");
    }

    /// A second key for a name is not kept, and its maker is given the first.
    a_name_has_one_key: store => {
        let scope = scope();
        let first = create(&store, &[key(name(scope, "alice", "2026-03"), 1)]).await;
        let other = [key(name(scope, "bob", "2026-03"), 3), key(name(scope, "alice", "2026-03"), 2)];
        assert_eq!(create(&store, &other).await, [other[0].clone(), first[0].clone()]);
        assert_eq!(of(&store, scope, "alice").await, first);
    }

    /// Of many that make a key for a name at once, all are given the same.
    racing_makers_agree: store => {
        let scope = scope();
        for round in 0..20_u8 {
            let mut race = JoinSet::new();
            for _ in 0..4 {
                let store = Arc::clone(&store);
                race.spawn(async move {
                    let names = ["carol", "alice", "bob"].map(|of| name(scope, &format!("{of}{round}"), "2026-03"));
                    let mut made: Vec<StoredKey> = names.map(|name| key(name, round)).to_vec();
                    made.sort_by(|one, other| one.name.cmp(&other.name));
                    create(&store, &made).await.iter().map(|key| key.id).collect::<Vec<_>>()
                });
            }
            let mut given = race.join_all().await;
            given.dedup();
            assert_eq!(given.len(), 1, "in round {round}");
        }
    }

    /// What is destroyed is in no answer any more; what is kept takes its place; a new key is a new one.
    what_is_erased_is_gone: store => {
        let scope = scope();
        let made = [key(name(scope, "alice", "2026-02"), 1), key(name(scope, "alice", "2026-03"), 2), key(name(scope, "bob", "2026-03"), 3)];
        create(&store, &made).await;
        let field = KeyNode::Field(RetentionClass::Security, "details.email".into());
        let part = StoredKey { node: field, wrapped: [9; 60].into(), ..made[0].clone() };
        let applied = store.apply(scope, change(Revision::ZERO, erase("alice", &made[..2], std::slice::from_ref(&part)))).await;
        assert_eq!(applied.expect("is written").number(), 1);
        assert_eq!(of(&store, scope, "alice").await, std::slice::from_ref(&part));
        let ids = [made[0].id, made[1].id];
        assert_eq!(store.by_id(scope, &ids).await.expect("reads"), std::slice::from_ref(&part));
        let names = [made[0].name.clone(), made[1].name.clone()];
        assert_eq!(store.current(SYSTEM, &names).await.expect("reads"), [None, None], "nothing new is protected by a part");
        let anew = key(made[0].name.clone(), 4);
        assert_eq!(create(&store, std::slice::from_ref(&anew)).await, std::slice::from_ref(&anew));
        let had = of(&store, scope, "alice").await;
        assert_eq!(had.len(), 2);
        store.apply(scope, change(revision(&store, scope).await, erase("alice", &had, &[]))).await.expect("is written");
        assert_eq!(of(&store, scope, "alice").await, []);
        assert_eq!(of(&store, scope, "bob").await, made[2..]);
    }

    /// An erasure that was judged by other keys than there are leaves no trace, nor one at another revision.
    a_stale_erasure_leaves_no_trace: store => {
        let scope = scope();
        let made = create(&store, &[key(name(scope, "alice", "2026-02"), 1), key(name(scope, "alice", "2026-03"), 2)]).await;
        let stranger = key(name(scope, "alice", "2026-04"), 3);
        let mut more = made.clone();
        more.push(stranger);
        for (expected, had) in [(0, &made[..1]), (0, &[]), (0, &more[..]), (1, &made[..])] {
            let refused = store.apply(scope, change(Revision::from_number(expected), erase("alice", had, &[]))).await;
            assert_eq!(refused.expect_err("is refused").kind(), StoreErrorKind::Conflict);
        }
        assert_eq!(of(&store, scope, "alice").await, made);
        assert_eq!(revision(&store, scope).await, Revision::ZERO);
    }

    /// While keys are made, each is either destroyed by an erasure or made after it.
    an_erasure_races_with_makers: store => {
        let scope = scope();
        let mut race = JoinSet::new();
        for maker in 0..3_u8 {
            let store = Arc::clone(&store);
            race.spawn(async move {
                for _ in 0..30 {
                    let made = store.create(SYSTEM, &[key(name(scope, "alice", "2026-03"), maker)]).await.expect("writes");
                    assert_eq!(made.len(), 1);
                }
            });
        }
        let eraser = Arc::clone(&store);
        race.spawn(async move {
            let mut erasures = 0;
            while erasures < 10 {
                let expected = revision(&eraser, scope).await;
                let had = of(&eraser, scope, "alice").await;
                match eraser.apply(scope, change(expected, erase("alice", &had, &[]))).await {
                    Ok(_) => {
                        erasures += 1;
                        let left = eraser.by_id(scope, &had.iter().map(|key| key.id).collect::<Vec<_>>()).await.expect("reads");
                        assert_eq!(left, []);
                    }
                    Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
                }
            }
        });
        race.join_all().await;
        assert!(of(&store, scope, "alice").await.len() <= 1);
    }

    /// Wrappings are replaced where they are of the version they are thought to be, and nowhere else.
    rewrapping_replaces_what_is_there: store => {
        let scope = scope();
        let made = create(&store, &[key(name(scope, "alice", "2026-03"), 1), key(name(scope, "bob", "2026-03"), 2)]).await;
        assert_eq!(store.outdated(SYSTEM, 1, 10).await.expect("reads"), []);
        assert_eq!(store.outdated(SYSTEM, 2, 1).await.expect("reads").len(), 1);
        let anew = |key: &StoredKey, from| {
            Rewrapped { from, key: StoredKey { version: 2, wrapped: [8; 60].into(), ..key.clone() } }
        };
        let had = of(&store, scope, "bob").await;
        store.apply(scope, change(Revision::ZERO, erase("bob", &had, &[]))).await.expect("is written");
        let all = [anew(&made[0], 1), anew(&made[1], 1)];
        assert_eq!(store.rewrap(SYSTEM, &all).await.expect("writes"), 1, "nothing destroyed comes back");
        assert_eq!(store.rewrap(SYSTEM, &all[..1]).await.expect("writes"), 0);
        assert_eq!(of(&store, scope, "alice").await, [all[0].key.clone()]);
        assert_eq!(of(&store, scope, "bob").await, []);
        assert_eq!(store.outdated(SYSTEM, 2, 10).await.expect("reads"), []);
    }

    /// Exceptions come back as they were written, each scope's its own, at the revision of their last write.
    exceptions_read_back_as_written: store => {
        let (one, other) = (scope(), scope());
        let all = [
            exception("a"),
            Exception { subject: None, field: None, ..exception("b") },
            Exception { class: None, subject: Some(DataSubject::UNKNOWN), ..exception("c") },
        ];
        let mut expected = Revision::ZERO;
        for put in [&all[1], &all[0], &all[2]] {
            expected = store.apply(one, change(expected, ProtectionChange::PutException(put.clone()))).await.expect("is written");
        }
        let (at, found) = store.exceptions(one).await.expect("reads");
        assert_eq!(at.number(), 3);
        assert_eq!(found.iter().map(|kept| kept.value.clone()).collect::<Vec<_>>(), all);
        assert_eq!(found.iter().map(|kept| kept.revision.number()).collect::<Vec<_>>(), [2, 1, 3]);
        assert_eq!(store.exceptions(other).await.expect("reads").1, []);
        let later = Exception { reason: "another".into(), ..exception("a") };
        let put = ProtectionChange::PutException(later.clone());
        let stale = store.apply(one, change(Revision::from_number(2), put.clone())).await.expect_err("is refused");
        assert_eq!(stale.kind(), StoreErrorKind::Conflict);
        expected = store.apply(one, change(expected, put)).await.expect("is written");
        let lift = ProtectionChange::LiftException("b".parse().expect("a name"));
        store.apply(one, change(expected, lift)).await.expect("is written");
        let found = store.exceptions(one).await.expect("reads").1;
        assert_eq!(found.iter().map(|kept| kept.value.clone()).collect::<Vec<_>>(), [later, all[2].clone()]);
    }

    /// Followers hear of erasures and exceptions.
    the_feed_names_what_was_written: store => {
        let scope = scope();
        let start = store.changes(SYSTEM, None, 100).await.expect("reads").cursor;
        let made = create(&store, &[key(name(scope, "alice", "2026-03"), 1)]).await;
        let at = store.apply(scope, change(Revision::ZERO, ProtectionChange::PutException(exception("a")))).await.expect("is written");
        store.apply(scope, change(at, erase("alice", &made, &[]))).await.expect("is written");
        let entries = store.changes(SYSTEM, Some(&start), 100).await.expect("reads").entries;
        let keys: Vec<String> = entries.iter().filter(|entry| entry.scope == scope).flat_map(|entry| &entry.keys).map(ToString::to_string).collect();
        assert_eq!(keys, ["exception/a", "subject/user:alice"]);
        let places: Vec<KeyPlace> = of(&store, scope, "alice").await.iter().map(StoredKey::place).collect();
        assert_eq!(places, []);
    }
}
