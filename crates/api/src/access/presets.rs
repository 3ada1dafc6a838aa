use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, Slug};
use stanchion_rbac::{ApplyOptions, Note, OverRole, Preset, RoleId};
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
            "In one change: all of them, or none. Roles that are there and as the preset has them stay; where one differs nothing is \
             written, unless `replace` is true. A tenant's roles cannot have names of the platform's; with `prefix` all of the preset's \
             have other names. Each role that is written is recorded.",
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
    /// What the ids of its roles are to begin with, such as `shop-`.
    prefix: Option<String>,
    /// Whether nothing is written, and every rule is asked as if it were.
    #[serde(default)]
    dry_run: bool,
}

/// Finds a preset, with a prefix for its roles if there is one; or says which of the two is wrong, and why.
pub(super) fn named(name: &str, prefix: Option<&str>) -> Result<Preset, (&'static str, String)> {
    let preset = Preset::named(name).map_err(|error| ("name", error.to_string()))?;
    match prefix {
        Some(prefix) => preset.prefixed(prefix).map_err(|error| ("prefix", error.to_string())),
        None => Ok(preset),
    }
}

/// What became of the roles of a preset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppliedPreset {
    /// Whether that was only tried.
    dry_run: bool,
    /// Those that were written, or would be.
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
    let WantedPreset { name, replace, prefix, dry_run } = wanted;
    let wrong = |(field, why)| Failure::invalid(format!("field `{field}`: {why}"));
    let preset = named(&name, prefix.as_deref()).map_err(wrong)?;
    let over = if replace { OverRole::Replace } else { OverRole::Refuse };
    let options = ApplyOptions { over, dry_run };
    let applied = call.engines().rbac.apply_preset(&call.author(), call.scope, &preset, options).await?;
    Ok(Found(AppliedPreset { dry_run, written: applied.written, unchanged: applied.unchanged }))
}
