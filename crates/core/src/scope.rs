use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{InvalidId, TenantId};

/// Whose data an operation touches: one tenant's, or the platform's own.
///
/// There is no "all tenants" here, and an absent tenant never means "every tenant": work across tenants takes a [`SystemScope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// What the operator of the platform owns: tenants themselves, platform administrators, limits on everyone.
    Platform,
    /// What one tenant owns.
    Tenant(TenantId),
}

impl Scope {
    /// Returns the tenant, if the scope is one's.
    #[must_use]
    pub const fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Platform => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }
}

impl From<TenantId> for Scope {
    fn from(tenant: TenantId) -> Self {
        Self::Tenant(tenant)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Tenant(tenant) => tenant.fmt(f),
        }
    }
}

impl FromStr for Scope {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == "platform" { Ok(Self::Platform) } else { text.parse().map(Self::Tenant) }
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Permission to work across tenants, with the reason that a reviewer will read.
///
/// Ports ask for it where no tenant is known yet (a credential's hash) or where the work is for all of them (a change feed, a relay).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemScope {
    reason: &'static str,
}

impl SystemScope {
    /// States the reason, for example `"credential look-up"`.
    #[must_use]
    pub const fn new(reason: &'static str) -> Self {
        Self { reason }
    }

    /// Returns the reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.reason
    }
}
