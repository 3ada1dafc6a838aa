use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, slug_id};

use crate::RoleId;

slug_id!(
    /// A separation of duty, by the name it is written under.
    SeparationId,
    "separation id"
);

/// Roles that one subject may not have together, so that no single person can both ask for a payment and approve it. Roles that are
/// had by way of others count.
///
/// After the constraints of NIST RBAC (INCITS 359-2012, sections 5.3 and 5.4), whose cardinality *n* is one more than
/// [`at_most`](Self::at_most).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Separation {
    /// What it is written under; it never changes.
    pub id: SeparationId,
    /// What people read.
    pub name: DisplayName,
    /// When the roles must not be had together.
    pub duty: Duty,
    /// The roles: two or more, of the scope or of the platform.
    pub roles: BTreeSet<RoleId>,
    /// How many of them one subject may have: at least one, and not all.
    #[serde(default = "one")]
    pub at_most: u32,
}

/// When roles must not be had together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Duty {
    /// Never: they must not be assigned together (static separation).
    Static,
    /// At one time: they must not be active in one session (dynamic separation).
    Dynamic,
}

impl Duty {
    /// Returns the name that stores and texts use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }

    /// Finds the duty of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Static, Self::Dynamic].into_iter().find(|duty| duty.as_str() == name)
    }
}

const fn one() -> u32 {
    1
}

impl Separation {
    /// Keeps roles apart: of these one subject may have one.
    #[must_use]
    pub fn new(
        id: SeparationId,
        name: DisplayName,
        duty: Duty,
        roles: impl IntoIterator<Item = RoleId>,
    ) -> Self {
        Self { id, name, duty, roles: roles.into_iter().collect(), at_most: one() }
    }

    /// Lets one subject have more of them.
    #[must_use]
    pub const fn allowing(mut self, at_most: u32) -> Self {
        self.at_most = at_most;
        self
    }
}
