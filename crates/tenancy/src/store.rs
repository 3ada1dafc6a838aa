use async_trait::async_trait;
use stanchion_core::{
    Change, Page, PageRequest, Revision, Slug, StoreError, SystemScope, TenantId, Versioned,
};
use stanchion_replica::ChangeFeed;

use crate::Tenant;

/// One write of a [`Change`] to the tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantChange {
    /// Writes a tenant, in place of the one with this id if there is one.
    Put(Tenant),
}

/// Where tenants are kept. All of them belong to the platform's scope and share its one revision.
///
/// Every method works across tenants, so each takes a [`SystemScope`].
///
/// 1. Before the first change there is no tenant and the revision is zero. Each change makes the next revision.
/// 2. `apply` is one atomic unit: all of the change and its events, or nothing. It succeeds only if the revision is still the one that
///    the change expects, else it is a `Conflict`, whatever else is wrong with it.
/// 3. A slug belongs to one tenant. A change that would give it to a second one is refused with `AlreadyExists`, whatever the caller
///    has checked; of several writes in one change each is checked against those before it. A slug that
///    its tenant gave up is free.
/// 4. A tenant is read back as it was written. Its revision and the time of its last write are those of the change, the time of its
///    first write never changes.
/// 5. `list` is in the order of the ids; the pages cover all tenants once, unless they change meanwhile. A page key that is no tenant
///    id is `Corrupt`.
/// 6. A read that begins after a change was applied sees that change.
/// 7. The feed names the id of each tenant that a change wrote.
#[async_trait]
pub trait TenantStore: ChangeFeed {
    /// Returns the revision that the tenants are at.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read. The same holds for the other reads.
    async fn revision(&self, system: SystemScope) -> Result<Revision, StoreError>;

    /// Finds a tenant.
    ///
    /// # Errors
    /// As [`TenantStore::revision`], and `Corrupt` when the record breaks the format.
    async fn get(&self, system: SystemScope, id: TenantId) -> Result<Option<Versioned<Tenant>>, StoreError>;

    /// Finds the tenant with a slug.
    ///
    /// # Errors
    /// As [`TenantStore::get`].
    async fn by_slug(
        &self,
        system: SystemScope,
        slug: &Slug,
    ) -> Result<Option<Versioned<Tenant>>, StoreError>;

    /// Lists tenants in the order of their ids.
    ///
    /// # Errors
    /// As [`TenantStore::get`].
    async fn list(
        &self,
        system: SystemScope,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Tenant>>, StoreError>;

    /// Writes a change and returns the revision it made.
    ///
    /// # Errors
    /// `Conflict` when the tenants have moved on; `AlreadyExists` for a slug that is taken; `Unavailable`, or `Timeout` when the change
    /// may have been written.
    async fn apply(&self, system: SystemScope, change: Change<TenantChange>) -> Result<Revision, StoreError>;
}
