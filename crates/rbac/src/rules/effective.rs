//! What subjects may do, by the definition and without haste: sets, gone through one by one. It is what previews and guards go by.

use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::SubjectRef;

use super::{Census, State, When};
use crate::{Constraint, Permission, PermissionScope, ResourceSelector, Role, RoleId};

/// Something that a subject may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element {
    /// What, and how far.
    pub(crate) permission: Permission,
    /// On which resources; all in the scope, if none is named.
    pub(crate) resource: Option<ResourceSelector>,
    /// Whether only constraints may have to hold. What is permitted without any is permitted with them too.
    pub(crate) conditional: bool,
}

/// On which ways something is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    None,
    Conditional,
    Free,
}

/// What roles convey, of the permissions that are asked about.
#[derive(Debug)]
pub(crate) struct Effective<'a> {
    state: &'a State,
    pub(crate) universe: Vec<Permission>,
    selectors: BTreeSet<ResourceSelector>,
    conveyed: BTreeMap<RoleId, Vec<(usize, bool)>>,
}

impl<'a> Effective<'a> {
    /// Asks about permissions, whatever reach they are named with, at each reach that there is in the scope.
    pub(crate) fn new(
        state: &'a State,
        names: impl IntoIterator<Item = Permission>,
        selectors: BTreeSet<ResourceSelector>,
    ) -> Self {
        let names: BTreeSet<String> =
            names.into_iter().map(|permission| permission.name().to_owned()).collect();
        let furthest = match state.scope.tenant() {
            Some(_) => PermissionScope::Tenant,
            None => PermissionScope::Platform,
        };
        let reaches = || PermissionScope::ALL.into_iter().filter(move |reach| *reach <= furthest);
        let all = names.iter().flat_map(|name| reaches().map(move |reach| format!("{name}:{reach}")));
        let universe = all.filter_map(|text| Permission::new(&text).ok()).collect();
        Self { state, universe, selectors, conveyed: BTreeMap::new() }
    }

    /// Everything of it that a subject may do.
    pub(crate) fn of(&mut self, census: &Census<'_>, subject: &SubjectRef, when: When) -> BTreeSet<Element> {
        let mut all = BTreeSet::new();
        for held in census.assignments(subject, when) {
            for (place, conditional) in self.conveyed(&held.role) {
                self.insert(&mut all, place, held.resource.as_ref(), conditional);
            }
        }
        for grant in census.grants(subject, when).filter(|grant| !grant.awaits_approval()) {
            for place in 0..self.universe.len() {
                let Some(wanted) = self.universe.get(place) else { continue };
                if grant.permission.covers(wanted) {
                    let conditional = binds(&grant.constraints, wanted);
                    self.insert(&mut all, place, grant.resource.as_ref(), conditional);
                }
            }
        }
        for denial in census.denials(subject, when) {
            all.retain(|element| {
                let is_it = denial.permission.covers(&element.permission)
                    && (denial.resource.is_none() || denial.resource == element.resource);
                !is_it
            });
        }
        all
    }

    /// Everything of it that a role conveys on some resources, or on all.
    pub(crate) fn of_role(
        &mut self,
        role: &RoleId,
        resource: Option<&ResourceSelector>,
    ) -> BTreeSet<Element> {
        let mut all = BTreeSet::new();
        for (place, conditional) in self.conveyed(role) {
            self.insert(&mut all, place, resource, conditional);
        }
        all
    }

    fn insert(
        &self,
        all: &mut BTreeSet<Element>,
        place: usize,
        resource: Option<&ResourceSelector>,
        conditional: bool,
    ) {
        let Some(permission) = self.universe.get(place) else { return };
        // What is had everywhere is had on each of the resources that are named anywhere.
        let everywhere = || std::iter::once(None).chain(self.selectors.iter().cloned().map(Some));
        let on: Vec<Option<ResourceSelector>> =
            if resource.is_some() { vec![resource.cloned()] } else { everywhere().collect() };
        for resource in on {
            for conditional in [conditional, true] {
                all.insert(Element {
                    permission: permission.clone(),
                    resource: resource.clone(),
                    conditional,
                });
            }
        }
    }

    fn conveyed(&mut self, role: &RoleId) -> Vec<(usize, bool)> {
        if let Some(known) = self.conveyed.get(role) {
            return known.clone();
        }
        let ways = (0..).zip(&self.universe).filter_map(|(place, wanted)| {
            let way = permits(self.state, role, wanted, &mut Vec::new());
            (way != Way::None).then_some((place, way == Way::Conditional))
        });
        let found: Vec<(usize, bool)> = ways.collect();
        self.conveyed.insert(role.clone(), found.clone());
        found
    }
}

/// The definition. `above` are the roles on the way, so that a cycle in what is stored ends.
fn permits(state: &State, id: &RoleId, wanted: &Permission, above: &mut Vec<RoleId>) -> Way {
    let Some(role) = state.role(id).filter(|role| role.active && !above.contains(id)) else {
        return Way::None;
    };
    let reach = wanted.scope();
    if role.ceiling.is_some_and(|ceiling| reach > ceiling) {
        return Way::None;
    }
    let way = if role.permissions.iter().any(|own| own.covers(wanted)) {
        Way::Free
    } else if role.excludes.iter().any(|left_out| left_out.covers(wanted)) {
        Way::None
    } else {
        above.push(id.clone());
        let included = role.includes.iter().map(|junior| permits(state, junior, wanted, above));
        let best = included.max().unwrap_or(Way::None);
        above.pop();
        best
    };
    if way == Way::Free && binds(&role.constraints, wanted) { Way::Conditional } else { way }
}

/// Tells whether one of the constraints is about the permission. About one with a wildcard it is when it is about a part of it.
fn binds(constraints: &[Constraint], wanted: &Permission) -> bool {
    constraints.iter().any(|constraint| match &constraint.resource {
        None => true,
        Some(pattern) => {
            let resource = wanted.resource();
            pattern.covers(resource) || crate::permission::segment_covers(resource, pattern.as_str())
        }
    })
}

/// Every permission that a role and what it includes name.
pub(crate) fn named_by<'a>(roles: impl IntoIterator<Item = &'a Role>) -> BTreeSet<Permission> {
    let all = roles.into_iter().flat_map(|role| role.permissions.iter().chain(&role.excludes));
    all.cloned().collect()
}
