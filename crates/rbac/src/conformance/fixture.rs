use std::sync::Arc;

use stanchion_core::{
    Actor, Author, Category, Change, Event, FeedCursor, FeedEntry, IdGen, PageRequest, Revision, Scope,
    SeededRandom, SubjectRef, SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::OutboxStore;

use crate::{
    Assignment, Denial, IsRecord, RbacChange, RbacStore, RbacStoreExt, RecordFilter, RecordKind, Role, RoleId,
};

/// A store under test.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The store, empty.
    pub store: Arc<dyn RbacStore>,
    /// Where it commits the events of changes; without one those are discarded.
    pub outbox: Option<Arc<dyn OutboxStore>>,
}

pub(super) const SYSTEM: SystemScope = SystemScope::new("conformance");

pub(super) fn tenant(number: u64) -> Scope {
    Scope::Tenant(TenantId::from_uuid(SeededRandom::new(number).uuid(at(0))))
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_772_366_400_000_000 + seconds * 1_000_000)
}

pub(super) fn id(id: &str) -> RoleId {
    id.parse().expect("a role id")
}

pub(super) fn user(name: &str) -> SubjectRef {
    SubjectRef::user(name.to_owned()).expect("a subject")
}

pub(super) fn role(name: &str) -> Role {
    Role::new(id(name), name.parse().expect("a name"))
}

pub(super) fn assignment(subject: &str, role: &str) -> Assignment {
    Assignment::new(user(subject), id(role))
}

pub(super) fn denial(subject: &str, permission: &str) -> Denial {
    Denial::new(user(subject), permission.parse().expect("a permission"))
}

pub(super) fn put_role(name: &str) -> RbacChange {
    RbacChange::put(role(name))
}

pub(super) fn assign(subject: &str, role: &str) -> RbacChange {
    RbacChange::put(assignment(subject, role))
}

pub(super) fn deny(subject: &str, permission: &str) -> RbacChange {
    RbacChange::put(denial(subject, permission))
}

pub(super) fn event(seed: u64, scope: Scope) -> Event {
    let id = SeededRandom::new(seed).event_id(at(0));
    Event::new(id, at(0), scope, Actor::Anonymous, "role.put", Category::Administration)
}

pub(super) fn change(expected: u64, seconds: i64, changes: Vec<RbacChange>) -> Change<RbacChange> {
    let actor = Author::system("conformance").actor;
    let expected = Revision::from_number(expected);
    Change { expected, changes, at: at(seconds), actor, events: Vec::new() }
}

impl Fixture {
    pub(super) async fn apply(&self, scope: Scope, expected: u64, changes: Vec<RbacChange>) -> u64 {
        let seconds = i64::try_from(expected).expect("a small number");
        let written = self.store.apply(scope, change(expected, seconds, changes)).await;
        written.expect("writes").number()
    }

    pub(super) async fn revision(&self, scope: Scope) -> u64 {
        self.store.load(scope).await.expect("reads").revision.number()
    }

    pub(super) async fn roles(&self, scope: Scope) -> Vec<String> {
        let roles = self.store.load(scope).await.expect("reads").roles;
        roles.iter().map(|role| role.value.id.to_string()).collect()
    }

    pub(super) async fn held(&self, scope: Scope, subject: &str) -> Vec<String> {
        let records = self.store.subject(scope, &user(subject)).await.expect("reads");
        let held = records.assignments.iter().map(|held| held.value.role.to_string());
        held.chain(records.denials.iter().map(|denied| format!("not {}", denied.value.permission))).collect()
    }

    pub(super) async fn feed(&self, from: Option<&FeedCursor>) -> (Vec<FeedEntry>, FeedCursor) {
        let page = self.store.changes(SYSTEM, from, 1_000).await.expect("reads");
        (page.entries, page.cursor)
    }

    /// Everything a scope has, to see that it has not changed.
    pub(super) async fn everything(&self, scope: Scope) -> String {
        let page = PageRequest::first(PageRequest::MAX_LIMIT);
        let snapshot = self.store.load(scope).await.expect("reads");
        let mut everything = format!("{snapshot:?}");
        for kind in RecordKind::ALL {
            let records = self.store.list(scope, &RecordFilter::all(kind), &page).await.expect("reads");
            everything.push_str(&format!(" {records:?}"));
        }
        everything
    }

    /// The first records of a kind.
    pub(super) async fn list<T: IsRecord + Send>(&self, scope: Scope) -> Vec<Versioned<T>> {
        let (filter, page) = (RecordFilter::all(T::KIND), PageRequest::default());
        self.store.list_of(scope, &filter, &page).await.expect("reads").items
    }
}
