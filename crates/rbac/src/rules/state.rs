use std::collections::BTreeMap;

use stanchion_core::{Revision, Scope, Timestamp, Versioned};

use crate::{RbacChange, Record, RecordKey, Role, RoleId, Separation, SeparationId, Snapshot};

/// The roles that count in a scope: its own at the revision of the change, and for a tenant the platform's as they were just read. And
/// which roles are kept apart there.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) scope: Scope,
    pub(crate) revision: Revision,
    pub(crate) roles: BTreeMap<RoleId, Versioned<Role>>,
    pub(crate) platform: BTreeMap<RoleId, Versioned<Role>>,
    pub(crate) separations: BTreeMap<SeparationId, Versioned<Separation>>,
}

impl State {
    pub(crate) fn new(scope: Scope, own: Snapshot, platform: Option<Snapshot>) -> Self {
        let by_id = |roles: Vec<Versioned<Role>>| {
            roles.into_iter().map(|role| (role.value.id.clone(), role)).collect::<BTreeMap<_, _>>()
        };
        let platform = platform.map(|platform| by_id(platform.roles)).unwrap_or_default();
        let separations = own.separations.into_iter();
        Self {
            scope,
            revision: own.revision,
            roles: by_id(own.roles),
            platform,
            separations: separations.map(|separation| (separation.value.id.clone(), separation)).collect(),
        }
    }

    /// Finds the role that a name means in the scope.
    pub(crate) fn role(&self, id: &RoleId) -> Option<&Role> {
        self.roles.get(id).or_else(|| self.platform.get(id)).map(|role| &role.value)
    }

    /// Tells whether a change is one of roles or separations.
    pub(crate) const fn concerns(change: &RbacChange) -> bool {
        matches!(
            change,
            RbacChange::Put(Record::Role(_) | Record::Separation(_))
                | RbacChange::Delete(RecordKey::Role(_) | RecordKey::Separation(_))
        )
    }

    /// Takes over a change that is about to be made.
    pub(crate) fn take(&mut self, change: &RbacChange) {
        let (revision, at) = (self.revision, Timestamp::EPOCH);
        match change {
            RbacChange::Put(Record::Role(role)) => {
                self.roles.insert(role.id.clone(), Versioned::created(role.clone(), revision, at));
            }
            RbacChange::Put(Record::Separation(separation)) => {
                let written = Versioned::created(separation.clone(), revision, at);
                self.separations.insert(separation.id.clone(), written);
            }
            RbacChange::Delete(RecordKey::Role(id)) => drop(self.roles.remove(id)),
            RbacChange::Delete(RecordKey::Separation(id)) => drop(self.separations.remove(id)),
            RbacChange::Put(_) | RbacChange::Delete(_) => {}
        }
    }
}
