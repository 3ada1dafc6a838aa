use stanchion_core::{Author, Revision, TenantId, Versioned};

use super::{State, at_most, comparable, is_system, within};
use crate::graph::{Graph, Home};
use crate::{Assignment, Error, Limits, Note, Role, RoleId};

/// Tells whether the role may be written in place of what is there.
pub(crate) fn put_role(
    state: &State,
    role: &Role,
    author: &Author,
    expected: Option<Revision>,
    limits: &Limits,
) -> Result<(), Error> {
    let before = state.roles.get(&role.id);
    unchanged_since(before, expected)?;
    if role.system || before.is_some_and(|before| before.value.system) {
        of_the_system(&role.id, author)?;
    }
    if before.is_none() {
        // A name that means one role to the platform and another to a tenant would be read wrongly by somebody.
        if state.platform.contains_key(&role.id) {
            return Err(Error::ReservedRole(role.id.clone()));
        }
        at_most("roles", state.roles.len() + 1, limits.roles)?;
    }
    parts(state, role, limits)?;

    let graph = Graph::with(state, role);
    if let Some(included) = role.includes.iter().find(|included| graph.find(Home::Own, included).is_none()) {
        return Err(Error::UnknownInclude { role: role.id.clone(), included: included.clone() });
    }
    for required in &role.requires {
        let why = match graph.find(Home::Own, required) {
            _ if *required == role.id => "is the role itself",
            None => "does not exist",
            Some(_) => continue,
        };
        return Err(Error::UnfitRequirement { role: role.id.clone(), required: required.clone(), why });
    }
    if let Some(path) = graph.cycle(&role.id) {
        return Err(Error::Cycle { path });
    }
    let (depth, top) = graph.depth_through(&role.id, limits.depth);
    if depth > limits.depth {
        return Err(Error::TooDeep { role: top.clone(), depth, limit: limits.depth });
    }
    Ok(())
}

/// Tells whether each part of the role is fit for one, whatever else there is.
fn parts(state: &State, role: &Role, limits: &Limits) -> Result<(), Error> {
    at_most("permissions in a role", role.permissions.len(), limits.permissions)?;
    at_most("roles included by a role", role.includes.len(), limits.includes)?;
    at_most("permissions left out by a role", role.excludes.len(), limits.excludes)?;
    at_most("constraints of a role", role.constraints.len(), limits.constraints)?;
    at_most("roles required by a role", role.requires.len(), limits.requires)?;
    at_most("entries kept with a role", role.metadata.len(), limits.metadata)?;
    role.permissions.iter().try_for_each(|permission| within(state.scope, permission))?;
    comparable(&role.constraints)?;
    for (name, text) in &role.metadata {
        if text.as_str().chars().take(Note::MAX_CHARS + 1).count() > Note::MAX_CHARS {
            let what = format!("entry `{name}` kept with role `{}`", role.id);
            return Err(Error::Invalid { what, rule: "has 1000 characters at most" });
        }
    }
    if role.max_holders == Some(0) {
        let what = format!("`max_holders` of role `{}`", role.id);
        return Err(Error::Invalid { what, rule: "is at least 1; leave it out for any number" });
    }
    Ok(())
}

/// Tells whether the role may go: nobody may hold or name it. It would not harm them at once, but whoever later makes a role of
/// that name would give it to them unawares.
pub(crate) fn delete_role(
    state: &State,
    id: &RoleId,
    author: &Author,
    expected: Option<Revision>,
    holders: &[Versioned<Assignment>],
    tenants: &[TenantId],
) -> Result<(), Error> {
    let role = state.roles.get(id);
    unchanged_since(role, expected)?;
    if role.is_none() {
        return Ok(());
    }
    if role.is_some_and(|role| role.value.system) {
        of_the_system(id, author)?;
    }
    let others = || state.roles.values().map(|other| &other.value);
    let including = others().filter(|other| other.includes.contains(id));
    let requiring = others().filter(|other| other.requires.contains(id));
    let separating = state.separations.values().filter(|separation| separation.value.roles.contains(id));
    let by: Vec<String> = including
        .map(|other| format!("included by {}", other.id))
        .chain(requiring.map(|other| format!("required by {}", other.id)))
        .chain(separating.map(|separation| format!("kept apart by {}", separation.value.id)))
        .chain(holders.iter().map(|held| format!("assigned to {}", held.value.subject)))
        .chain(tenants.iter().map(|tenant| format!("used in tenant {tenant}")))
        .collect();
    if by.is_empty() { Ok(()) } else { Err(Error::RoleInUse { role: id.clone(), by }) }
}

fn unchanged_since(before: Option<&Versioned<Role>>, expected: Option<Revision>) -> Result<(), Error> {
    let actual = before.map_or(Revision::ZERO, |before| before.revision);
    match expected {
        Some(expected) if expected != actual => Err(Error::Stale { expected, actual }),
        _ => Ok(()),
    }
}

fn of_the_system(role: &RoleId, author: &Author) -> Result<(), Error> {
    if is_system(author) { Ok(()) } else { Err(Error::SystemRole(role.clone())) }
}
