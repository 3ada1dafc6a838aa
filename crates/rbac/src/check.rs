use std::collections::BTreeSet;

use stanchion_core::{Revision, Timestamp};

use crate::facts::{About, Facts, Reach};
pub(crate) use crate::granting::GrantingRoles;
use crate::holdings::{HeldGrant, Holdings, Span, Terms};
use crate::status::{RuleNames, Status, Why};
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
        let would_permit = |place: &&Place| {
            view.role(**place).is_some_and(|role| !role.active) && view.names(**place, wanted)
        };
        if view.some_inactive() { self.places().iter().find(would_permit).copied() } else { None }
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
        let barred = self.barred(facts, &reach);
        if barred.perhaps && barred.until.is_none() && facts.loadable {
            return Verdict::Pending;
        }
        if let Some(until) = barred.until.or(barred.perhaps.then_some(barred.perhaps_until)) {
            let denied = Decision::denied(Reason::DeniedExplicitly, revision);
            return Verdict::Decided(Decision { valid_until: instant(until), ..denied });
        }
        let mut nearest = Nearest::new(facts.now);
        self.look_at_roles(facts, reach, &mut nearest);
        if !nearest.is_granted_for_good() {
            for (span, held) in self.all() {
                for grant in
                    held.permissions().iter().filter(|grant| grant.permission.covers_name(facts.wanted))
                {
                    let (status, awaited) = (grant.status(facts, &reach), grant.awaits_approval);
                    nearest.take(facts, None, status, &grant.terms, span, awaited);
                }
            }
        }
        if nearest.granted.is_none() && facts.loadable && facts.missed.get() {
            return Verdict::Pending;
        }
        let mut decision = nearest.decision(self, facts, revision, is_known);
        if decision.allowed {
            let ends = self.session.map_or(Timestamp::MAX, |session| session.expires_at).min(barred.from);
            decision.valid_until = instant(decision.valid_until.unwrap_or(Timestamp::MAX).min(ends));
        }
        Verdict::Decided(decision)
    }

    fn look_at_roles<'f>(self, facts: &'f Facts<'f>, reach: Reach, nearest: &mut Nearest)
    where
        'a: 'f,
    {
        let view = &*self.own.view;
        let granting = GrantingRoles::new(view, facts.wanted);
        let plain = self.session.is_none() && reach.needed <= PermissionScope::Tenant;
        let mut walk = None;
        for (span, held) in self.all() {
            for (place, terms) in held.roles() {
                let status = if plain && granting.contains(place) {
                    Status::MET
                } else if granting.may_contain(place) {
                    let walk = walk.get_or_insert_with(|| Walk::new(view, facts, reach, self.active()));
                    let status = walk.status(place);
                    if status.is_nothing() && self.session.is_some() {
                        let mut without = Walk::new(view, facts, reach, None);
                        if without.status(place).is_met() {
                            nearest.offer(Reason::RoleNotInSession, Some(place), RuleNames::default(), None);
                        }
                    }
                    status
                } else {
                    continue;
                };
                nearest.take(facts, Some(place), status, terms, span, false);
                if nearest.is_granted_for_good() {
                    return;
                }
            }
        }
    }

    /// Looks which denials stand.
    pub(crate) fn barred(self, facts: &Facts<'_>, reach: &Reach) -> Barred {
        let mut barred =
            Barred { until: None, perhaps: false, perhaps_until: Timestamp::MIN, from: Timestamp::MAX };
        for (span, held) in self.all().filter(|(span, _)| facts.now < span.until) {
            for denial in held.denials().iter().filter(|denial| denial.permission.covers_name(facts.wanted)) {
                let about = facts.denied_by(denial.permission.scope(), denial.resource.as_ref(), reach);
                match about {
                    About::Other => {}
                    _ if facts.now < span.from => barred.from = barred.from.min(span.from),
                    About::It => barred.until = barred.until.max(Some(span.until)),
                    About::Perhaps => {
                        barred.perhaps = true;
                        barred.perhaps_until = barred.perhaps_until.max(span.until);
                    }
                }
            }
        }
        if barred.perhaps
            && let Some(until) = &mut barred.until
        {
            *until = (*until).max(barred.perhaps_until);
        }
        barred
    }
}

/// Which denials stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Barred {
    /// Until when one stands that is about the resource.
    pub(crate) until: Option<Timestamp>,
    /// Whether one stands that may be about the resource, and until when.
    pub(crate) perhaps: bool,
    pub(crate) perhaps_until: Timestamp,
    /// From when on another will stand.
    pub(crate) from: Timestamp,
}

impl HeldGrant {
    /// Tells how near it is to permitting what it names.
    pub(crate) fn status<'b>(&'b self, facts: &Facts<'b>, reach: &Reach) -> Status<'b> {
        let scope = self.permission.scope();
        if scope >= reach.needed {
            return facts.all_hold(&self.constraints);
        }
        match reach.unknown().find(|(unknown, _)| scope >= *unknown) {
            Some((_, attribute)) if facts.resource.is_some() => facts.miss(attribute),
            _ => Status { why: Why::Narrow, ..Status::MET },
        }
    }
}

/// The best there is so far.
#[derive(Debug)]
pub(crate) struct Nearest {
    now: Timestamp,
    granted: Option<(Option<Place>, Timestamp, RuleNames)>,
    refused: Option<Refusal>,
    /// The first instant at which time alone may bring a grant.
    from: Timestamp,
}

#[derive(Debug)]
struct Refusal {
    reason: Reason,
    place: Option<Place>,
    rules: RuleNames,
    missing: Option<Box<str>>,
    from: Timestamp,
}

impl Nearest {
    const fn new(now: Timestamp) -> Self {
        Self { now, granted: None, refused: None, from: Timestamp::MAX }
    }

    fn is_granted_for_good(&self) -> bool {
        self.granted.as_ref().is_some_and(|(_, until, _)| *until == Timestamp::MAX)
    }

    /// Takes in a role or grant, what it does for what is wanted, and when and where it counts.
    fn take(
        &mut self,
        facts: &Facts<'_>,
        place: Option<Place>,
        status: Status<'_>,
        terms: &Terms,
        member: Span,
        awaits_approval: bool,
    ) {
        if status.is_nothing() {
            return;
        }
        let span = terms.span.and(member);
        let reason = if !facts.is_selected(terms.resource.as_ref()) {
            Reason::OtherResource
        } else {
            match status.why {
                Why::Nothing => return,
                Why::Narrow => Reason::ReachTooNarrow,
                Why::Missing(_) => Reason::AttributeMissing,
                _ if awaits_approval => Reason::ApprovalAwaited,
                _ if self.now >= span.until => Reason::AssignmentExpired,
                Why::Unmet => {
                    // Time may bring both what it demands and the day from which it is held.
                    let from = if self.now < span.from { status.at.max(span.from) } else { status.at };
                    if from < span.until {
                        self.from = self.from.min(from);
                    }
                    Reason::ConstraintUnmet
                }
                Why::Met if self.now < span.from => {
                    if span.from < span.until {
                        self.from = self.from.min(span.from);
                    }
                    Reason::AssignmentNotYetValid
                }
                Why::Met => {
                    let until = span.until.min(status.at);
                    if self.granted.as_ref().is_none_or(|(_, other, _)| *other < until) {
                        self.granted = Some((place, until, status.rules));
                    }
                    return;
                }
            }
        };
        let missing = match (reason, status.why) {
            (Reason::AttributeMissing, Why::Missing(attribute)) => Some(attribute.text().as_str().into()),
            _ => None,
        };
        let rules = if reason == Reason::ConstraintUnmet { status.rules } else { RuleNames::default() };
        let refusal = Refusal { reason, place, rules, missing, from: span.from };
        self.refuse(refusal);
    }

    fn offer(&mut self, reason: Reason, place: Option<Place>, rules: RuleNames, missing: Option<Box<str>>) {
        self.refuse(Refusal { reason, place, rules, missing, from: Timestamp::MAX });
    }

    fn refuse(&mut self, refusal: Refusal) {
        let nearer = self.refused.as_ref().is_none_or(|other| {
            let (ours, theirs) = (refusal.reason.distance(), other.reason.distance());
            ours < theirs
                || ours == theirs
                    && (refusal.reason != Reason::AssignmentNotYetValid || refusal.from < other.from)
        });
        if nearer {
            self.refused = Some(refusal);
        }
    }

    fn decision(
        mut self,
        having: Having<'_>,
        facts: &Facts<'_>,
        revision: Revision,
        is_known: bool,
    ) -> Decision {
        let view = &*having.own.view;
        let role =
            |place: Option<Place>| place.and_then(|place| view.role(place)).map(|role| role.id.clone());
        if let Some((place, until, rules)) = self.granted {
            let granted = Decision::granted(revision);
            return Decision { role: role(place), rules, valid_until: instant(until), ..granted };
        }
        let counting = having.all().filter(|(span, _)| span.contains(self.now));
        if let Some(place) = counting.map(|(_, held)| held).find_map(|held| held.switched_off(facts.wanted)) {
            self.offer(Reason::RoleInactive, Some(place), RuleNames::default(), None);
        }
        let valid_until = instant(self.from);
        match self.refused {
            Some(Refusal { reason, place, rules, missing, .. }) => Decision {
                role: role(place),
                rules,
                missing,
                valid_until,
                ..Decision::denied(reason, revision)
            },
            None if having.own.is_empty() && !is_known => Decision::denied(Reason::UnknownSubject, revision),
            None => Decision { valid_until, ..Decision::denied(Reason::NoMatchingRole, revision) },
        }
    }
}

fn instant(at: Timestamp) -> Option<Timestamp> {
    (at < Timestamp::MAX).then_some(at)
}
