use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::SubjectRef;
use stanchion_rbac::{self as rbac, Permission, RbacChange, RecordKey, ResourceSelector, RoleId};
use utoipa::ToSchema;

use super::READ;
use crate::answer::Found;
use crate::assignments::NewAssignment;
use crate::call::{Body, Call};
use crate::denials::NewDenial;
use crate::failure::Failure;
use crate::grants::NewGrant;
use crate::groups::NewMembership;
use crate::operation::{On, Operation};
use crate::roles::RoleBody;

/// The most changes of one request.
const MOST: usize = 1_000;

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Shows what changes would give to whom, and take from whom, without making them.";
    vec![
        Operation::new(Method::POST, "/v1/access/preview", "preview_access", READ, On::Scope, summary, preview)
            .note(
                "The changes are taken together. Whether they are allowed is not asked. What is looked at are the permissions that \
                 records name, and `permissions`; what will count later counts, what has expired does not.",
            ),
    ]
}

/// Changes that might be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct Proposal {
    /// The changes, 1 to 1,000.
    changes: Vec<ProposedChange>,
    /// More permissions to look at, such as those that a wildcard covers.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["document:delete"]))]
    permissions: Vec<Permission>,
}

/// A change that might be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", expecting = "an object with one change, such as {\"assign\": {..}}")]
pub(crate) enum ProposedChange {
    /// Writes a role.
    PutRole(ProposedRole),
    /// Deletes a role.
    DeleteRole(NamedRole),
    /// Writes the roles of a preset.
    ApplyPreset(NamedPreset),
    /// Gives a role to a subject.
    Assign(NewAssignment),
    /// Takes a role from a subject.
    Revoke(HeldRole),
    /// Grants a permission to a subject.
    Grant(NewGrant),
    /// Takes a grant back.
    RevokeGrant(HeldPermission),
    /// Denies a permission to a subject.
    Deny(NewDenial),
    /// Lifts a denial.
    LiftDenial(HeldPermission),
    /// Puts a subject into a group.
    AddMember(NewMembership),
    /// Takes a subject out of a group.
    RemoveMember(NamedMember),
}

/// A role that might be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct ProposedRole {
    /// Its id.
    #[schema(value_type = String)]
    id: RoleId,
    /// What it would be.
    role: RoleBody,
}

/// A role, by its id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = ProposedRoleName)]
pub(crate) struct NamedRole {
    /// Its id.
    #[schema(value_type = String)]
    id: RoleId,
}

/// A preset, by its name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = ProposedPreset)]
pub(crate) struct NamedPreset {
    /// Its name.
    name: String,
    /// What the ids of its roles are to begin with.
    prefix: Option<String>,
}

/// A role that a subject holds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = ProposedHolding)]
pub(crate) struct HeldRole {
    /// Who holds it.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// The role.
    #[schema(value_type = String)]
    role: RoleId,
    /// On which resources, if that was said.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
}

/// A permission that was granted or denied to a subject.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = ProposedPermission)]
pub(crate) struct HeldPermission {
    /// To whom.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What.
    #[schema(value_type = String)]
    permission: Permission,
    /// On which resources, if that was said.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
}

/// A member of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = ProposedMember)]
pub(crate) struct NamedMember {
    /// The group.
    #[schema(value_type = String, example = "group:support")]
    group: SubjectRef,
    /// Who belongs to it.
    #[schema(value_type = String, example = "user:alice")]
    member: SubjectRef,
}

/// What changes would give and take.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessPreview)]
pub(crate) struct Previewed {
    /// What somebody may do after them and may not before.
    gained: Vec<Difference>,
    /// What somebody may do before them and may not after.
    lost: Vec<Difference>,
    /// Whether that is all; of more than 10,000 the first are told.
    complete: bool,
}

/// Something that a subject gains or loses.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessDifference)]
pub(crate) struct Difference {
    /// Who.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What, at its widest reach. One with a wildcard stands for all that it covers and no record names.
    #[schema(value_type = String)]
    permission: Permission,
    /// On which resources; on all, if there is none.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// Whether it is only for where constraints hold.
    conditional: bool,
}

impl ProposedChange {
    fn into_changes(self) -> Result<Vec<RbacChange>, String> {
        let one = match self {
            Self::PutRole(ProposedRole { id, role }) => RbacChange::put(role.into_role(id)),
            Self::DeleteRole(NamedRole { id }) => RbacChange::Delete(RecordKey::Role(id)),
            Self::ApplyPreset(NamedPreset { name, prefix }) => {
                let preset = super::presets::named(&name, prefix.as_deref()).map_err(|(_, why)| why)?;
                return Ok(preset.roles().iter().cloned().map(RbacChange::put).collect());
            }
            Self::Assign(new) => RbacChange::put(new.into_assignment()),
            Self::Revoke(HeldRole { subject, role, resource }) => {
                RbacChange::Delete(RecordKey::Assignment { subject, role, resource })
            }
            Self::Grant(new) if new.lifts_denial() => {
                return Err("say `lift_denial` as a change of its own".to_owned());
            }
            Self::Grant(new) => RbacChange::put(new.into_grant()),
            Self::RevokeGrant(HeldPermission { subject, permission, resource }) => {
                RbacChange::Delete(RecordKey::Grant { subject, permission, resource })
            }
            Self::Deny(new) => RbacChange::put(new.into_denial()),
            Self::LiftDenial(HeldPermission { subject, permission, resource }) => {
                RbacChange::Delete(RecordKey::Denial { subject, permission, resource })
            }
            Self::AddMember(new) => RbacChange::put(new.into_membership()),
            Self::RemoveMember(NamedMember { group, member }) => {
                RbacChange::Delete(RecordKey::Membership { group, member })
            }
        };
        Ok(vec![one])
    }
}

impl From<rbac::Access> for Difference {
    fn from(access: rbac::Access) -> Self {
        let rbac::Access { subject, permission, resource, conditional, .. } = access;
        Self { subject, permission, resource, conditional }
    }
}

/// Of what is the same but for how far it reaches, tells the widest.
fn widest(side: Vec<rbac::Access>) -> Vec<rbac::Access> {
    let name = |one: &rbac::Access| format!("{}:{}", one.permission.resource(), one.permission.action());
    let mut widest = BTreeMap::new();
    for one in side {
        let key = (one.subject.clone(), name(&one), one.resource.clone(), one.conditional);
        let is_narrower = |known: &rbac::Access| known.permission.scope() >= one.permission.scope();
        if !widest.get(&key).is_some_and(is_narrower) {
            widest.insert(key, one);
        }
    }
    widest.into_values().collect()
}

async fn preview(call: Call, Body(proposal): Body<Proposal>) -> Result<Found<Previewed>, Failure> {
    if !(1..=MOST).contains(&proposal.changes.len()) {
        return Err(Failure::invalid(format!("field `changes`: name 1 to {MOST} changes")));
    }
    let mut changes = Vec::new();
    for (index, change) in proposal.changes.into_iter().enumerate() {
        let all = change.into_changes();
        changes.extend(all.map_err(|why| Failure::invalid(format!("field `changes[{index}]`: {why}")))?);
    }
    let preview = call.engines().rbac.preview(call.scope, &changes, proposal.permissions).await?;
    let told = |side| widest(side).into_iter().map(Into::into).collect();
    Ok(Found(Previewed {
        gained: told(preview.gained),
        lost: told(preview.lost),
        complete: preview.complete,
    }))
}
