use std::collections::BTreeMap;

use stanchion_core::Scope;

use super::RuleCounts;
use crate::{Action, KeySpec, RuleId, Stats};

/// What a process has decided since it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// How many decisions there were and how they ended. One decision asks any number of rules.
    pub decisions: Stats,
    /// Each rule, the most violated first.
    pub rules: Vec<RuleStatistics>,
    /// The rules of each scope together.
    pub scopes: Vec<ScopeStatistics>,
    /// The rules that count by the same together.
    pub dimensions: Vec<DimensionStatistics>,
    /// How many requests went beyond a rule in force with this action, mildest first; those that only watch are not among them.
    pub actions: Vec<(Action, u64)>,
    /// How many requests went beyond a rule that only watches.
    pub observed: u64,
}

/// What a rule has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStatistics {
    /// Whose rule it is.
    pub scope: Scope,
    /// The rule.
    pub rule: RuleId,
    /// What it counts by.
    pub key: KeySpec,
    /// What it does beyond its limit.
    pub action: Action,
    /// How often it was asked and how it answered.
    pub counts: RuleCounts,
}

/// What the rules of a scope have decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeStatistics {
    /// Whose rules they are.
    pub scope: Scope,
    /// How many there are.
    pub rules: usize,
    /// The sum of their counts.
    pub counts: RuleCounts,
}

/// What the rules that count by the same have decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimensionStatistics {
    /// What they count by.
    pub key: KeySpec,
    /// How many there are.
    pub rules: usize,
    /// The sum of their counts.
    pub counts: RuleCounts,
}

impl Statistics {
    /// Sums up what each rule has counted.
    #[must_use]
    pub fn new(decisions: Stats, rules: impl IntoIterator<Item = RuleStatistics>) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by(|one, other| {
            let by_number = other.counts.violations().cmp(&one.counts.violations());
            by_number.then(one.scope.cmp(&other.scope)).then_with(|| one.rule.cmp(&other.rule))
        });
        let (mut scopes, mut dimensions, mut actions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for rule in &rules {
            add(&mut scopes, rule.scope, rule.counts);
            let names: Vec<_> = rule.key.dimensions().collect();
            add(&mut dimensions, names, rule.counts);
            *actions.entry(rule.action).or_insert(0) += rule.counts.objections();
        }
        let of_key = |(names, (rules, counts)): (Vec<_>, (usize, RuleCounts))| {
            KeySpec::new(names).ok().map(|key| DimensionStatistics { key, rules, counts })
        };
        let of_scope = |(scope, (rules, counts))| ScopeStatistics { scope, rules, counts };
        Self {
            decisions,
            observed: rules.iter().map(|rule| rule.counts.observed).sum(),
            scopes: scopes.into_iter().map(of_scope).collect(),
            dimensions: dimensions.into_iter().filter_map(of_key).collect(),
            actions: actions.into_iter().filter(|(_, violations)| *violations > 0).collect(),
            rules,
        }
    }

    /// Returns how many decisions ended with a refusal.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.decisions.exceeded
            + self.decisions.quarantined
            + self.decisions.missing_identifier
            + self.decisions.failed_closed
    }

    /// Returns how many of a thousand decisions ended with a refusal, rounded down; zero when there was none.
    #[must_use]
    pub fn block_rate_permille(&self) -> u64 {
        let rate = (u128::from(self.refused()) * 1000).checked_div(self.decisions.decisions.into());
        rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, (usize, RuleCounts)>, of: K, counts: RuleCounts) {
    let (rules, sum) = sums.entry(of).or_default();
    *rules += 1;
    *sum += counts;
}
