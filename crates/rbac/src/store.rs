use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, Page, PageRequest, Revision, Scope, StoreError, SubjectRef, SystemScope, Versioned,
};
use stanchion_replica::ChangeFeed;

use crate::{Assignment, Denial, Permission, Role, RoleId};

/// One write of a [`Change`] to a scope's roles, assignments and denials. An adapter refuses what it does not know as `Unsupported`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RbacChange {
    /// Writes a role, in place of the one with this id if there is one.
    PutRole(Role),
    /// Removes a role if it is there.
    DeleteRole(RoleId),
    /// Writes an assignment, in place of the one of this role to this subject if there is one.
    PutAssignment(Assignment),
    /// Removes an assignment if it is there.
    DeleteAssignment {
        /// Who held the role.
        subject: SubjectRef,
        /// The role.
        role: RoleId,
    },
    /// Writes a denial, in place of the one of this permission to this subject if there is one.
    PutDenial(Denial),
    /// Removes a denial if it is there.
    DeleteDenial {
        /// Who was denied it.
        subject: SubjectRef,
        /// The permission.
        permission: Permission,
    },
}

impl RbacChange {
    /// Returns what the feed calls it: `role:admin`, or `subject:user:alice` for what that subject holds or is denied.
    #[must_use]
    pub fn key(&self) -> Arc<str> {
        match self {
            Self::PutRole(Role { id, .. }) | Self::DeleteRole(id) => format!("role:{id}").into(),
            Self::PutAssignment(Assignment { subject, .. })
            | Self::DeleteAssignment { subject, .. }
            | Self::PutDenial(Denial { subject, .. })
            | Self::DeleteDenial { subject, .. } => format!("subject:{subject}").into(),
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
}

impl Snapshot {
    /// Takes what was read at one revision.
    #[must_use]
    pub const fn new(revision: Revision, roles: Vec<Versioned<Role>>) -> Self {
        Self { revision, roles }
    }
}

/// What a check of one subject needs besides the roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectRecords {
    /// The revision they were read at.
    pub revision: Revision,
    /// The roles it holds, past and future ones included, in the order of the roles' ids.
    pub assignments: Vec<Versioned<Assignment>>,
    /// What it is denied, in the order of the permissions' texts.
    pub denials: Vec<Versioned<Denial>>,
}

impl SubjectRecords {
    /// Takes what was read at one revision.
    #[must_use]
    pub const fn new(
        revision: Revision,
        assignments: Vec<Versioned<Assignment>>,
        denials: Vec<Versioned<Denial>>,
    ) -> Self {
        Self { revision, assignments, denials }
    }
}

/// Which assignments to list; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssignmentFilter {
    /// Only those of this subject.
    pub subject: Option<SubjectRef>,
    /// Only those of this role.
    pub role: Option<RoleId>,
}

impl AssignmentFilter {
    /// Picks what a subject holds.
    #[must_use]
    pub const fn of_subject(subject: SubjectRef) -> Self {
        Self { subject: Some(subject), role: None }
    }

    /// Picks who holds a role.
    #[must_use]
    pub const fn of_role(role: RoleId) -> Self {
        Self { subject: None, role: Some(role) }
    }

    /// Tells whether an assignment is picked.
    #[must_use]
    pub fn picks(&self, assignment: &Assignment) -> bool {
        self.subject.as_ref().is_none_or(|subject| *subject == assignment.subject)
            && self.role.as_ref().is_none_or(|role| *role == assignment.role)
    }
}

/// Where roles, assignments and denials are kept. Those of one scope share one revision, and no method reaches into another scope
/// but [`tenants_using`](RbacStore::tenants_using).
///
/// 1. A scope without a change is empty at revision zero. Each change makes the scope's next revision and no other's.
/// 2. `apply` is one atomic unit: all of the change and its events, or nothing. It succeeds only if the scope is still at the revision
///    that the change expects, else it is a `Conflict`. Its parts are written in order, so a later one may undo an earlier one.
/// 3. Records are read back as they were written, times to the microsecond. Their revision and the time of their last write are those
///    of the change, the time of their first write stays until they are removed. Removing what is not there is no error.
/// 4. `load` and `subject` read at one revision, the one they tell; nobody sees half a change. A read that begins after a change was
///    applied sees that change.
/// 5. Lists are in the byte order of their sort keys: for roles the id, for assignments the subject, a blank and the role, for denials the
///    subject, a blank and the permission. The pages cover everything once, unless it changes meanwhile. Any text may come as a page
///    key.
/// 6. The feed names [the keys](RbacChange::key) of each change, in the order of its parts.
/// 7. The adapter checks no rule: whether a role exists, is in use or includes itself is for the engine to see to.
#[async_trait]
pub trait RbacStore: ChangeFeed {
    /// Reads all roles of a scope.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read, `Corrupt` when a record breaks the format. The same holds for the
    /// other reads.
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError>;

    /// Reads what one subject holds and is denied. Of a subject that was never heard of that is nothing.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError>;

    /// Finds a role of this scope.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError>;

    /// Lists the roles of this scope.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn list_roles(&self, scope: Scope, page: &PageRequest)
    -> Result<Page<Versioned<Role>>, StoreError>;

    /// Lists assignments.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn list_assignments(
        &self,
        scope: Scope,
        filter: &AssignmentFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Assignment>>, StoreError>;

    /// Lists denials, of one subject or of all.
    ///
    /// # Errors
    /// As [`RbacStore::load`].
    async fn list_denials(
        &self,
        scope: Scope,
        subject: Option<&SubjectRef>,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Denial>>, StoreError>;

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
    ) -> Result<Vec<stanchion_core::TenantId>, StoreError>;

    /// Writes a change and returns the revision it made.
    ///
    /// # Errors
    /// `Conflict` when the scope has moved on; `Unavailable`, or `Timeout` when the change may have been written.
    async fn apply(&self, scope: Scope, change: Change<RbacChange>) -> Result<Revision, StoreError>;
}
