mod challenges;
mod controls;
mod errands;
mod judging;
mod outage;
mod plan;
mod reading;
mod rules;
mod settling;
mod stats;
mod telling;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use stanchion_core::{Clock, EventSink, IdGen, Scope, StoreError, StoreErrorKind, TenantId, Timestamp};
use stanchion_replica::Cache;

pub use settling::RequestOutcome;
pub use stats::Stats;

use self::errands::Errands;
use self::judging::Shut;
use self::outage::Outage;
use self::plan::{Fallback, Plan, Sent, Violations};
use self::stats::Counts;
use self::telling::Listener;
use crate::snapshot::{Snapshot, Stage};
use crate::{
    Analytics, Call, CallId, ChallengeVerifier, Config, CounterStore, Decision, Error, Load, LoadSignal,
    MemoryCounterStore, Outcome, Request, RuleStore, Statistics, TimeSource,
};

/// Decides requests by the rules, and administers the rules.
///
/// Rules are decided from memory: the platform's are read once, a tenant's when it first comes, and both are replaced when they
/// change, here at once, from other replicas as a [`Follower`](stanchion_replica::Follower) of the rule store tells.
///
/// A decision is one call to the counters, all or nothing: a request that is refused has used up nothing anywhere.
///
/// What need not be waited for (leases that are given back, callers that are shut out, successes that clear a counter) is done at
/// once where the stores are memory, and else by [`run`](Engine::run), which the owner has to run.
pub struct Engine {
    rules: Arc<dyn RuleStore>,
    counters: Arc<dyn CounterStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    config: Config,
    store_time: bool,
    /// How many replicas take limits in chunks, if the counters do.
    leased_by: Option<NonZeroU32>,
    platform: ArcSwapOption<Snapshot>,
    /// Held while the platform's rules are read, so that what was read later is also kept later.
    reading: tokio::sync::Mutex<()>,
    tenants: Cache<TenantId, Arc<Snapshot>>,
    /// Up to when a follower has told of every change, in microseconds.
    caught_up: AtomicI64,
    /// Counts by itself while the counters cannot be reached.
    local: MemoryCounterStore,
    /// Who was shut out here and may not be known so elsewhere yet.
    shut: Shut,
    challenges: Option<Arc<dyn ChallengeVerifier>>,
    load: LoadSignal,
    analytics: Analytics,
    events: Option<Listener>,
    outage: Outage,
    errands: Errands,
    counts: Counts,
}

/// What is asked of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Decide,
    Peek,
    /// Decide, and remember for so long.
    Hold(Duration),
}

impl Ask {
    const fn hold(self) -> Option<Duration> {
        match self {
            Self::Hold(lasts) => Some(lasts),
            Self::Decide | Self::Peek => None,
        }
    }
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
            leased_by: counters.capabilities().leases.then_some(config.replicas),
            platform: ArcSwapOption::empty(),
            reading: tokio::sync::Mutex::new(()),
            tenants: Cache::new(config.cached_tenants),
            caught_up: AtomicI64::new(Timestamp::MIN.micros()),
            local: MemoryCounterStore::new(config.local_counters, Arc::clone(&clock)),
            shut: Shut::default(),
            challenges: None,
            load: LoadSignal::new(config.hysteresis),
            analytics: Analytics::new(config.analytics),
            events: None,
            outage: Outage::default(),
            errands: Errands::new(config.errands),
            counts: Counts::default(),
            rules,
            counters,
            clock,
            ids,
            config,
        }
    }

    /// Lets callers that a rule challenges (`captcha`) prove to `verifier` that they may go on.
    #[must_use]
    pub fn with_challenges(self, verifier: Arc<dyn ChallengeVerifier>) -> Self {
        Self { challenges: Some(verifier), ..self }
    }

    /// Tells `events` of violations and of counters that come near their limit, shadow rules' included, and when the counters cannot
    /// be reached and can be again. What is alike is [added up](crate::AnalyticsConfig::event_interval_seconds), so that a flood of
    /// refusals is no flood of events, and told by [`tell_due_events`](Engine::tell_due_events).
    #[must_use]
    pub fn with_events(self, events: Arc<dyn EventSink>) -> Self {
        Self { events: Some(Listener::new(events, &self.config.analytics)), ..self }
    }

    /// Returns what limits have done here: the latest violations, and who causes the most.
    #[must_use]
    pub const fn analytics(&self) -> &Analytics {
        &self.analytics
    }

    /// Returns what this replica's rules have decided: the platform's, and those of tenants whose rules are in memory.
    #[must_use]
    pub fn statistics(&self, scope: Option<Scope>) -> Statistics {
        let now = self.clock.now();
        let platform =
            self.platform.load_full().filter(|_| scope.is_none_or(|scope| scope == Scope::Platform));
        let tenant =
            scope.and_then(Scope::tenant).and_then(|tenant| self.tenants.with(&tenant, now, Arc::clone));
        let snapshots = [platform, tenant];
        Statistics::new(self.stats(), snapshots.iter().flatten().flat_map(|snapshot| snapshot.statistics()))
    }

    /// Tells how loaded the service is, and returns the load that adaptive limits shrink by: it rises at once and falls slowly.
    pub fn set_load(&self, load: Load) -> Load {
        self.load.set(load, self.clock.now())
    }

    /// Returns the load that adaptive limits shrink by now.
    #[must_use]
    pub fn load(&self) -> Load {
        self.load.applied()
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
        self.run_stage(Stage::Edge, Ask::Decide, request).await
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
        self.run_stage(Stage::Inner, Ask::Decide, request).await
    }

    /// Answers as a decision would, and counts nothing.
    ///
    /// # Errors
    /// As [`decide`](Engine::decide).
    pub async fn peek(&self, stage: Stage, request: &Request<'_>) -> Result<Decision, Error> {
        self.run_stage(stage, Ask::Peek, request).await
    }

    /// Returns how many decisions there were and how they ended.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            dropped_errands: self.errands.dropped(),
            failed_errands: self.errands.failed(),
            outages: self.outage.began(),
            outage_since: self.outage.since(),
            untold_events: self
                .events
                .as_ref()
                .map_or(0, Listener::untold)
                .saturating_add(self.analytics.near_limits().untold()),
            ..self.counts.read()
        }
    }

    fn try_run(&self, stage: Stage, request: &Request<'_>) -> Option<Decision> {
        let now = self.clock.now();
        let rules = self.try_rules_for(stage, request, now)?;
        if let Some(refused) = self.shut_out(&rules, request, now) {
            return Some(self.counted(refused));
        }
        let mut plan = Plan::new(rules, stage, request, now);
        if let Some(decision) = plan.settled() {
            return Some(self.counted(decision));
        }
        let sent = self.sent(&plan, Ask::Decide, request, now);
        let charges = plan.charges(request.cost);
        let call = Call { id: sent.id, ..Call::new(&charges, self.time(now)) };
        let outcome = self.counters.try_decide(plan.slot, &call)?;
        drop(charges);
        let decision = match checked(&plan, outcome) {
            Ok(outcome) => {
                self.note_answer(now);
                let violations = self.try_count_violations(&plan, &outcome, now);
                self.conclude(plan, sent, &outcome, &violations, request, now)
            }
            Err(failure) => self.conclude_without(plan, failure, request, now),
        };
        Some(self.counted(decision))
    }

    async fn run_stage(&self, stage: Stage, ask: Ask, request: &Request<'_>) -> Result<Decision, Error> {
        let now = self.clock.now();
        let rules = self.rules_for(stage, request, now).await?;
        let decision = match self.shut_out(&rules, request, now) {
            Some(refused) => refused,
            None => self.run_plan(Plan::new(rules, stage, request, now), ask, request, now).await,
        };
        Ok(if ask == Ask::Peek { decision } else { self.counted(decision) })
    }

    async fn run_plan(&self, mut plan: Plan, ask: Ask, request: &Request<'_>, now: Timestamp) -> Decision {
        if let Some(decision) = plan.settled() {
            return decision;
        }
        let sent = self.sent(&plan, ask, request, now);
        let outcome = self.ask(ask, &plan, sent, now).await;
        match checked(&plan, outcome) {
            Ok(outcome) if ask == Ask::Peek => {
                let judgement = plan.judge(&outcome, &Violations::new());
                plan.decision(judgement.verdict, &outcome, None)
            }
            Ok(outcome) => {
                self.note_answer(now);
                let violations = self.count_violations(&plan, &outcome, now).await;
                self.conclude(plan, sent, &outcome, &violations, request, now)
            }
            Err(failure) => self.conclude_without(plan, failure, request, now),
        }
    }

    async fn ask(&self, ask: Ask, plan: &Plan, sent: Sent, now: Timestamp) -> Result<Outcome, StoreError> {
        let charges = plan.charges(sent.cost);
        let call = Call { id: sent.id, hold: sent.hold, ..Call::new(&charges, self.time(now)) };
        match ask {
            Ask::Decide | Ask::Hold(_) => match self.counters.try_decide(plan.slot, &call) {
                Some(outcome) => outcome,
                None => self.counters.decide(plan.slot, &call).await,
            },
            Ask::Peek => self.counters.peek(plan.slot, &call).await,
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
        self.note_failure(failure, now);
        let (decision, failed_open) = match plan.fall_back(self.config.replicas.get()) {
            Fallback::Refused(verdict) => (Decision { verdict, ..Decision::admitted() }, false),
            Fallback::Local { failed_open } if plan.is_empty() => (Decision::admitted(), failed_open),
            Fallback::Local { failed_open } => (self.decide_locally(plan, request, now), failed_open),
        };
        Decision { failed_open, backend_failure: Some(failure), ..decision }
    }

    /// How the counters are to be asked: under a name of its own where something has to be found again.
    fn sent(&self, plan: &Plan, ask: Ask, request: &Request<'_>, now: Timestamp) -> Sent {
        let hold = ask.hold();
        let needs_id = plan.needs_id() || hold.is_some();
        let id = if needs_id { CallId::new(self.ids.uuid(now).as_u128()) } else { CallId::default() };
        Sent { id, hold, cost: request.cost, local: false }
    }

    fn counted(&self, decision: Decision) -> Decision {
        self.counts.add(&decision);
        decision
    }

    fn time(&self, now: Timestamp) -> Option<Timestamp> {
        if self.store_time { None } else { Some(now) }
    }
}

/// An answer that does not belong to the question is a failure of the store.
fn checked(plan: &Plan, outcome: Result<Outcome, StoreError>) -> Result<Outcome, StoreErrorKind> {
    let outcome = outcome.map_err(|error| error.kind())?;
    plan.belongs(&outcome)?;
    Ok(outcome)
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
