use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use smallvec::SmallVec;
use stanchion_calendar::{Unit, Window, Zone};
use stanchion_core::{Revision, Scope, Slug, Timestamp, Versioned};

use crate::key::KeyPrefix;
use crate::{
    Action, Algorithm, Edges, Frame, InvalidRule, KeySpec, Limit, Mode, OnBackendFailure,
    OnMissingIdentifier, Request, Rule, RuleId, StoredRule,
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
    pub(crate) priority: i32,
    pub(crate) shadow: bool,
    pub(crate) on_missing: OnMissingIdentifier,
    pub(crate) on_backend_failure: OnBackendFailure,
    /// The most that it gives at once.
    pub(crate) capacity: u64,
    meter: Meter,
    /// Whether several routes or labels can each lead to it.
    many_ways: bool,
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
        stored: &[Versioned<StoredRule>],
    ) -> Result<Self, InvalidRule> {
        let mut snapshot =
            Self { revision, as_of, rules: Vec::new(), edge: Index::default(), inner: Index::default() };
        for Versioned { value: StoredRule { rule, epoch }, .. } in stored {
            if !rule.enabled {
                continue;
            }
            rule.validate()?;
            let at = RuleIndex::try_from(snapshot.rules.len())
                .map_err(|_| InvalidRule::one(&rule.id, "id", "too many rules"))?;
            snapshot.rules.push(CompiledRule::compile(scope, rule, *epoch, as_of)?);
            let edge = scope == Scope::Platform && rule.key.is_anonymous();
            if edge { &mut snapshot.edge } else { &mut snapshot.inner }.add(rule, at);
        }
        Ok(snapshot)
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
                visit(*at, rule);
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
    }
}

impl Index {
    fn add(&mut self, rule: &Rule, at: RuleIndex) {
        if rule.routes.is_empty() && rule.labels.is_empty() {
            self.any.push(at);
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
        epoch: Revision,
        now: Timestamp,
    ) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule::one(&rule.id, "limit", "is out of range");
        let meter = Meter::compile(rule, now).ok_or_else(invalid)?;
        let observed = rule.shadow || rule.action == Action::Allow;
        Ok(Self {
            id: rule.id.clone(),
            scope,
            key: rule.key,
            prefix: KeyPrefix::new(scope, epoch),
            mode: if observed { Mode::Observe } else { Mode::Enforce },
            action: rule.action,
            priority: rule.priority,
            shadow: rule.shadow,
            on_missing: rule.on_missing_identifier,
            on_backend_failure: rule.on_backend_failure,
            capacity: meter.limit_at(now).ok_or_else(invalid)?.0.capacity(),
            meter,
            many_ways: rule.routes.len() + rule.labels.len() > 1,
        })
    }

    /// Returns the rule's numbers for a decision at `now`, and the length of the window in seconds.
    pub(crate) fn limit_at(&self, now: Timestamp) -> Option<(Limit, u64)> {
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
        Some(Self::Steady(limit?, seconds))
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

#[cfg(test)]
mod tests;
