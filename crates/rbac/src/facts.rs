use std::cell::Cell;

use stanchion_core::{Scope, SubjectRef, Timestamp};

use crate::status::{Attribute, RuleNames, Status, Why};
use crate::{
    Constraint, Equality, Operand, Permission, PermissionScope, Resource, ResourceSelector, Rule,
    SubjectProfile,
};

/// All that a decision looks at besides roles and what is held.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) scope: Scope,
    pub(crate) subject: &'a SubjectRef,
    /// It is exact.
    pub(crate) wanted: &'a Permission,
    pub(crate) resource: Option<&'a Resource>,
    pub(crate) profile: Option<&'a SubjectProfile>,
    pub(crate) now: Timestamp,
    /// Whether more could be learnt of the resource.
    pub(crate) loadable: bool,
    /// Whether something of the resource was looked for that is not known.
    pub(crate) missed: Cell<bool>,
}

/// How far a permission has to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// The narrowest that is known to contain the resource: a permission has to reach as far.
    pub(crate) needed: PermissionScope,
    /// The narrowest that may contain it, by what is known: what takes away by reaching as far as this, takes away.
    pub(crate) narrowest: PermissionScope,
    /// Own, team and department: whether each may contain the resource although that is not known.
    unknown: [bool; 3],
}

const NARROW: [(PermissionScope, Attribute<'static>); 3] = [
    (PermissionScope::Own, Attribute::Owner),
    (PermissionScope::Team, Attribute::Team),
    (PermissionScope::Department, Attribute::Department),
];

impl Reach {
    /// The reaches that may contain the resource although it is not known, narrowest first, and what would tell.
    pub(crate) fn unknown(&self) -> impl DoubleEndedIterator<Item = (PermissionScope, Attribute<'static>)> {
        NARROW.into_iter().zip(self.unknown).filter(|(_, unknown)| *unknown).map(|(narrow, _)| narrow)
    }
}

/// Whether something is about the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    It,
    /// Not, as far as is known.
    Other,
    /// It may be.
    Perhaps,
}

impl<'a> Facts<'a> {
    /// Derives how far a permission has to reach from whose the resource is.
    pub(crate) fn reach(&self) -> Reach {
        let mut reach =
            Reach { needed: PermissionScope::Tenant, narrowest: PermissionScope::Tenant, unknown: [true; 3] };
        let Some(resource) = self.resource else {
            reach.narrowest = PermissionScope::Own;
            return reach;
        };
        if self.scope == Scope::Platform && resource.nearest(|one| one.attributes.get("tenant")).is_some() {
            reach.needed = PermissionScope::Platform;
        }
        let owner = resource.nearest(|one| one.owner.as_ref()).map(|owner| owner == self.subject);
        let team = resource.nearest(|one| one.team.as_ref());
        let team = self.belongs(
            team.map(|team| move |profile: &SubjectProfile| profile.teams.contains(team)),
            |profile| profile.teams.is_empty(),
        );
        let department = resource.nearest(|one| one.department.as_ref());
        let department = self.belongs(
            department
                .map(|department| move |profile: &SubjectProfile| profile.departments.contains(department)),
            |profile| profile.departments.is_empty(),
        );
        for (((scope, _), known), unknown) in
            NARROW.into_iter().zip([owner, team, department]).zip(&mut reach.unknown)
        {
            *unknown = known.is_none();
            if known != Some(false) {
                reach.narrowest = reach.narrowest.min(scope);
            }
            if known == Some(true) {
                reach.needed = scope;
                break;
            }
        }
        // What is wider than the reach that is known does not matter any more.
        for ((scope, _), unknown) in NARROW.into_iter().zip(&mut reach.unknown) {
            *unknown = *unknown && scope < reach.needed;
        }
        reach
    }

    /// Whether the subject belongs where the resource does; `None` if that is not known.
    fn belongs(
        &self,
        contains: Option<impl Fn(&SubjectProfile) -> bool>,
        nowhere: impl Fn(&SubjectProfile) -> bool,
    ) -> Option<bool> {
        match (self.profile, contains) {
            (Some(profile), _) if nowhere(profile) => Some(false),
            (Some(profile), Some(contains)) => Some(contains(profile)),
            _ => None,
        }
    }

    /// Tells whether all of them hold that are about what is wanted.
    pub(crate) fn all_hold<'b>(&self, constraints: &'b [Constraint]) -> Status<'b>
    where
        'a: 'b,
    {
        let bound = constraints.iter().filter(|constraint| constraint.binds(self.wanted.resource()));
        bound.map(|constraint| self.holds(&constraint.rule)).fold(Status::MET, Status::and)
    }

    fn holds<'b>(&self, rule: &'b Rule) -> Status<'b>
    where
        'a: 'b,
    {
        let same = |same: bool| Status {
            why: if same { Why::Met } else { Why::Unmet },
            rules: RuleNames::of(rule),
            ..Status::MET
        };
        let known = |attribute| match attribute {
            Attribute::SubjectOrganization | Attribute::OfSubject(_) => Status::missing(attribute),
            _ => self.miss(attribute),
        };
        match rule {
            Rule::Time(schedule) => Status {
                at: schedule.next_edge(self.now).unwrap_or(Timestamp::MAX),
                ..same(schedule.contains(self.now))
            },
            Rule::OwnerOnly => match self.resource.and_then(|all| all.nearest(|one| one.owner.as_ref())) {
                Some(owner) => same(owner == self.subject),
                None => known(Attribute::Owner),
            },
            Rule::OrganizationOnly => {
                let theirs = self.resource.and_then(|all| all.nearest(|one| one.organization.as_ref()));
                let ours = self.profile.and_then(|profile| profile.organization.as_ref());
                match (theirs, ours) {
                    (_, None) => known(Attribute::SubjectOrganization),
                    (None, _) => known(Attribute::Organization),
                    (Some(theirs), Some(ours)) => same(theirs == ours),
                }
            }
            Rule::Equals(Equality { attribute, to }) => {
                let wanted = match to {
                    Operand::Value(value) => Some(value),
                    Operand::Subject(name) => {
                        let wanted = self.profile.and_then(|profile| profile.attributes.get(name));
                        if wanted.is_none() {
                            return known(Attribute::OfSubject(name));
                        }
                        wanted
                    }
                };
                let found = self.resource.and_then(|all| all.nearest(|one| one.attributes.get(attribute)));
                match found {
                    Some(found) => same(Some(found) == wanted),
                    None => known(Attribute::Other(attribute)),
                }
            }
        }
    }

    /// Notes that something of the resource is not known.
    pub(crate) fn miss<'b>(&self, attribute: Attribute<'b>) -> Status<'b> {
        self.missed.set(true);
        Status::missing(attribute)
    }

    /// Tells whether what is given on some resources only is given on this one.
    pub(crate) fn is_selected(&self, selector: Option<&ResourceSelector>) -> bool {
        let selected = selector.is_none_or(|selector| self.resource.is_some_and(|one| selector.selects(one)));
        if !selected {
            // It may be nested in what is selected.
            self.missed.set(true);
        }
        selected
    }

    /// Tells whether a denial is about the resource. It is, unless the resource is known to lie outside.
    pub(crate) fn denied_by(
        &self,
        scope: PermissionScope,
        selector: Option<&ResourceSelector>,
        reach: &Reach,
    ) -> About {
        let within = if scope >= reach.needed {
            About::It
        } else if scope >= reach.narrowest {
            About::Perhaps
        } else {
            return About::Other;
        };
        let (Some(selector), Some(resource)) = (selector, self.resource) else { return within };
        let may_be = |one: &Resource| one.kind == *selector.kind() && one.id.is_none();
        if selector.selects(resource) {
            within
        } else if resource.lineage().any(may_be) || self.loadable {
            About::Perhaps
        } else {
            About::Other
        }
    }
}
