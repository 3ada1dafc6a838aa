use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use stanchion_core::{Scope, StoreErrorKind};

use crate::snapshot::{CompiledRule, RuleIndex, Snapshot};
use crate::{Action, KeySpec, Receipt, RuleId, RuleOutcome, Standing};

/// Whether a request may go on, and how each rule that was asked stands.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Whether the request may go on.
    pub verdict: Verdict,
    /// How long it has to wait first, where it may: its turn in a queue, or what a throttle asks for. Who does not wait gives the
    /// place back with [`Settle::Release`](crate::Settle::Release).
    pub delay: Duration,
    /// What was charged, where something has to be given back: leases, places in a queue, and what was asked to be
    /// [refundable](crate::Request::refundable).
    pub receipt: Option<Box<Receipt>>,
    /// Whether a rule that could not be asked let the request pass (`on_backend_failure = "open"`).
    pub failed_open: bool,
    /// Why the counters could not be asked, when they could not. The rules' `on_backend_failure` then decided.
    pub backend_failure: Option<StoreErrorKind>,
    pub(crate) platform: Option<Arc<Snapshot>>,
    pub(crate) own: Option<Arc<Snapshot>>,
    pub(crate) asked: SmallVec<[Asked; 4]>,
}

/// The end of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request may go on, and was counted.
    Admitted,
    /// The request may not go on, and was not counted.
    Refused {
        /// What is to be done with it: the most severe action of the violated rules.
        action: Action,
        /// The rule that says so; of several the one with the highest priority. None for a quarantine that an administrator made.
        rule: Option<RuleId>,
        /// Whose rule it is: the platform's or the tenant's own.
        scope: Scope,
        /// Why.
        reason: Reason,
        /// How long until the same request fits all rules that it violates now. `None` when it never will, or nobody knows.
        retry_after: Option<Duration>,
    },
}

impl Verdict {
    /// Tells whether the request may go on.
    #[must_use]
    pub const fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted)
    }

    pub(crate) const fn quarantined(rule: Option<RuleId>, scope: Scope, left: Duration) -> Self {
        let (action, reason) = (Action::Quarantine, Reason::Quarantined);
        Self::Refused { action, rule, scope, reason, retry_after: Some(left) }
    }
}

/// Why a rule refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The limit is used up.
    Exceeded,
    /// The caller is shut out for a while.
    Quarantined,
    /// The request lacks what the rule counts by.
    MissingIdentifier,
    /// The counters cannot be reached, and the rule fails closed.
    BackendFailure,
}

impl Reason {
    /// Returns the name that records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exceeded => "exceeded",
            Self::Quarantined => "quarantined",
            Self::MissingIdentifier => "missing_identifier",
            Self::BackendFailure => "backend_failure",
        }
    }
}

/// A rule that was asked, by its place, with the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) of: Owner,
    pub(crate) rule: RuleIndex,
    pub(crate) window_seconds: u64,
    pub(crate) limit: u64,
    pub(crate) overshoot: u64,
    pub(crate) standing: Standing,
}

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Platform,
    Tenant,
}

/// How one rule stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleState<'a> {
    /// The rule.
    pub rule: &'a RuleId,
    /// Whose rule it is.
    pub scope: Scope,
    /// What it counts by.
    pub key: KeySpec,
    /// The most that can be used at once: limit and burst.
    pub limit: u64,
    /// By how much more all [replicas](crate::Config::replicas) together may admit at most, because they take the limit in chunks: see
    /// [`Lease::overshoot`](crate::Lease::overshoot). Zero where it is exact.
    pub overshoot: u64,
    /// How much of it is left.
    pub remaining: u64,
    /// How long until all of it is there again.
    pub reset_after: Duration,
    /// How long until this request would fit, when it does not; `None` also when it never will.
    pub retry_after: Option<Duration>,
    /// How long this request has to wait before it goes on, because of this rule.
    pub delay: Duration,
    /// The length of the window.
    pub window: Duration,
    /// Whether the request went beyond it.
    pub exceeded: bool,
    /// Whether the rule only watches: a shadow rule.
    pub shadow: bool,
    /// Whether it counts what goes on at the same time, and not what begins in a window.
    pub concurrent: bool,
    /// What the rule does beyond its limit.
    pub action: Action,
}

impl Decision {
    pub(crate) fn admitted() -> Self {
        Self {
            verdict: Verdict::Admitted,
            delay: Duration::ZERO,
            receipt: None,
            failed_open: false,
            backend_failure: None,
            platform: None,
            own: None,
            asked: SmallVec::new(),
        }
    }

    /// Tells whether the request may go on.
    #[must_use]
    pub const fn is_admitted(&self) -> bool {
        self.verdict.is_admitted()
    }

    /// Goes through the rules that were asked, the platform's first. When the counters could not be asked there is none.
    pub fn rules(&self) -> impl Iterator<Item = RuleState<'_>> {
        self.asked.iter().filter_map(|asked| Some(asked.state(self.rule(asked)?)))
    }

    /// Returns the rule that a caller is best told about: the one that refused, else the one of those that can refuse with the least
    /// left, and of equals the one that takes longest to recover.
    #[must_use]
    pub fn most_restrictive(&self) -> Option<RuleState<'_>> {
        let mut in_force = self.rules().filter(|state| !state.shadow && state.action != Action::Allow);
        if let Verdict::Refused { rule, scope, .. } = &self.verdict {
            return in_force.find(|state| Some(state.rule) == rule.as_ref() && state.scope == *scope);
        }
        in_force.min_by_key(|state| (state.remaining, std::cmp::Reverse(state.reset_after)))
    }

    /// Counts for each rule how it answered, and returns those that were violated, with their place among those that were asked.
    pub(crate) fn count(&self) -> impl Iterator<Item = (usize, RuleState<'_>, &CompiledRule)> {
        self.asked.iter().enumerate().filter_map(|(number, asked)| {
            let rule = self.rule(asked)?;
            let mut state = asked.state(rule);
            state.exceeded |= rule.throttles && !state.delay.is_zero();
            rule.counters.count(RuleOutcome::of(&state, &self.verdict));
            state.exceeded.then_some((number, state, rule))
        })
    }

    fn rule(&self, asked: &Asked) -> Option<&CompiledRule> {
        let snapshot = match asked.of {
            Owner::Platform => &self.platform,
            Owner::Tenant => &self.own,
        };
        snapshot.as_ref()?.rule(asked.rule)
    }
}

/// The refusal that has been found so far: of several violated rules the most severe action decides, then the priority; the time to
/// wait is the longest that any of them asks for.
#[derive(Clone, Debug)]
pub(crate) struct Refusal<'a> {
    rule: &'a CompiledRule,
    action: Action,
    reason: Reason,
    retry_after: Option<Duration>,
}

impl<'a> Refusal<'a> {
    pub(crate) fn add(
        found: Option<Self>,
        rule: &'a CompiledRule,
        action: Action,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Option<Self> {
        let new = Self { rule, action, reason, retry_after };
        let Some(found) = found else { return Some(new) };
        let retry_after = found.retry_after.zip(retry_after).map(|(one, other)| one.max(other));
        let worse = (action, rule.priority) > (found.action, found.rule.priority);
        Some(Self { retry_after, ..if worse { new } else { found } })
    }

    pub(crate) fn verdict(self) -> Verdict {
        Verdict::Refused {
            action: self.action,
            rule: Some(self.rule.id.clone()),
            scope: self.rule.scope,
            reason: self.reason,
            retry_after: self.retry_after,
        }
    }
}

impl Asked {
    pub(crate) fn state(self, rule: &CompiledRule) -> RuleState<'_> {
        RuleState {
            rule: &rule.id,
            scope: rule.scope,
            key: rule.key,
            limit: self.limit,
            overshoot: self.overshoot,
            remaining: self.standing.remaining,
            reset_after: self.standing.reset_after,
            retry_after: self.standing.retry_after,
            delay: self.standing.delay,
            window: Duration::from_secs(self.window_seconds),
            exceeded: !self.standing.fits,
            shadow: rule.shadow,
            concurrent: rule.leases,
            action: rule.action,
        }
    }
}

#[cfg(test)]
mod tests {
    use stanchion_calendar::Window;
    use stanchion_core::{Revision, Timestamp};

    use super::*;
    use crate::key::KeyPrefix;
    use crate::{Dimension, Rule};

    fn rule(name: &str, action: Action, priority: i32) -> CompiledRule {
        let rule = Rule::new(RuleId::new(name).unwrap(), Dimension::User, 1, Window::MINUTE);
        let rule = Rule { action, priority, ..rule };
        let prefix = KeyPrefix::new(Scope::Platform, Revision::ZERO, Revision::ZERO);
        CompiledRule::compile(Scope::Platform, &rule, prefix, Timestamp::EPOCH).unwrap()
    }

    /// Who speaks and how long to wait, whatever the order the rules are found in.
    fn check(rules: &[(&CompiledRule, Option<u64>)], speaks: &str, wait: Option<u64>) {
        for reversed in [false, true] {
            let mut rules = rules.to_vec();
            if reversed {
                rules.reverse();
            }
            let refusal = rules.into_iter().fold(None, |found, (rule, wait)| {
                Refusal::add(found, rule, rule.action, Reason::Exceeded, wait.map(Duration::from_secs))
            });
            let Verdict::Refused { rule, retry_after, .. } = refusal.unwrap().verdict() else { panic!() };
            assert_eq!((rule.unwrap().as_str(), retry_after), (speaks, wait.map(Duration::from_secs)));
        }
    }

    #[test]
    fn severity_decides_then_priority_and_the_longest_wait_counts() {
        let throttle = rule("throttle", Action::Throttle, 100);
        let block = rule("block", Action::Block, 1);
        let first = rule("block-first", Action::Block, 2);
        let quarantine = rule("quarantine", Action::Quarantine, -5);
        check(&[(&throttle, Some(60)), (&block, Some(1))], "block", Some(60));
        check(&[(&block, Some(1)), (&first, Some(3)), (&throttle, Some(2))], "block-first", Some(3));
        check(&[(&first, Some(1)), (&quarantine, Some(2)), (&throttle, Some(3))], "quarantine", Some(3));
        check(&[(&first, Some(9)), (&block, None)], "block-first", None);
    }
}
