//! The definition of what is permitted, written down as plainly as it can be: no index, no cache, no early end.

use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{Scope, SubjectRef, Text, Timestamp};
use stanchion_rbac::{
    Approval, Assignment, Constraint, Denial, Grant, Membership, Operand, Permission, PermissionScope,
    Resource, ResourceSelector, Role, RoleId, Rule, Session, SubjectProfile,
};

use crate::world::PLATFORM;

#[derive(Default)]
pub(crate) struct Reference {
    /// With the scope they belong to.
    pub(crate) roles: Vec<(Scope, Role)>,
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) denials: Vec<Denial>,
    pub(crate) memberships: Vec<Membership>,
    pub(crate) profiles: BTreeMap<String, SubjectProfile>,
}

#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) home: Scope,
    pub(crate) subject: &'a SubjectRef,
    pub(crate) wanted: &'a Permission,
    pub(crate) resource: Option<&'a Resource>,
    pub(crate) session: Option<&'a Session>,
    pub(crate) now: Timestamp,
}

const ORDER: [PermissionScope; 5] = [
    PermissionScope::Own,
    PermissionScope::Team,
    PermissionScope::Department,
    PermissionScope::Tenant,
    PermissionScope::Platform,
];

fn named(pattern: &Permission, wanted: &Permission) -> bool {
    let segment = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
        Some(stem) => name.starts_with(stem),
        None => pattern == name,
    };
    segment(pattern.resource(), wanted.resource()) && segment(pattern.action(), wanted.action())
}

fn stated<'a, T>(resource: &'a Resource, of: impl Fn(&'a Resource) -> Option<&'a T>) -> Option<&'a T> {
    let mut at = Some(resource);
    while let Some(one) = at {
        if let Some(value) = of(one) {
            return Some(value);
        }
        at = one.parent.as_deref();
    }
    None
}

impl Reference {
    fn profile(&self, subject: &SubjectRef) -> Option<&SubjectProfile> {
        self.profiles.get(&subject.to_string())
    }

    /// The reaches that the resource may be within; the last of them is known to contain it.
    fn reaches(&self, question: Question<'_>) -> Vec<PermissionScope> {
        let Some(resource) = question.resource else { return ORDER[..4].to_vec() };
        let profile = self.profile(question.subject);
        let mut all = Vec::new();
        let belongs =
            |stated: Option<&Text>, of: fn(&SubjectProfile) -> &BTreeSet<Text>| match (profile, stated) {
                (Some(profile), _) if of(profile).is_empty() => Some(false),
                (Some(profile), Some(stated)) => Some(of(profile).contains(stated)),
                _ => None,
            };
        let owner = stated(resource, |one| one.owner.as_ref()).map(|owner| owner == question.subject);
        let team = belongs(stated(resource, |one| one.team.as_ref()), |profile| &profile.teams);
        let department =
            belongs(stated(resource, |one| one.department.as_ref()), |profile| &profile.departments);
        for (reach, inside) in ORDER.into_iter().zip([owner, team, department]) {
            if inside != Some(false) {
                all.push(reach);
            }
            if inside == Some(true) {
                return all;
            }
        }
        all.push(PermissionScope::Tenant);
        // What the platform has may be a tenant's.
        let of_tenant = |one: &'_ Resource| one.attributes.contains_key("tenant").then_some(());
        let mut lineage = std::iter::successors(Some(resource), |one| one.parent.as_deref());
        if question.home == PLATFORM && lineage.any(|one| of_tenant(one).is_some()) {
            all.push(PermissionScope::Platform);
        }
        all
    }

    fn holds(&self, question: Question<'_>, constraint: &Constraint) -> bool {
        if constraint.resource.as_ref().is_some_and(|pattern| !pattern.covers(question.wanted.resource())) {
            return true;
        }
        if let Rule::Time(schedule) = &constraint.rule {
            return schedule.contains(question.now);
        }
        let Some(resource) = question.resource else { return false };
        let profile = self.profile(question.subject);
        match &constraint.rule {
            Rule::OwnerOnly => stated(resource, |one| one.owner.as_ref()) == Some(question.subject),
            Rule::OrganizationOnly => {
                let ours = profile.and_then(|profile| profile.organization.as_ref());
                ours.is_some() && stated(resource, |one| one.organization.as_ref()) == ours
            }
            Rule::Equals(equality) => {
                let wanted = match &equality.to {
                    Operand::Value(value) => Some(value),
                    Operand::Subject(name) => profile.and_then(|profile| profile.attributes.get(name)),
                    _ => None,
                };
                wanted.is_some() && stated(resource, |one| one.attributes.get(&equality.attribute)) == wanted
            }
            _ => false,
        }
    }

    fn permits(
        &self,
        question: Question<'_>,
        home: Scope,
        id: &RoleId,
        reaches: &[PermissionScope],
        passed: bool,
    ) -> bool {
        let of = |scope: Scope| self.roles.iter().find(|(home, role)| *home == scope && role.id == *id);
        let Some((home, role)) = of(home).or_else(|| of(PLATFORM)) else { return false };
        let (needed, narrowest) = (reaches[reaches.len() - 1], reaches[0]);
        let passed = passed || question.session.is_some_and(|session| session.active.contains(id));
        let lets = role.active
            && role.ceiling.is_none_or(|ceiling| ceiling >= needed)
            && role.constraints.iter().all(|constraint| self.holds(question, constraint));
        let own =
            passed && role.permissions.iter().any(|own| named(own, question.wanted) && own.scope() >= needed);
        let excluded =
            role.excludes.iter().any(|other| named(other, question.wanted) && other.scope() >= narrowest);
        let inherits =
            || role.includes.iter().any(|junior| self.permits(question, *home, junior, reaches, passed));
        lets && (own || (!excluded && inherits()))
    }

    pub(crate) fn denies(&self, question: Question<'_>, denial: &Denial) -> bool {
        let reaches = self.reaches(question);
        let outside = |selector: &ResourceSelector| {
            question.resource.is_some_and(|resource| {
                let mut lineage = std::iter::successors(Some(resource), |one| one.parent.as_deref());
                !lineage.any(|one| {
                    one.kind == *selector.kind()
                        && (selector.id().is_none() || one.id.is_none() || one.id.as_ref() == selector.id())
                })
            })
        };
        named(&denial.permission, question.wanted)
            && denial.permission.scope() >= reaches[0]
            && !denial.resource.as_ref().is_some_and(outside)
    }

    /// The subject, and the groups that it belongs to now.
    fn who(&self, question: Question<'_>) -> Vec<SubjectRef> {
        let counting = self.memberships.iter().filter(|one| {
            one.member == *question.subject && during(one.not_before, one.expires_at, question.now)
        });
        counting.map(|one| one.group.clone()).chain([question.subject.clone()]).collect()
    }

    pub(crate) fn allows(&self, question: Question<'_>) -> bool {
        if let Some(session) = question.session
            && (session.subject != *question.subject || question.now >= session.expires_at)
        {
            return false;
        }
        let who = self.who(question);
        if self.denials.iter().any(|denial| who.contains(&denial.subject) && self.denies(question, denial)) {
            return false;
        }
        let reaches = self.reaches(question);
        let on = |selector: &Option<ResourceSelector>| {
            selector
                .as_ref()
                .is_none_or(|selector| question.resource.is_some_and(|resource| selector.selects(resource)))
        };
        let by_role = self.assignments.iter().any(|held| {
            who.contains(&held.subject)
                && during(held.not_before, held.expires_at, question.now)
                && on(&held.resource)
                && self.permits(question, question.home, &held.role, &reaches, question.session.is_none())
        });
        by_role
            || self.grants.iter().any(|grant| {
                who.contains(&grant.subject)
                    && during(grant.not_before, grant.expires_at, question.now)
                    && on(&grant.resource)
                    && grant.emergency != Some(Approval::Awaited)
                    && named(&grant.permission, question.wanted)
                    && grant.permission.scope() >= reaches[reaches.len() - 1]
                    && grant.constraints.iter().all(|constraint| self.holds(question, constraint))
            })
    }
}

fn during(from: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> bool {
    from.is_none_or(|from| from <= now) && until.is_none_or(|until| now < until)
}
