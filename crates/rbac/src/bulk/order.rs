//! The order in which an export names records, such that each comes after what it needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;
use crate::rules::State;
use crate::{Role, RoleId};

/// The scope's own roles, each after those that it includes and requires. Where roles need one another in a circle they stand together.
pub(super) fn roles(state: &State) -> Vec<Role> {
    let needs = |id: &RoleId| -> BTreeSet<RoleId> {
        let role = state.roles.get(id).map(|role| &role.value);
        role.into_iter().flat_map(|role| role.includes.iter().chain(&role.requires)).cloned().collect()
    };
    let order = sorted(state.roles.keys().cloned().collect(), needs);
    order.iter().filter_map(|id| state.roles.get(id)).map(|role| role.value.clone()).collect()
}

/// The roles that nobody can hold without holding another first, each after those by which that is held.
pub(super) fn bound(state: &State) -> Vec<RoleId> {
    let graph = Graph::of(state);
    let all = || state.roles.keys().chain(state.platform.keys());
    let closures: BTreeMap<&RoleId, BTreeSet<RoleId>> = all().map(|id| (id, graph.closure(id))).collect();
    let required = |id: &RoleId| -> BTreeSet<RoleId> {
        let below = closures.get(id).into_iter().flatten();
        let roles = below.filter_map(|below| state.role(below));
        roles.flat_map(|role| role.requires.iter().cloned()).collect()
    };
    let bound: BTreeSet<RoleId> = all().filter(|id| !required(id).is_empty()).cloned().collect();
    let needs = |id: &RoleId| -> BTreeSet<RoleId> {
        let required = required(id);
        let gives = |other: &&RoleId| {
            *other != id && closures.get(*other).is_some_and(|below| !below.is_disjoint(&required))
        };
        bound.iter().filter(gives).cloned().collect()
    };
    sorted(bound.clone(), needs)
}

/// Puts each after what it needs; what is in a circle comes last, as it was.
fn sorted(mut rest: BTreeSet<RoleId>, needs: impl Fn(&RoleId) -> BTreeSet<RoleId>) -> Vec<RoleId> {
    let mut waiting: BTreeMap<RoleId, BTreeSet<RoleId>> = BTreeMap::new();
    let mut behind: BTreeMap<RoleId, Vec<RoleId>> = BTreeMap::new();
    for id in &rest {
        let mut needs = needs(id);
        needs.retain(|need| need != id && rest.contains(need));
        for need in &needs {
            behind.entry(need.clone()).or_default().push(id.clone());
        }
        waiting.insert(id.clone(), needs);
    }
    let mut order = Vec::with_capacity(rest.len());
    let mut ready: BTreeSet<RoleId> =
        waiting.iter().filter(|(_, needs)| needs.is_empty()).map(|(id, _)| id.clone()).collect();
    while let Some(id) = ready.pop_first() {
        for after in behind.remove(&id).unwrap_or_default() {
            if let Some(needs) = waiting.get_mut(&after) {
                needs.remove(&id);
                if needs.is_empty() {
                    ready.insert(after);
                }
            }
        }
        rest.remove(&id);
        order.push(id);
    }
    order.extend(rest);
    order
}
