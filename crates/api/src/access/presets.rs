use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, Slug};
use stanchion_rbac::{Note, OverRole, Preset, RoleId};
use utoipa::ToSchema;

use crate::answer::Found;
use crate::call::{Body, Call, Nothing};
use crate::failure::Failure;
use crate::operation::{On, Operation};

pub(crate) fn operations() -> Vec<Operation> {
    let all = "/v1/access/presets";
    vec![
        Operation::new(
            Method::GET,
            all,
            "list_role_presets",
            "role:read",
            On::Scope,
            "Lists sets of roles that fit together for one kind of product.",
            list,
        ),
        Operation::new(
            Method::POST,
            all,
            "apply_role_preset",
            "role:write",
            On::Scope,
            "Writes the roles of a preset.",
            apply,
        )
        .note(
            "Roles that are there and as the preset has them stay; where one differs nothing is written, unless `replace` is true. \
             Each role that is written is recorded.",
        ),
    ]
}

/// Roles that fit together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RolePreset {
    /// What it is asked for by.
    #[schema(value_type = String)]
    name: Slug,
    /// What people read.
    #[schema(value_type = String)]
    title: DisplayName,
    /// What it is for.
    #[schema(value_type = String)]
    description: Note,
    /// Its roles.
    #[schema(value_type = Vec<String>)]
    roles: Vec<RoleId>,
    /// What there is to permit.
    permissions: Vec<String>,
}

/// All presets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RolePresets {
    /// By name.
    items: Vec<RolePreset>,
}

/// The preset that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct WantedPreset {
    /// Its name.
    #[schema(example = "back-office")]
    name: String,
    /// Whether roles of the same ids that differ are replaced.
    #[serde(default)]
    replace: bool,
}

/// What became of the roles of a preset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppliedPreset {
    /// Those that were written, in the order in which they were.
    #[schema(value_type = Vec<String>)]
    written: Vec<RoleId>,
    /// Those that were as they are to be.
    #[schema(value_type = Vec<String>)]
    unchanged: Vec<RoleId>,
}

async fn list(_: Call, _: Nothing) -> Result<Found<RolePresets>, Failure> {
    let preset = |preset: Preset| RolePreset {
        roles: preset.roles().iter().map(|role| role.id.clone()).collect(),
        permissions: preset.registry().permissions().map(|permission| permission.to_string()).collect(),
        name: preset.name,
        title: preset.title,
        description: preset.description,
    };
    Ok(Found(RolePresets { items: Preset::all().map(preset).collect() }))
}

async fn apply(call: Call, Body(wanted): Body<WantedPreset>) -> Result<Found<AppliedPreset>, Failure> {
    let preset =
        Preset::named(&wanted.name).map_err(|error| Failure::invalid(format!("field `name`: {error}")))?;
    let over = if wanted.replace { OverRole::Replace } else { OverRole::Refuse };
    let applied = call.engines().rbac.apply_preset(&call.author(), call.scope, &preset, over).await?;
    Ok(Found(AppliedPreset { written: applied.written, unchanged: applied.unchanged }))
}
