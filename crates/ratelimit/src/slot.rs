use std::fmt;

use stanchion_core::{Scope, TenantId};

/// Where counters live together, so that one decision over them can be atomic.
///
/// A sharded store keeps all keys of a slot in one place (on Redis Cluster the slot's text is the hash tag). One call never touches
/// two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Counters that are asked before anybody is known: by address, by endpoint, over everyone.
    Edge,
    /// Counters of principals that belong to no tenant.
    Platform,
    /// Counters of one tenant.
    Tenant(TenantId),
}

impl From<Scope> for Slot {
    fn from(scope: Scope) -> Self {
        scope.tenant().map_or(Self::Platform, Self::Tenant)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edge => f.write_str("edge"),
            Self::Platform => f.write_str("platform"),
            Self::Tenant(tenant) => tenant.fmt(f),
        }
    }
}
