use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stanchion_core::{SessionId, SubjectRef, Timestamp};

use crate::RoleId;

/// A time in which a subject uses some of the roles that it holds. In a session only its active roles count, as long as they are held;
/// what is granted or denied to the subject itself counts as always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Session {
    /// What it is known by.
    pub id: SessionId,
    /// Whose it is.
    pub subject: SubjectRef,
    /// The roles that are active: of those that the subject holds itself or by its groups, or that these include.
    #[serde(default)]
    pub active: BTreeSet<RoleId>,
    /// The first instant at which nothing is permitted in it any more.
    pub expires_at: Timestamp,
}

impl Session {
    /// Starts a session in which no role is active.
    #[must_use]
    pub const fn new(id: SessionId, subject: SubjectRef, expires_at: Timestamp) -> Self {
        Self { id, subject, active: BTreeSet::new(), expires_at }
    }

    /// Activates roles.
    #[must_use]
    pub fn with_active(mut self, roles: impl IntoIterator<Item = RoleId>) -> Self {
        self.active.extend(roles);
        self
    }
}
