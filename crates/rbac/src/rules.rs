//! What may be written, as pure functions of what is there. The engine runs them at the revision that it then writes against, so
//! that what they saw is what the change is made to.

use std::collections::BTreeMap;

use stanchion_core::{
    Actor, Author, Revision, Scope, SubjectKind, SubjectRef, TenantId, Timestamp, Versioned,
};

use crate::graph::{Graph, Home};
use crate::{
    Assignment, Denial, Error, Limits, Permission, PermissionScope, Role, RoleId, Snapshot, SubjectRecords,
};

/// The roles that count in a scope: its own at the revision of the change, and for a tenant the platform's as they were just read.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) scope: Scope,
    pub(crate) revision: Revision,
    pub(crate) roles: BTreeMap<RoleId, Versioned<Role>>,
    pub(crate) platform: BTreeMap<RoleId, Versioned<Role>>,
}

impl State {
    pub(crate) fn new(scope: Scope, own: Snapshot, platform: Option<Snapshot>) -> Self {
        let by_id = |roles: Vec<Versioned<Role>>| {
            roles.into_iter().map(|role| (role.value.id.clone(), role)).collect::<BTreeMap<_, _>>()
        };
        let platform = platform.map(|platform| by_id(platform.roles)).unwrap_or_default();
        Self { scope, revision: own.revision, roles: by_id(own.roles), platform }
    }
}

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
    at_most("permissions in a role", role.permissions.len(), limits.permissions)?;
    at_most("roles included by a role", role.includes.len(), limits.includes)?;
    role.permissions.iter().try_for_each(|permission| within(state.scope, permission))?;

    let graph = Graph::with(state, role);
    if let Some(included) = role.includes.iter().find(|included| graph.find(Home::Own, included).is_none()) {
        return Err(Error::UnknownInclude { role: role.id.clone(), included: included.clone() });
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

/// Tells whether the role may go: nobody may hold or include it. It would not harm them at once, but whoever later makes a role of
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
    let including = state.roles.values().filter(|other| other.value.includes.contains(id));
    let by: Vec<String> = including
        .map(|other| format!("included by {}", other.value.id))
        .chain(holders.iter().map(|held| format!("assigned to {}", held.value.subject)))
        .chain(tenants.iter().map(|tenant| format!("used in tenant {tenant}")))
        .collect();
    if by.is_empty() { Ok(()) } else { Err(Error::RoleInUse { role: id.clone(), by }) }
}

/// Tells whether the role, if there is one, may be given to the subject that holds `records`.
pub(crate) fn assign(
    records: &SubjectRecords,
    role: Option<&Role>,
    assignment: &Assignment,
    now: Timestamp,
    limits: &Limits,
) -> Result<(), Error> {
    fit(&assignment.subject)?;
    if role.is_none() {
        return Err(Error::UnknownRole(assignment.role.clone()));
    }
    if let Some(expires_at) = assignment.expires_at {
        if expires_at <= now {
            return Err(Error::NeverValid("it has expired already"));
        }
        if assignment.not_before.is_some_and(|not_before| expires_at <= not_before) {
            return Err(Error::NeverValid("it expires before it begins"));
        }
    }
    if records.assignments.iter().any(|held| held.value.role == assignment.role) {
        return Ok(());
    }
    at_most("roles held by a subject", records.assignments.len() + 1, limits.assignments)
}

/// Tells whether the permission may be denied to the subject that holds `records`.
pub(crate) fn deny(
    scope: Scope,
    records: &SubjectRecords,
    denial: &Denial,
    limits: &Limits,
) -> Result<(), Error> {
    fit(&denial.subject)?;
    within(scope, &denial.permission)?;
    if records.denials.iter().any(|standing| standing.value.permission == denial.permission) {
        return Ok(());
    }
    at_most("permissions denied to a subject", records.denials.len() + 1, limits.denials)
}

fn unchanged_since(before: Option<&Versioned<Role>>, expected: Option<Revision>) -> Result<(), Error> {
    let actual = before.map_or(Revision::ZERO, |before| before.revision);
    match expected {
        Some(expected) if expected != actual => Err(Error::Stale { expected, actual }),
        _ => Ok(()),
    }
}

fn of_the_system(role: &RoleId, author: &Author) -> Result<(), Error> {
    if matches!(author.actor, Actor::System(_)) { Ok(()) } else { Err(Error::SystemRole(role.clone())) }
}

/// What has no members that could act cannot be given anything to act by.
fn fit(subject: &SubjectRef) -> Result<(), Error> {
    match subject.kind() {
        SubjectKind::User | SubjectKind::Service => Ok(()),
        kind @ SubjectKind::Group => Err(Error::UnfitSubject(kind)),
    }
}

fn within(scope: Scope, permission: &Permission) -> Result<(), Error> {
    if scope.tenant().is_some() && permission.scope() == PermissionScope::Platform {
        return Err(Error::BeyondTenant(permission.clone()));
    }
    Ok(())
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), Error> {
    if count > limit { Err(Error::TooMany { what, limit }) } else { Ok(()) }
}
