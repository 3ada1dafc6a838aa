use std::iter::Sum;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Action, RuleState, Verdict};

/// How a request came out of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleOutcome {
    /// It was within the limit and went on.
    Admitted,
    /// It was within the limit, and was refused for another reason.
    Passed,
    /// It went beyond the limit, and was refused.
    Exceeded,
    /// It went beyond the limit of a rule that only watches.
    Observed,
    /// It was slowed down, or would have had to wait too long.
    Throttled,
    /// It has to solve a challenge first.
    Challenged,
    /// Its caller was shut out.
    Quarantined,
}

impl RuleOutcome {
    /// Reads off how a rule stands, and how the whole decision ended.
    #[must_use]
    pub fn of(state: &RuleState<'_>, verdict: &Verdict) -> Self {
        match (state.exceeded, state.action) {
            (false, _) if verdict.is_admitted() => Self::Admitted,
            (false, _) => Self::Passed,
            (true, _) if state.shadow => Self::Observed,
            (true, Action::Allow) => Self::Observed,
            (true, Action::Throttle) => Self::Throttled,
            (true, Action::Captcha) => Self::Challenged,
            (true, Action::Block) => Self::Exceeded,
            (true, Action::Quarantine) => Self::Quarantined,
        }
    }
}

/// How often a rule was asked and how it answered. It belongs into the compiled rule, and goes on when the rules are compiled again.
///
/// One relaxed addition for each decision, in a cache line that no other rule has.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct RuleCounters {
    admitted: AtomicU64,
    passed: AtomicU64,
    exceeded: AtomicU64,
    observed: AtomicU64,
    throttled: AtomicU64,
    challenged: AtomicU64,
    quarantined: AtomicU64,
    near_limit: AtomicU64,
}

const _: () = assert!(size_of::<RuleCounters>() == 64);

/// The numbers of [`RuleCounters`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Within the limit, and went on.
    pub admitted: u64,
    /// Within the limit, and refused for another reason.
    pub passed: u64,
    /// Beyond the limit, and refused.
    pub exceeded: u64,
    /// Beyond the limit of a rule that only watches.
    pub observed: u64,
    /// Beyond the limit, and slowed down or told to wait.
    pub throttled: u64,
    /// Beyond the limit, and challenged.
    pub challenged: u64,
    /// Beyond the limit, and shut out.
    pub quarantined: u64,
    /// How often a counter came near the limit: once in each window.
    pub near_limit: u64,
}

impl RuleCounters {
    /// Starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a decision.
    #[inline]
    pub fn count(&self, outcome: RuleOutcome) {
        let counter = match outcome {
            RuleOutcome::Admitted => &self.admitted,
            RuleOutcome::Passed => &self.passed,
            RuleOutcome::Exceeded => &self.exceeded,
            RuleOutcome::Observed => &self.observed,
            RuleOutcome::Throttled => &self.throttled,
            RuleOutcome::Challenged => &self.challenged,
            RuleOutcome::Quarantined => &self.quarantined,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a counter that has come near the limit.
    pub fn count_near_limit(&self) {
        self.near_limit.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the numbers. They are read one after the other, while decisions go on.
    #[must_use]
    pub fn read(&self) -> RuleCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RuleCounts {
            admitted: read(&self.admitted),
            passed: read(&self.passed),
            exceeded: read(&self.exceeded),
            observed: read(&self.observed),
            throttled: read(&self.throttled),
            challenged: read(&self.challenged),
            quarantined: read(&self.quarantined),
            near_limit: read(&self.near_limit),
        }
    }
}

impl RuleCounts {
    /// Returns how often the rule was asked.
    #[must_use]
    pub const fn decisions(&self) -> u64 {
        self.admitted + self.passed + self.violations()
    }

    /// Returns how many requests went beyond the limit, whatever became of them.
    #[must_use]
    pub const fn violations(&self) -> u64 {
        self.observed + self.objections()
    }

    /// Returns how many requests the rule itself refused, challenged or slowed down.
    #[must_use]
    pub const fn objections(&self) -> u64 {
        self.exceeded + self.throttled + self.challenged + self.quarantined
    }
}

impl AddAssign for RuleCounts {
    fn add_assign(&mut self, other: Self) {
        self.admitted += other.admitted;
        self.passed += other.passed;
        self.exceeded += other.exceeded;
        self.observed += other.observed;
        self.throttled += other.throttled;
        self.challenged += other.challenged;
        self.quarantined += other.quarantined;
        self.near_limit += other.near_limit;
    }
}

impl Sum for RuleCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}
