use serde::{Deserialize, Serialize};
use stanchion_core::{Actor, SubjectRef, Timestamp};

use crate::{Constraint, Note, Permission, ResourceSelector};

/// A single permission that a subject has within a scope, besides its roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Grant {
    /// Who has it.
    pub subject: SubjectRef,
    /// What; wildcards and how far it reaches count.
    pub permission: Permission,
    /// On which resources; all in the scope, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceSelector>,
    /// The first instant at which it counts; always, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What has to hold for it to count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// Who granted it. Whatever a caller writes here, the engine puts the author of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_by: Option<Actor>,
    /// Set where it was granted for an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Approval>,
}

/// Whether a grant that was made for an emergency ("break glass") has to wait for a second person. It has a reason and a near end in any
/// case, and is recorded loudly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "approval", content = "by")]
#[non_exhaustive]
pub enum Approval {
    /// It counts without.
    NotNeeded,
    /// It does not count before somebody other than who granted it, and who has it, approves it.
    Awaited,
    /// It counts since this second person approved it.
    Given(Actor),
}

impl Grant {
    /// Grants a permission to a subject, for good.
    #[must_use]
    pub const fn new(subject: SubjectRef, permission: Permission) -> Self {
        Self {
            subject,
            permission,
            resource: None,
            not_before: None,
            expires_at: None,
            constraints: Vec::new(),
            reason: None,
            granted_by: None,
            emergency: None,
        }
    }

    /// Lets it count on some resources only.
    #[must_use]
    pub fn on(mut self, resource: ResourceSelector) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Lets it count from `at` on.
    #[must_use]
    pub const fn starting(mut self, at: Timestamp) -> Self {
        self.not_before = Some(at);
        self
    }

    /// Lets it count until just before `at`.
    #[must_use]
    pub const fn expiring(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Lets it count only where something holds.
    #[must_use]
    pub fn constrained(mut self, constraint: Constraint) -> Self {
        self.constraints.push(constraint);
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: Note) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Says that it is for an emergency. Whether it waits for a second person is for the configuration to say.
    #[must_use]
    pub fn in_emergency(mut self) -> Self {
        self.emergency = Some(Approval::NotNeeded);
        self
    }

    /// Tells whether it waits for a second person.
    #[must_use]
    pub const fn awaits_approval(&self) -> bool {
        matches!(self.emergency, Some(Approval::Awaited))
    }
}
