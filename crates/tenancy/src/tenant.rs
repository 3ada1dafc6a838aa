use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, Slug, TenantId};

use crate::TenantStatus;

/// A customer of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// What everything else refers to; it never changes.
    pub id: TenantId,
    /// What people type, unique among the tenants of the platform. It never changes, and nobody else gets it while the tenant exists.
    pub slug: Slug,
    /// What people read.
    pub name: DisplayName,
    /// Where it stands in its life.
    pub status: TenantStatus,
    /// The entry of the tier catalogue that it is on.
    pub tier: Slug,
}

/// What a tenant is created from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// What people type.
    pub slug: Slug,
    /// What people read.
    pub name: DisplayName,
    /// The entry of the tier catalogue that it is on.
    pub tier: Slug,
}

/// What is to change in a tenant; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantUpdate {
    /// The new name.
    pub name: Option<DisplayName>,
    /// The new tier.
    pub tier: Option<Slug>,
}
