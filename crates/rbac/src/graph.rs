use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::rules::State;
use crate::{Role, RoleId};

/// Which role includes which, with one role as it is about to be.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    own: BTreeMap<&'a RoleId, &'a BTreeSet<RoleId>>,
    platform: BTreeMap<&'a RoleId, &'a BTreeSet<RoleId>>,
}

/// Where a role is at home. In the platform's scope its roles are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Home {
    Own,
    Platform,
}

type Node<'a> = (Home, &'a RoleId);

impl<'a> Graph<'a> {
    pub(crate) fn of(state: &'a State) -> Self {
        let includes = |roles: &'a BTreeMap<RoleId, stanchion_core::Versioned<Role>>| {
            roles.iter().map(|(id, role)| (id, &role.value.includes)).collect::<BTreeMap<_, _>>()
        };
        Self { own: includes(&state.roles), platform: includes(&state.platform) }
    }

    pub(crate) fn with(state: &'a State, role: &'a Role) -> Self {
        let mut graph = Self::of(state);
        graph.own.insert(&role.id, &role.includes);
        graph
    }

    /// Returns a role and all that it includes, by the names that they have in the scope. One of the platform's whose name means
    /// another role here is left out; what it includes is not.
    pub(crate) fn closure(&self, role: &RoleId) -> BTreeSet<RoleId> {
        let mut seen: BTreeSet<Node<'a>> = BTreeSet::new();
        let mut next: Vec<Node<'a>> = self.find(Home::Own, role).into_iter().collect();
        while let Some(node) = next.pop() {
            if seen.insert(node) {
                next.extend(self.includes(node));
            }
        }
        let here = seen.into_iter().filter(|node| self.find(Home::Own, node.1) == Some(*node));
        here.map(|(_, id)| id.clone()).collect()
    }

    /// Finds the role that a role at `home` means by a name: the nearest, and from the platform never a tenant's.
    pub(crate) fn find(&self, home: Home, id: &RoleId) -> Option<Node<'a>> {
        let own = || self.own.get_key_value(id).map(|(id, _)| (Home::Own, *id));
        let platform = || self.platform.get_key_value(id).map(|(id, _)| (Home::Platform, *id));
        match home {
            Home::Own => own().or_else(platform),
            Home::Platform => platform(),
        }
    }

    /// Finds a shortest way from a role to itself.
    pub(crate) fn cycle(&self, role: &RoleId) -> Option<Vec<RoleId>> {
        let (_, start) = self.find(Home::Own, role)?;
        let mut from: BTreeMap<&RoleId, &RoleId> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(senior) = queue.pop_front() {
            for (home, junior) in self.includes((Home::Own, senior)) {
                if home == Home::Own && !from.contains_key(junior) {
                    from.insert(junior, senior);
                    if junior == start {
                        let back = std::iter::successors(Some(start), |role| {
                            from.get(role).copied().filter(|senior| *senior != start)
                        });
                        let mut path: Vec<RoleId> = back.cloned().collect();
                        path.push(start.clone());
                        path.reverse();
                        return Some(path);
                    }
                    queue.push_back(junior);
                }
            }
        }
        None
    }

    /// Returns how many roles are on the longest way that leads through a role, and where that way begins. Past `limit` it need not
    /// be exact.
    pub(crate) fn depth_through(&self, role: &'a RoleId, limit: usize) -> (usize, &'a RoleId) {
        let node = (Home::Own, role);
        let mut seniors: BTreeMap<&RoleId, Vec<Node<'a>>> = BTreeMap::new();
        for (senior, includes) in &self.own {
            for junior in *includes {
                seniors.entry(junior).or_default().push((Home::Own, senior));
            }
        }
        let up = |(_, id): Node<'a>| seniors.get(id).cloned().unwrap_or_default();
        let down = |node: Node<'a>| self.includes(node).collect();
        let (above, (_, top)) = longest(node, &up, limit, &mut BTreeMap::new());
        let (below, _) = longest(node, &down, limit, &mut BTreeMap::new());
        (above + below - 1, top)
    }

    fn includes(&self, (home, id): Node<'a>) -> impl Iterator<Item = Node<'a>> {
        let of = match home {
            Home::Own => self.own.get(id),
            Home::Platform => self.platform.get(id),
        };
        of.into_iter().flat_map(|ids| ids.iter()).filter_map(move |id| self.find(home, id))
    }
}

/// The longest way from a node on: how many nodes, and the last. At most two more than `budget` are counted, so that a cycle in what
/// is stored ends too; whatever is cut short counts as too long.
fn longest<'a>(
    from: Node<'a>,
    next: &dyn Fn(Node<'a>) -> Vec<Node<'a>>,
    budget: usize,
    known: &mut BTreeMap<Node<'a>, (usize, Node<'a>)>,
) -> (usize, Node<'a>) {
    if let Some(known) = known.get(&from) {
        return *known;
    }
    let mut found = (1, from);
    for node in next(from) {
        let (count, last) = match budget.checked_sub(1) {
            Some(budget) => longest(node, next, budget, known),
            None => (1, node),
        };
        if count + 1 > found.0 {
            found = (count + 1, last);
        }
    }
    known.insert(from, found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use stanchion_core::{Revision, Scope, Timestamp, Versioned};

    use crate::Snapshot;

    fn id(id: &str) -> RoleId {
        id.parse().unwrap()
    }

    fn role(id: &str, includes: &[&str]) -> Role {
        Role::new(id.parse().unwrap(), id.parse().unwrap())
            .with_includes(includes.iter().map(|text| text.parse().unwrap()))
    }

    fn snapshot(roles: &[(&str, &[&str])]) -> Snapshot {
        let versioned = |(id, includes): &(&str, &[&str])| {
            Versioned::created(role(id, includes), Revision::ZERO, Timestamp::EPOCH)
        };
        Snapshot::new(Revision::ZERO, roles.iter().map(versioned).collect(), Vec::new())
    }

    #[test]
    fn the_shortest_way_round_is_found() {
        let own = snapshot(&[("a", &["b"]), ("b", &["c", "d"]), ("c", &["d"]), ("d", &[])]);
        let state = State::new(Scope::Platform, own, None);
        let cycle = |role: &Role| {
            let path = Graph::with(&state, role).cycle(&role.id);
            path.map(|path| path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(cycle(&role("d", &["a"])).as_deref(), Some("d a b d"));
        assert_eq!(cycle(&role("d", &["d"])).as_deref(), Some("d d"));
        assert_eq!(cycle(&role("d", &["c"])).as_deref(), Some("d c d"));
        assert_eq!(cycle(&role("a", &["b", "c", "d"])), None, "a diamond is no cycle");
        assert_eq!(cycle(&role("e", &["a"])), None);
    }

    #[test]
    fn the_longest_way_leads_up_and_down_and_into_the_platform() {
        let own = snapshot(&[("top", &["a", "x"]), ("a", &[]), ("x", &["y"]), ("y", &[])]);
        let platform = snapshot(&[("p", &["q"]), ("q", &["x"]), ("x", &[])]);
        let state = State::new(Scope::Platform, own, Some(platform));
        let role = role("a", &["x", "p"]);
        let graph = Graph::with(&state, &role);
        // top → a → p → q → x, where x is the platform's own and not the tenant's.
        assert_eq!(graph.depth_through(&role.id, 64), (5, &id("top")));
        assert_eq!(graph.depth_through(&role.id, 5), (5, &id("top")));
        assert!(graph.depth_through(&role.id, 4).0 > 4);
        assert!(graph.depth_through(&role.id, 2).0 > 2);
    }

    #[test]
    fn a_cycle_in_the_store_is_too_deep_and_ends() {
        let state = State::new(Scope::Platform, snapshot(&[("a", &["b"]), ("b", &["a"])]), None);
        let role = role("c", &["a"]);
        assert!(Graph::with(&state, &role).depth_through(&role.id, 64).0 > 64);
    }
}
