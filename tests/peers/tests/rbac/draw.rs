//! Worlds drawn from a seed, in our own records: translators make of them what a peer understands.

use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{Scope, SeededRandom, SubjectRef, TenantId, Timestamp};
use stanchion_rbac::{
    Assignment, Constraint, Denial, Equality, Grant, Membership, Operand, Permission, Resource,
    ResourceSelector, Role, RoleId, Rule, SubjectProfile, Value,
};

const KINDS: [&str; 4] = ["document", "document.draft", "invoice", "doc"];
const VERBS: [&str; 4] = ["read", "read.all", "write", "delete"];
const KIND_PATTERNS: [&str; 4] = ["*", "document*", "document.*", "inv*"];
const VERB_PATTERNS: [&str; 3] = ["*", "read*", "w*"];
const TENANTS: usize = 3;
const USERS: usize = 6;
const GROUPS: usize = 2;

/// When it is.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// What a world has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Whether anything depends on the resource.
    resources: bool,
}

impl Abilities {
    pub(crate) const ROLES: Self = Self { resources: false };
    pub(crate) const ALL: Self = Self { resources: true };
}

#[derive(Debug)]
pub(crate) struct Drawn {
    abilities: Abilities,
    /// The platform's roles.
    pub(crate) platform: Vec<Role>,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) users: Vec<(SubjectRef, SubjectProfile)>,
    seed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) roles: Vec<Role>,
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) denials: Vec<Denial>,
    pub(crate) memberships: Vec<Membership>,
    pub(crate) resources: Vec<Resource>,
}

#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) tenant: usize,
    pub(crate) user: &'a SubjectRef,
    pub(crate) profile: &'a SubjectProfile,
    pub(crate) permission: Permission,
    pub(crate) resource: Option<&'a Resource>,
}

pub(crate) fn scope(tenant: usize) -> Scope {
    Scope::Tenant(TenantId::from_uuid(uuid::Uuid::from_u128(
        0x7abc_8def_0123_4567_89ab << 16 | tenant as u128,
    )))
}

/// Tells whether what begins and ends then counts now.
pub(crate) fn counts(not_before: Option<Timestamp>, expires_at: Option<Timestamp>) -> bool {
    not_before.is_none_or(|from| from <= NOW) && expires_at.is_none_or(|until| NOW < until)
}

impl Tenant {
    /// The role that a name means in this tenant: its own first, then the platform's. Among the platform's roles it means only theirs.
    pub(crate) fn meant<'a>(
        &'a self,
        platform: &'a [Role],
        by_platform: bool,
        name: &RoleId,
    ) -> Option<(bool, &'a Role)> {
        let own = self.roles.iter().find(|role| !by_platform && role.id == *name);
        let theirs = || platform.iter().find(|role| role.id == *name).map(|role| (true, role));
        own.map(|role| (false, role)).or_else(theirs)
    }

    /// All roles there are in it, with whether each is the platform's.
    pub(crate) fn all_roles<'a>(&'a self, platform: &'a [Role]) -> impl Iterator<Item = (bool, &'a Role)> {
        self.roles.iter().map(|role| (false, role)).chain(platform.iter().map(|role| (true, role)))
    }
}

struct Dice {
    random: SeededRandom,
    abilities: Abilities,
}

impl Dice {
    fn below(&self, bound: usize) -> usize {
        (self.random.next_u64() % bound as u64) as usize
    }

    /// Whether one in so many times is now.
    fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn permission(&self, wildcard_in: usize) -> Permission {
        let kind = if self.one_in(wildcard_in) { self.of(&KIND_PATTERNS) } else { self.of(&KINDS) };
        let verb = if self.one_in(wildcard_in) { self.of(&VERB_PATTERNS) } else { self.of(&VERBS) };
        let scopes = if self.abilities.resources { 6 } else { 1 };
        let scope = [":tenant", ":tenant", ":platform", ":own", ":team", ":department"][self.below(scopes)];
        Permission::new(&format!("{kind}:{verb}{scope}")).unwrap()
    }

    fn span(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let (before, after) =
            (Timestamp::from_micros(NOW.micros() - 1), Timestamp::from_micros(NOW.micros() + 1));
        match self.below(12) {
            0 => (None, Some(before)),
            1 => (Some(after), None),
            2 => (Some(before), Some(after)),
            3 => (None, Some(NOW)),
            4 => (Some(NOW), None),
            _ => (None, None),
        }
    }

    fn constraint(&self) -> Constraint {
        let equality = |to| Rule::Equals(Equality { attribute: "region".parse().unwrap(), to });
        let rule = match self.below(5) {
            0 => Rule::OwnerOnly,
            1 => Rule::OrganizationOnly,
            2 => equality(Operand::Value(self.value())),
            _ => equality(Operand::Subject("region".parse().unwrap())),
        };
        let constraint = Constraint::new(rule);
        match self.below(3) {
            0 => constraint.on(self.of(&["document", "document*", "*", "inv*"]).parse().unwrap()),
            _ => constraint,
        }
    }

    fn value(&self) -> Value {
        match self.below(4) {
            0 => Value::Text("eu".into()),
            1 => Value::Text("1".into()),
            2 => Value::Integer(1),
            _ => Value::Bool(true),
        }
    }

    fn selector(&self, resources: &[Resource]) -> Option<ResourceSelector> {
        if !self.abilities.resources || !self.one_in(3) {
            return None;
        }
        let resource = self.of(resources);
        let one = ResourceSelector::one(resource.kind.clone(), resource.id.clone().unwrap()).unwrap();
        Some(if self.one_in(3) { ResourceSelector::every(resource.kind.clone()) } else { one })
    }

    /// Roles that include some of those behind them and some others, at most nine on a way.
    fn roles(&self, prefix: &str, count: usize, others: &[RoleId]) -> Vec<Role> {
        let name = |number: usize| format!("{prefix}{number}").parse::<RoleId>().unwrap();
        let role = |number: usize| {
            let permissions: Vec<_> = (0..self.below(6)).map(|_| self.permission(5)).collect();
            let mut role = Role::new(name(number), "A role".parse().unwrap()).with_permissions(permissions);
            role.active = !self.one_in(8);
            let includes: BTreeSet<RoleId> = (number + 1..count)
                .filter(|_| self.one_in(4))
                .map(name)
                .chain(others.iter().filter(|_| self.one_in(6)).cloned())
                .collect();
            if includes.is_empty() && self.abilities.resources && self.one_in(2) {
                role = role.constrained(self.constraint());
            }
            role.with_includes(includes)
        };
        (0..count).map(role).collect()
    }

    fn resource(&self, number: usize, users: &[(SubjectRef, SubjectProfile)]) -> Resource {
        let mut resource = Resource::new(self.of(&KINDS).parse().unwrap(), format!("r{number}"));
        if !self.one_in(3) {
            resource = resource.owned_by(self.of(users).0.clone());
        }
        if !self.one_in(3) {
            resource = resource.of_team(*self.of(&["red", "blue"]));
        }
        if !self.one_in(3) {
            resource = resource.of_department(*self.of(&["sales", "law"]));
        }
        if !self.one_in(3) {
            resource = resource.of_organization(*self.of(&["acme", "umbrella"]));
        }
        if !self.one_in(3) {
            resource = resource.with_attribute("region".parse().unwrap(), self.value());
        }
        resource
    }

    fn profile(&self) -> SubjectProfile {
        let some = |all: &[&'static str]| -> BTreeSet<_> {
            all.iter().filter(|_| self.one_in(2)).map(|one| (*one).into()).collect()
        };
        let mut profile = SubjectProfile::default();
        profile.teams = some(&["red", "blue"]);
        profile.departments = some(&["sales", "law"]);
        profile.organization = (!self.one_in(3)).then(|| (*self.of(&["acme", "umbrella"])).into());
        profile.attributes = match self.one_in(3) {
            true => BTreeMap::new(),
            false => BTreeMap::from([("region".parse().unwrap(), self.value())]),
        };
        profile
    }

    fn tenant(&self, platform: &[Role], users: &[(SubjectRef, SubjectProfile)]) -> Tenant {
        let theirs: Vec<RoleId> = platform.iter().map(|role| role.id.clone()).collect();
        let count = 4 + self.below(5);
        let mut roles = self.roles("role-", count, &theirs);
        if self.one_in(2) {
            // Of the same name as one of the platform's.
            let mut own = self.roles("platform-", 1, &[]);
            own[0].id = self.of(&theirs).clone();
            roles.append(&mut own);
        }
        let names: Vec<RoleId> = roles.iter().map(|role| role.id.clone()).chain(theirs).collect();
        let resources: Vec<Resource> = (0..6).map(|number| self.resource(number, users)).collect();
        let groups: Vec<SubjectRef> =
            (0..GROUPS).map(|number| format!("group:g{number}").parse().unwrap()).collect();
        let mut tenant = Tenant { roles, resources, ..Tenant::default() };
        for user in users.iter().map(|(user, _)| user) {
            for group in groups.iter().filter(|_| self.one_in(3)) {
                let mut membership = Membership::new(group.clone(), user.clone());
                (membership.not_before, membership.expires_at) = self.span();
                tenant.memberships.push(membership);
            }
        }
        let groups_twice = groups.iter().chain(&groups);
        for subject in users.iter().map(|(user, _)| user).chain(groups_twice) {
            let held: BTreeSet<_> = (0..1 + self.below(4)).map(|_| self.of(&names).clone()).collect();
            for role in held {
                let mut assignment = Assignment::new(subject.clone(), role);
                (assignment.not_before, assignment.expires_at) = self.span();
                tenant
                    .assignments
                    .retain(|other| (&other.subject, &other.role) != (&assignment.subject, &assignment.role));
                tenant.assignments.push(assignment);
            }
        }
        for subject in users.iter().map(|(user, _)| user).chain(&groups) {
            if self.one_in(2) {
                let mut grant = Grant::new(subject.clone(), self.permission(6));
                grant.resource = self.selector(&tenant.resources);
                (grant.not_before, grant.expires_at) = self.span();
                if self.abilities.resources && self.one_in(3) {
                    grant = grant.constrained(self.constraint());
                }
                tenant.grants.push(grant);
            }
            if self.one_in(4) {
                let mut denial = Denial::new(subject.clone(), self.permission(6));
                denial.resource = self.selector(&tenant.resources);
                tenant.denials.push(denial);
            }
        }
        tenant
    }
}

impl Drawn {
    pub(crate) fn new(seed: u64, abilities: Abilities) -> Self {
        let dice = Dice { random: SeededRandom::new(seed), abilities };
        let users: Vec<_> =
            (0..USERS).map(|number| (format!("user:u{number}").parse().unwrap(), dice.profile())).collect();
        let platform = dice.roles("platform-", 4, &[]);
        let tenants = (0..TENANTS).map(|_| dice.tenant(&platform, &users)).collect();
        Self { abilities, platform, tenants, users, seed }
    }

    /// Everybody for everything everywhere, and where it matters on a few resources of that kind.
    pub(crate) fn questions(&self) -> impl Iterator<Item = Question<'_>> {
        let names = KINDS.iter().flat_map(|kind| VERBS.iter().map(move |verb| (*kind, *verb)));
        let names: Vec<_> = names.chain([("unheard", "of"), ("document", "unheard")]).collect();
        (0..TENANTS).flat_map(move |tenant| {
            let names = names.clone();
            self.users.iter().flat_map(move |(user, profile)| {
                names.clone().into_iter().flat_map(move |(kind, verb)| {
                    let of_kind =
                        self.tenants[tenant].resources.iter().filter(move |one| one.kind.as_str() == kind);
                    let of_kind = of_kind.filter(|_| self.abilities.resources).map(Some);
                    of_kind.chain([None]).map(move |resource| {
                        let permission = Permission::new(&format!("{kind}:{verb}")).unwrap();
                        Question { tenant, user, profile, permission, resource }
                    })
                })
            })
        })
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}
