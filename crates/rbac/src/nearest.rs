use stanchion_core::{Revision, Timestamp};

use crate::check::Having;
use crate::course::{Bearing, Course};
use crate::facts::Facts;
use crate::holdings::{Span, Terms};
use crate::status::{RuleNames, Status, Why};
use crate::view::Place;
use crate::{Decision, Reason};

/// The best there is so far.
#[derive(Debug)]
pub(crate) struct Nearest {
    now: Timestamp,
    granted: Option<(Option<Place>, Timestamp, RuleNames)>,
    refused: Option<Refusal>,
    course: Course,
    /// The first instant known at which something that is had begins to permit it.
    begins: Timestamp,
}

#[derive(Debug)]
struct Refusal {
    reason: Reason,
    place: Option<Place>,
    rules: RuleNames,
    missing: Option<Box<str>>,
    from: Timestamp,
}

/// Something that is had, and when and where it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Had<'a> {
    /// None for a single permission.
    pub(crate) place: Option<Place>,
    pub(crate) terms: &'a Terms,
    /// When the subject belongs to the group that has it.
    pub(crate) member: Span,
    pub(crate) awaits_approval: bool,
}

impl Had<'_> {
    fn span(&self) -> Span {
        self.terms.span.and(self.member)
    }
}

impl Nearest {
    pub(crate) const fn new(course: Course, now: Timestamp) -> Self {
        Self { now, granted: None, refused: None, course, begins: Timestamp::MAX }
    }

    pub(crate) const fn is_granted(&self) -> bool {
        self.granted.is_some()
    }

    pub(crate) fn is_granted_for_good(&self) -> bool {
        self.granted.as_ref().is_some_and(|(_, until, _)| *until == Timestamp::MAX)
    }

    /// When something that is had begins to permit it, as far as that is known.
    pub(crate) fn begins(&self) -> Option<Timestamp> {
        instant(self.begins)
    }

    /// Takes in what is had, and what it does for what is wanted.
    pub(crate) fn take(&mut self, facts: &Facts<'_>, had: Had<'_>, status: Status<'_>) {
        if status.is_nothing() {
            return;
        }
        let span = had.span();
        let reason = if !facts.is_selected(had.terms.resource.as_ref()) {
            Reason::OtherResource
        } else {
            match status.why {
                Why::Nothing => return,
                Why::Narrow => Reason::ReachTooNarrow,
                Why::Missing(_) => Reason::AttributeMissing,
                _ if had.awaits_approval => Reason::ApprovalAwaited,
                why => {
                    self.follow(status, span, had.member);
                    if self.now >= span.until {
                        Reason::AssignmentExpired
                    } else if why == Why::Unmet {
                        Reason::ConstraintUnmet
                    } else if self.now < span.from {
                        Reason::AssignmentNotYetValid
                    } else {
                        let until = span.until.min(status.at);
                        if self.granted.as_ref().is_none_or(|(_, other, _)| *other < until) {
                            self.granted = Some((had.place, until, status.rules));
                        }
                        return;
                    }
                }
            }
        };
        let missing = match (reason, status.why) {
            (Reason::AttributeMissing, Why::Missing(attribute)) => Some(attribute.text().as_str().into()),
            _ => None,
        };
        let rules = if reason == Reason::ConstraintUnmet { status.rules } else { RuleNames::default() };
        self.refuse(Refusal { reason, place: had.place, rules, missing, from: span.from });
    }

    /// Notes what becomes of something that is met or unmet, as time goes by.
    fn follow(&mut self, status: Status<'_>, span: Span, member: Span) {
        let known = span.until.min(status.at);
        if status.is_met() {
            self.course.add(Bearing::NotYetValid, Timestamp::MIN, span.from.min(known));
            self.course.add(Bearing::Granted, span.from, known);
            if self.now < span.from && span.from < known {
                self.begins = self.begins.min(span.from);
            }
        } else {
            self.course.add(Bearing::ConstraintUnmet, Timestamp::MIN, known);
        }
        self.course.add(Bearing::Open, known, span.until);
        // Of a group that one does not belong to any more nothing is told.
        self.course.add(Bearing::Expired, span.until, member.until);
    }

    /// Takes in a role that does nothing for what is wanted in the session, and what it would do outside.
    pub(crate) fn take_outside_session(&mut self, facts: &Facts<'_>, had: Had<'_>, without: Status<'_>) {
        let is_about = matches!(without.why, Why::Met | Why::Unmet);
        if !is_about || !facts.is_selected(had.terms.resource.as_ref()) {
            return;
        }
        let span = had.span();
        if without.is_met() {
            self.course.add(Bearing::RoleNotInSession, span.from, span.until.min(without.at));
        }
        self.course.add(Bearing::Open, span.from.max(without.at), span.until);
        if without.is_met() && span.contains(self.now) {
            self.offer(Reason::RoleNotInSession, had.place);
        }
    }

    fn offer(&mut self, reason: Reason, place: Option<Place>) {
        let from = Timestamp::MAX;
        self.refuse(Refusal { reason, place, rules: RuleNames::default(), missing: None, from });
    }

    /// Keeps the nearer of two refusals. Of those that are as near, the one that was taken in first; of those that are to begin, the
    /// one that begins first.
    fn refuse(&mut self, refusal: Refusal) {
        let nearer = self.refused.as_ref().is_none_or(|other| {
            let (ours, theirs) = (refusal.reason.distance(), other.reason.distance());
            let sooner = refusal.reason == Reason::AssignmentNotYetValid && refusal.from < other.from;
            ours < theirs || ours == theirs && sooner
        });
        if nearer {
            self.refused = Some(refusal);
        }
    }

    /// Takes in the roles that are held and would permit it if they were not switched off.
    fn look_at_switched_off(&mut self, having: Having<'_>, facts: &Facts<'_>) {
        if !having.own.view.some_inactive() {
            return;
        }
        for (member, held) in having.counting(self.now) {
            for (place, terms) in held.roles() {
                if held.is_switched_off(place, facts.wanted) && facts.is_selected(terms.resource.as_ref()) {
                    let span = terms.span.and(member);
                    self.course.add_during(Bearing::RoleInactive, span);
                    if span.contains(self.now) {
                        self.offer(Reason::RoleInactive, Some(place));
                    }
                }
            }
        }
    }

    pub(crate) fn decision(
        mut self,
        having: Having<'_>,
        facts: &Facts<'_>,
        revision: Revision,
        is_known: bool,
    ) -> Decision {
        let view = &*having.own.view;
        let role =
            |place: Option<Place>| place.and_then(|place| view.role(place)).map(|role| role.id.clone());
        if let Some((place, _, rules)) = self.granted {
            let granted = Decision::granted(revision);
            return Decision {
                role: role(place),
                rules,
                valid_until: having.turns_at(self.course),
                ..granted
            };
        }
        self.look_at_switched_off(having, facts);
        let valid_until = having.turns_at(self.course);
        match self.refused {
            Some(Refusal { reason, place, rules, missing, .. }) => {
                let denied = Decision::denied(reason, revision);
                Decision { role: role(place), rules, missing, valid_until, ..denied }
            }
            None => {
                let is_unknown = having.own.is_empty() && !is_known;
                let reason = if is_unknown { Reason::UnknownSubject } else { Reason::NoMatchingRole };
                Decision { valid_until, ..Decision::denied(reason, revision) }
            }
        }
    }
}

pub(crate) fn instant(at: Timestamp) -> Option<Timestamp> {
    (at < Timestamp::MAX).then_some(at)
}
