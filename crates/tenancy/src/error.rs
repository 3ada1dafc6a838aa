use stanchion_core::{Revision, Slug, StoreError, TenantId};

use crate::IllegalTransition;

/// Why an operation on tenants did not happen.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. A conflict means that others kept changing tenants meanwhile; the same call may succeed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No tenant has this id.
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
    /// Another tenant has this slug.
    #[error("the slug `{0}` belongs to another tenant")]
    SlugTaken(Slug),
    /// The tenant's status does not allow this.
    #[error(transparent)]
    IllegalTransition(#[from] IllegalTransition),
    /// The tenant was changed since the caller read it.
    #[error("the tenant was changed since it was read: it is at revision {actual}, not {expected}")]
    Stale {
        /// The revision the caller had read.
        expected: Revision,
        /// The revision it is at.
        actual: Revision,
    },
    /// A setting lies outside its range.
    #[error("`{setting}` must be {rule}")]
    InvalidConfig {
        /// Its name.
        setting: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
}
