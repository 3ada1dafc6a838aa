mod plan;
mod rules;
mod stats;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use stanchion_core::{Clock, IdGen, Scope, StoreError, StoreErrorKind, TenantId, Timestamp};
use stanchion_replica::Cache;

pub use stats::Stats;

use self::plan::{Fallback, Plan, Rules};
use self::stats::Counts;
use crate::snapshot::{Snapshot, Stage};
use crate::{
    Call, Config, CounterStore, Decision, Error, MemoryCounterStore, Outcome, Request, RuleStore, TimeSource,
};

/// Decides requests by the rules, and administers the rules.
///
/// Rules are decided from memory: the platform's are read once, a tenant's when it first comes, and both are replaced when they
/// change, here at once, from other replicas as a [`Follower`](stanchion_replica::Follower) of the rule store tells.
///
/// A decision is one call to the counters, all or nothing: a request that is refused has used up nothing anywhere.
pub struct Engine {
    rules: Arc<dyn RuleStore>,
    counters: Arc<dyn CounterStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    config: Config,
    store_time: bool,
    platform: ArcSwapOption<Snapshot>,
    /// Held while the platform's rules are read, so that what was read later is also kept later.
    reading: tokio::sync::Mutex<()>,
    tenants: Cache<TenantId, Arc<Snapshot>>,
    /// Up to when a follower has told of every change, in microseconds.
    caught_up: AtomicI64,
    /// Counts by itself while the counters cannot be reached.
    local: MemoryCounterStore,
    counts: Counts,
}

/// What is asked of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Decide,
    Peek,
}

impl Engine {
    /// Sets up an engine; see [`Config::validate`] for what the configuration may be.
    #[must_use]
    pub fn new(
        rules: Arc<dyn RuleStore>,
        counters: Arc<dyn CounterStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGen>,
        config: Config,
    ) -> Self {
        let store_time = match config.time {
            Some(source) => source == TimeSource::Store,
            None => counters.capabilities().shared,
        };
        Self {
            store_time,
            platform: ArcSwapOption::empty(),
            reading: tokio::sync::Mutex::new(()),
            tenants: Cache::new(config.cached_tenants),
            caught_up: AtomicI64::new(Timestamp::MIN.micros()),
            local: MemoryCounterStore::new(config.local_counters, Arc::clone(&clock)),
            counts: Counts::default(),
            rules,
            counters,
            clock,
            ids,
            config,
        }
    }

    /// Decides, before authentication, by the platform's rules that count by address, by endpoint or over everyone. `None` when that
    /// needs waiting: then ask [`decide_edge`](Engine::decide_edge).
    #[must_use]
    pub fn try_decide_edge(&self, request: &Request<'_>) -> Option<Decision> {
        self.try_run(Stage::Edge, request)
    }

    /// Decides, before authentication, by the platform's rules that count by address, by endpoint or over everyone.
    ///
    /// # Errors
    /// [`Error::Store`] when the rules cannot be read. When the counters cannot be reached the rules say what that means.
    pub async fn decide_edge(&self, request: &Request<'_>) -> Result<Decision, Error> {
        self.run(Stage::Edge, Ask::Decide, request).await
    }

    /// Decides, after authentication, by the platform's other rules and the tenant's own, together. `None` when that needs waiting:
    /// then ask [`decide`](Engine::decide).
    #[must_use]
    pub fn try_decide(&self, request: &Request<'_>) -> Option<Decision> {
        self.try_run(Stage::Inner, request)
    }

    /// Decides, after authentication, by the platform's other rules and the tenant's own, together.
    ///
    /// # Errors
    /// [`Error::Store`] when the rules cannot be read. When the counters cannot be reached the rules say what that means.
    pub async fn decide(&self, request: &Request<'_>) -> Result<Decision, Error> {
        self.run(Stage::Inner, Ask::Decide, request).await
    }

    /// Answers as a decision would, and counts nothing.
    ///
    /// # Errors
    /// As [`decide`](Engine::decide).
    pub async fn peek(&self, stage: Stage, request: &Request<'_>) -> Result<Decision, Error> {
        self.run(stage, Ask::Peek, request).await
    }

    /// Forgets what the counters of a request have counted: after a successful log-in, or for a caller who was wronged.
    ///
    /// # Errors
    /// [`Error::Store`] when the rules cannot be read or the counters cannot be reached; some may have been forgotten then.
    pub async fn reset(&self, stage: Stage, request: &Request<'_>) -> Result<(), Error> {
        let now = self.clock.now();
        let plan = Plan::new(self.rules_for(stage, request, now).await?, stage, request, now);
        for charge in plan.charges(request.cost) {
            self.counters.reset(plan.slot, charge.key).await?;
        }
        Ok(())
    }

    /// Returns how many decisions there were and how they ended.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counts.read()
    }

    fn try_run(&self, stage: Stage, request: &Request<'_>) -> Option<Decision> {
        let now = self.clock.now();
        let mut plan = Plan::new(self.try_rules_for(stage, request, now)?, stage, request, now);
        if let Some(decision) = plan.settled() {
            return Some(self.counted(decision));
        }
        let outcome =
            self.counters.try_decide(plan.slot, &Call::new(&plan.charges(request.cost), self.time(now)))?;
        Some(self.counted(self.conclude(plan, outcome, request, now)))
    }

    async fn run(&self, stage: Stage, ask: Ask, request: &Request<'_>) -> Result<Decision, Error> {
        let now = self.clock.now();
        let mut plan = Plan::new(self.rules_for(stage, request, now).await?, stage, request, now);
        let decision = match plan.settled() {
            Some(decision) => decision,
            None => {
                let outcome = self.ask(ask, &plan, request, now).await;
                self.conclude(plan, outcome, request, now)
            }
        };
        Ok(if ask == Ask::Decide { self.counted(decision) } else { decision })
    }

    async fn ask(
        &self,
        ask: Ask,
        plan: &Plan,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let charges = plan.charges(request.cost);
        let call = Call::new(&charges, self.time(now));
        match ask {
            Ask::Decide => match self.counters.try_decide(plan.slot, &call) {
                Some(outcome) => outcome,
                None => self.counters.decide(plan.slot, &call).await,
            },
            Ask::Peek => self.counters.peek(plan.slot, &call).await,
        }
    }

    fn conclude(
        &self,
        plan: Plan,
        outcome: Result<Outcome, StoreError>,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Decision {
        let outcome = outcome.map_err(|error| error.kind());
        match outcome.and_then(|outcome| Ok((plan.verdict(&outcome)?, outcome))) {
            Ok((verdict, outcome)) => plan.decision(verdict, &outcome),
            Err(failure) => self.conclude_without(plan, failure, request, now),
        }
    }

    /// Decides when the counters cannot be asked: as the rules say.
    fn conclude_without(
        &self,
        mut plan: Plan,
        failure: StoreErrorKind,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Decision {
        let (decision, failed_open) = match plan.fall_back(self.config.replicas.get()) {
            Fallback::Refused(verdict) => (Decision { verdict, ..Decision::admitted() }, false),
            Fallback::Local { failed_open } if plan.is_empty() => (Decision::admitted(), failed_open),
            Fallback::Local { failed_open } => {
                let local = self.local.charge(plan.slot, &Call::new(&plan.charges(request.cost), Some(now)));
                let concluded = local.ok().and_then(|outcome| Some((plan.verdict(&outcome).ok()?, outcome)));
                let decision = match concluded {
                    Some((verdict, outcome)) => plan.decision(verdict, &outcome),
                    None => Decision { verdict: plan.refused(), ..Decision::admitted() },
                };
                (decision, failed_open)
            }
        };
        Decision { failed_open, backend_failure: Some(failure), ..decision }
    }

    fn counted(&self, decision: Decision) -> Decision {
        self.counts.add(&decision);
        decision
    }

    fn time(&self, now: Timestamp) -> Option<Timestamp> {
        if self.store_time { None } else { Some(now) }
    }
}

/// How rules come into memory.
impl Engine {
    fn try_rules_for(&self, stage: Stage, request: &Request<'_>, now: Timestamp) -> Option<Rules> {
        let platform = self.kept_platform(now)?;
        let own = match (stage, request.tenant) {
            (Stage::Inner, Some(tenant)) => Some(self.kept_tenant(tenant, now)?),
            _ => None,
        };
        Some(Rules { platform, own })
    }

    async fn rules_for(
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
        Ok(Rules { platform, own })
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
    async fn replace_platform(&self) -> Result<Arc<Snapshot>, StoreError> {
        let snapshot = self.read(Scope::Platform).await?;
        self.platform.store(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    async fn read_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<Arc<Snapshot>, StoreError> {
        let distrusted = self.tenants.with(&tenant, now, |snapshot| !self.is_trusted(snapshot, now));
        if distrusted == Some(true) {
            self.tenants.remove(&tenant);
        }
        let load = || async { Ok((self.read(Scope::Tenant(tenant)).await?, Timestamp::MAX)) };
        self.tenants.get_or_load(&tenant, &*self.clock, load).await
    }

    async fn read(&self, scope: Scope) -> Result<Arc<Snapshot>, StoreError> {
        let as_of = self.clock.now();
        let (revision, rules) = self.rules.load(scope).await?;
        let compiled = Snapshot::compile(scope, revision, as_of, &rules);
        let corrupt = |invalid| {
            StoreError::new(StoreErrorKind::Corrupt, "ratelimit", "compile")
                .with_source(Box::new(invalid) as Box<_>)
        };
        compiled.map(Arc::new).map_err(corrupt)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("rules", &self.rules)
            .field("counters", &self.counters)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
