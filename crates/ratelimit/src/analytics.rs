//! What limits have done: violations, who causes them, which limits come near, and how much of everything there was.
//!
//! Nothing here is asked for a decision, and a request that stays within its limits touches one counter per rule and no lock. What goes
//! beyond a limit is the slow path and takes a lock for a moment. All of it is bounded, is kept per process, and is lost with it; what
//! must last goes to an [`EventSink`](stanchion_core::EventSink) as [`Violation::event`], many that are alike as one.

mod caller_name;
mod counters;
pub(crate) mod digest;
mod near_limit;
mod near_limit_reached;
mod offenders;
mod statistics;
mod violation;
mod violations;

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

pub use caller_name::CallerName;
pub use counters::{RuleCounters, RuleCounts, RuleOutcome};
pub use near_limit::{NearLimit, NearLimits};
pub use near_limit_reached::NearLimitReached;
pub use offenders::{Offender, Offenders};
pub use statistics::{DimensionStatistics, RuleStatistics, ScopeStatistics, Statistics};
pub use violation::Violation;
pub use violations::{ViolationFilter, Violations};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AnalyticsConfig {
    /// How many violations are kept; older ones make room. One takes about 200 bytes and its identifiers.
    pub violations: NonZeroUsize,
    /// How many callers of a scope are watched for how often they go beyond limits. Those above one part in so many of all violations
    /// are certainly among them.
    pub offenders: NonZeroUsize,
    /// Of how many scopes. Those without a violation for the longest time make room.
    pub offender_scopes: NonZeroUsize,
    /// How many counters are remembered that have come near their limit. Beyond it no more are told.
    pub near_limits: NonZeroUsize,
    /// Where somebody is told of violations and near limits: for how many seconds what one caller does to one rule is added up before
    /// it is told again, up to a day. The first time is told soon. At 0 each is told, at once.
    pub event_interval_seconds: u32,
    /// How many callers and rules are told apart for that. A quarter is for each tenant; of those beyond it only the rules are told.
    pub events: NonZeroUsize,
}

impl Default for AnalyticsConfig {
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            violations: number(10_000),
            offenders: number(64),
            offender_scopes: number(1_024),
            near_limits: number(10_000),
            event_interval_seconds: 60,
            events: number(4_096),
        }
    }
}

/// Everything that is kept beside the counters of each rule.
#[derive(Debug)]
pub struct Analytics {
    violations: Violations,
    offenders: Offenders,
    near_limits: NearLimits,
}

impl Analytics {
    /// Starts with nothing.
    #[must_use]
    pub fn new(config: AnalyticsConfig) -> Self {
        Self {
            violations: Violations::new(config.violations),
            offenders: Offenders::new(config.offenders, config.offender_scopes),
            near_limits: NearLimits::new(config.near_limits),
        }
    }

    /// Takes in a violation. What only a shadow rule saw makes nobody an offender.
    ///
    /// To make and to record one takes a third of a microsecond of CPU, on one thread or on four that record as fast as they can
    /// (`cargo bench --bench beside`): a flood of refusals is not slowed down by being watched.
    pub fn record(&self, violation: Violation) {
        if !violation.shadow {
            self.offenders.add(&violation);
        }
        self.violations.push(violation);
    }

    /// Returns the violations.
    #[must_use]
    pub const fn violations(&self) -> &Violations {
        &self.violations
    }

    /// Returns the callers who go beyond limits most often.
    #[must_use]
    pub const fn offenders(&self) -> &Offenders {
        &self.offenders
    }

    /// Returns which counters have come near their limit.
    #[must_use]
    pub const fn near_limits(&self) -> &NearLimits {
        &self.near_limits
    }
}

#[cfg(test)]
mod tests;
