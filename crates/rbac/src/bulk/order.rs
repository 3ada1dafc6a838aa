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
    let order = sorted(&state.roles.keys().cloned().collect(), needs);
    order.iter().flatten().filter_map(|id| state.roles.get(id)).map(|role| role.value.clone()).collect()
}

/// The roles that nobody can hold without holding another first, each after those by which that is held; those that need one another in
/// a circle together.
pub(super) fn bound(state: &State) -> Vec<Vec<RoleId>> {
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
    sorted(&bound, needs)
}

/// Puts each after what it needs, and together those that need one another (the strongly connected components, after Tarjan).
fn sorted(all: &BTreeSet<RoleId>, needs: impl Fn(&RoleId) -> BTreeSet<RoleId>) -> Vec<Vec<RoleId>> {
    /// Where one is that was met.
    struct Met {
        number: usize,
        /// The least number of one that it leads to and that is not placed yet.
        least: usize,
        is_placed: bool,
    }
    let mut met: BTreeMap<RoleId, Met> = BTreeMap::new();
    let (mut order, mut open) = (Vec::new(), Vec::new());
    for root in all {
        // Each on the way, with what it needs and was not gone into yet.
        let mut way: Vec<(RoleId, Vec<RoleId>)> = Vec::new();
        let mut next = (!met.contains_key(root)).then(|| root.clone());
        loop {
            if let Some(id) = next.take() {
                let number = met.len();
                met.insert(id.clone(), Met { number, least: number, is_placed: false });
                open.push(id.clone());
                let needed: Vec<RoleId> =
                    needs(&id).into_iter().rev().filter(|need| all.contains(need)).collect();
                way.push((id, needed));
            }
            let Some((id, needed)) = way.last_mut() else { break };
            if let Some(need) = needed.pop() {
                match met.get(&need) {
                    None => next = Some(need),
                    Some(Met { is_placed: true, .. }) => {}
                    Some(Met { number, .. }) => {
                        let number = *number;
                        met.entry(id.clone()).and_modify(|met| met.least = met.least.min(number));
                    }
                }
                continue;
            }
            let Some((id, _)) = way.pop() else { break };
            let Some(Met { number, least, .. }) = met.get(&id) else { break };
            let (number, least) = (*number, *least);
            if let Some((above, _)) = way.last() {
                met.entry(above.clone()).and_modify(|met| met.least = met.least.min(least));
            }
            if number == least {
                let begin = open.iter().rposition(|one| *one == id).unwrap_or(0);
                let mut circle = open.split_off(begin);
                circle.sort_unstable();
                for one in &circle {
                    met.entry(one.clone()).and_modify(|met| met.is_placed = true);
                }
                order.push(circle);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(needs: &[(&str, &str)]) -> String {
        let id = |text: &str| text.parse::<RoleId>().unwrap();
        let all = needs.iter().map(|(one, _)| id(one)).collect();
        let of = |one: &RoleId| {
            let own = needs.iter().find(|(other, _)| *other == one.as_str()).unwrap().1;
            own.split_whitespace().map(id).collect()
        };
        let groups = sorted(&all, of);
        groups
            .iter()
            .map(|group| group.iter().map(RoleId::as_str).collect::<Vec<_>>().join("="))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn each_comes_after_what_it_needs_and_circles_stand_together() {
        assert_eq!(order(&[("a", "c"), ("b", ""), ("c", "b")]), "b c a");
        assert_eq!(order(&[("a", "z"), ("y", "z"), ("z", "y elsewhere"), ("zz", "")]), "y=z a zz");
        assert_eq!(order(&[("a", "c b"), ("b", "d"), ("c", "a"), ("d", "b e"), ("e", "")]), "e b=d a=c");
        assert_eq!(order(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b a")]), "a=b=c=d");
        assert_eq!(order(&[("a", "a")]), "a");
        assert_eq!(order(&[("a", "b c"), ("b", ""), ("c", "a b"), ("d", "c")]), "b a=c d");
        assert_eq!(order(&[]), "");
    }

    #[test]
    fn a_long_way_is_gone_to_its_end() {
        let names: Vec<(String, String)> =
            (0..20_000).map(|number| (format!("r{number}"), format!("r{}", number + 1))).collect();
        let all: BTreeSet<RoleId> = names.iter().map(|(one, _)| one.parse().unwrap()).collect();
        let needs: BTreeMap<RoleId, RoleId> =
            names.iter().map(|(one, need)| (one.parse().unwrap(), need.parse().unwrap())).collect();
        let order = sorted(&all, |one| [needs[one].clone()].into());
        assert_eq!((order.len(), order[0][0].as_str()), (20_000, "r19999"));
    }
}
