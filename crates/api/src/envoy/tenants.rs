use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Clock, Slug, TenantId};
use stanchion_replica::Cache;
use stanchion_tenancy::{Engine, Error};

use super::config::TenantName;

/// How many slugs are kept in memory.
const KEPT: usize = 10_000;
/// How long a slug is taken to be nobody's after it was looked for.
const UNKNOWN: Duration = Duration::from_secs(10);
/// How long a slug is kept: a tenant keeps its slug for ever, but not every store is for ever.
const KNOWN: Duration = Duration::from_secs(600);

/// Finds tenants by the names that configurations and descriptors have for them.
#[derive(Debug)]
pub(super) struct Tenants {
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    slugs: Cache<Slug, Option<TenantId>>,
}

impl Tenants {
    pub(super) fn new(engine: Arc<Engine>, clock: Arc<dyn Clock>) -> Self {
        Self { engine, clock, slugs: Cache::new(KEPT) }
    }

    /// Finds a tenant, from memory where it is known there. `None` when there is none of the name.
    pub(super) async fn find(&self, name: &TenantName) -> Result<Option<TenantId>, Error> {
        match name {
            TenantName::Id(id) => {
                let status = match self.engine.try_status(*id) {
                    Some(status) => status,
                    None => self.engine.status(*id).await?,
                };
                Ok(status.map(|_| *id))
            }
            TenantName::Slug(slug) => self.by_slug(slug).await,
        }
    }

    async fn by_slug(&self, slug: &Slug) -> Result<Option<TenantId>, Error> {
        let load = || async {
            let found = self.engine.by_slug(slug).await?;
            let lasts = if found.is_some() { KNOWN } else { UNKNOWN };
            Ok((found.map(|tenant| tenant.value.id), self.clock.now().plus(lasts)))
        };
        self.slugs.get_or_load(slug, &*self.clock, load).await
    }
}
