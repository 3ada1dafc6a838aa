use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, Slug, StoreError, StoreErrorKind,
    SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore, Records};

use crate::{Tenant, TenantChange, TenantStore};

/// Tenants in memory: the reference that every other adapter equals. They are gone with the process.
#[derive(Debug)]
pub struct MemoryTenantStore {
    records: Records<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    by_id: BTreeMap<TenantId, Versioned<Tenant>>,
    by_slug: HashMap<Slug, TenantId>,
}

impl MemoryTenantStore {
    /// Makes an empty store. Without an outbox the events of changes are discarded.
    #[must_use]
    pub fn new(outbox: Option<Arc<MemoryOutboxStore>>) -> Self {
        Self { records: Records::new(outbox) }
    }

    fn read<R>(&self, read: impl FnOnce(Revision, &Tenants) -> R) -> R {
        self.records.read(Scope::Platform, read)
    }
}

impl Tenants {
    /// Tells whether the writes, one after the other, leave each slug to one tenant.
    fn keep_slugs_apart(&self, changes: &[TenantChange]) -> bool {
        let mut written: HashMap<&Slug, Option<TenantId>> = HashMap::new();
        let mut slugs: HashMap<TenantId, &Slug> = HashMap::new();
        changes.iter().all(|TenantChange::Put(tenant)| {
            let owner = written.get(&tenant.slug).copied();
            let owner = owner.unwrap_or_else(|| self.by_slug.get(&tenant.slug).copied());
            let before = self.by_id.get(&tenant.id).map(|tenant| &tenant.value.slug);
            if let Some(before) = slugs.insert(tenant.id, &tenant.slug).or(before) {
                written.insert(before, None);
            }
            written.insert(&tenant.slug, Some(tenant.id));
            owner.is_none_or(|owner| owner == tenant.id)
        })
    }

    fn put(&mut self, tenant: Tenant, revision: Revision, at: Timestamp) {
        let id = tenant.id;
        let slug = tenant.slug.clone();
        let written = match self.by_id.get(&id) {
            Some(before) => {
                self.by_slug.remove(&before.value.slug);
                before.replaced(tenant, revision, at)
            }
            None => Versioned::created(tenant, revision, at),
        };
        self.by_slug.insert(slug, id);
        self.by_id.insert(id, written);
    }
}

#[async_trait]
impl TenantStore for MemoryTenantStore {
    async fn revision(&self, _system: SystemScope) -> Result<Revision, StoreError> {
        Ok(self.read(|revision, _| revision))
    }

    async fn get(&self, _system: SystemScope, id: TenantId) -> Result<Option<Versioned<Tenant>>, StoreError> {
        Ok(self.read(|_, tenants| tenants.by_id.get(&id).cloned()))
    }

    async fn by_slug(
        &self,
        _system: SystemScope,
        slug: &Slug,
    ) -> Result<Option<Versioned<Tenant>>, StoreError> {
        Ok(self.read(|_, tenants| tenants.by_id.get(tenants.by_slug.get(slug)?).cloned()))
    }

    async fn list(
        &self,
        _system: SystemScope,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Tenant>>, StoreError> {
        let corrupt = |_| StoreError::new(StoreErrorKind::Corrupt, "memory", "list");
        let after = page.key().map(str::parse::<TenantId>).transpose().map_err(corrupt)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.read(|_, tenants| {
            let rest = tenants.by_id.range((from, Bound::Unbounded)).map(|(_, tenant)| tenant);
            Page::cut(rest, page, |tenant| tenant.value.id.to_string())
        }))
    }

    async fn apply(
        &self,
        _system: SystemScope,
        change: Change<TenantChange>,
    ) -> Result<Revision, StoreError> {
        let (revision, at) = (change.expected.next(), change.at);
        // What is checked here holds below too: nothing can be written in between, or the revision would not be the expected one.
        let refused = self.read(|revision, tenants| {
            if revision != change.expected {
                Some(StoreErrorKind::Conflict)
            } else if tenants.keep_slugs_apart(&change.changes) {
                None
            } else {
                Some(StoreErrorKind::AlreadyExists)
            }
        });
        if let Some(kind) = refused {
            return Err(StoreError::new(kind, "memory", "apply"));
        }
        let write = |tenants: &mut Tenants, TenantChange::Put(tenant): TenantChange| {
            tenants.put(tenant, revision, at)
        };
        let key = |TenantChange::Put(tenant): &TenantChange| tenant.id.to_string().into();
        self.records.apply("apply", Scope::Platform, change, write, key)
    }
}

#[async_trait]
impl ChangeFeed for MemoryTenantStore {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.records.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        self.records.arrived().await;
    }
}
