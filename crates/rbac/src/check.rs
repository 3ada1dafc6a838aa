use std::cell::OnceCell;

use stanchion_core::{Revision, Timestamp};

use crate::compiled::{Compiled, Granting, Inactive, reaches};
use crate::holdings::{Grant, Holdings, Span};
use crate::view::{At, Place, View};
use crate::{Decision, Explanation, Permission, Reason, RoleId};

impl Decision {
    pub(crate) const fn denied(reason: Reason, revision: Revision) -> Self {
        Self { allowed: false, reason, role: None, revision, valid_until: None }
    }
}

impl Holdings {
    /// Decides from what is in memory; `wanted` is exact.
    pub(crate) fn decide(&self, wanted: &Permission, now: Timestamp) -> Decision {
        let view = &*self.view;
        let revision = view.own.revision.min(self.revision);
        if self.denials().iter().any(|denied| denied.covers_name(wanted)) {
            return Decision::denied(Reason::DeniedExplicitly, revision);
        }
        let granting = GrantingRoles::new(view, wanted);
        let (mut granted, mut pending, mut expired) = (None::<Grant>, None::<Grant>, None);
        if self.all_for_good() {
            let place = self.places().iter().find(|place| granting.contains(**place));
            granted = place.map(|place| Grant { place: *place, span: Span::FOR_GOOD });
        } else {
            for grant in self.grants().filter(|grant| granting.contains(grant.place)) {
                if now < grant.span.from {
                    pending = pending.into_iter().chain([grant]).min_by_key(|grant| grant.span.from);
                } else if now < grant.span.until {
                    granted = granted.into_iter().chain([grant]).max_by_key(|grant| grant.span.until);
                } else {
                    expired = Some(grant);
                }
            }
        }
        let role = |grant: Grant| view.role(grant.place).map(|role| role.id.clone());
        if let Some(grant) = granted {
            let until = grant.span.until;
            let valid_until = (until < Timestamp::MAX).then_some(until);
            return Decision {
                allowed: true,
                reason: Reason::Granted,
                role: role(grant),
                revision,
                valid_until,
            };
        }
        let (reason, grant) = if let Some(grant) = pending {
            (Reason::AssignmentNotYetValid, Some(grant))
        } else if let Some(grant) = expired {
            (Reason::AssignmentExpired, Some(grant))
        } else if let Some(grant) = self.switched_off(wanted) {
            (Reason::RoleInactive, Some(grant))
        } else if self.is_empty() {
            (Reason::UnknownSubject, None)
        } else {
            (Reason::NoMatchingRole, None)
        };
        let valid_until = pending.map(|grant| grant.span.from);
        Decision { role: grant.and_then(role), valid_until, ..Decision::denied(reason, revision) }
    }

    /// Finds a role that is held and would permit it if it were not switched off.
    fn switched_off(&self, wanted: &Permission) -> Option<Grant> {
        let view = &*self.view;
        let would_permit = |grant: &Grant| {
            view.role(grant.place).is_some_and(|role| !role.active)
                && view.way(grant.place, wanted, Inactive::Followed).is_some()
        };
        if view.some_inactive() { self.grants().find(would_permit) } else { None }
    }

    /// Decides, and shows the evidence.
    pub(crate) fn explain(&self, wanted: &Permission, now: Timestamp) -> Explanation {
        let (view, decision) = (&*self.view, self.decide(wanted, now));
        let (mut path, mut matched, mut candidates) = (Vec::new(), None, Vec::new());
        match (&decision.reason, &decision.role) {
            (Reason::Granted, Some(role)) => {
                if let Some((way, permission)) = view.way(view.place(role), wanted, Inactive::PassedOver) {
                    (path, matched) = (way, Some(permission));
                }
            }
            (Reason::DeniedExplicitly, _) => {
                matched = self.denials().iter().find(|denied| denied.covers_name(wanted)).cloned();
            }
            _ => candidates = view.candidates(wanted),
        }
        Explanation { decision, path, matched, candidates }
    }
}

impl View {
    /// Finds the shortest way from a role to a permission that covers what is wanted.
    fn way(&self, from: Place, wanted: &Permission, inactive: Inactive) -> Option<(Vec<RoleId>, Permission)> {
        match (from.at(), &self.platform) {
            (At::Own(number), platform) => {
                let closure = self.own.closure(number, inactive);
                if let Some(found) = way_inside(&self.own, &closure.inside, wanted) {
                    return Some(found);
                }
                let platform = platform.as_ref()?;
                closure.outward.iter().find_map(|(role, place)| {
                    let below = platform.closure(platform.number(role)?, inactive);
                    let (rest, permission) = way_inside(platform, &below.inside, wanted)?;
                    let mut way = way_to(&self.own, &closure.inside, *place);
                    way.extend(rest);
                    Some((way, permission))
                })
            }
            (At::Platform(number), Some(platform)) => {
                way_inside(platform, &platform.closure(number, inactive).inside, wanted)
            }
            _ => None,
        }
    }

    fn candidates(&self, wanted: &Permission) -> Vec<RoleId> {
        let granting = GrantingRoles::new(self, wanted);
        let id = |compiled: &Compiled, number| compiled.role(number).map(|role| role.id.clone());
        let own = granting.own.numbers().into_iter().filter_map(|number| id(&self.own, number));
        let through = self.own.outgoing().filter(|number| granting.contains(Place::own(*number)));
        let through = through.filter_map(|number| id(&self.own, number));
        let platform = self.platform.iter().zip(granting.platform()).flat_map(|(platform, granting)| {
            let numbers = granting.numbers().into_iter();
            // A role of the platform whose name the tenant uses for its own cannot be assigned here.
            numbers.filter_map(|number| id(platform, number)).filter(|role| self.own.number(role).is_none())
        });
        let mut all: Vec<RoleId> = own.chain(through).chain(platform).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(Explanation::MAX_CANDIDATES);
        all
    }
}

/// The roles that permit what was asked, of the scope and of the platform.
struct GrantingRoles<'a> {
    view: &'a View,
    wanted: &'a Permission,
    own: Granting<'a>,
    /// Looked up when it is first needed: often no role of the platform is held.
    platform: OnceCell<Option<Granting<'a>>>,
}

impl<'a> GrantingRoles<'a> {
    fn new(view: &'a View, wanted: &'a Permission) -> Self {
        Self { view, wanted, own: view.own.granting(wanted), platform: OnceCell::new() }
    }

    fn platform(&self) -> Option<Granting<'a>> {
        let find = || self.view.platform.as_ref().map(|platform| platform.granting(self.wanted));
        *self.platform.get_or_init(find)
    }

    fn contains(&self, place: Place) -> bool {
        let by_platform = |number| self.platform().is_some_and(|granting| granting.contains(number));
        match place.at() {
            At::Own(number) => {
                self.own.contains(number)
                    || self.view.outward(number).iter().any(|number| by_platform(*number))
            }
            At::Platform(number) => by_platform(number),
            At::Nowhere => false,
        }
    }
}

type Step = (u32, Option<usize>);

fn way_inside(compiled: &Compiled, steps: &[Step], wanted: &Permission) -> Option<(Vec<RoleId>, Permission)> {
    steps.iter().enumerate().find_map(|(place, (number, _))| {
        let mut permissions = compiled.role(*number)?.permissions.iter();
        let permission =
            permissions.find(|permission| reaches(permission) && permission.covers_name(wanted))?.clone();
        Some((way_to(compiled, steps, place), permission))
    })
}

/// The way from the first step to the one at `place`.
fn way_to(compiled: &Compiled, steps: &[Step], place: usize) -> Vec<RoleId> {
    let back = std::iter::successors(steps.get(place), |(_, from)| from.and_then(|place| steps.get(place)));
    let mut way: Vec<RoleId> =
        back.filter_map(|(number, _)| compiled.role(*number)).map(|role| role.id.clone()).collect();
    way.reverse();
    way
}
