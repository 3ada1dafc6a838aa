mod compiled;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use smallvec::SmallVec;
use stanchion_core::{Revision, Scope, Slug, Text, Timestamp, Versioned};

pub(crate) use self::compiled::CompiledRule;
use crate::identifiers::ByIdentifiers;
use crate::key::KeyPrefix;
use crate::{
    Control, FixedWindow, Frame, InvalidRule, Kernel, Limit, Override, Quarantine, Request, Reset, Rule,
    RuleCounters, RuleId, RuleSet, RuleStatistics, StoredRule,
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

#[cfg(test)]
mod tests;
