use std::collections::{BTreeSet, VecDeque};

use hashbrown::{HashMap, HashSet};

use crate::compiled::CompiledRole;
use crate::facts::{Facts, Reach};
use crate::status::{Attribute, Status, Why};
use crate::view::{Place, View};
use crate::{Permission, PermissionScope, RoleId};

/// Looks whether roles permit what is wanted, role by role, as far as the sets of [`Compiled`](crate::compiled::Compiled) do not tell.
///
/// Everything on the way counts: ceilings, exclusions, constraints, and whether one of the roles is active in the session.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    view: &'a View,
    facts: &'a Facts<'a>,
    reach: Reach,
    /// The roles that are active in the session, if one is named.
    active: Option<&'a BTreeSet<RoleId>>,
    known: HashMap<Step, Status<'a>>,
}

/// A role on a way, how far it has to reach, from where on exclusions count, and whether an active role was passed.
type Step = (Place, PermissionScope, PermissionScope, bool);

/// More roles than any rule lets stand on one way: only a store that was written past the rules has them.
pub(crate) const DEEPEST: usize = 600;

impl<'a> Walk<'a> {
    pub(crate) fn new(
        view: &'a View,
        facts: &'a Facts<'a>,
        reach: Reach,
        active: Option<&'a BTreeSet<RoleId>>,
    ) -> Self {
        Self { view, facts, reach, active, known: HashMap::new() }
    }

    /// Tells how near a role is to permitting it.
    pub(crate) fn status(&mut self, place: Place) -> Status<'a> {
        let Reach { needed, narrowest, .. } = self.reach;
        let outside = self.active.is_none();
        let status = self.step((place, needed, narrowest, outside), 0);
        if !status.is_nothing() {
            return status;
        }
        if let Some(attribute) = self.short_by(place) {
            return self.short_of(attribute);
        }
        let mut reaches = PermissionScope::ALL.into_iter().filter(|scope| *scope < needed);
        let narrow = reaches.any(|scope| !self.step((place, scope, scope, outside), 0).is_nothing());
        if narrow { Status { why: Why::Narrow, ..Status::MET } } else { Status::NOTHING }
    }

    /// Finds what would have to be known of the resource for a role to permit it that does not reach so far, or that leaves out what the
    /// resource may be.
    ///
    /// Named is what would put the resource within reach; of several the widest, which is that of the permission's own reach. Where none
    /// does by itself, the resource has to be known to lie out of what is left out, and the widest of the fewest is named that do together.
    fn short_by(&mut self, place: Place) -> Option<Attribute<'static>> {
        let Reach { needed, narrowest, .. } = self.reach;
        let outside = self.active.is_none();
        let unknown: Vec<_> = self.reach.unknown().collect();
        let mut permits = |needed, narrowest| !self.step((place, needed, narrowest, outside), 0).is_nothing();
        // How narrow the reaches may be that are left once the resource is known to lie outside of one and of all narrower ones.
        let wider = |index: usize| unknown.get(index + 1).map_or(needed, |(scope, _)| *scope);
        if let Some((_, attribute)) = unknown.iter().rev().find(|(scope, _)| permits(*scope, narrowest)) {
            return Some(*attribute);
        }
        let together = |(index, (scope, _)): &(usize, &(PermissionScope, _))| {
            permits(*scope, *scope) || permits(needed, wider(*index))
        };
        unknown.iter().enumerate().find(together).map(|(_, (_, attribute))| *attribute)
    }

    /// What is short of an attribute of the resource, or where there is no resource, of reach.
    pub(crate) fn short_of(&self, attribute: Attribute<'static>) -> Status<'a> {
        match self.facts.resource {
            Some(_) => self.facts.miss(attribute),
            None => Status { why: Why::Narrow, ..Status::MET },
        }
    }

    fn step(&mut self, step: Step, depth: usize) -> Status<'a> {
        if let Some(status) = self.known.get(&step) {
            return *status;
        }
        let (place, needed, narrowest, passed) = step;
        let Some(role) = self.view.role(place) else { return Status::NOTHING };
        if !role.active || role.ceiling < needed || depth > DEEPEST {
            return Status::NOTHING;
        }
        // A role on a cycle permits nothing by way of itself.
        self.known.insert(step, Status::NOTHING);
        let passed = passed || self.active.is_some_and(|active| active.contains(&role.id));
        let mut status = Status::NOTHING;
        if passed && by_itself(role, self.facts.wanted, needed).is_some() {
            status = Status::MET;
        } else if !leaves_out(role, self.facts.wanted, narrowest) {
            let view = self.view;
            for junior in view.juniors(place) {
                status = status.or(self.step((junior, needed, narrowest, passed), depth + 1));
            }
        }
        if !status.is_nothing() {
            status = status.and(self.facts.all_hold(&role.constraints));
        }
        self.known.insert(step, status);
        status
    }

    /// Finds the shortest way from a role to the permission that permits it.
    pub(crate) fn way(&self, from: Place) -> Option<(Vec<RoleId>, Permission)> {
        let Reach { needed, narrowest, .. } = self.reach;
        let lets = |role: &CompiledRole| {
            role.active && role.ceiling >= needed && self.facts.all_hold(&role.constraints).is_met()
        };
        let mut seen = HashSet::new();
        let mut ways = VecDeque::from([(from, self.active.is_none(), Vec::new())]);
        while let Some((place, passed, mut way)) = ways.pop_front() {
            let Some(role) = self.view.role(place).filter(|role| lets(role)) else { continue };
            let passed = passed || self.active.is_some_and(|active| active.contains(&role.id));
            if way.len() > DEEPEST || !seen.insert((place, passed)) {
                continue;
            }
            way.push(role.id.clone());
            if let Some(permission) = by_itself(role, self.facts.wanted, needed).filter(|_| passed) {
                return Some((way, permission.clone()));
            }
            if !leaves_out(role, self.facts.wanted, narrowest) {
                ways.extend(self.view.juniors(place).map(|junior| (junior, passed, way.clone())));
            }
        }
        None
    }
}

fn by_itself<'a>(
    role: &'a CompiledRole,
    wanted: &Permission,
    needed: PermissionScope,
) -> Option<&'a Permission> {
    role.permissions.iter().find(|own| own.scope() >= needed && own.covers_name(wanted))
}

fn leaves_out(role: &CompiledRole, wanted: &Permission, narrowest: PermissionScope) -> bool {
    role.excludes.iter().any(|other| other.scope() >= narrowest && other.covers_name(wanted))
}

impl View {
    /// Tells whether a role would permit it if no role were switched off, nothing else considered.
    pub(crate) fn names(&self, from: Place, wanted: &Permission) -> bool {
        let mut seen: HashSet<Place> = HashSet::from([from]);
        let mut rest = vec![from];
        while let Some(place) = rest.pop() {
            if self.role(place).is_some_and(|role| by_itself(role, wanted, PermissionScope::Tenant).is_some())
            {
                return true;
            }
            rest.extend(self.juniors(place).filter(|junior| seen.insert(*junior)));
        }
        false
    }
}
