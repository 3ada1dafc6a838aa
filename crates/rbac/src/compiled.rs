use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use stanchion_core::{Revision, Versioned};

use crate::permission::hash_of;
use crate::role_set::RoleSet;
use crate::{Permission, PermissionScope, Role, RoleId};

/// The roles of one scope in the form that decides: for each permission the set of roles that permit it, with all that they include.
/// A check costs the same however deep the roles are nested.
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
    outward: Vec<Box<[RoleId]>>,
    /// Sets of roles, each once: a role's permissions mostly have the same.
    sets: Vec<RoleSet>,
    /// Permissions without a wildcard that some role names, and the place of the set. Wildcards that cover them are counted in.
    exact: HashTable<(Arc<str>, u32)>,
    hasher: DefaultHashBuilder,
    /// Permissions with a wildcard: by resource where that has none, and the others.
    by_resource: HashMap<Arc<str>, Vec<Wildcard>>,
    any_resource: Vec<Wildcard>,
}

/// What decides of a role.
#[derive(Debug)]
pub(crate) struct CompiledRole {
    pub(crate) id: RoleId,
    pub(crate) active: bool,
    pub(crate) permissions: Box<[Permission]>,
    includes: Box<[RoleId]>,
}

#[derive(Debug)]
pub(crate) struct Wildcard {
    permission: Permission,
    roles: RoleSet,
}

/// The roles that permit what was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Granting<'a> {
    Named(&'a RoleSet),
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

/// Whether inactive roles are passed over on the way from a role to what it includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inactive {
    PassedOver,
    Followed,
}

/// What a role includes, itself first, nearer roles before farther ones.
#[derive(Debug, Default)]
pub(crate) struct Closure {
    /// The number of each role, and the place in this list of the role that includes it.
    pub(crate) inside: Vec<(u32, Option<usize>)>,
    /// Roles that are none of this scope, and the place in `inside` of the role that includes them.
    pub(crate) outward: Vec<(RoleId, usize)>,
}

/// How far a permission has to reach: nothing is known about whose the resource is, so it may be anybody's in the scope.
const REQUIRED: PermissionScope = PermissionScope::Tenant;

impl Compiled {
    pub(crate) fn new(revision: Revision, roles: Vec<Versioned<Role>>) -> Self {
        let compiled = |Versioned { value: Role { id, active, permissions, includes, .. }, .. }| {
            let (permissions, includes) = (permissions.into_iter().collect(), includes.into_iter().collect());
            CompiledRole { id, active, permissions, includes }
        };
        let roles: Vec<CompiledRole> = roles.into_iter().map(compiled).collect();
        let numbers = (0..).zip(&roles).map(|(number, role)| (role.id.clone(), number)).collect();
        let mut compiled = Self {
            revision,
            some_inactive: roles.iter().any(|role| !role.active),
            roles,
            numbers,
            outward: Vec::new(),
            sets: Vec::new(),
            exact: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            by_resource: HashMap::new(),
            any_resource: Vec::new(),
        };
        let seniors = compiled.close();
        compiled.file_under_permissions(&seniors);
        compiled
    }

    pub(crate) fn number(&self, role: &RoleId) -> Option<u32> {
        self.numbers.get(role).copied()
    }

    pub(crate) fn role(&self, number: u32) -> Option<&CompiledRole> {
        self.roles.get(usize::try_from(number).ok()?)
    }

    /// Returns the roles of other scopes that a role includes, at whatever depth.
    pub(crate) fn outward(&self, number: u32) -> &[RoleId] {
        usize::try_from(number).ok().and_then(|number| self.outward.get(number)).map_or(&[], |ids| ids)
    }

    /// Numbers of the roles that include, at whatever depth, some role of another scope.
    pub(crate) fn outgoing(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.outward).filter(|(_, ids)| !ids.is_empty()).map(|(number, _)| number)
    }

    /// Finds the roles that permit `wanted`, which is exact.
    pub(crate) fn granting<'a>(&'a self, wanted: &'a Permission) -> Granting<'a> {
        let is_wanted = |(name, _): &(Arc<str>, u32)| **name == *wanted.as_str();
        let set = self.exact.find(self.hasher.hash_one(wanted.hash()), is_wanted);
        let set = set.and_then(|(_, set)| self.sets.get(usize::try_from(*set).ok()?));
        set.map_or_else(|| Granting::Unnamed(self.covering(wanted)), Granting::Named)
    }

    /// Follows the includes from a role on. What an inactive role includes is not reached through it.
    pub(crate) fn closure(&self, from: u32, inactive: Inactive) -> Closure {
        let counts =
            |number| inactive == Inactive::Followed || self.role(number).is_some_and(|role| role.active);
        let mut closure = Closure::default();
        if !counts(from) {
            return closure;
        }
        // Stored roles form no cycle, but a store that was written past the rules must not hang a check.
        let mut seen: HashSet<u32> = HashSet::from([from]);
        closure.inside.push((from, None));
        let mut next = 0;
        while let Some((number, _)) = closure.inside.get(next).copied() {
            for included in self.role(number).into_iter().flat_map(|role| &role.includes) {
                match self.number(included) {
                    Some(junior) if counts(junior) && seen.insert(junior) => {
                        closure.inside.push((junior, Some(next)));
                    }
                    Some(_) => {}
                    None => closure.outward.push((included.clone(), next)),
                }
            }
            next += 1;
        }
        closure
    }

    /// Returns, by role, the roles that have its permissions, and notes what each reaches outside.
    fn close(&mut self) -> Vec<Vec<u32>> {
        let mut seniors: Vec<Vec<u32>> = vec![Vec::new(); self.roles.len()];
        for (number, _) in (0..).zip(&self.roles) {
            let closure = self.closure(number, Inactive::PassedOver);
            for (junior, _) in closure.inside {
                if let Some(seniors) = usize::try_from(junior).ok().and_then(|junior| seniors.get_mut(junior))
                {
                    seniors.push(number);
                }
            }
            let outward: HashSet<RoleId> = closure.outward.into_iter().map(|(role, _)| role).collect();
            self.outward.push(outward.into_iter().collect());
        }
        seniors
    }

    fn file_under_permissions(&mut self, seniors: &[Vec<u32>]) {
        let mut exact: HashMap<Arc<str>, Vec<u32>> = HashMap::new();
        let mut wildcards: HashMap<Arc<str>, (&Permission, Vec<u32>)> = HashMap::new();
        for (role, seniors) in self.roles.iter().zip(seniors) {
            for permission in role.permissions.iter().filter(|permission| reaches(permission)) {
                let name = permission.shared_name();
                let roles = if name.contains('*') {
                    &mut wildcards.entry(name).or_insert((permission, Vec::new())).1
                } else {
                    exact.entry(name).or_default()
                };
                roles.extend(seniors);
            }
        }
        for (permission, roles) in wildcards.into_values() {
            let wildcard = Wildcard { permission: permission.clone(), roles: roles.into() };
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
                roles.extend(self.covering(&permission).sets().flat_map(RoleSet::iter));
            }
            let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
            let place = *places.entry(roles.into()).or_insert(next);
            let hash = |(name, _): &(Arc<str>, u32)| self.hasher.hash_one(hash_of(name));
            let named = (name, place);
            self.exact.insert_unique(hash(&named), named, hash);
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

/// Tells whether a permission reaches as far as is required.
pub(crate) fn reaches(permission: &Permission) -> bool {
    permission.scope() >= REQUIRED
}

impl<'a> Granting<'a> {
    pub(crate) fn contains(self, role: u32) -> bool {
        match self {
            Self::Named(roles) => roles.contains(role),
            Self::Unnamed(covering) => covering.sets().any(|roles| roles.contains(role)),
        }
    }

    /// Every one of the roles, by number.
    pub(crate) fn numbers(self) -> BTreeSet<u32> {
        match self {
            Self::Named(roles) => roles.iter().collect(),
            Self::Unnamed(covering) => covering.sets().flat_map(RoleSet::iter).collect(),
        }
    }
}

impl<'a> Covering<'a> {
    fn sets(self) -> impl Iterator<Item = &'a RoleSet> {
        let all = self.of_resource.iter().chain(self.any_resource);
        all.filter(move |wildcard| wildcard.permission.covers_name(self.wanted))
            .map(|wildcard| &wildcard.roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stanchion_core::Timestamp;

    fn role(id: &str, permissions: &[&str], includes: &[&str]) -> Role {
        Role::new(id.parse().unwrap(), id.parse().unwrap())
            .with_permissions(permissions.iter().map(|text| text.parse().unwrap()))
            .with_includes(includes.iter().map(|text| text.parse().unwrap()))
    }

    fn compiled(roles: Vec<Role>) -> Compiled {
        let versioned = |role| Versioned::created(role, Revision::ZERO, Timestamp::EPOCH);
        Compiled::new(Revision::ZERO, roles.into_iter().map(versioned).collect())
    }

    fn granting(compiled: &Compiled, wanted: &str) -> Vec<String> {
        let wanted: Permission = wanted.parse().unwrap();
        let granting = compiled.granting(&wanted);
        let ids = |number: u32| compiled.role(number).unwrap().id.to_string();
        let all =
            (0..u32::try_from(compiled.roles.len()).unwrap()).filter(|number| granting.contains(*number));
        let all: Vec<String> = all.map(ids).collect();
        assert_eq!(granting.numbers().into_iter().map(ids).collect::<Vec<_>>(), all);
        all
    }

    #[test]
    fn the_senior_role_has_what_it_includes_and_not_the_other_way() {
        // Seed 002 lets an analyst inherit from the administrator, who has everything.
        let compiled = compiled(vec![
            role("analyst", &["security:read"], &[]),
            role("security-admin", &["security:*"], &["analyst"]),
            role("admin", &["*:*"], &["security-admin"]),
        ]);
        assert_eq!(granting(&compiled, "security:read"), ["analyst", "security-admin", "admin"]);
        assert_eq!(granting(&compiled, "security:write"), ["security-admin", "admin"]);
        assert_eq!(granting(&compiled, "users:delete"), ["admin"]);
    }

    #[test]
    fn wildcards_cover_what_roles_name_and_what_they_do_not() {
        let compiled = compiled(vec![
            role("a", &["invoices.*:read"], &[]),
            role("b", &["invoices.paid:re*"], &[]),
            role("c", &["invoices.paid:read", "*:list"], &[]),
            role("d", &["invoices:read"], &[]),
        ]);
        assert_eq!(granting(&compiled, "invoices.paid:read"), ["a", "b", "c"]);
        assert_eq!(granting(&compiled, "invoices.open:read"), ["a"]);
        assert_eq!(granting(&compiled, "invoices.paid:refund"), ["b"]);
        assert_eq!(granting(&compiled, "invoices:read"), ["d"]);
        assert_eq!(granting(&compiled, "invoices:list"), ["c"]);
    }

    #[test]
    fn a_scope_narrower_than_the_tenant_permits_nothing_by_itself() {
        // Seed 001 lets any scoped permission pass where the required scope is unknown to it.
        let compiled = compiled(vec![
            role("client", &["invoices:read:own", "projects:*:team", "payments:read:department"], &[]),
            role("operator", &["invoices:read:platform"], &[]),
        ]);
        assert_eq!(granting(&compiled, "invoices:read"), ["operator"]);
        assert_eq!(granting(&compiled, "projects:read"), [""; 0]);
        assert_eq!(granting(&compiled, "payments:read"), [""; 0]);
    }

    #[test]
    fn an_inactive_role_conveys_nothing() {
        let mut middle = role("middle", &["b:x"], &["junior"]);
        middle.active = false;
        let compiled =
            compiled(vec![role("senior", &["a:x"], &["middle"]), middle, role("junior", &["c:x"], &[])]);
        assert_eq!(granting(&compiled, "a:x"), ["senior"]);
        assert_eq!(granting(&compiled, "b:x"), [""; 0]);
        assert_eq!(granting(&compiled, "c:x"), ["junior"]);
    }

    #[test]
    fn a_cycle_in_the_store_does_not_hang() {
        // The effective permissions of seeds 000 and 003 recurse for ever here.
        let compiled = compiled(vec![role("a", &["a:x"], &["b"]), role("b", &["b:x"], &["a"])]);
        assert_eq!(granting(&compiled, "a:x"), ["a", "b"]);
        assert_eq!(granting(&compiled, "b:x"), ["a", "b"]);
    }

    #[test]
    fn what_lies_outside_is_noted_once_for_every_role_that_reaches_it() {
        let compiled = compiled(vec![
            role("a", &[], &["b", "viewer"]),
            role("b", &[], &["viewer", "editor"]),
            role("c", &[], &[]),
        ]);
        let mut outward: Vec<&str> = compiled.outward(0).iter().map(RoleId::as_str).collect();
        outward.sort_unstable();
        assert_eq!(outward, ["editor", "viewer"]);
        assert_eq!(compiled.outgoing().collect::<Vec<_>>(), [0, 1]);
    }
}
