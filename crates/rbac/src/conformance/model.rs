//! Random changes, made to a store and to the in-memory reference alike.

use stanchion_core::{PageRequest, Revision, Scope, SeededRandom, StoreErrorKind};

use super::Fixture;
use super::fixture::{SYSTEM, assignment, at, change, denial, id, role, tenant, user};
use crate::{RbacChange, RecordFilter, RecordKey, RecordKind};

const SEED: u64 = 20_260_301;
const CHANGES: usize = 300;

const ROLES: [&str; 6] = ["admin", "ad-min", "ad.min", "editor", "viewer", "0"];
const SUBJECTS: [&str; 5] = ["alice", "alice!", "bob", "al", "zoe"];
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

    fn part(&self) -> RbacChange {
        let (name, subject) = (self.of(&ROLES), self.of(&SUBJECTS));
        let permission = || self.of(&PERMISSIONS).parse().expect("a permission");
        match self.below(8) {
            0 | 1 => {
                let mut written =
                    role(name).with_includes([id(self.of(&ROLES))]).with_permissions([permission()]);
                written.active = self.below(2) == 0;
                RbacChange::put(written)
            }
            2 => RbacChange::Delete(RecordKey::Role(id(name))),
            3 | 4 => {
                let held = assignment(subject, name).starting(self.time());
                RbacChange::put(if self.below(2) == 0 { held } else { held.expiring(self.time()) })
            }
            5 => RbacChange::Delete(RecordKey::Assignment {
                subject: user(subject),
                role: id(name),
                resource: None,
            }),
            6 => RbacChange::put(denial(subject, self.of(&PERMISSIONS))),
            _ => RbacChange::Delete(RecordKey::Denial {
                subject: user(subject),
                permission: permission(),
                resource: None,
            }),
        }
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
    same!(list(&RecordFilter::all(RecordKind::Role), &PageRequest::first(2).after(name.as_str())));
    same!(list(&filter, &page));
}
