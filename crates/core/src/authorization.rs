use serde::{Deserialize, Serialize};

use crate::{ResourceRef, Text};

/// A permission that was looked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Which one: `document:read`.
    pub permission: Text,
    /// On what, when it was looked for on one resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceRef>,
    /// Whether it was there.
    pub granted: bool,
    /// What decided: `role/editor`, `policy/office-hours`. Of a refusal it may be a role that is held and does not count; nothing, when
    /// no role had to do with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ResourceRef>,
}

impl Authorization {
    /// Says that a permission was there.
    #[must_use]
    pub fn granted(permission: impl Into<Text>) -> Self {
        Self { permission: permission.into(), resource: None, granted: true, by: None }
    }

    /// Says that a permission was not there.
    #[must_use]
    pub fn denied(permission: impl Into<Text>) -> Self {
        Self { granted: false, ..Self::granted(permission) }
    }

    /// Says what decided.
    #[must_use]
    pub fn with_decider(self, by: Option<ResourceRef>) -> Self {
        Self { by, ..self }
    }
}
