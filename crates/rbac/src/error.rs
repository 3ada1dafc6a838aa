use stanchion_core::{Revision, StoreError, SubjectKind};

use crate::{Permission, RoleId};

/// Why an operation did not happen. A denied check is no error, it is a [`Decision`](crate::Decision).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. A conflict means that others kept changing the scope meanwhile; the same call may succeed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The role is neither one of the scope's nor one of the platform's.
    #[error("there is no role `{0}`")]
    UnknownRole(RoleId),
    /// The role includes one that is neither one of the scope's nor one of the platform's.
    #[error("role `{role}` includes `{included}`, which does not exist")]
    UnknownInclude {
        /// The role that was to be written.
        role: RoleId,
        /// What it names.
        included: RoleId,
    },
    /// The role would include itself.
    #[error("role `{}` would include itself: {}", .path.first().map_or("", RoleId::as_str), arrows(.path))]
    Cycle {
        /// The way round, from the role to itself.
        path: Vec<RoleId>,
    },
    /// Too many roles would stand on the way from a role over what it includes.
    #[error("from role `{role}` down, {depth} roles would include one another; at most {limit} may")]
    TooDeep {
        /// Where the longest way begins.
        role: RoleId,
        /// How many roles are on it.
        depth: usize,
        /// How many may be.
        limit: usize,
    },
    /// A limit of the configuration is reached.
    #[error("too many {what}: at most {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The role is still in use, so it stays.
    #[error("role `{role}` is in use: {}", .by.join(", "))]
    RoleInUse {
        /// The role.
        role: RoleId,
        /// Who uses it, some of them: `assigned to user:alice`, `included by admin`, `used in tenant …`.
        by: Vec<String>,
    },
    /// The platform has a role of this name, and a name means one role.
    #[error("`{0}` is a role of the platform; give the tenant's role another name")]
    ReservedRole(RoleId),
    /// The role belongs to Stanchion itself; nobody else may write it, or make a role of theirs one.
    #[error("`{0}` is a system role; it cannot be changed")]
    SystemRole(RoleId),
    /// A tenant cannot permit or deny what reaches beyond it.
    #[error("`{0}` reaches beyond the tenant")]
    BeyondTenant(Permission),
    /// Roles are not assigned or denied to subjects of this kind.
    #[error("a {} cannot hold roles", .0.as_str())]
    UnfitSubject(SubjectKind),
    /// The assignment would never count.
    #[error("the assignment would never count: {0}")]
    NeverValid(&'static str),
    /// The role was changed since the caller read it, or exists where the caller expected none.
    #[error("the role was changed since it was read: it is at revision {actual}, not {expected}")]
    Stale {
        /// The revision the caller had read; zero for none.
        expected: Revision,
        /// The revision it is at; zero for none.
        actual: Revision,
    },
    /// A list cannot be filtered by a permission with a wildcard or a scope.
    #[error("`{0}` has a wildcard or a scope; name one action on one type of resource")]
    NotExact(Permission),
    /// A setting lies outside its range.
    #[error("`{setting}` must be {rule}")]
    InvalidConfig {
        /// Its name.
        setting: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
}

fn arrows(path: &[RoleId]) -> String {
    path.iter().map(RoleId::as_str).collect::<Vec<_>>().join(" → ")
}
