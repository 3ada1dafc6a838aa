use std::sync::Arc;

use hashbrown::HashMap;
use stanchion_core::{Revision, Timestamp, Versioned};

use crate::compiled::Compiled;
use crate::{Assignment, Denial, Permission, RoleId, SubjectRecords};

/// All roles that count in one scope: its own, and for a tenant the platform's. A name means the scope's own role first.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) own: Arc<Compiled>,
    pub(crate) platform: Option<Arc<Compiled>>,
    /// What the stamps of the scope and of the platform were before the roles were read.
    pub(crate) stamps: (u64, u64),
    /// The instant from which it must not be trusted, unless changes are followed.
    pub(crate) expires_at: Timestamp,
    /// By own role: the platform's roles that it includes.
    outward: HashMap<u32, Box<[u32]>>,
}

/// Where a role stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Own(u32),
    Platform(u32),
    Nowhere,
}

impl View {
    pub(crate) fn new(
        own: Arc<Compiled>,
        platform: Option<Arc<Compiled>>,
        stamps: (u64, u64),
        expires_at: Timestamp,
    ) -> Self {
        let mut outward = HashMap::new();
        if let Some(platform) = &platform {
            for number in own.outgoing() {
                let found = own.outward(number).iter().filter_map(|role| Some(platform.number(role)?.1));
                outward.insert(number, found.collect());
            }
        }
        Self { own, platform, stamps, expires_at, outward }
    }

    /// Finds a role by its name; the name that is returned is the view's own.
    pub(crate) fn place(&self, role: RoleId) -> (Place, RoleId) {
        if let Some((id, number)) = self.own.number(&role) {
            return (Place::Own(number), id.clone());
        }
        match self.platform.as_ref().and_then(|platform| platform.number(&role)) {
            Some((id, number)) => (Place::Platform(number), id.clone()),
            None => (Place::Nowhere, role),
        }
    }

    /// Returns the platform's roles that an own role includes.
    pub(crate) fn outward(&self, number: u32) -> &[u32] {
        if self.outward.is_empty() {
            return &[];
        }
        self.outward.get(&number).map_or(&[], |numbers| numbers)
    }
}

/// What one subject holds in a scope, with its roles found in a view.
#[derive(Clone, Debug)]
pub(crate) struct Holdings {
    pub(crate) revision: Revision,
    pub(crate) view: Arc<View>,
    pub(crate) grants: Box<[Grant]>,
    pub(crate) denials: Box<[Permission]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// Shared with the view where that has the role.
    pub(crate) role: RoleId,
    pub(crate) place: Place,
    /// The first instant at which it counts.
    pub(crate) from: Timestamp,
    /// The first instant at which it no longer counts; [`Timestamp::MAX`] for never.
    pub(crate) until: Timestamp,
}

impl Holdings {
    pub(crate) fn new(records: SubjectRecords, view: &Arc<View>) -> Self {
        let grant = |assignment: Versioned<Assignment>| {
            let Assignment { role, not_before, expires_at, .. } = assignment.value;
            let (from, until) = (not_before.unwrap_or(Timestamp::MIN), expires_at.unwrap_or(Timestamp::MAX));
            let (place, role) = view.place(role);
            Grant { role, place, from, until }
        };
        let denied = |denial: Versioned<Denial>| denial.value.permission;
        Self {
            revision: records.revision,
            view: Arc::clone(view),
            grants: records.assignments.into_iter().map(grant).collect(),
            denials: records.denials.into_iter().map(denied).collect(),
        }
    }

    /// The same holdings, with their roles found in another view.
    pub(crate) fn within(&self, view: &Arc<View>) -> Self {
        let mut holdings = self.clone();
        holdings.view = Arc::clone(view);
        for grant in &mut holdings.grants {
            (grant.place, grant.role) = view.place(grant.role.clone());
        }
        holdings
    }
}
