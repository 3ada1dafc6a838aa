use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet, HashTable};
use stanchion_core::{Revision, Versioned};

use crate::permission::Fingerprint;
use crate::role_set::RoleSet;
use crate::{Constraint, Permission, PermissionScope, Role, RoleId};

/// The roles of one scope in the form that decides: for each permission the set of roles that permit it, with all that they include.
/// A check costs the same however deep the roles are nested.
///
/// Two sets stand at each permission. Roles of the first permit it whatever the resource is. Roles of the second may permit it: by a
/// permission that does not reach the whole tenant, below a ceiling, under a constraint, or past an exclusion; of these the way is
/// walked when somebody asks.
///
/// Roles have numbers, from zero on, that hold for this compilation only.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) revision: Revision,
    roles: Vec<CompiledRole>,
    /// Whether any of them is inactive.
    pub(crate) some_inactive: bool,
    numbers: HashMap<RoleId, u32>,
    /// By role: what it includes, at whatever depth, that is no role of this scope.
    outward: Vec<Outward>,
    /// Sets of roles, each once: a role's permissions mostly have the same.
    sets: Vec<RoleSet>,
    /// Permissions without a wildcard that some role names. Wildcards that cover them are counted in.
    exact: HashTable<Named>,
    /// Whether no role permits anything under a condition only.
    pub(crate) unconditional: bool,
    /// Permissions with a wildcard: by resource where that has none, and the others.
    by_resource: HashMap<Arc<str>, Vec<Wildcard>>,
    any_resource: Vec<Wildcard>,
}

/// A permission, and the places of its sets.
#[derive(Clone, Copy, Debug)]
struct Named {
    print: Fingerprint,
    always: u32,
    maybe: u32,
}

/// What decides of a role.
#[derive(Debug)]
pub(crate) struct CompiledRole {
    pub(crate) id: RoleId,
    pub(crate) active: bool,
    pub(crate) permissions: Box<[Permission]>,
    pub(crate) excludes: Box<[Permission]>,
    pub(crate) ceiling: PermissionScope,
    pub(crate) constraints: Box<[Constraint]>,
    /// The roles of this scope that it includes.
    pub(crate) inside: Box<[u32]>,
    /// The roles of no or another scope that it includes.
    pub(crate) outside: Box<[RoleId]>,
}

impl CompiledRole {
    /// Tells whether what it permits by itself, it permits whatever the resource is.
    fn is_bare(&self) -> bool {
        self.active && self.constraints.is_empty() && self.ceiling >= PermissionScope::Tenant
    }
}

/// What a role includes outside its scope.
#[derive(Debug, Default)]
struct Outward {
    /// On a way without any condition.
    always: Box<[RoleId]>,
    /// On any way.
    any: Box<[RoleId]>,
}

#[derive(Debug)]
pub(crate) struct Wildcard {
    permission: Permission,
    always: RoleSet,
    maybe: RoleSet,
}

/// The roles that permit what was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Granting<'a> {
    Named {
        always: &'a RoleSet,
        maybe: &'a RoleSet,
    },
    /// No role names it, but wildcards may cover it.
    Unnamed(Covering<'a>),
}

/// The wildcards among which those are that cover what is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covering<'a> {
    wanted: &'a Permission,
    of_resource: &'a [Wildcard],
    any_resource: &'a [Wildcard],
}

/// What a role includes, itself first, nearer roles before farther ones.
#[derive(Debug, Default)]
pub(crate) struct Closure {
    /// The number of each role.
    pub(crate) inside: Vec<u32>,
    /// Roles that are none of this scope.
    pub(crate) outward: Vec<RoleId>,
}

/// Roles of the two sets of a permission, while they are gathered.
#[derive(Debug, Default)]
struct Gathered {
    always: Vec<u32>,
    any: Vec<u32>,
}

impl Compiled {
    pub(crate) fn new(revision: Revision, roles: Vec<Versioned<Role>>) -> Self {
        let numbers: HashMap<RoleId, u32> =
            (0..).zip(&roles).map(|(number, role)| (role.value.id.clone(), number)).collect();
        let roles: Vec<CompiledRole> =
            roles.into_iter().map(|role| compiled_role(role.value, &numbers)).collect();
        let mut compiled = Self {
            revision,
            some_inactive: roles.iter().any(|role| !role.active),
            outward: Vec::new(),
            roles,
            numbers,
            sets: Vec::new(),
            exact: HashTable::new(),
            unconditional: true,
            by_resource: HashMap::new(),
            any_resource: Vec::new(),
        };
        if compiled.roles.iter().any(|role| !role.outside.is_empty()) {
            compiled.outward =
                (0..).zip(&compiled.roles).map(|(number, _)| compiled.reaches_out(number)).collect();
        }
        compiled.file_under_permissions();
        compiled
    }

    pub(crate) fn number(&self, role: &RoleId) -> Option<u32> {
        self.numbers.get(role).copied()
    }

    pub(crate) fn role(&self, number: u32) -> Option<&CompiledRole> {
        self.roles.get(usize::try_from(number).ok()?)
    }

    /// Returns the roles of other scopes that a role includes, at whatever depth: those without any condition, and all.
    pub(crate) fn outward(&self, number: u32) -> (&[RoleId], &[RoleId]) {
        let outward = usize::try_from(number).ok().and_then(|number| self.outward.get(number));
        outward.map_or((&[], &[]), |outward| (&outward.always, &outward.any))
    }

    /// Numbers of the roles that include, at whatever depth, some role of another scope.
    pub(crate) fn outgoing(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.outward).filter(|(_, outward)| !outward.any.is_empty()).map(|(number, _)| number)
    }

    /// Finds the roles that permit `wanted`, which is exact.
    pub(crate) fn granting<'a>(&'a self, wanted: &'a Permission) -> Granting<'a> {
        let set = |place: u32| self.sets.get(usize::try_from(place).ok()?);
        let print = wanted.print();
        let found = self.exact.find(print.hash(), |named| named.print == print);
        let found = found
            .and_then(|named| Some(Granting::Named { always: set(named.always)?, maybe: set(named.maybe)? }));
        found.unwrap_or_else(|| Granting::Unnamed(self.covering(wanted)))
    }

    /// Follows the includes from a role on. What an inactive role includes is not reached through it.
    pub(crate) fn closure(&self, from: u32) -> Closure {
        self.closure_of(from, |role| role.active, |_| true)
    }

    /// As [`Compiled::closure`], over the roles that count, and through those of them that let pass.
    fn closure_of(
        &self,
        from: u32,
        counts: impl Fn(&CompiledRole) -> bool,
        passes: impl Fn(&CompiledRole) -> bool,
    ) -> Closure {
        let counts = |number| self.role(number).is_some_and(&counts);
        let mut closure = Closure::default();
        if !counts(from) {
            return closure;
        }
        // Stored roles form no cycle, but a store that was written past the rules must not hang a check.
        let mut seen: HashSet<u32> = HashSet::from([from]);
        closure.inside.push(from);
        let mut next = 0;
        while let Some(number) = closure.inside.get(next).copied() {
            next += 1;
            let Some(role) = self.role(number).filter(|role| passes(role)) else { continue };
            let juniors = role.inside.iter().copied();
            closure.inside.extend(juniors.filter(|junior| counts(*junior) && seen.insert(*junior)));
            closure.outward.extend(role.outside.iter().cloned());
        }
        closure
    }

    fn reaches_out(&self, number: u32) -> Outward {
        let unique = |closure: Closure| closure.outward.into_iter().collect::<HashSet<_>>().into_iter();
        let bare = self.closure_of(number, CompiledRole::is_bare, |role| role.excludes.is_empty());
        Outward { always: unique(bare).collect(), any: unique(self.closure(number)).collect() }
    }

    /// Returns, by role, the roles that include it directly.
    fn parents(&self) -> Vec<Vec<u32>> {
        let mut parents: Vec<Vec<u32>> = vec![Vec::new(); self.roles.len()];
        for (number, role) in (0..).zip(&self.roles) {
            for junior in &role.inside {
                if let Some(parents) =
                    usize::try_from(*junior).ok().and_then(|junior| parents.get_mut(junior))
                {
                    parents.push(number);
                }
            }
        }
        parents
    }

    /// Follows the includes backwards from a role on, itself first, over roles that let pass.
    fn seniors(
        &self,
        parents: &[Vec<u32>],
        from: u32,
        begins: impl Fn(&CompiledRole) -> bool,
        passes: impl Fn(&CompiledRole) -> bool,
    ) -> Vec<u32> {
        if !self.role(from).is_some_and(begins) {
            return Vec::new();
        }
        let mut seen: HashSet<u32> = HashSet::from([from]);
        let (mut all, mut next) = (vec![from], 0);
        while let Some(number) = all.get(next).copied() {
            next += 1;
            let above = usize::try_from(number).ok().and_then(|number| parents.get(number));
            let above = above.into_iter().flatten().copied();
            all.extend(
                above.filter(|senior| self.role(*senior).is_some_and(&passes) && seen.insert(*senior)),
            );
        }
        all
    }

    fn file_under_permissions(&mut self) {
        let parents = self.parents();
        let some_exclude = self.roles.iter().any(|role| !role.excludes.is_empty());
        let mut exact: HashMap<Arc<str>, Gathered> = HashMap::new();
        let mut wildcards: HashMap<Arc<str>, (&Permission, Gathered)> = HashMap::new();
        for (number, role) in (0..).zip(&self.roles) {
            let any = self.seniors(&parents, number, |role| role.active, |role| role.active);
            let bare = self.seniors(&parents, number, CompiledRole::is_bare, CompiledRole::is_bare);
            for permission in &role.permissions {
                let name = permission.shared_name();
                let gathered = if name.contains('*') {
                    &mut wildcards.entry(name).or_insert((permission, Gathered::default())).1
                } else {
                    exact.entry(name).or_default()
                };
                gathered.any.extend(&any);
                if permission.scope() < PermissionScope::Tenant {
                    continue;
                }
                if some_exclude {
                    let keeps = |role: &CompiledRole| {
                        role.is_bare() && !role.excludes.iter().any(|other| other.overlaps_name(permission))
                    };
                    gathered.always.extend(self.seniors(&parents, number, CompiledRole::is_bare, keeps));
                } else {
                    gathered.always.extend(&bare);
                }
            }
        }
        for (permission, roles) in wildcards.into_values() {
            let (always, maybe) = roles.into_sets();
            self.unconditional &= maybe.is_empty();
            let wildcard = Wildcard { permission: permission.clone(), always, maybe };
            let list = if permission.resource().ends_with('*') {
                &mut self.any_resource
            } else {
                self.by_resource.entry(permission.resource().into()).or_default()
            };
            list.push(wildcard);
        }
        let mut places: HashMap<RoleSet, u32> = HashMap::new();
        for (name, mut roles) in exact {
            if let Ok(permission) = Permission::new(&name) {
                for wildcard in self.covering(&permission).all() {
                    roles.always.extend(wildcard.always.iter());
                    roles.any.extend(wildcard.maybe.iter());
                }
            }
            let mut place = |set: RoleSet| {
                let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
                *places.entry(set).or_insert(next)
            };
            let (always, maybe) = roles.into_sets();
            self.unconditional &= maybe.is_empty();
            let print = Fingerprint::of(&name);
            let named = Named { print, always: place(always), maybe: place(maybe) };
            self.exact.insert_unique(print.hash(), named, |named| named.print.hash());
        }
        let mut sets: Vec<(RoleSet, u32)> = places.into_iter().collect();
        sets.sort_unstable_by_key(|(_, place)| *place);
        self.sets = sets.into_iter().map(|(set, _)| set).collect();
    }

    fn covering<'a>(&'a self, wanted: &'a Permission) -> Covering<'a> {
        let of_resource = self.by_resource.get(wanted.resource()).map_or(&[] as &[Wildcard], |all| all);
        Covering { wanted, of_resource, any_resource: &self.any_resource }
    }
}

fn compiled_role(role: Role, numbers: &HashMap<RoleId, u32>) -> CompiledRole {
    let Role { id, active, permissions, includes, excludes, ceiling, constraints, .. } = role;
    let inside = includes.iter().filter_map(|included| numbers.get(included).copied()).collect();
    CompiledRole {
        id,
        active,
        permissions: permissions.into_iter().collect(),
        excludes: excludes.into_iter().collect(),
        ceiling: ceiling.unwrap_or(PermissionScope::Platform),
        constraints: constraints.into(),
        inside,
        outside: includes.into_iter().filter(|included| !numbers.contains_key(included)).collect(),
    }
}

impl Gathered {
    fn into_sets(self) -> (RoleSet, RoleSet) {
        let always = RoleSet::from(self.always);
        let maybe: Vec<u32> = self.any.into_iter().filter(|role| !always.contains(*role)).collect();
        (always, maybe.into())
    }
}

impl<'a> Granting<'a> {
    /// Tells whether a role permits it whatever the resource is.
    pub(crate) fn contains(self, role: u32) -> bool {
        match self {
            Self::Named { always, .. } => always.contains(role),
            Self::Unnamed(covering) => covering.all().any(|wildcard| wildcard.always.contains(role)),
        }
    }

    /// Tells whether a role permits it, whatever the resource is or under some condition.
    pub(crate) fn may_contain(self, role: u32) -> bool {
        match self {
            Self::Named { always, maybe } => always.contains(role) || maybe.contains(role),
            Self::Unnamed(covering) => {
                covering.all().any(|wildcard| wildcard.always.contains(role) || wildcard.maybe.contains(role))
            }
        }
    }

    /// Tells whether no role permits it under a condition.
    pub(crate) fn is_unconditional(self) -> bool {
        match self {
            Self::Named { maybe, .. } => maybe.is_empty(),
            Self::Unnamed(covering) => covering.all().all(|wildcard| wildcard.maybe.is_empty()),
        }
    }

    /// Every role that permits it under whatever condition, by number.
    pub(crate) fn numbers(self) -> BTreeSet<u32> {
        match self {
            Self::Named { always, maybe } => always.iter().chain(maybe.iter()).collect(),
            Self::Unnamed(covering) => covering
                .all()
                .flat_map(|wildcard| wildcard.always.iter().chain(wildcard.maybe.iter()))
                .collect(),
        }
    }
}

impl<'a> Covering<'a> {
    fn all(self) -> impl Iterator<Item = &'a Wildcard> {
        let all = self.of_resource.iter().chain(self.any_resource);
        all.filter(move |wildcard| wildcard.permission.covers_name(self.wanted))
    }
}

#[cfg(test)]
mod tests;
