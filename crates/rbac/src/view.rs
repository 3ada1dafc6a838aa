use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use stanchion_core::Timestamp;

use crate::compiled::{Compiled, CompiledRole};
use crate::{Permission, PermissionScope, RoleId};

/// All roles that count in one scope: its own, and for a tenant the platform's. A name means the scope's own role first.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) own: Arc<Compiled>,
    pub(crate) platform: Option<Arc<Compiled>>,
    /// What the stamps of the scope and of the platform were before the roles were read.
    pub(crate) stamps: (u64, u64),
    /// The instant from which it must not be trusted, unless changes are followed.
    pub(crate) expires_at: Timestamp,
    /// By own role: the platform's roles that it includes, first those without any condition, then all.
    outward: HashMap<u32, Outward>,
    /// Whether what own roles include of the platform, they include without any condition.
    pub(crate) crosses_plainly: bool,
}

/// Roles of the platform: those without any condition, and all.
type Outward = (Box<[u32]>, Box<[u32]>);

/// Where a role stands: nowhere, or at a number among the scope's own or the platform's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place(u32);

/// What a place tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Own(u32),
    Platform(u32),
    Nowhere,
}

impl Place {
    pub(crate) const NOWHERE: Self = Self(u32::MAX);
    /// Set in the places of the platform's roles. So many roles nobody has.
    const PLATFORM: u32 = 1 << 31;

    pub(crate) const fn own(number: u32) -> Self {
        if number < Self::PLATFORM { Self(number) } else { Self::NOWHERE }
    }

    pub(crate) const fn platform(number: u32) -> Self {
        if number < Self::PLATFORM { Self(number | Self::PLATFORM) } else { Self::NOWHERE }
    }

    pub(crate) const fn at(self) -> At {
        match self.0 {
            u32::MAX => At::Nowhere,
            number if number < Self::PLATFORM => At::Own(number),
            number => At::Platform(number & !Self::PLATFORM),
        }
    }
}

impl View {
    pub(crate) fn new(
        own: Arc<Compiled>,
        platform: Option<Arc<Compiled>>,
        stamps: (u64, u64),
        expires_at: Timestamp,
    ) -> Self {
        let mut outward: HashMap<u32, Outward> = HashMap::new();
        if let Some(platform) = &platform {
            for number in own.outgoing() {
                let found = |all: &[RoleId]| all.iter().filter_map(|role| platform.number(role)).collect();
                let (always, any) = own.outward(number);
                outward.insert(number, (found(always), found(any)));
            }
        }
        let crosses_plainly = outward.values().all(|(always, any)| always.len() == any.len());
        Self { own, platform, stamps, expires_at, outward, crosses_plainly }
    }

    /// Finds a role by its name.
    pub(crate) fn place(&self, role: &RoleId) -> Place {
        if let Some(number) = self.own.number(role) {
            return Place::own(number);
        }
        let number = self.platform.as_ref().and_then(|platform| platform.number(role));
        number.map_or(Place::NOWHERE, Place::platform)
    }

    /// Finds the role that stands somewhere.
    pub(crate) fn role(&self, place: Place) -> Option<&CompiledRole> {
        match place.at() {
            At::Own(number) => self.own.role(number),
            At::Platform(number) => self.platform.as_ref()?.role(number),
            At::Nowhere => None,
        }
    }

    pub(crate) fn some_inactive(&self) -> bool {
        self.own.some_inactive || self.platform.as_ref().is_some_and(|platform| platform.some_inactive)
    }

    /// Returns the platform's roles that an own role includes: those without any condition, and all.
    pub(crate) fn outward(&self, number: u32) -> (&[u32], &[u32]) {
        if self.outward.is_empty() {
            return (&[], &[]);
        }
        self.outward.get(&number).map_or((&[], &[]), |(always, any)| (always, any))
    }

    /// Returns the places of the roles that a role includes directly.
    pub(crate) fn juniors(&self, place: Place) -> impl Iterator<Item = Place> {
        let role = self.role(place);
        let is_own = matches!(place.at(), At::Own(_));
        let inside = role.into_iter().flat_map(|role| &role.inside);
        let inside =
            inside.map(move |number| if is_own { Place::own(*number) } else { Place::platform(*number) });
        // A role of the platform includes none of a tenant.
        let outside = role.filter(|_| is_own).into_iter().flat_map(|role| &role.outside);
        let platform = self.platform.as_deref();
        inside.chain(outside.filter_map(move |role| platform?.number(role)).map(Place::platform))
    }

    /// The roles that a role has by including them over active ones, itself counted; none of one that is switched off.
    pub(crate) fn active_below(&self, from: Place) -> HashSet<Place> {
        let mut seen = HashSet::new();
        let mut rest = vec![from];
        while let Some(place) = rest.pop() {
            if self.role(place).is_some_and(|role| role.active) && seen.insert(place) {
                rest.extend(self.juniors(place));
            }
        }
        seen
    }

    /// What a role permits by itself and by what it includes, as it is written but no wider than the ceilings on the way; whether a
    /// constraint binds it, and what is left out of it. With `active` only what it permits by one of those, or by what they include.
    pub(crate) fn written(
        &self,
        from: Place,
        active: Option<&BTreeSet<RoleId>>,
    ) -> Vec<(Permission, bool, Vec<Permission>)> {
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        let mut rest = vec![(from, PermissionScope::Platform, false, Vec::new(), active.is_none())];
        while let Some((place, ceiling, constrained, without, passed)) = rest.pop() {
            let Some(role) = self.role(place).filter(|role| role.active) else { continue };
            let (ceiling, constrained) =
                (ceiling.min(role.ceiling), constrained || !role.constraints.is_empty());
            let passed = passed || active.is_some_and(|active| active.contains(&role.id));
            if !seen.insert((place, ceiling, constrained, without.clone(), passed)) {
                continue;
            }
            for permission in role.permissions.iter().filter(|_| passed) {
                let overlapping =
                    without.iter().filter(|other: &&Permission| other.overlaps_name(permission));
                let left_out = overlapping.cloned().collect();
                found.push((permission.at_most(ceiling), constrained, left_out));
            }
            let mut without = without;
            without.extend(role.excludes.iter().cloned());
            without.sort_unstable();
            without.dedup();
            let juniors = self.juniors(place);
            rest.extend(juniors.map(|junior| (junior, ceiling, constrained, without.clone(), passed)));
        }
        found
    }
}
