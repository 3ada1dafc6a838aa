use serde::{Deserialize, Serialize};
use stanchion_core::{SubjectRef, Timestamp};

/// That a user or service belongs to a group: what the group holds, grants and denials included, it holds as well. A group belongs to no
/// group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Membership {
    /// The group.
    pub group: SubjectRef,
    /// Who belongs to it.
    pub member: SubjectRef,
    /// The first instant at which it counts; always, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Membership {
    /// Puts a member into a group, for good.
    #[must_use]
    pub const fn new(group: SubjectRef, member: SubjectRef) -> Self {
        Self { group, member, not_before: None, expires_at: None }
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
}
