use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, StoreError, SubjectRef, SystemScope,
    TenantId, Timestamp, Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore, Records};

use crate::{
    Assignment, AssignmentFilter, Denial, RbacChange, RbacStore, Role, RoleId, Snapshot, SubjectRecords,
};

/// Roles, assignments and denials in memory: the reference that every other adapter equals. They are gone with the process.
#[derive(Debug)]
pub struct MemoryRbacStore {
    records: Records<Data>,
}

#[derive(Debug, Default)]
struct Data {
    roles: BTreeMap<RoleId, Versioned<Role>>,
    /// By the subject's text, which is the order of the lists.
    subjects: BTreeMap<Arc<str>, Subject>,
}

#[derive(Debug, Default)]
struct Subject {
    assignments: Sorted<Assignment>,
    denials: Sorted<Denial>,
}

/// A few records in the order of a key of theirs: in a vector, since nearly all subjects have only a few.
#[derive(Debug)]
struct Sorted<T>(Vec<Versioned<T>>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Sorted<T> {
    fn put<K: Ord + ?Sized>(&mut self, value: T, key: impl Fn(&T) -> &K, revision: Revision, at: Timestamp) {
        match self.0.binary_search_by(|record| key(&record.value).cmp(key(&value))) {
            Ok(place) => {
                if let Some(record) = self.0.get_mut(place) {
                    *record = record.replaced(value, revision, at);
                }
            }
            Err(place) => {
                // One more, not twice as many: there are a great many subjects and few of them grow again.
                self.0.reserve_exact(1);
                self.0.insert(place, Versioned::created(value, revision, at));
            }
        }
    }

    fn delete(&mut self, is: impl Fn(&T) -> bool) {
        self.0.retain(|record| !is(&record.value));
        self.0.shrink_to_fit();
    }
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
            RbacChange::PutRole(role) => {
                let id = role.id.clone();
                let written = match self.roles.get(&id) {
                    Some(before) => before.replaced(role, revision, at),
                    None => Versioned::created(role, revision, at),
                };
                self.roles.insert(id, written);
            }
            RbacChange::DeleteRole(id) => drop(self.roles.remove(&id)),
            RbacChange::PutAssignment(assignment) => {
                let records = &mut self.subject(&assignment.subject).assignments;
                records.put(assignment, |assignment| assignment.role.as_str(), revision, at);
            }
            RbacChange::DeleteAssignment { subject, role } => {
                self.change(&subject, |records| records.assignments.delete(|held| held.role == role));
            }
            RbacChange::PutDenial(denial) => {
                let records = &mut self.subject(&denial.subject).denials;
                records.put(denial, |denial| denial.permission.as_str(), revision, at);
            }
            RbacChange::DeleteDenial { subject, permission } => {
                let is = |denial: &Denial| denial.permission == permission;
                self.change(&subject, |records| records.denials.delete(is));
            }
        }
    }

    fn subject(&mut self, subject: &SubjectRef) -> &mut Subject {
        self.subjects.entry(subject.to_string().into()).or_default()
    }

    /// Changes what a subject has, if it is known, and forgets it when nothing is left.
    fn change(&mut self, subject: &SubjectRef, change: impl FnOnce(&mut Subject)) {
        let key = subject.to_string();
        if let Some(records) = self.subjects.get_mut(key.as_str()) {
            change(records);
            if records.assignments.0.is_empty() && records.denials.0.is_empty() {
                self.subjects.remove(key.as_str());
            }
        }
    }

    /// Cuts a page out of some records of some subjects, by the key "subject, blank, rest".
    fn page<'a, T: Clone + 'a>(
        &'a self,
        subject: Option<&SubjectRef>,
        page: &PageRequest,
        records: impl Fn(&'a Subject) -> &'a [Versioned<T>],
        picks: impl Fn(&T) -> bool,
        key: impl Fn(&T) -> String,
    ) -> Page<Versioned<T>> {
        // Subjects are of letters beyond the blank, so those before the one of the page key hold nothing that comes after it.
        let from = page.key().map(|key| key.split(|letter| letter <= ' ').next().unwrap_or_default());
        let only = subject.map(ToString::to_string);
        let (from, to) = match &only {
            Some(only) => (Bound::Included(only.as_str()), Bound::Included(only.as_str())),
            None => (from.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded),
        };
        let subjects = self.subjects.range::<str, _>((from, to));
        let all = subjects.flat_map(|(_, subject)| records(subject)).filter(|record| picks(&record.value));
        Page::cut(all, page, |record| key(&record.value))
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

#[async_trait]
impl RbacStore for MemoryRbacStore {
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        let read = |revision, data: &Data| Snapshot::new(revision, data.roles.values().cloned().collect());
        Ok(self.records.read(scope, read))
    }

    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError> {
        let key = subject.to_string();
        Ok(self.records.read(scope, |revision, data| match data.subjects.get(key.as_str()) {
            Some(Subject { assignments, denials }) => {
                SubjectRecords::new(revision, assignments.0.clone(), denials.0.clone())
            }
            None => SubjectRecords::new(revision, Vec::new(), Vec::new()),
        }))
    }

    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError> {
        Ok(self.records.read(scope, |_, data| data.roles.get(id).cloned()))
    }

    async fn list_roles(
        &self,
        scope: Scope,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Role>>, StoreError> {
        let from = page.key().map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.records.read(scope, |_, data| {
            let rest = data.roles.range::<str, _>((from, Bound::Unbounded)).map(|(_, role)| role);
            Page::cut(rest, page, |role| role.value.id.to_string())
        }))
    }

    async fn list_assignments(
        &self,
        scope: Scope,
        filter: &AssignmentFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Assignment>>, StoreError> {
        let picks = |assignment: &Assignment| filter.picks(assignment);
        let key = |assignment: &Assignment| format!("{} {}", assignment.subject, assignment.role);
        Ok(self.records.read(scope, |_, data| {
            data.page(filter.subject.as_ref(), page, |subject| &subject.assignments.0, picks, key)
        }))
    }

    async fn list_denials(
        &self,
        scope: Scope,
        subject: Option<&SubjectRef>,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Denial>>, StoreError> {
        let key = |denial: &Denial| format!("{} {}", denial.subject, denial.permission);
        Ok(self
            .records
            .read(scope, |_, data| data.page(subject, page, |subject| &subject.denials.0, |_| true, key)))
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
