use std::sync::Arc;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use smallvec::SmallVec;
use stanchion_calendar::{Period, Unit, Window, Zone};
use stanchion_core::{Revision, Scope, Slug, Timestamp, Versioned};

use crate::key::KeyPrefix;
use crate::{
    Action, Algorithm, FixedWindow, Frame, InvalidRule, KeySpec, Limit, Mode, OnBackendFailure,
    OnMissingIdentifier, Request, Rule, RuleId, StoredRule, TokenBucket,
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
    Calendar { window: Window, zone: Zone, current: ArcSwap<Period> },
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
        let capacity = rule.limit.saturating_add(rule.burst);
        let seconds = rule.window.nominal_seconds();
        let meter = match (rule.algorithm, seconds) {
            (Algorithm::TokenBucket, seconds) => {
                let seconds = seconds.ok_or_else(invalid)?;
                let bucket = TokenBucket::new(capacity, rule.limit, seconds).ok_or_else(invalid)?;
                Meter::Steady(Limit::TokenBucket(bucket), seconds)
            }
            (Algorithm::FixedWindow, Some(seconds)) if is_steady(rule) => {
                let length = seconds.checked_mul(1_000_000).and_then(|micros| micros.try_into().ok());
                let frame = Frame::Every(length.ok_or_else(invalid)?);
                let window = FixedWindow::new(capacity, frame).ok_or_else(invalid)?;
                Meter::Steady(Limit::FixedWindow(window), seconds)
            }
            (Algorithm::FixedWindow, _) => {
                let current = ArcSwap::from_pointee(rule.window.bounds(now, rule.zone));
                Meter::Calendar { window: rule.window, zone: rule.zone, current }
            }
        };
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
            capacity,
            meter,
            many_ways: rule.routes.len() + rule.labels.len() > 1,
        })
    }

    /// Returns the rule's numbers for a decision at `now`, and the length of the window in seconds.
    pub(crate) fn limit_at(&self, now: Timestamp) -> Option<(Limit, u64)> {
        match &self.meter {
            Meter::Steady(limit, seconds) => Some((*limit, *seconds)),
            Meter::Calendar { window, zone, current } => {
                let mut period = **current.load();
                if !period.contains(now) {
                    period = window.bounds(now, *zone);
                    current.store(Arc::new(period));
                }
                let limit = FixedWindow::new(self.capacity, Frame::Between(period))?;
                Some((Limit::FixedWindow(limit), period.length().as_secs()))
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
