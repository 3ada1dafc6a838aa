use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use smallvec::SmallVec;
use stanchion_calendar::{Unit, Window, Zone};
use stanchion_core::{Revision, Scope, Slug, TenantId, Text, Timestamp, Versioned};

use crate::identifiers::ByIdentifiers;
use crate::key::{KeyBytes, KeyPrefix, write_key};
use crate::{
    Action, Adaptive, Algorithm, Condition, Control, Edges, FixedWindow, Frame, InvalidRule, Kernel, KeySpec,
    Lease, Limit, Mode, OnBackendFailure, OnMissingIdentifier, Override, Quarantine, Request, Reset, Rule,
    RuleCounters, RuleId, RuleLease, RuleSet, RuleStatistics, Rung, StoredRule,
};

/// The rules of one scope at one revision, compiled. It never changes; a write makes another.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) revision: Revision,
    /// When it was read. Nothing later is known of it.
    pub(crate) as_of: Timestamp,
    rules: Vec<CompiledRule>,
    edge: Index,
    inner: Index,
    quarantines: ByIdentifiers<Quarantined>,
    /// When the counters of single callers were reset last.
    resets: ByIdentifiers<Revision>,
}

/// A quarantine in force, as far as decisions need it.
#[derive(Clone, Debug)]
pub(crate) struct Quarantined {
    pub(crate) until: Timestamp,
    pub(crate) rule: Option<RuleId>,
    /// Whose it is: the platform's or a tenant's own.
    pub(crate) scope: Scope,
}

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before authentication: the platform's rules that need nobody's name.
    Edge,
    /// After it: all others.
    Inner,
}

/// The place of a rule in its snapshot.
pub(crate) type RuleIndex = u32;

/// Which rules to ask, by what selects them: a request costs as much as the rules that are for it.
#[derive(Debug, Default)]
struct Index {
    any: Vec<RuleIndex>,
    by_route: HashMap<Slug, Vec<RuleIndex>>,
    by_label: HashMap<Slug, Vec<RuleIndex>>,
    /// Rules for every route, by the values that an attribute must have.
    by_value: HashMap<Text, HashMap<Text, Vec<RuleIndex>>>,
}

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
    conditions: Vec<Condition>,
    /// Other limits, by whom they are for: the tenant, where it is for one alone, and what the rule counts by.
    overrides: HashMap<(Option<TenantId>, Box<[u8]>), Overridden>,
    /// Whether several routes, labels or values can each lead to it.
    many_ways: bool,
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

impl Snapshot {
    pub(crate) fn compile(
        scope: Scope,
        revision: Revision,
        as_of: Timestamp,
        set: &RuleSet,
        before: Option<&Self>,
    ) -> Result<Self, InvalidRule> {
        let mut snapshot = Self {
            revision,
            as_of,
            rules: Vec::new(),
            edge: Index::default(),
            inner: Index::default(),
            quarantines: ByIdentifiers::default(),
            resets: ByIdentifiers::default(),
        };
        let known: HashMap<&RuleId, &Arc<RuleCounters>> =
            before.iter().flat_map(|before| &before.rules).map(|rule| (&rule.id, &rule.counters)).collect();
        let (mut overrides, mut reset) = (HashMap::<&RuleId, Vec<&Override>>::new(), Revision::ZERO);
        for control in set.controls.iter().map(|stored| &stored.value).filter(|one| one.is_in_force(as_of)) {
            match control {
                Control::Override(control) => overrides.entry(&control.rule).or_default().push(control),
                Control::Quarantine(Quarantine { identifiers, until, rule, .. }) => {
                    let rule = rule.clone();
                    snapshot.quarantines.insert(identifiers, Quarantined { until: *until, rule, scope });
                }
                Control::Reset(Reset { identifiers: None, epoch, .. }) => reset = *epoch,
                Control::Reset(Reset { identifiers: Some(identifiers), epoch, .. }) => {
                    snapshot.resets.insert(identifiers, *epoch);
                }
            }
        }
        for Versioned { value: StoredRule { rule, epoch }, .. } in &set.rules {
            if !rule.enabled {
                continue;
            }
            rule.validate()?;
            let at = RuleIndex::try_from(snapshot.rules.len())
                .map_err(|_| InvalidRule::one(&rule.id, "id", "too many rules"))?;
            let prefix = KeyPrefix::new(scope, *epoch, reset);
            let mut compiled = CompiledRule::compile(scope, rule, prefix, as_of)?;
            if let Some(counters) = known.get(&rule.id) {
                compiled.counters = Arc::clone(counters);
            }
            for control in overrides.get(&rule.id).into_iter().flatten() {
                compiled.override_for(rule, control, as_of);
            }
            snapshot.rules.push(compiled);
            let edge = scope == Scope::Platform && rule.key.is_anonymous();
            if edge { &mut snapshot.edge } else { &mut snapshot.inner }.add(rule, at);
        }
        Ok(snapshot)
    }

    /// Returns the quarantine that a request is under, the longest of several.
    pub(crate) fn quarantine(&self, request: &Request<'_>, now: Timestamp) -> Option<&Quarantined> {
        if self.quarantines.is_empty() {
            return None;
        }
        self.quarantines.of(request).filter(|one| now < one.until).max_by_key(|one| one.until)
    }

    /// Returns when the counters of this very caller were reset last.
    pub(crate) fn reset_of(&self, request: &Request<'_>) -> Revision {
        if self.resets.is_empty() {
            return Revision::ZERO;
        }
        self.resets.of(request).copied().max().unwrap_or(Revision::ZERO)
    }

    /// What each rule has decided.
    pub(crate) fn statistics(&self) -> impl Iterator<Item = RuleStatistics> {
        self.rules.iter().map(|rule| RuleStatistics {
            scope: rule.scope,
            rule: rule.id.clone(),
            key: rule.key,
            action: rule.action,
            counts: rule.counters.read(),
        })
    }

    pub(crate) fn rule(&self, at: RuleIndex) -> Option<&CompiledRule> {
        self.rules.get(usize::try_from(at).ok()?)
    }

    /// Visits each rule that is for the request, once.
    pub(crate) fn for_each_match<'a>(
        &'a self,
        stage: Stage,
        request: &Request<'_>,
        mut visit: impl FnMut(RuleIndex, &'a CompiledRule),
    ) {
        let index = match stage {
            Stage::Edge => &self.edge,
            Stage::Inner => &self.inner,
        };
        let mut visited: SmallVec<[RuleIndex; 8]> = SmallVec::new();
        let mut take = |rules: &[RuleIndex]| {
            for at in rules {
                let Some(rule) = self.rule(*at) else { continue };
                if rule.many_ways {
                    if visited.contains(at) {
                        continue;
                    }
                    visited.push(*at);
                }
                if rule.conditions.iter().all(|condition| condition.holds(request)) {
                    visit(*at, rule);
                }
            }
        };
        take(&index.any);
        if let Some(rules) = request.route.and_then(|route| index.by_route.get(route)) {
            take(rules);
        }
        if !index.by_label.is_empty() {
            for label in request.labels {
                if let Some(rules) = index.by_label.get(label) {
                    take(rules);
                }
            }
        }
        if !index.by_value.is_empty() {
            for (name, value) in request.attributes {
                if let Some(rules) = index.by_value.get(*name).and_then(|values| values.get(*value)) {
                    take(rules);
                }
            }
        }
    }
}

impl Index {
    fn add(&mut self, rule: &Rule, at: RuleIndex) {
        if rule.routes.is_empty() && rule.labels.is_empty() {
            match rule.indexed_condition() {
                Some((attribute, values)) => {
                    let by_value = self.by_value.entry(attribute.clone()).or_default();
                    for value in values {
                        by_value.entry(value.clone()).or_default().push(at);
                    }
                }
                None => self.any.push(at),
            }
        }
        for route in &rule.routes {
            self.by_route.entry(route.clone()).or_default().push(at);
        }
        for label in &rule.labels {
            self.by_label.entry(label.clone()).or_default().push(at);
        }
    }
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
    fn override_for(&mut self, rule: &Rule, control: &Override, now: Timestamp) {
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

impl Rule {
    /// The condition that the rule is found by where it is for every route: one that leaves few values.
    fn indexed_condition(&self) -> Option<(&Text, &[Text])> {
        const BUILT_IN: [&str; 5] = ["ip", "route", "tenant", "subject", "api_key"];
        self.conditions
            .iter()
            .filter(|condition| !BUILT_IN.contains(&condition.attribute.as_str()))
            .find_map(|condition| Some((&condition.attribute, condition.values()?)))
    }

    /// The counter of violations that the ladder goes by.
    fn counted_ladder(&self) -> Option<Limit> {
        let seconds = self.ladder_window.nominal_seconds().filter(|_| !self.ladder.is_empty())?;
        let length = NonZeroU64::new(seconds.checked_mul(1_000_000)?)?;
        Limit::fixed_window(FixedWindow::MAX, Frame::Every(length))
    }
}

/// For how long at most a counter of the rule is in use after it was used last.
pub(crate) fn lifetime(rule: &Rule) -> Duration {
    const DAY: Duration = Duration::from_secs(86_400);
    let seconds = match rule.algorithm.kernel() {
        // Twice the capacity is the most that is held against anybody.
        Kernel::Level => {
            let capacity = u128::from(rule.limit.saturating_add(rule.burst)) * 2;
            let window = u128::from(rule.window.nominal_seconds().unwrap_or(0));
            let drained = (capacity * window).div_ceil(u128::from(rule.limit.max(1)));
            u64::try_from(drained)
                .unwrap_or(u64::MAX)
                .saturating_add(u64::from(rule.max_delay_ms).div_ceil(1_000))
        }
        // A month has at most 31 days, and clocks change.
        _ => {
            let month = 32 * 86_400 * u64::from(rule.window.size().get());
            rule.window.nominal_seconds().unwrap_or(month).saturating_mul(2)
        }
    };
    Duration::from_secs(seconds.min(3_155_760_000)) + DAY
}

/// Whether the windows of a rule are all equally long and counted from 1970, so that the store can find them by itself.
fn is_steady(rule: &Rule) -> bool {
    match rule.window.unit() {
        Unit::Second | Unit::Minute | Unit::Hour => true,
        Unit::Day => rule.zone == Zone::UTC && rule.window.size().get() == 1,
        Unit::Month => false,
    }
}

#[cfg(test)]
mod tests;
