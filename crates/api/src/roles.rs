use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, ProblemCode, Revision, Slug, Text, Timestamp, Versioned};
use stanchion_rbac::{
    self as rbac, Constraint, Note, Permission, PermissionScope, RecordFilter, RecordKind, RoleId,
};
use utoipa::ToSchema;

use crate::answer::{Done, Found, List, Resource, Written};
use crate::call::{Body, Call, Everything, Guard, IfMatchIfSent, Nothing, Paged, Path, Precondition};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "role:read";
const WRITE: &str = "role:write";

pub(crate) fn operations() -> Vec<Operation> {
    let (all, one) = ("/v1/roles", "/v1/roles/{id}");
    vec![
        Operation::new(Method::GET, all, "list_roles", READ, On::Scope, "Lists roles, in the order of their ids.", list)
            .note("Roles of the platform may be assigned in every tenant; they are listed with `tenant=platform` only."),
        Operation::new(Method::PUT, one, "put_role", WRITE, On::Scope, "Creates or replaces a role.", put)
            .note("To replace a role send its `etag` as `if-match`; `if-none-match: *` creates only."),
        Operation::new(Method::GET, one, "get_role", READ, On::Scope, "Returns a role.", get),
        Operation::new(Method::DELETE, one, "delete_role", WRITE, On::Scope, "Deletes a role.", delete)
            .note("A role that somebody holds, or another role includes, is not deleted."),
    ]
}

/// What somebody may do, under a name that can be assigned.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Role {
    /// What it is assigned and included under.
    #[schema(value_type = String)]
    id: RoleId,
    /// What people read.
    #[schema(value_type = String)]
    name: DisplayName,
    /// What it is for.
    #[schema(value_type = Option<String>)]
    description: Option<Note>,
    /// What it permits by itself.
    #[schema(value_type = Vec<String>)]
    permissions: BTreeSet<Permission>,
    /// The roles whose permissions it has as well.
    #[schema(value_type = Vec<String>)]
    includes: BTreeSet<RoleId>,
    /// What it does not permit although a role that it includes does.
    #[schema(value_type = Vec<String>)]
    excludes: BTreeSet<Permission>,
    /// How far it reaches at most: `own`, `team`, `department`, `tenant` or `platform`.
    #[schema(value_type = Option<String>)]
    ceiling: Option<PermissionScope>,
    /// What has to hold for it to count.
    #[schema(value_type = Vec<Object>)]
    constraints: Vec<Constraint>,
    /// The roles that have to be held before it.
    #[schema(value_type = Vec<String>)]
    requires: BTreeSet<RoleId>,
    /// How many subjects may hold it.
    max_holders: Option<u32>,
    /// What else is kept with it.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: BTreeMap<Slug, Text>,
    /// Whether it conveys anything.
    active: bool,
    /// Whether only Stanchion itself may change it.
    system: bool,
    /// The revision of the last change, which is also the entity tag.
    revision: Integer,
    /// When it was created.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// What a role is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct RoleBody {
    /// What people read: 1 to 128 characters.
    #[schema(value_type = String, example = "Editor")]
    name: DisplayName,
    /// What it is for: 1 to 1,000 characters.
    #[schema(value_type = Option<String>)]
    description: Option<Note>,
    /// What it permits by itself: `resource:action` or `resource:action:scope`, with `*` as a wildcard.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["document:write"]))]
    permissions: BTreeSet<Permission>,
    /// The roles whose permissions it has as well, with all that those include.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["viewer"]))]
    includes: BTreeSet<RoleId>,
    /// What it does not permit although a role that it includes does.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    excludes: BTreeSet<Permission>,
    /// How far it reaches at most: `own`, `team`, `department`, `tenant` or `platform`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    ceiling: Option<PermissionScope>,
    /// What has to hold for it to count.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    constraints: Vec<Constraint>,
    /// The roles that have to be held before it.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    requires: BTreeSet<RoleId>,
    /// How many subjects may hold it.
    #[serde(default)]
    max_holders: Option<u32>,
    /// What else is kept with it.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: BTreeMap<Slug, Text>,
    /// Whether it conveys anything; true when left out.
    #[serde(default = "yes")]
    active: bool,
}

const fn yes() -> bool {
    true
}

impl From<Versioned<rbac::Role>> for Role {
    fn from(role: Versioned<rbac::Role>) -> Self {
        let Versioned { value: role, revision, created_at, updated_at } = role;
        Self {
            id: role.id,
            name: role.name,
            description: role.description,
            permissions: role.permissions,
            includes: role.includes,
            excludes: role.excludes,
            ceiling: role.ceiling,
            constraints: role.constraints,
            requires: role.requires,
            max_holders: role.max_holders,
            metadata: role.metadata,
            active: role.active,
            system: role.system,
            revision: revision.into(),
            created_at,
            updated_at,
        }
    }
}

impl RoleBody {
    pub(crate) fn into_role(self, id: RoleId) -> rbac::Role {
        let mut role =
            rbac::Role::new(id, self.name).with_permissions(self.permissions).with_includes(self.includes);
        role.description = self.description;
        role.excludes = self.excludes;
        role.ceiling = self.ceiling;
        role.constraints = self.constraints;
        role.requires = self.requires;
        role.max_holders = self.max_holders;
        role.metadata = self.metadata;
        role.active = self.active;
        role
    }
}

async fn list(call: Call, paged: Paged<Everything>) -> Result<Found<List<Role>>, Failure> {
    let all = RecordFilter::all(RecordKind::Role);
    let page = call.engines().rbac.list::<rbac::Role>(call.scope, &all, &paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn put(
    call: Call,
    (Path(id), Guard(precondition), Body(body)): (Path<RoleId>, Guard, Body<RoleBody>),
) -> Result<Written<Role>, Failure> {
    let role = body.into_role(id);
    let expected = precondition.expected();
    let written = call.engines().rbac.put_role(&call.author(), call.scope, role, Some(expected)).await;
    let written = written.map_err(|error| match error {
        rbac::Error::Stale { .. } if precondition == Precondition::None => {
            crate::call::precondition_required()
        }
        error => error.into(),
    })?;
    let role = written.role;
    let revision = role.revision;
    Ok(Written { created: expected == Revision::ZERO, body: role.into(), revision })
}

async fn get(call: Call, (Path(id), Nothing): (Path<RoleId>, Nothing)) -> Result<Resource<Role>, Failure> {
    let role = call.engines().rbac.get_role(call.scope, &id).await?;
    let role = role.ok_or_else(|| rbac::Error::UnknownRole(id))?;
    let revision = role.revision;
    Ok(Resource(role.into(), revision))
}

async fn delete(
    call: Call,
    (Path(id), IfMatchIfSent(expected)): (Path<RoleId>, IfMatchIfSent),
) -> Result<Done, Failure> {
    let deleted = call.engines().rbac.delete_role(&call.author(), call.scope, &id, expected).await?;
    deleted.map(|_| Done).ok_or_else(|| rbac::Error::UnknownRole(id).into())
}

impl From<rbac::Error> for Failure {
    fn from(error: rbac::Error) -> Self {
        match error {
            rbac::Error::Store(error) => error.into(),
            rbac::Error::UnknownRole(_)
            | rbac::Error::UnknownSession(_)
            | rbac::Error::NothingToApprove { .. } => Self::not_found(error.to_string()),
            rbac::Error::UnknownInclude { .. } | rbac::Error::Cycle { .. } | rbac::Error::TooDeep { .. } => {
                Self::invalid(format!("field `includes`: {error}"))
            }
            rbac::Error::UnfitRequirement { .. } => Self::invalid(format!("field `requires`: {error}")),
            rbac::Error::ReasonMissing => Self::invalid(format!("field `reason`: {error}")),
            rbac::Error::BeyondTenant(_)
            | rbac::Error::UnfitSubject { .. }
            | rbac::Error::NeverValid { .. }
            | rbac::Error::Import { .. }
            | rbac::Error::Invalid { .. }
            | rbac::Error::NotExact(_)
            | rbac::Error::TooLong { .. } => Self::invalid(error.to_string()),
            rbac::Error::SelfElevation { .. } | rbac::Error::UnfitApprover { .. } => {
                Self::new(ProblemCode::Forbidden, error.to_string())
            }
            rbac::Error::TooMany { .. }
            | rbac::Error::TooManyHolders { .. }
            | rbac::Error::MissingPrerequisite { .. }
            | rbac::Error::Separated { .. }
            | rbac::Error::DenialStands { .. }
            | rbac::Error::RoleNotHeld { .. }
            | rbac::Error::LastAdministrator { .. }
            | rbac::Error::InTenant { .. }
            | rbac::Error::RoleInUse { .. }
            | rbac::Error::ReservedRole(_)
            | rbac::Error::ReservedRoles { .. }
            | rbac::Error::RolesDiffer { .. }
            | rbac::Error::SystemRole(_) => Self::conflict(error.to_string()),
            rbac::Error::Stale { .. } => Self::new(ProblemCode::PreconditionFailed, error.to_string()),
            error => Self::internal(error),
        }
    }
}
