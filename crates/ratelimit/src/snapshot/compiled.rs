use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use stanchion_calendar::{Unit, Window, Zone};
use stanchion_core::{Scope, TenantId, Timestamp};

use crate::key::{KeyBytes, KeyPrefix, write_key};
use crate::{
    Action, Adaptive, Algorithm, Condition, Edges, Frame, InvalidRule, KeySpec, Lease, Limit, Mode,
    OnBackendFailure, OnMissingIdentifier, Override, Rule, RuleCounters, RuleId, RuleLease, Rung,
};

/// A rule with everything precomputed that a decision needs.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(crate) id: RuleId,
    pub(crate) scope: Scope,
    pub(crate) key: KeySpec,
    pub(crate) prefix: KeyPrefix,
    pub(crate) mode: Mode,
    pub(crate) action: Action,
    pub(crate) ladder: Vec<Rung>,
    pub(crate) ladder_window: Option<Limit>,
    pub(crate) quarantine: Duration,
    pub(crate) priority: i32,
    pub(crate) shadow: bool,
    pub(crate) charge_denied: bool,
    pub(crate) lease: Option<Lease>,
    pub(crate) adaptive: Option<Adaptive>,
    pub(crate) reset_on_success: bool,
    /// Whether a delay means that the limit was exceeded, and not that it is somebody's turn in a queue.
    pub(crate) throttles: bool,
    /// Whether a charge is a lease, given back when its work has ended.
    pub(crate) leases: bool,
    pub(crate) on_missing: OnMissingIdentifier,
    pub(crate) on_backend_failure: OnBackendFailure,
    /// What it has decided, under whatever revision.
    pub(crate) counters: Arc<RuleCounters>,
    meter: Meter,
    pub(super) conditions: Vec<Condition>,
    /// Other limits, by whom they are for: the tenant, where it is for one alone, and what the rule counts by.
    overrides: HashMap<(Option<TenantId>, Box<[u8]>), Overridden>,
    /// Whether several routes, labels or values can each lead to it.
    pub(super) many_ways: bool,
}

#[derive(Debug)]
struct Overridden {
    meter: Meter,
    expires_at: Timestamp,
}

#[derive(Debug)]
enum Meter {
    /// The same numbers at all times, with the length of the window in seconds.
    Steady(Limit, u64),
    /// Windows of the calendar, looked up once per window.
    Calendar {
        limit: fn(u64, Frame) -> Option<Limit>,
        capacity: u64,
        window: Window,
        zone: Zone,
        current: ArcSwap<Edges>,
    },
}

impl CompiledRule {
    pub(crate) fn compile(
        scope: Scope,
        rule: &Rule,
        prefix: KeyPrefix,
        now: Timestamp,
    ) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule::one(&rule.id, "limit", "is out of range");
        let meter = Meter::compile(rule, now).ok_or_else(invalid)?;
        let observed = rule.shadow || rule.action == Action::Allow;
        Ok(Self {
            id: rule.id.clone(),
            scope,
            key: rule.key,
            prefix,
            mode: if observed { Mode::Observe } else { Mode::Enforce },
            action: rule.action,
            ladder: rule.ladder.clone(),
            ladder_window: rule.counted_ladder(),
            quarantine: Duration::from_secs(rule.quarantine_seconds.into()),
            priority: rule.priority,
            shadow: rule.shadow,
            charge_denied: rule.charge_denied,
            lease: rule.lease.and_then(RuleLease::lease),
            adaptive: rule.adaptive,
            reset_on_success: rule.reset_on_success,
            throttles: rule.action == Action::Throttle && rule.algorithm != Algorithm::LeakyQueue,
            leases: rule.algorithm == Algorithm::Concurrency,
            on_missing: rule.on_missing_identifier,
            on_backend_failure: rule.on_backend_failure,
            counters: Arc::new(RuleCounters::new()),
            meter,
            conditions: rule.conditions.clone(),
            overrides: HashMap::new(),
            many_ways: rule.routes.len() + rule.labels.len() > 1
                || rule.indexed_condition().is_some_and(|(_, values)| values.len() > 1),
        })
    }

    /// Returns what the rule does at so many violations: the action of the highest rung that is reached.
    pub(crate) fn action_after(&self, violations: u64) -> Action {
        let reached = self.ladder.iter().rev().find(|rung| u64::from(rung.violations) <= violations);
        reached.map_or(self.action, |rung| rung.action)
    }

    /// Takes another limit for one caller; one that does not fit the rule any more has no effect.
    pub(super) fn override_for(&mut self, rule: &Rule, control: &Override, now: Timestamp) {
        let limited = Rule { limit: control.limit, burst: control.burst, ..rule.clone() };
        let mut name = KeyBytes::new();
        let request = control.identifiers.as_request();
        let written = write_key(self.key, OnMissingIdentifier::Deny, &request, &mut name);
        let (Ok(()), Ok(()), Some(meter)) = (limited.validate(), written, Meter::compile(&limited, now))
        else {
            return;
        };
        let expires_at = control.expires_at.unwrap_or(Timestamp::MAX);
        self.overrides.insert((control.identifiers.tenant, (*name).into()), Overridden { meter, expires_at });
    }

    /// Returns the limit for a caller, by what the rule counts by, and the length of the window in seconds.
    pub(crate) fn limit_for(
        &self,
        tenant: Option<TenantId>,
        caller: &[u8],
        now: Timestamp,
    ) -> Option<(Limit, u64)> {
        if !self.overrides.is_empty() {
            let find = |tenant| self.overrides.get(&(tenant, Box::from(caller)));
            let found = tenant.and_then(|tenant| find(Some(tenant))).or_else(|| find(None));
            if let Some(found) = found.filter(|found| now < found.expires_at) {
                return found.meter.limit_at(now);
            }
        }
        self.meter.limit_at(now)
    }
}

impl Meter {
    fn compile(rule: &Rule, now: Timestamp) -> Option<Self> {
        let capacity = rule.limit.checked_add(rule.burst)?;
        let windows = match rule.algorithm {
            Algorithm::FixedWindow => Limit::fixed_window,
            Algorithm::SlidingWindow => Limit::sliding_window,
            _ => return Self::steady(rule, capacity),
        };
        if is_steady(rule) {
            let seconds = rule.window.nominal_seconds()?;
            let length = NonZeroU64::new(seconds.checked_mul(1_000_000)?)?;
            return Some(Self::Steady(windows(capacity, Frame::Every(length))?, seconds));
        }
        let edges = Edges::around(rule.window, now, rule.zone);
        // The numbers are the same in every window, so what is wrong with them is found here.
        windows(capacity, Frame::Calendar(edges))?;
        let current = ArcSwap::from_pointee(edges);
        Some(Self::Calendar { limit: windows, capacity, window: rule.window, zone: rule.zone, current })
    }

    fn steady(rule: &Rule, capacity: u64) -> Option<Self> {
        let seconds = rule.window.nominal_seconds()?;
        let window = Duration::from_secs(seconds);
        let limit = match rule.algorithm {
            Algorithm::TokenBucket => Limit::token_bucket(capacity, rule.limit, seconds),
            Algorithm::Gcra => Limit::gcra(rule.limit, rule.burst, seconds),
            Algorithm::LeakyBucket => Limit::leaky_bucket(capacity, rule.limit, seconds),
            Algorithm::LeakyQueue => Limit::leaky_queue(rule.burst, rule.limit, seconds),
            Algorithm::SlidingLog => Limit::sliding_log(capacity, window),
            Algorithm::Concurrency => Limit::concurrency(capacity, window),
            Algorithm::FixedWindow | Algorithm::SlidingWindow => None,
        };
        let limit = match limit? {
            Limit::Level(level) if rule.action == Action::Throttle => {
                Limit::Level(level.with_delay(Duration::from_millis(rule.max_delay_ms.into())))
            }
            limit => limit,
        };
        Some(Self::Steady(limit, seconds))
    }

    fn limit_at(&self, now: Timestamp) -> Option<(Limit, u64)> {
        match self {
            Self::Steady(limit, seconds) => Some((*limit, *seconds)),
            Self::Calendar { limit, capacity, window, zone, current } => {
                let mut edges = **current.load();
                if !edges.is_current(now) {
                    edges = Edges::around(*window, now, *zone);
                    current.store(Arc::new(edges));
                }
                let [_, start, end, _] = edges.instants();
                Some((limit(*capacity, Frame::Calendar(edges))?, end.since(start).as_secs()))
            }
        }
    }
}

/// Whether the windows of a rule are all equally long and counted from 1970, so that the store can find them by itself.
fn is_steady(rule: &Rule) -> bool {
    match rule.window.unit() {
        Unit::Second | Unit::Minute | Unit::Hour => true,
        Unit::Day => rule.zone == Zone::UTC && rule.window.size().get() == 1,
        Unit::Month => false,
    }
}
