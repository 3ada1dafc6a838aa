use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, Page, PageRequest, Revision, Scope, SessionId, StoreError, SubjectRef, SystemScope, TenantId,
    Timestamp, Versioned,
};
use stanchion_replica::ChangeFeed;

use crate::{
    Assignment, Denial, Grant, IsRecord, Membership, Permission, Record, RecordKey, RecordKind, Role, RoleId,
    Separation, Session,
};

/// One write of a [`Change`] to a scope's records. An adapter refuses what it does not know as `Unsupported`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RbacChange {
    /// Writes a record, in place of the one of its key if there is one.
    Put(Record),
    /// Removes the record of a key if it is there.
    Delete(RecordKey),
}

impl RbacChange {
    /// Writes a record.
    #[must_use]
    pub fn put(record: impl Into<Record>) -> Self {
        Self::Put(record.into())
    }

    /// Returns what the feed [calls it](RecordKey::feed).
    #[must_use]
    pub fn key(&self) -> Arc<str> {
        match self {
            Self::Put(record) => record.key().feed(),
            Self::Delete(key) => key.feed(),
        }
    }
}

/// What every check in a scope needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The revision it was taken at.
    pub revision: Revision,
    /// All roles of the scope, in the order of their ids.
    pub roles: Vec<Versioned<Role>>,
    /// All separations of the scope, in the order of their ids.
    pub separations: Vec<Versioned<Separation>>,
}

impl Snapshot {
    /// Takes what was read at one revision.
    #[must_use]
    pub const fn new(
        revision: Revision,
        roles: Vec<Versioned<Role>>,
        separations: Vec<Versioned<Separation>>,
    ) -> Self {
        Self { revision, roles, separations }
    }
}

/// What a check of one subject needs besides the roles. Each list is in the order of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectRecords {
    /// The revision they were read at.
    pub revision: Revision,
    /// The roles it holds, past and future ones included.
    pub assignments: Vec<Versioned<Assignment>>,
    /// The permissions it has besides, past and future ones included.
    pub grants: Vec<Versioned<Grant>>,
    /// What it is denied.
    pub denials: Vec<Versioned<Denial>>,
    /// The groups it belongs to, past and future ones included; whose members it has, if it is a group, they do not tell.
    pub memberships: Vec<Versioned<Membership>>,
}

impl SubjectRecords {
    /// Says that nothing is there at a revision.
    #[must_use]
    pub const fn none(revision: Revision) -> Self {
        Self {
            revision,
            assignments: Vec::new(),
            grants: Vec::new(),
            denials: Vec::new(),
            memberships: Vec::new(),
        }
    }
}

/// Which records to list; what is `None` does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordFilter {
    /// Of which kind.
    pub kind: RecordKind,
    /// Only those of this subject; of memberships, those in which it is the member. Roles and separations have none.
    pub subject: Option<SubjectRef>,
    /// Only assignments of this role.
    pub role: Option<RoleId>,
    /// Only memberships in this group.
    pub group: Option<SubjectRef>,
    /// Only grants of a permission that covers this one, or would if it reached as far.
    pub covering: Option<Permission>,
}

impl RecordFilter {
    /// Picks all of a kind.
    #[must_use]
    pub const fn all(kind: RecordKind) -> Self {
        Self { kind, subject: None, role: None, group: None, covering: None }
    }

    /// Picks only those of a subject.
    #[must_use]
    pub fn of_subject(mut self, subject: SubjectRef) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Picks only assignments of a role.
    #[must_use]
    pub fn of_role(mut self, role: RoleId) -> Self {
        self.role = Some(role);
        self
    }

    /// Picks only memberships in a group.
    #[must_use]
    pub fn of_group(mut self, group: SubjectRef) -> Self {
        self.group = Some(group);
        self
    }

    /// Picks only grants of what covers a permission, or would if it reached as far.
    #[must_use]
    pub fn covering(mut self, permission: Permission) -> Self {
        self.covering = Some(permission);
        self
    }

    /// Tells whether a record is picked.
    #[must_use]
    pub fn picks(&self, record: &Record) -> bool {
        let (subject, role, group) = match record {
            Record::Role(_) | Record::Separation(_) => (None, None, None),
            Record::Assignment(Assignment { subject, role, .. }) => (Some(subject), Some(role), None),
            Record::Grant(Grant { subject, .. })
            | Record::Denial(Denial { subject, .. })
            | Record::Session(Session { subject, .. }) => (Some(subject), None, None),
            Record::Membership(Membership { group, member, .. }) => (Some(member), None, Some(group)),
        };
        let covers = |wanted: &Permission| match record {
            Record::Grant(grant) => grant.permission.covers_name(wanted),
            _ => false,
        };
        record.kind() == self.kind
            && (self.subject.is_none() || self.subject.as_ref() == subject)
            && (self.role.is_none() || self.role.as_ref() == role)
            && (self.group.is_none() || self.group.as_ref() == group)
            && self.covering.as_ref().is_none_or(covers)
    }
}

/// Where the records are kept that decide who may do what. Those of one scope share one revision, and no method reaches into another
/// scope but [`tenants_using`](RbacStore::tenants_using) and [`expired`](RbacStore::expired).
///
/// 1. A scope without a change is empty at revision zero. Each change makes the scope's next revision and no other's.
/// 2. `apply` is one atomic unit: all of the change and its events, or nothing. It succeeds only if the scope is still at the revision
///    that the change expects, else it is a `Conflict`. Its parts are written in order, so a later one may undo an earlier one.
/// 3. Records are read back as they were written, times to the microsecond. Their revision and the time of their last write are those
///    of the change, the time of their first write stays until they are removed. Removing what is not there is no error.
/// 4. `load` and `subject` read at one revision, the one they tell; nobody sees half a change. A read that begins after a change was
///    applied sees that change.
/// 5. Lists are in the byte order of the texts of their [keys](RecordKey). A list of one subject, of one role, of one group or of what
///    covers a permission is found by it: it costs by what it shows, not by how many records there are of the kind. The pages cover everything once, unless it changes
///    meanwhile. Any text may come as a page key.
/// 6. The feed names [the keys](RbacChange::key) of each change, in the order of its parts.
/// 7. The adapter checks no rule: whether a role exists, is in use or includes itself is for the engine to see to. Expired records stay
///    until they are removed.
#[async_trait]
pub trait RbacStore: ChangeFeed {
    /// Reads all roles and separations of a scope.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read, `Corrupt` when a record breaks the format. The same holds for the
    /// other reads.
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError>;

    /// Reads what one subject holds, has, is denied and belongs to. Of a subject that was never heard of that is nothing.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError>;

    /// Reads what each of many subjects holds, has, is denied and belongs to, in their order and as [`subject`](Self::subject) does. All
    /// are read at one revision, or each at its own: they tell.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn subjects(
        &self,
        scope: Scope,
        subjects: &[SubjectRef],
    ) -> Result<Vec<SubjectRecords>, StoreError> {
        let mut all = Vec::with_capacity(subjects.len());
        for subject in subjects {
            all.push(self.subject(scope, subject).await?);
        }
        Ok(all)
    }

    /// Finds a role of this scope.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError>;

    /// Finds a session of this scope.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn get_session(
        &self,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Versioned<Session>>, StoreError>;

    /// Lists records of one kind.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn list(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Record>>, StoreError>;

    /// Finds at most `limit` tenants, in the order of their ids, that assign or include the platform's role of this name: those in
    /// which the name is assigned or included, and which have no role of their own by that name.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn tenants_using(
        &self,
        system: SystemScope,
        role: &RoleId,
        limit: usize,
    ) -> Result<Vec<TenantId>, StoreError>;

    /// Finds at most `limit` records of a kind, in whatever scope, that have expired at an instant: sessions, assignments, grants or
    /// memberships whose `expires_at` is not later. Those of other kinds never expire.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn expired(
        &self,
        system: SystemScope,
        kind: RecordKind,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Scope, RecordKey)>, StoreError>;

    /// Writes a change and returns the revision it made.
    ///
    /// # Errors
    /// `Conflict` when the scope has moved on; `Unavailable`, or `Timeout` when the change may have been written.
    async fn apply(&self, scope: Scope, change: Change<RbacChange>) -> Result<Revision, StoreError>;
}

/// What can be asked of every [`RbacStore`].
#[async_trait]
pub trait RbacStoreExt: RbacStore {
    /// Lists records of the kind that is wanted, whatever kind the filter names.
    ///
    /// # Errors
    /// As [`RbacStore::list`].
    async fn list_of<T: IsRecord + Send>(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<T>>, StoreError> {
        let filter = RecordFilter { kind: T::KIND, ..filter.clone() };
        let Page { items, next } = self.list(scope, &filter, page).await?;
        Ok(Page {
            items: items.into_iter().filter_map(|record| record.filter_map(T::from_record)).collect(),
            next,
        })
    }
}

impl<S: RbacStore + ?Sized> RbacStoreExt for S {}
