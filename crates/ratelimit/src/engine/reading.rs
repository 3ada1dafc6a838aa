//! How rules come into memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stanchion_core::{Scope, StoreError, StoreErrorKind, TenantId, Timestamp};

use super::Engine;
use super::plan::Rules;
use crate::Request;
use crate::snapshot::{Snapshot, Stage};

impl Engine {
    pub(super) fn try_rules_for(&self, stage: Stage, request: &Request<'_>, now: Timestamp) -> Option<Rules> {
        let platform = self.kept_platform(now)?;
        let own = match (stage, request.tenant) {
            (Stage::Inner, Some(tenant)) => Some(self.kept_tenant(tenant, now)?),
            _ => None,
        };
        Some(self.rules_of(platform, own))
    }

    pub(super) async fn rules_for(
        &self,
        stage: Stage,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Rules, StoreError> {
        if let Some(rules) = self.try_rules_for(stage, request, now) {
            return Ok(rules);
        }
        let platform = match self.kept_platform(now) {
            Some(platform) => platform,
            None => self.read_platform().await?,
        };
        let own = match (stage, request.tenant) {
            (Stage::Inner, Some(tenant)) => Some(self.read_tenant(tenant, now).await?),
            _ => None,
        };
        Ok(self.rules_of(platform, own))
    }

    fn rules_of(&self, platform: Arc<Snapshot>, own: Option<Arc<Snapshot>>) -> Rules {
        Rules { platform, own, load: self.load.applied(), leased_by: self.leased_by }
    }

    fn kept_platform(&self, now: Timestamp) -> Option<Arc<Snapshot>> {
        let kept = self.platform.load();
        kept.as_ref().filter(|snapshot| self.is_trusted(snapshot, now)).map(Arc::clone)
    }

    fn kept_tenant(&self, tenant: TenantId, now: Timestamp) -> Option<Arc<Snapshot>> {
        self.tenants
            .with(&tenant, now, |snapshot| self.is_trusted(snapshot, now).then(|| Arc::clone(snapshot)))
            .flatten()
    }

    fn is_trusted(&self, snapshot: &Snapshot, now: Timestamp) -> bool {
        let caught_up = Timestamp::from_micros(self.caught_up.load(Ordering::Relaxed));
        let max_stale = Duration::from_secs(self.config.max_stale_seconds.into());
        now.since(snapshot.as_of.max(caught_up)) <= max_stale
    }

    async fn read_platform(&self) -> Result<Arc<Snapshot>, StoreError> {
        let _turn = self.reading.lock().await;
        match self.kept_platform(self.clock.now()) {
            Some(snapshot) => Ok(snapshot),
            None => self.replace_platform().await,
        }
    }

    /// Reads the platform's rules anew. The caller holds `reading`.
    pub(super) async fn replace_platform(&self) -> Result<Arc<Snapshot>, StoreError> {
        let before = self.platform.load_full();
        let snapshot = self.read(Scope::Platform, before.as_deref()).await?;
        self.platform.store(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    async fn read_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<Arc<Snapshot>, StoreError> {
        let kept = self.tenants.with(&tenant, now, Arc::clone);
        if kept.as_ref().is_some_and(|snapshot| !self.is_trusted(snapshot, now)) {
            self.tenants.remove(&tenant);
        }
        let load =
            || async { Ok((self.read(Scope::Tenant(tenant), kept.as_deref()).await?, Timestamp::MAX)) };
        self.tenants.get_or_load(&tenant, &*self.clock, load).await
    }

    async fn read(&self, scope: Scope, before: Option<&Snapshot>) -> Result<Arc<Snapshot>, StoreError> {
        let as_of = self.clock.now();
        let (revision, rules) = self.rules.load(scope).await?;
        let compiled = Snapshot::compile(scope, revision, as_of, &rules, before);
        let corrupt = |invalid| {
            StoreError::new(StoreErrorKind::Corrupt, "ratelimit", "compile")
                .with_source(Box::new(invalid) as Box<_>)
        };
        compiled.map(Arc::new).map_err(corrupt)
    }
}
