use stanchion_core::{Revision, Scope, SessionId, StoreError, SubjectKind, SubjectRef, TenantId};

use crate::{Permission, ResourceSelector, RoleId, SeparationId};

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
    /// Roles of a preset would have names that mean roles of the platform.
    #[error("{} of the platform: {}; apply the preset with a prefix for its roles", are_roles(.roles), named(.roles))]
    ReservedRoles {
        /// Which.
        roles: Vec<RoleId>,
    },
    /// Roles of a preset stand there already and are otherwise.
    #[error("{} there already and not as the preset has {}: {}; replace {}, or apply the preset with a prefix for its roles", there(.roles), them(.roles), named(.roles), them(.roles))]
    RolesDiffer {
        /// Which.
        roles: Vec<RoleId>,
    },
    /// The role belongs to Stanchion itself; nobody else may write it, or make a role of theirs one.
    #[error("`{0}` is a system role; it cannot be changed")]
    SystemRole(RoleId),
    /// A tenant cannot permit or deny what reaches beyond it.
    #[error("`{0}` reaches beyond the tenant")]
    BeyondTenant(Permission),
    /// What is asked for is not for subjects of this kind.
    #[error("a {} {what}", .kind.as_str())]
    UnfitSubject {
        /// The kind.
        kind: SubjectKind,
        /// What it cannot do, and what can.
        what: &'static str,
    },
    /// What was to be written would never count.
    #[error("the {what} would never count: {why}")]
    NeverValid {
        /// What.
        what: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// The role asks for one that is neither one of the scope's nor one of the platform's, or for itself.
    #[error("role `{role}` requires `{required}`, which {why}")]
    UnfitRequirement {
        /// The role that was to be written.
        role: RoleId,
        /// What it names.
        required: RoleId,
        /// Why that does not do.
        why: &'static str,
    },
    /// A part of a record breaks a rule of its own.
    #[error("{what} {rule}")]
    Invalid {
        /// Which part of which record.
        what: String,
        /// What it has to be.
        rule: &'static str,
    },
    /// The subject does not hold a role that has to be held first.
    #[error("role `{role}` requires `{required}`, which {subject} does not hold: assign `{required}` first")]
    MissingPrerequisite {
        /// Who.
        subject: SubjectRef,
        /// The role that asks for another.
        role: RoleId,
        /// The role that is asked for.
        required: RoleId,
    },
    /// More subjects would hold a role than may.
    #[error("role `{role}` may be held by {limit} at most, and {holders} would hold it: {}", .by.join(", "))]
    TooManyHolders {
        /// The role.
        role: RoleId,
        /// How many may hold it.
        limit: u32,
        /// How many would.
        holders: usize,
        /// Who, some of them.
        by: Vec<String>,
    },
    /// Roles that are to be kept apart would come together.
    #[error("separation `{separation}` allows {at_most} of its roles: {}", .by.join("; "))]
    Separated {
        /// The separation.
        separation: SeparationId,
        /// How many of its roles one may have.
        at_most: u32,
        /// Who would have which, some of them: `user:alice would have approver, clerk`.
        by: Vec<String>,
    },
    /// A denial stands that takes away what was to be granted.
    #[error("{subject} is denied `{permission}`{}: {advice}", on(.resource.as_ref()))]
    DenialStands {
        /// Who is denied it: whom it was to be granted to, or a group of theirs.
        subject: SubjectRef,
        /// What.
        permission: Permission,
        /// On which resources.
        resource: Option<ResourceSelector>,
        /// What can be done.
        advice: &'static str,
    },
    /// A grant in an emergency has no reason.
    #[error("a grant in an emergency needs a `reason`: say what has happened")]
    ReasonMissing,
    /// It would last too long.
    #[error("{what} may last {max_minutes} minutes at most: let it end earlier")]
    TooLong {
        /// What.
        what: &'static str,
        /// How long it may last.
        max_minutes: u32,
    },
    /// There is no such grant that waits for approval.
    #[error("{subject} has no grant of `{permission}` that waits for approval")]
    NothingToApprove {
        /// Who was to have it.
        subject: SubjectRef,
        /// What.
        permission: Permission,
    },
    /// Who wants to approve the grant has part in it.
    #[error("{who} {part}: somebody else has to approve the grant")]
    UnfitApprover {
        /// Who.
        who: String,
        /// What part: granted it, or would have it.
        part: &'static str,
    },
    /// The subject does not hold the role that it wants to use.
    #[error("{subject} does not hold role `{role}` now, so it cannot be active in a session of theirs")]
    RoleNotHeld {
        /// Who.
        subject: SubjectRef,
        /// The role.
        role: RoleId,
    },
    /// There is no such session, or it has ended.
    #[error("there is no session {0}, or it has ended: create one")]
    UnknownSession(SessionId),
    /// The author would give what they do not have.
    #[error("{author} does not have `{permission}` itself and so cannot give it{}", elevation(*.to_self))]
    SelfElevation {
        /// Who.
        author: SubjectRef,
        /// What it would give, the first of it.
        permission: Permission,
        /// Whether it would give it to itself.
        to_self: bool,
    },
    /// Nobody would be left who can administer the scope.
    #[error("{} is the last administrator of {scope}: make another one first, one that has {} without an end", .subject, quoted(.permissions))]
    LastAdministrator {
        /// The last one.
        subject: SubjectRef,
        /// Of what.
        scope: Scope,
        /// What makes an administrator.
        permissions: Vec<Permission>,
    },
    /// The role of the platform would not do in a tenant that uses it.
    #[error("in tenant {tenant}: {why}")]
    InTenant {
        /// The first such tenant.
        tenant: TenantId,
        /// What would be wrong there.
        why: Box<Error>,
    },
    /// A file of records cannot be read on. What stood before the line may have been written.
    #[error("line {line}: {why}")]
    Import {
        /// Which line.
        line: u64,
        /// What is wrong with it, and what to do.
        why: String,
    },
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

fn on(resource: Option<&ResourceSelector>) -> String {
    resource.map(|resource| format!(" on {resource}")).unwrap_or_default()
}

const fn elevation(to_self: bool) -> &'static str {
    if to_self { " to itself: let somebody else do it" } else { "; whoever has the permission to grant can" }
}

fn quoted(permissions: &[Permission]) -> String {
    permissions.iter().map(|permission| format!("`{permission}`")).collect::<Vec<_>>().join(", ")
}

const fn are_roles(roles: &[RoleId]) -> &'static str {
    if roles.len() == 1 { "a role of that name is one" } else { "roles of those names are" }
}

const fn there(roles: &[RoleId]) -> &'static str {
    if roles.len() == 1 { "a role is" } else { "roles are" }
}

const fn them(roles: &[RoleId]) -> &'static str {
    if roles.len() == 1 { "it" } else { "them" }
}

fn named(roles: &[RoleId]) -> String {
    roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", ")
}

fn arrows(path: &[RoleId]) -> String {
    path.iter().map(RoleId::as_str).collect::<Vec<_>>().join(" → ")
}
