use std::collections::BTreeSet;

use stanchion_core::{Revision, Timestamp};

use crate::course::{Bearing, Course};
use crate::facts::{About, Facts, Reach};
pub(crate) use crate::granting::GrantingRoles;
use crate::holdings::{HeldGrant, Holdings, Span};
use crate::nearest::{Had, Nearest, instant};
use crate::status::{Status, Why};
use crate::view::Place;
use crate::walk::Walk;
use crate::{Decision, Permission, PermissionScope, Reason, RoleId, Session};

/// What came of deciding from what is in memory.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Decided(Decision),
    /// The answer depends on what the resource does not say, and that can be loaded.
    Pending,
}

/// What a subject has, by itself and by its groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Having<'a> {
    pub(crate) own: &'a Holdings,
    /// What its groups have, and when it belongs to each.
    pub(crate) groups: &'a [(Span, Holdings)],
    pub(crate) session: Option<&'a Session>,
}

impl Holdings {
    /// Decides from roles alone, for a subject that [has nothing else](Holdings::is_plain). `None` if it takes a closer look.
    pub(crate) fn decide_plainly(&self, wanted: &Permission, is_known: bool) -> Option<Decision> {
        let view = &*self.view;
        let revision = view.own.revision.min(self.revision);
        let granting = GrantingRoles::new(view, wanted);
        if let Some(place) = self.places().iter().find(|place| granting.contains(**place)) {
            let role = view.role(*place).map(|role| role.id.clone());
            return Some(Decision { role, ..Decision::granted(revision) });
        }
        if !granting.is_unconditional() && self.places().iter().any(|place| granting.may_contain(*place)) {
            return None;
        }
        let (reason, place) = if let Some(place) = self.switched_off(wanted) {
            (Reason::RoleInactive, Some(place))
        } else if self.is_empty() && !is_known {
            (Reason::UnknownSubject, None)
        } else {
            (Reason::NoMatchingRole, None)
        };
        let role = place.and_then(|place| view.role(place)).map(|role| role.id.clone());
        Some(Decision { role, ..Decision::denied(reason, revision) })
    }

    /// The revision up to which what it was decided by is known.
    pub(crate) fn known_until(&self) -> Revision {
        self.view.own.revision.min(self.revision)
    }

    /// Finds a role that is held and would permit it if it were not switched off.
    fn switched_off(&self, wanted: &Permission) -> Option<Place> {
        let view = &*self.view;
        let mut places = self.places().iter().copied();
        if view.some_inactive() { places.find(|place| self.is_switched_off(*place, wanted)) } else { None }
    }

    /// Tells whether a role would permit it if it were not switched off.
    pub(crate) fn is_switched_off(&self, place: Place, wanted: &Permission) -> bool {
        let view = &*self.view;
        view.role(place).is_some_and(|role| !role.active) && view.names(place, wanted)
    }
}

impl<'a> Having<'a> {
    /// The subject's own and those of its groups, with when they count.
    pub(crate) fn all(self) -> impl Iterator<Item = (Span, &'a Holdings)> {
        let groups = self.groups.iter().map(|(span, holdings)| (*span, holdings));
        std::iter::once((Span::FOR_GOOD, self.own)).chain(groups)
    }

    pub(crate) fn revision(self) -> Revision {
        let held = self.all().map(|(_, holdings)| holdings.revision).min();
        self.own.view.own.revision.min(held.unwrap_or(Revision::ZERO))
    }

    pub(crate) fn active(self) -> Option<&'a BTreeSet<RoleId>> {
        self.session.map(|session| &session.active)
    }

    /// Decides with all that there is. Whoever [is known](crate::SubjectDirectory) need not hold anything to be.
    pub(crate) fn decide(self, facts: &Facts<'_>, is_known: bool) -> Verdict {
        let reach = facts.reach();
        let is_plain =
            self.own.is_plain() && self.session.is_none() && reach.needed <= PermissionScope::Tenant;
        if is_plain && let Some(decision) = self.own.decide_plainly(facts.wanted, is_known) {
            return Verdict::Decided(decision);
        }
        let revision = self.revision();
        let mut course = Course::new(facts.now);
        self.look_at_denials(facts, &reach, &mut course);
        if course.stands(Bearing::Denied) {
            let denied = Decision::denied(Reason::DeniedExplicitly, revision);
            return Verdict::Decided(Decision { valid_until: self.turns_at(course), ..denied });
        }
        if course.stands(Bearing::PerhapsDenied) {
            return Verdict::Pending;
        }
        let nearest = self.nearest(facts, reach, course);
        if !nearest.is_granted() && facts.loadable && facts.missed.get() {
            return Verdict::Pending;
        }
        Verdict::Decided(nearest.decision(self, facts, revision, is_known))
    }

    /// The first instant at which a course turns, or the session ends.
    pub(crate) fn turns_at(self, course: Course) -> Option<Timestamp> {
        let ends = self.session.map_or(Timestamp::MAX, |session| session.expires_at);
        instant(course.turns_at().min(ends))
    }

    /// When something that is had begins to permit it, as far as that is known.
    pub(crate) fn begins(self, facts: &Facts<'_>) -> Option<Timestamp> {
        self.nearest(facts, facts.reach(), Course::new(facts.now)).begins()
    }

    /// What is had now or will be, by the subject itself and by the groups that it has not left.
    pub(crate) fn counting(self, now: Timestamp) -> impl Iterator<Item = (Span, &'a Holdings)> {
        self.all().filter(move |(member, _)| now < member.until)
    }

    /// Looks through roles and single permissions, in this order, for what is nearest to permitting it.
    fn nearest<'f>(self, facts: &'f Facts<'f>, reach: Reach, course: Course) -> Nearest
    where
        'a: 'f,
    {
        let mut nearest = Nearest::new(course, facts.now);
        self.look_at_roles(facts, reach, &mut nearest);
        if nearest.is_granted_for_good() {
            return nearest;
        }
        for (member, held) in self.counting(facts.now) {
            for grant in held.permissions().iter().filter(|grant| grant.permission.covers_name(facts.wanted))
            {
                let (terms, awaits_approval) = (&grant.terms, grant.awaits_approval);
                let had = Had { place: None, terms, member, awaits_approval };
                nearest.take(facts, had, grant.status(facts, &reach));
            }
        }
        nearest
    }

    fn look_at_roles<'f>(self, facts: &'f Facts<'f>, reach: Reach, nearest: &mut Nearest)
    where
        'a: 'f,
    {
        let view = &*self.own.view;
        let granting = GrantingRoles::new(view, facts.wanted);
        let plain = self.session.is_none() && reach.needed <= PermissionScope::Tenant;
        let mut walk = None;
        for (member, held) in self.counting(facts.now) {
            for (place, terms) in held.roles() {
                let had = Had { place: Some(place), terms, member, awaits_approval: false };
                let status = if plain && granting.contains(place) {
                    Status::MET
                } else if granting.may_contain(place) {
                    let walk = walk.get_or_insert_with(|| Walk::new(view, facts, reach, self.active()));
                    let status = walk.status(place);
                    if status.is_nothing() && self.session.is_some() {
                        let without = Walk::new(view, facts, reach, None).status(place);
                        nearest.take_outside_session(facts, had, without);
                    }
                    status
                } else {
                    continue;
                };
                nearest.take(facts, had, status);
                if nearest.is_granted_for_good() {
                    return;
                }
            }
        }
    }

    /// Looks which denials stand, and when. What is not known of the resource is against the subject, unless it can be loaded.
    fn look_at_denials(self, facts: &Facts<'_>, reach: &Reach, course: &mut Course) {
        for (member, held) in self.counting(facts.now) {
            for denial in held.denials().iter().filter(|denial| denial.permission.covers_name(facts.wanted)) {
                match facts.denied_by(denial.permission.scope(), denial.resource.as_ref(), reach) {
                    About::Other => {}
                    About::Perhaps if facts.loadable => course.add_during(Bearing::PerhapsDenied, member),
                    About::It | About::Perhaps => course.add_during(Bearing::Denied, member),
                }
            }
        }
    }
}

impl HeldGrant {
    /// Tells how near it is to permitting what it names.
    pub(crate) fn status<'b>(&'b self, facts: &Facts<'b>, reach: &Reach) -> Status<'b> {
        let scope = self.permission.scope();
        if scope >= reach.needed {
            return facts.all_hold(&self.constraints);
        }
        match reach.unknown().rfind(|(unknown, _)| scope >= *unknown) {
            Some((_, attribute)) if facts.resource.is_some() => facts.miss(attribute),
            _ => Status { why: Why::Narrow, ..Status::MET },
        }
    }
}
