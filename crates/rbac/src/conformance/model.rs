//! Random changes, made to a store and to the in-memory reference alike.

use stanchion_core::{PageRequest, Revision, Scope, SeededRandom, StoreErrorKind};

use super::Fixture;
use super::fixture::{SYSTEM, assignment, at, change, denial, id, role, tenant, user};
use super::records::{constraints, group, on, separation, session, session_id};
use crate::{
    Approval, Assignment, Denial, Grant, Membership, PermissionScope, RbacChange, Record, RecordFilter,
    RecordKind,
};

const SEED: u64 = 20_260_301;
const CHANGES: usize = 400;

const ROLES: [&str; 6] = ["admin", "ad-min", "ad.min", "editor", "viewer", "0"];
const SUBJECTS: [&str; 5] = ["alice", "alice!", "bob", "al", "zoe"];
const GROUPS: [&str; 2] = ["dev", "dev!"];
const RESOURCES: [Option<&str>; 4] = [None, None, Some("document/*"), Some("document/1")];
const PERMISSIONS: [&str; 4] = ["document:read", "document:*", "*:*:own", "document:read:own"];

/// Picks by the seed, so that a failure comes again.
struct Pick(SeededRandom);

impl Pick {
    fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn of<T: Copy>(&self, all: &[T]) -> T {
        let place = self.below(u64::try_from(all.len()).expect("a few"));
        *all.get(usize::try_from(place).expect("a few")).expect("is in the list")
    }

    fn time(&self) -> stanchion_core::Timestamp {
        at(i64::try_from(self.below(1_000)).expect("a small number"))
    }

    fn scope(&self) -> Scope {
        self.of(&[Scope::Platform, tenant(1), tenant(2)])
    }

    /// A record of any kind, of a key that comes up again and again.
    fn record(&self) -> Record {
        let (name, subject) = (self.of(&ROLES), self.of(&SUBJECTS));
        let permission = || self.of(&PERMISSIONS).parse().expect("a permission");
        let some = |chance| self.below(chance) == 0;
        let resource = self.of(&RESOURCES).map(on);
        let constraints = || if some(2) { constraints() } else { Vec::new() };
        let (not_before, expires_at) = (some(2).then(|| self.time()), some(2).then(|| self.time()));
        match self.below(9) {
            0 | 1 => {
                let mut written =
                    role(name).with_includes([id(self.of(&ROLES))]).with_permissions([permission()]);
                written.active = some(2);
                if some(2) {
                    written = written.with_excludes([permission()]).reaching(PermissionScope::Team);
                    written.requires = [id(self.of(&ROLES))].into();
                    written.max_holders = Some(7);
                    written.metadata = [(name.parse().expect("a slug"), subject.into())].into();
                }
                written.constraints = constraints();
                written.into()
            }
            2 | 3 => Assignment { resource, not_before, expires_at, ..assignment(subject, name) }.into(),
            4 => {
                let emergency = some(2).then_some(Approval::Awaited);
                let constraints = constraints();
                let given = Grant::new(user(subject), permission());
                Grant { resource, not_before, expires_at, constraints, emergency, ..given }.into()
            }
            5 => Denial { resource, ..denial(subject, self.of(&PERMISSIONS)) }.into(),
            6 => {
                let membership = Membership::new(group(self.of(&GROUPS)), user(subject));
                Membership { not_before, expires_at, ..membership }.into()
            }
            7 => separation(name, &[self.of(&ROLES), self.of(&ROLES)]).into(),
            _ => session(self.below(4), subject).with_active([id(name)]).into(),
        }
    }

    fn part(&self) -> RbacChange {
        let record = self.record();
        if self.below(3) == 0 { RbacChange::Delete(record.key()) } else { RbacChange::Put(record) }
    }
}

pub(super) async fn run(fixture: &Fixture, reference: Fixture) {
    let pick = Pick(SeededRandom::new(SEED));
    let (_, cursor) = fixture.feed(None).await;
    let (_, reference_cursor) = reference.feed(None).await;
    for step in 0..CHANGES {
        let scope = pick.scope();
        let revision = reference.revision(scope).await;
        // One in eight is stale, by one or to come.
        let expected = match pick.below(16) {
            0 => revision + 1,
            1 => revision.saturating_sub(1),
            _ => revision,
        };
        let parts = (0..1 + pick.below(4)).map(|_| pick.part()).collect();
        let seconds = i64::try_from(step).expect("a small number");
        let change = change(expected, seconds, parts);
        let told =
            |result: Result<Revision, stanchion_core::StoreError>| result.map_err(|error| error.kind());
        let ours = told(fixture.store.apply(scope, change.clone()).await);
        let theirs = told(reference.store.apply(scope, change).await);
        assert_eq!(ours, theirs, "step {step} of seed {SEED}");
        assert!(matches!(ours, Ok(_) | Err(StoreErrorKind::Conflict)), "step {step} of seed {SEED}");
        compare(fixture, &reference, &pick, scope, step).await;
    }
    for scope in [Scope::Platform, tenant(1), tenant(2)] {
        assert_eq!(fixture.everything(scope).await, reference.everything(scope).await, "seed {SEED}");
    }
    for name in ROLES {
        let ours = fixture.store.tenants_using(SYSTEM, &id(name), 10).await.expect("reads");
        let theirs = reference.store.tenants_using(SYSTEM, &id(name), 10).await.expect("reads");
        assert_eq!(ours, theirs, "tenants using {name}");
    }
    let (ours, _) = fixture.feed(Some(&cursor)).await;
    let (theirs, _) = reference.feed(Some(&reference_cursor)).await;
    for scope in [Scope::Platform, tenant(1), tenant(2)] {
        let of = |entries: &[stanchion_core::FeedEntry]| {
            entries.iter().filter(|entry| entry.scope == scope).cloned().collect::<Vec<_>>()
        };
        assert_eq!(of(&ours), of(&theirs), "the feed of {scope}");
    }
}

/// Asks both the same things about one scope.
async fn compare(fixture: &Fixture, reference: &Fixture, pick: &Pick, scope: Scope, step: usize) {
    let subject = user(pick.of(&SUBJECTS));
    let name = id(pick.of(&ROLES));
    let page = PageRequest::first(1 + usize::try_from(pick.below(4)).expect("a small number"));
    let page = if pick.below(2) == 0 { page } else { page.after(format!("{subject} {name}")) };
    let mut filter = RecordFilter::all(pick.of(&RecordKind::ALL));
    filter.subject = (pick.below(2) == 0).then(|| subject.clone());
    filter.role = (pick.below(2) == 0).then(|| name.clone());
    filter.group = (pick.below(4) == 0).then(|| group(pick.of(&GROUPS)));
    let session = session_id(pick.below(4));

    macro_rules! same {
        ($method:ident($($argument:expr),*)) => {
            let ours = fixture.store.$method(scope, $($argument),*).await.expect("reads");
            let theirs = reference.store.$method(scope, $($argument),*).await.expect("reads");
            assert_eq!(ours, theirs, "step {step} of seed {SEED}");
        };
    }
    same!(load());
    same!(subject(&subject));
    same!(get_role(&name));
    same!(get_session(session));
    same!(list(&RecordFilter::all(RecordKind::Role), &PageRequest::first(2).after(name.as_str())));
    same!(list(&filter, &page));
}
