use serde::{Deserialize, Serialize};
use stanchion_core::{Actor, SubjectRef, Timestamp};

use crate::{Note, Permission, ResourceSelector, RoleId};

/// A role that a subject holds within a scope, from one instant to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Assignment {
    /// Who holds the role.
    pub subject: SubjectRef,
    /// The role: one of the scope's own, or one of the platform's.
    pub role: RoleId,
    /// On which resources; all in the scope, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceSelector>,
    /// The first instant at which it counts; always, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// Who assigned it. Whatever a caller writes here, the engine puts the author of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_by: Option<Actor>,
}

impl Assignment {
    /// Gives a role to a subject, for good.
    #[must_use]
    pub const fn new(subject: SubjectRef, role: RoleId) -> Self {
        Self {
            subject,
            role,
            resource: None,
            not_before: None,
            expires_at: None,
            reason: None,
            granted_by: None,
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

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: Note) -> Self {
        self.reason = Some(reason);
        self
    }
}

/// What a subject may not do within a scope, whatever roles it holds.
///
/// A denial applies unless the resource is known to lie outside its scope, so `document:delete:own` refuses a deletion also where
/// nobody has said whose document it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Denial {
    /// Who may not.
    pub subject: SubjectRef,
    /// What it may not do; wildcards count.
    pub permission: Permission,
    /// On which resources; all in the scope, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceSelector>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

impl Denial {
    /// Denies a permission to a subject.
    #[must_use]
    pub const fn new(subject: SubjectRef, permission: Permission) -> Self {
        Self { subject, permission, resource: None, reason: None }
    }

    /// Denies it on some resources only.
    #[must_use]
    pub fn on(mut self, resource: ResourceSelector) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: Note) -> Self {
        self.reason = Some(reason);
        self
    }
}
