use stanchion_core::{Revision, Timestamp};

use crate::compiled::{Compiled, Granting, Inactive, reaches};
use crate::view::{Grant, Holdings, Place, View};
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
        if self.denials.iter().any(|denied| denied.covers_name(wanted)) {
            return Decision::denied(Reason::DeniedExplicitly, revision);
        }
        let granting = GrantingRoles::new(view, wanted);
        let mut granted: Option<&Grant> = None;
        let mut pending: Option<&Grant> = None;
        let mut expired: Option<&Grant> = None;
        for grant in self.grants.iter().filter(|grant| granting.contains(grant.place)) {
            if grant.is_for_good() {
                granted = Some(grant);
                break;
            }
            if now < grant.from {
                pending = [pending, Some(grant)].into_iter().flatten().min_by_key(|grant| grant.from);
            } else if now < grant.until {
                granted = [granted, Some(grant)].into_iter().flatten().max_by_key(|grant| grant.until);
            } else {
                expired = Some(grant);
            }
        }
        if let Some(grant) = granted {
            let valid_until = (grant.until < Timestamp::MAX).then_some(grant.until);
            return Decision {
                allowed: true,
                reason: Reason::Granted,
                role: Some(grant.role.clone()),
                revision,
                valid_until,
            };
        }
        let (reason, grant) = if let Some(grant) = pending {
            (Reason::AssignmentNotYetValid, Some(grant))
        } else if let Some(grant) = expired {
            (Reason::AssignmentExpired, Some(grant))
        } else if let Some(grant) = self.grants.iter().find(|grant| view.switched_off(grant.place, wanted)) {
            (Reason::RoleInactive, Some(grant))
        } else if self.grants.is_empty() && self.denials.is_empty() {
            (Reason::UnknownSubject, None)
        } else {
            (Reason::NoMatchingRole, None)
        };
        Decision {
            role: grant.map(|grant| grant.role.clone()),
            valid_until: pending.map(|grant| grant.from),
            ..Decision::denied(reason, revision)
        }
    }

    /// Decides, and shows the evidence.
    pub(crate) fn explain(&self, wanted: &Permission, now: Timestamp) -> Explanation {
        let (view, decision) = (&*self.view, self.decide(wanted, now));
        let (mut path, mut matched, mut candidates) = (Vec::new(), None, Vec::new());
        match (&decision.reason, &decision.role) {
            (Reason::Granted, Some(role)) => {
                if let Some((way, permission)) =
                    view.way(view.place(role.clone()).0, wanted, Inactive::PassedOver)
                {
                    (path, matched) = (way, Some(permission));
                }
            }
            (Reason::DeniedExplicitly, _) => {
                matched = self.denials.iter().find(|denied| denied.covers_name(wanted)).cloned();
            }
            _ => candidates = view.candidates(wanted),
        }
        Explanation { decision, path, matched, candidates }
    }
}

impl View {
    /// Tells whether a role that is switched off would permit it.
    fn switched_off(&self, place: Place, wanted: &Permission) -> bool {
        let (compiled, number) = match (place, &self.platform) {
            (Place::Own(number), _) => (&self.own, number),
            (Place::Platform(number), Some(platform)) => (platform, number),
            _ => return false,
        };
        compiled.role(number).is_some_and(|role| !role.active)
            && self.way(place, wanted, Inactive::Followed).is_some()
    }

    /// Finds the shortest way from a role to a permission that covers what is wanted.
    fn way(&self, from: Place, wanted: &Permission, inactive: Inactive) -> Option<(Vec<RoleId>, Permission)> {
        match (from, &self.platform) {
            (Place::Own(number), platform) => {
                let closure = self.own.closure(number, inactive);
                if let Some(found) = way_inside(&self.own, &closure.inside, wanted) {
                    return Some(found);
                }
                let platform = platform.as_ref()?;
                closure.outward.iter().find_map(|(role, place)| {
                    let below = platform.closure(platform.number(role)?.1, inactive);
                    let (rest, permission) = way_inside(platform, &below.inside, wanted)?;
                    let mut way = way_to(&self.own, &closure.inside, *place);
                    way.extend(rest);
                    Some((way, permission))
                })
            }
            (Place::Platform(number), Some(platform)) => {
                way_inside(platform, &platform.closure(number, inactive).inside, wanted)
            }
            _ => None,
        }
    }

    fn candidates(&self, wanted: &Permission) -> Vec<RoleId> {
        let granting = GrantingRoles::new(self, wanted);
        let id = |compiled: &Compiled, number| compiled.role(number).map(|role| role.id.clone());
        let own = granting.own.numbers().into_iter().filter_map(|number| id(&self.own, number));
        let through = self.own.outgoing().filter(|number| granting.contains(Place::Own(*number)));
        let through = through.filter_map(|number| id(&self.own, number));
        let platform = self.platform.iter().zip(granting.platform).flat_map(|(platform, granting)| {
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
    own: Granting<'a>,
    platform: Option<Granting<'a>>,
}

impl<'a> GrantingRoles<'a> {
    fn new(view: &'a View, wanted: &'a Permission) -> Self {
        let platform = view.platform.as_ref().map(|platform| platform.granting(wanted));
        Self { view, own: view.own.granting(wanted), platform }
    }

    fn contains(&self, place: Place) -> bool {
        let by_platform = |number| self.platform.is_some_and(|granting| granting.contains(number));
        match place {
            Place::Own(number) => {
                self.own.contains(number)
                    || self.view.outward(number).iter().any(|number| by_platform(*number))
            }
            Place::Platform(number) => by_platform(number),
            Place::Nowhere => false,
        }
    }
}

impl Grant {
    fn is_for_good(&self) -> bool {
        self.from == Timestamp::MIN && self.until == Timestamp::MAX
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
