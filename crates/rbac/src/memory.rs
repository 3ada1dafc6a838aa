mod sorted;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, SessionId, StoreError, SubjectRef,
    SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore, Records};

use self::sorted::{Sorted, in_order};
use crate::{
    Assignment, Denial, Grant, Membership, RbacChange, RbacStore, Record, RecordFilter, RecordKey,
    RecordKind, Role, RoleId, Separation, SeparationId, Session, Snapshot, SubjectRecords,
};

/// Who may do what, in memory: the reference that every other adapter equals. They are gone with the process.
#[derive(Debug)]
pub struct MemoryRbacStore {
    records: Records<Data>,
}

#[derive(Debug, Default)]
struct Data {
    roles: BTreeMap<RoleId, Versioned<Role>>,
    separations: BTreeMap<SeparationId, Versioned<Separation>>,
    sessions: BTreeMap<SessionId, Versioned<Session>>,
    /// By the subject's text, which is the order of the lists.
    subjects: BTreeMap<Arc<str>, Subject>,
    /// By the group's text and the member's.
    memberships: BTreeMap<(Arc<str>, Arc<str>), Versioned<Membership>>,
}

/// What is about one subject.
#[derive(Debug, Default)]
struct Subject {
    assignments: Sorted<Assignment>,
    /// What few have.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    grants: Sorted<Grant>,
    denials: Sorted<Denial>,
    /// The groups that it belongs to.
    groups: BTreeSet<Arc<str>>,
}

fn put<K: Ord, T>(
    records: &mut BTreeMap<K, Versioned<T>>,
    key: K,
    value: T,
    revision: Revision,
    at: Timestamp,
) {
    let written = match records.get(&key) {
        Some(before) => before.replaced(value, revision, at),
        None => Versioned::created(value, revision, at),
    };
    records.insert(key, written);
}

impl MemoryRbacStore {
    /// Makes an empty store. Without an outbox the events of changes are discarded.
    #[must_use]
    pub fn new(outbox: Option<Arc<MemoryOutboxStore>>) -> Self {
        Self { records: Records::new(outbox) }
    }
}

impl Data {
    fn write(&mut self, part: RbacChange, revision: Revision, at: Timestamp) {
        match part {
            RbacChange::Put(record) => self.put(record, revision, at),
            RbacChange::Delete(key) => self.delete(&key),
        }
    }

    fn put(&mut self, record: Record, revision: Revision, at: Timestamp) {
        match record {
            Record::Role(role) => put(&mut self.roles, role.id.clone(), role, revision, at),
            Record::Separation(separation) => {
                put(&mut self.separations, separation.id.clone(), separation, revision, at);
            }
            Record::Session(session) => put(&mut self.sessions, session.id, session, revision, at),
            Record::Assignment(assignment) => {
                let of = |held: &Assignment| (held.role.shared(), held.resource.clone());
                let order = |a: &Assignment, b: &Assignment| {
                    let ((a, on_a), (b, on_b)) = (of(a), of(b));
                    in_order((&a, on_a.as_ref()), (&b, on_b.as_ref()))
                };
                self.subject(&assignment.subject).assignments.put(assignment, order, revision, at);
            }
            Record::Grant(grant) => {
                let order = |a: &Grant, b: &Grant| {
                    in_order(
                        (a.permission.as_str(), a.resource.as_ref()),
                        (b.permission.as_str(), b.resource.as_ref()),
                    )
                };
                self.more(&grant.subject).grants.put(grant, order, revision, at);
            }
            Record::Denial(denial) => {
                let order = |a: &Denial, b: &Denial| {
                    in_order(
                        (a.permission.as_str(), a.resource.as_ref()),
                        (b.permission.as_str(), b.resource.as_ref()),
                    )
                };
                self.more(&denial.subject).denials.put(denial, order, revision, at);
            }
            Record::Membership(membership) => {
                let group: Arc<str> = membership.group.to_string().into();
                let member: Arc<str> = membership.member.to_string().into();
                self.more(&membership.member).groups.insert(Arc::clone(&group));
                put(&mut self.memberships, (group, member), membership, revision, at);
            }
        }
    }

    fn delete(&mut self, key: &RecordKey) {
        match key {
            RecordKey::Role(id) => drop(self.roles.remove(id)),
            RecordKey::Separation(id) => drop(self.separations.remove(id)),
            RecordKey::Session(id) => drop(self.sessions.remove(id)),
            RecordKey::Assignment { subject, role, resource } => {
                let is = |held: &Assignment| held.role == *role && held.resource == *resource;
                self.change(subject, |records| records.assignments.delete(is));
            }
            RecordKey::Grant { subject, permission, resource } => {
                let is = |grant: &Grant| grant.permission == *permission && grant.resource == *resource;
                self.change_more(subject, |more| more.grants.delete(is));
            }
            RecordKey::Denial { subject, permission, resource } => {
                let is = |denial: &Denial| denial.permission == *permission && denial.resource == *resource;
                self.change_more(subject, |more| more.denials.delete(is));
            }
            RecordKey::Membership { group, member } => {
                let (group_key, member_key) = (group.to_string(), member.to_string());
                self.memberships.remove(&(group_key.as_str().into(), member_key.into()));
                self.change_more(member, |more| {
                    more.groups.remove(group_key.as_str());
                });
            }
        }
    }

    fn subject(&mut self, subject: &SubjectRef) -> &mut Subject {
        self.subjects.entry(subject.to_string().into()).or_default()
    }

    fn more(&mut self, subject: &SubjectRef) -> &mut More {
        self.subject(subject).more.get_or_insert_default()
    }

    /// Changes what a subject has, if it is known, and forgets it when nothing is left.
    fn change(&mut self, subject: &SubjectRef, change: impl FnOnce(&mut Subject)) {
        let key = subject.to_string();
        if let Some(records) = self.subjects.get_mut(key.as_str()) {
            change(records);
            if records.assignments.0.is_empty() && records.more.is_none() {
                self.subjects.remove(key.as_str());
            }
        }
    }

    fn change_more(&mut self, subject: &SubjectRef, change: impl FnOnce(&mut More)) {
        self.change(subject, |records| {
            let Some(more) = &mut records.more else { return };
            change(more);
            if more.grants.0.is_empty() && more.denials.0.is_empty() && more.groups.is_empty() {
                records.more = None;
            }
        });
    }

    fn of_subject(&self, subject: &SubjectRef, revision: Revision) -> SubjectRecords {
        let mut found = SubjectRecords::none(revision);
        let key = subject.to_string();
        if let Some((key, records)) = self.subjects.get_key_value(key.as_str()) {
            found.assignments.clone_from(&records.assignments.0);
            if let Some(more) = &records.more {
                found.grants.clone_from(&more.grants.0);
                found.denials.clone_from(&more.denials.0);
                let memberships = more.groups.iter();
                let memberships = memberships
                    .filter_map(|group| self.memberships.get(&(Arc::clone(group), Arc::clone(key))));
                found.memberships = memberships.cloned().collect();
            }
        }
        found
    }

    /// Cuts a page out of all records of a kind.
    fn page(&self, filter: &RecordFilter, page: &PageRequest) -> Page<Versioned<Record>> {
        match filter.kind {
            RecordKind::Role => cut(self.roles.values(), filter, page),
            RecordKind::Separation => cut(self.separations.values(), filter, page),
            RecordKind::Session => cut(self.sessions.values(), filter, page),
            RecordKind::Membership => cut(self.memberships.values(), filter, page),
            RecordKind::Assignment => {
                cut(self.subjects(filter, page).flat_map(|subject| &subject.assignments.0), filter, page)
            }
            RecordKind::Grant => {
                let grants = self.subjects(filter, page).filter_map(|subject| subject.more.as_ref());
                cut(grants.flat_map(|more| &more.grants.0), filter, page)
            }
            RecordKind::Denial => {
                let denials = self.subjects(filter, page).filter_map(|subject| subject.more.as_ref());
                cut(denials.flat_map(|more| &more.denials.0), filter, page)
            }
        }
    }

    /// The keys of records of a kind that have expired at an instant.
    fn expired(&self, kind: RecordKind, at: Timestamp, limit: usize) -> Vec<RecordKey> {
        fn over<'a, T: Clone + Into<Record> + 'a>(
            all: impl Iterator<Item = &'a Versioned<T>>,
            is_over: impl Fn(&T) -> bool,
            limit: usize,
        ) -> Vec<RecordKey> {
            let over = all.filter(|record| is_over(&record.value)).take(limit);
            over.map(|record| record.value.clone().into().key()).collect()
        }
        let by = |expires_at: Option<Timestamp>| expires_at.is_some_and(|expires_at| expires_at <= at);
        let more = || self.subjects.values().filter_map(|subject| subject.more.as_ref());
        let held = || self.subjects.values().flat_map(|subject| &subject.assignments.0);
        match kind {
            RecordKind::Session => over(self.sessions.values(), |one| one.expires_at <= at, limit),
            RecordKind::Membership => over(self.memberships.values(), |one| by(one.expires_at), limit),
            RecordKind::Assignment => over(held(), |one| by(one.expires_at), limit),
            RecordKind::Grant => {
                over(more().flat_map(|more| &more.grants.0), |one| by(one.expires_at), limit)
            }
            RecordKind::Role | RecordKind::Separation | RecordKind::Denial => Vec::new(),
        }
    }

    /// The subjects among which those are whose records a page may show.
    fn subjects(&self, filter: &RecordFilter, page: &PageRequest) -> impl Iterator<Item = &Subject> {
        // Subjects are of letters beyond the blank, so those before the one of the page key hold nothing that comes after it.
        let from = page.key().map(|key| key.split(|letter| letter <= ' ').next().unwrap_or_default());
        let only = filter.subject.as_ref().map(ToString::to_string);
        let (from, to) = match &only {
            Some(only) => (Bound::Included(only.as_str()), Bound::Included(only.as_str())),
            None => (from.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded),
        };
        self.subjects.range::<str, _>((from, to)).map(|(_, subject)| subject)
    }

    fn uses(&self, role: &RoleId) -> bool {
        let included = || self.roles.values().any(|other| other.value.includes.contains(role));
        let assigned = || {
            let mut held = self.subjects.values().flat_map(|subject| &subject.assignments.0);
            held.any(|assignment| assignment.value.role == *role)
        };
        !self.roles.contains_key(role) && (included() || assigned())
    }
}

/// Cuts a page out of records in the order of their keys.
fn cut<'a, T: Clone + Into<Record> + 'a>(
    all: impl Iterator<Item = &'a Versioned<T>>,
    filter: &RecordFilter,
    page: &PageRequest,
) -> Page<Versioned<Record>> {
    let records = all.map(|record| record.clone().map(Into::into));
    let is_after = |record: &Versioned<Record>| {
        page.key().is_none_or(|after| record.value.key().to_string().as_str() > after)
    };
    let mut rest = records.filter(|record| filter.picks(&record.value) && is_after(record));
    let items: Vec<Versioned<Record>> = rest.by_ref().take(page.limit()).collect();
    let next =
        if rest.next().is_some() { items.last().map(|last| last.value.key().to_string()) } else { None };
    Page { items, next }
}

#[async_trait]
impl RbacStore for MemoryRbacStore {
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        let read = |revision, data: &Data| {
            let (roles, separations) = (data.roles.values(), data.separations.values());
            Snapshot::new(revision, roles.cloned().collect(), separations.cloned().collect())
        };
        Ok(self.records.read(scope, read))
    }

    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError> {
        Ok(self.records.read(scope, |revision, data| data.of_subject(subject, revision)))
    }

    async fn subjects(
        &self,
        scope: Scope,
        subjects: &[SubjectRef],
    ) -> Result<Vec<SubjectRecords>, StoreError> {
        let read = |revision, data: &Data| {
            subjects.iter().map(|subject| data.of_subject(subject, revision)).collect()
        };
        Ok(self.records.read(scope, read))
    }

    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError> {
        Ok(self.records.read(scope, |_, data| data.roles.get(id).cloned()))
    }

    async fn get_session(
        &self,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Versioned<Session>>, StoreError> {
        Ok(self.records.read(scope, |_, data| data.sessions.get(&id).cloned()))
    }

    async fn list(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Record>>, StoreError> {
        Ok(self.records.read(scope, |_, data| data.page(filter, page)))
    }

    async fn tenants_using(
        &self,
        _system: SystemScope,
        role: &RoleId,
        limit: usize,
    ) -> Result<Vec<TenantId>, StoreError> {
        let mut tenants = Vec::new();
        self.records.each(|scope, _, data| tenants.extend(scope.tenant().filter(|_| data.uses(role))));
        tenants.sort_unstable();
        tenants.truncate(limit);
        Ok(tenants)
    }

    async fn expired(
        &self,
        _system: SystemScope,
        kind: RecordKind,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Scope, RecordKey)>, StoreError> {
        let mut found = Vec::new();
        self.records.each(|scope, _, data| {
            let missing = limit.saturating_sub(found.len());
            found.extend(data.expired(kind, at, missing).into_iter().map(|key| (scope, key)));
        });
        Ok(found)
    }

    async fn apply(&self, scope: Scope, change: Change<RbacChange>) -> Result<Revision, StoreError> {
        let (revision, at) = (change.expected.next(), change.at);
        let write = |data: &mut Data, part| data.write(part, revision, at);
        self.records.apply("apply", scope, change, write, RbacChange::key)
    }
}

#[async_trait]
impl ChangeFeed for MemoryRbacStore {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.records.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        self.records.arrived().await;
    }
}
