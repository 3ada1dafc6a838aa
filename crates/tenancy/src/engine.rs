use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Author, Change, Clock, Details, Event, FeedEntry, FieldChange, IdGen, Page, PageRequest, ResourceRef,
    Revision, Scope, Severity, Slug, StoreError, StoreErrorKind, SystemScope, TenantId, Text, Timestamp,
    Versioned,
};
use stanchion_replica::{Cache, Follow};

use crate::{
    Config, Error, NewTenant, Tenant, TenantChange, TenantStatus, TenantStore, TenantUpdate, Transition,
};

const STATUS: SystemScope = SystemScope::new("tenant status of a request");
const ADMINISTRATION: SystemScope = SystemScope::new("tenant administration");
/// How often a write is tried when others write at the same time; each try that fails means that another has succeeded.
const TRIES: u32 = 64;

/// Administers tenants and tells whether one is served.
///
/// Statuses are answered from a bounded cache. What this engine writes it answers right after; what others write it answers once it has
/// [followed](Follow) the change. While the store cannot be followed, what is in memory is answered for [`Config::max_stale_seconds`].
#[derive(Debug)]
pub struct Engine {
    store: Arc<dyn TenantStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    config: Config,
    statuses: Cache<TenantId, Option<TenantStatus>>,
}

impl Engine {
    /// Sets up an engine over a store. Settings out of their range are for [`Config::validate`] to refuse.
    #[must_use]
    pub fn new(
        store: Arc<dyn TenantStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGen>,
        config: Config,
    ) -> Self {
        Self { store, clock, ids, config, statuses: Cache::new(config.cached_tenants) }
    }

    /// Answers from memory where a tenant stands. `None` when memory does not know and [`Engine::status`] has to be awaited;
    /// `Some(None)` when there is no such tenant, so that nothing is served.
    #[must_use]
    pub fn try_status(&self, id: TenantId) -> Option<Option<TenantStatus>> {
        self.statuses.get(&id, self.clock.now())
    }

    /// Returns where a tenant stands, from memory or from the store. `None` when there is no such tenant, so that nothing is served.
    ///
    /// However many ask at once, the store is read once. How long to wait for it is the caller's to bound: the future may be dropped.
    ///
    /// # Errors
    /// [`Error::Store`] when memory does not know and the store cannot be read.
    pub async fn status(&self, id: TenantId) -> Result<Option<TenantStatus>, Error> {
        let load = || async {
            let read_at = self.clock.now();
            let status = self.store.get(STATUS, id).await?.map(|tenant| tenant.value.status);
            Ok((status, read_at.plus(self.config.lifetime(status.is_some()))))
        };
        self.statuses.get_or_load(&id, &*self.clock, load).await.map_err(Error::Store)
    }

    /// Finds a tenant.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn get(&self, id: TenantId) -> Result<Option<Versioned<Tenant>>, Error> {
        Ok(self.store.get(ADMINISTRATION, id).await?)
    }

    /// Finds the tenant with a slug.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn by_slug(&self, slug: &Slug) -> Result<Option<Versioned<Tenant>>, Error> {
        Ok(self.store.by_slug(ADMINISTRATION, slug).await?)
    }

    /// Lists tenants, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read, or the page begins after a key that is none of its own.
    pub async fn list(&self, page: &PageRequest) -> Result<Page<Versioned<Tenant>>, Error> {
        Ok(self.store.list(ADMINISTRATION, page).await?)
    }

    /// Creates a tenant. It is active at once.
    ///
    /// # Errors
    /// [`Error::SlugTaken`] when another tenant has the slug; [`Error::Store`].
    pub async fn create(&self, author: &Author, new: NewTenant) -> Result<Versioned<Tenant>, Error> {
        let NewTenant { slug, name, tier } = new;
        let id = self.ids.tenant_id(self.clock.now());
        let tenant = Tenant { id, slug, name, status: TenantStatus::Active, tier };
        let mut tries = 1;
        loop {
            let expected = self.store.revision(ADMINISTRATION).await?;
            if self.store.by_slug(ADMINISTRATION, &tenant.slug).await?.is_some() {
                return Err(Error::SlugTaken(tenant.slug));
            }
            let at = self.clock.now();
            let event = self
                .event(author, at, "tenant.create", id)
                .with_detail("slug", tenant.slug.to_string())
                .with_detail("name", tenant.name.text().clone())
                .with_detail("tier", tenant.tier.to_string());
            match self.commit(author, expected, at, tenant.clone(), event).await {
                Err(error) if is_conflict(&error) && tries < TRIES => tries += 1,
                written => return Ok(Versioned::created(tenant, written?, at)),
            }
        }
    }

    /// Changes a tenant's name or tier. With `expected` it does so only if the tenant is still at that revision. An update that
    /// changes nothing writes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`]; [`Error::Stale`] when the tenant has moved on from `expected`; [`Error::Store`].
    pub async fn update(
        &self,
        author: &Author,
        id: TenantId,
        update: TenantUpdate,
        expected: Option<Revision>,
    ) -> Result<Versioned<Tenant>, Error> {
        self.change(author, id, expected, |before, _| {
            let mut tenant = before.clone();
            if let Some(name) = &update.name {
                tenant.name.clone_from(name);
            }
            if let Some(tier) = &update.tier {
                tenant.tier.clone_from(tier);
            }
            Ok((tenant != *before).then_some(tenant))
        })
        .await
    }

    /// Stops serving a tenant. `reason` is recorded.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`]; [`Error::IllegalTransition`] when it is not active; [`Error::Store`].
    pub async fn suspend(
        &self,
        author: &Author,
        id: TenantId,
        reason: impl Into<Text>,
    ) -> Result<Versioned<Tenant>, Error> {
        self.step(author, id, Transition::Suspend, reason.into()).await
    }

    /// Serves a suspended tenant again. `reason` is recorded.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`]; [`Error::IllegalTransition`] when it is not suspended; [`Error::Store`].
    pub async fn resume(
        &self,
        author: &Author,
        id: TenantId,
        reason: impl Into<Text>,
    ) -> Result<Versioned<Tenant>, Error> {
        self.step(author, id, Transition::Resume, reason.into()).await
    }

    async fn step(
        &self,
        author: &Author,
        id: TenantId,
        transition: Transition,
        reason: Text,
    ) -> Result<Versioned<Tenant>, Error> {
        self.change(author, id, None, |before, event| {
            event.action = transition.action().into();
            event.severity = Severity::Notice;
            event.details.push("reason", reason.clone());
            Ok(Some(Tenant { status: before.status.after(transition)?, ..before.clone() }))
        })
        .await
    }

    /// Reads a tenant, lets `rule` make the new one and complete the event, and writes it; again from the start when others wrote
    /// meanwhile.
    async fn change(
        &self,
        author: &Author,
        id: TenantId,
        expected: Option<Revision>,
        rule: impl Fn(&Tenant, &mut Event) -> Result<Option<Tenant>, Error>,
    ) -> Result<Versioned<Tenant>, Error> {
        let mut tries = 1;
        loop {
            let revision = self.store.revision(ADMINISTRATION).await?;
            let before = self.store.get(ADMINISTRATION, id).await?.ok_or(Error::UnknownTenant(id))?;
            if let Some(expected) = expected.filter(|expected| *expected != before.revision) {
                return Err(Error::Stale { expected, actual: before.revision });
            }
            let at = self.clock.now();
            let mut event = self.event(author, at, "tenant.update", id);
            let Some(tenant) = rule(&before.value, &mut event)? else { return Ok(before) };
            event.changes = FieldChange::between(&changeable(&before.value), &changeable(&tenant));
            match self.commit(author, revision, at, tenant.clone(), event).await {
                Err(error) if is_conflict(&error) && tries < TRIES => tries += 1,
                written => return Ok(before.replaced(tenant, written?, at)),
            }
        }
    }

    /// Writes a tenant and its event.
    async fn commit(
        &self,
        author: &Author,
        expected: Revision,
        at: Timestamp,
        tenant: Tenant,
        event: Event,
    ) -> Result<Revision, Error> {
        let id = tenant.id;
        // Dropped at any await, or failed without an answer, the change may have been written all the same.
        let forget = Forget { statuses: &self.statuses, id };
        let change = Change {
            expected,
            changes: vec![TenantChange::Put(tenant)],
            at,
            actor: author.actor.clone(),
            events: vec![event],
        };
        let revision = self.store.apply(ADMINISTRATION, change).await?;
        drop(forget);
        // Read again rather than remembered: of two writers the later one need not come here last. If it cannot be read now, the next
        // request reads it.
        drop(self.status(id).await);
        Ok(revision)
    }

    fn event(&self, author: &Author, at: Timestamp, action: &'static str, id: TenantId) -> Event {
        let mut event = author.event(&*self.ids, at, Scope::Platform, action);
        event.targets.extend(ResourceRef::new("tenant", id.to_string()));
        event
    }
}

#[async_trait]
impl Follow for Engine {
    async fn changed(&self, entries: &[FeedEntry]) -> Result<(), StoreError> {
        for key in entries.iter().flat_map(|entry| &entry.keys) {
            match key.parse() {
                Ok(id) => self.statuses.remove::<TenantId>(&id),
                Err(_) => self.statuses.clear(),
            }
        }
        Ok(())
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.statuses.clear();
        Ok(())
    }

    fn caught_up(&self, as_of: Timestamp) {
        self.statuses.trust_until(as_of.plus(self.config.lifetime(true)));
    }
}

/// Forgets a tenant's status when it goes out of scope.
struct Forget<'a> {
    statuses: &'a Cache<TenantId, Option<TenantStatus>>,
    id: TenantId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.statuses.remove(&self.id);
    }
}

/// What may change of a tenant.
fn changeable(tenant: &Tenant) -> Details {
    let Tenant { name, status, tier, .. } = tenant;
    let (name, status, tier) = (name.text().clone(), status.as_str().into(), tier.shared().into());
    Details::from_iter([("name", name), ("status", status), ("tier", tier)])
}

fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Store(error) if error.kind() == StoreErrorKind::Conflict)
}
