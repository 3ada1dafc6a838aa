use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::InvalidId;

pub(super) const SCOPE: &str = "the scope is own, team, department, tenant or platform";

/// How far a permission reaches; each scope contains the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PermissionScope {
    /// What belongs to the subject itself. Also read as `personal`.
    Own,
    /// What belongs to the subject's team.
    Team,
    /// What belongs to the subject's department.
    Department,
    /// Everything in the scope the role is held in: one tenant, or the platform's own records. Also read as `customer`,
    /// `organization` or `*`; it is what a permission without a scope means.
    Tenant,
    /// Everything on the platform, across tenants. Only roles of the platform may say so, and held within a tenant it reaches no
    /// further than that tenant. Also read as `global`.
    Platform,
}

impl PermissionScope {
    /// Every scope, narrowest first.
    pub const ALL: [Self; 5] = [Self::Own, Self::Team, Self::Department, Self::Tenant, Self::Platform];

    /// Returns the name that permissions are written with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Team => "team",
            Self::Department => "department",
            Self::Tenant => "tenant",
            Self::Platform => "platform",
        }
    }

    /// Finds the scope of a name or alias.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "own" | "personal" => Some(Self::Own),
            "team" => Some(Self::Team),
            "department" => Some(Self::Department),
            "tenant" | "customer" | "organization" | "*" => Some(Self::Tenant),
            "platform" | "global" => Some(Self::Platform),
            _ => None,
        }
    }
}

stanchion_core::text_schema!(PermissionScope, "own, team, department, tenant or platform");

impl FromStr for PermissionScope {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::from_name(text).ok_or_else(|| InvalidId::new("permission scope", SCOPE, text))
    }
}

impl Serialize for PermissionScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PermissionScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for PermissionScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
