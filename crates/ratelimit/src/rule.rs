mod validate;

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_calendar::{Window, Zone};
use stanchion_core::{Revision, Slug, Text, slug_id};

use crate::{Adaptive, Condition, EntryLimit, FixedWindow, Kernel, KeySpec, Lease, Level, SlidingWindow};

pub use validate::InvalidRule;

slug_id!(
    /// A rule, by its name within its scope.
    RuleId, "rule id"
);

/// A rate limit: how much, over how long, counted by what, for which requests, and what happens beyond it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name within its scope.
    pub id: RuleId,
    /// What people call it: at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
    /// What it counts by.
    pub key: KeySpec,
    /// The ids of the routes it is for. With no route and no label it is for every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Slug>,
    /// The labels of routes it is for; one that matches is enough, and so is one of `routes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Slug>,
    /// What must be true of a request's attributes, all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How much each window gives, at least 1.
    pub limit: u64,
    /// The window. Days and months are those of `zone`.
    pub window: Window,
    /// The zone whose days and months are meant.
    #[serde(default)]
    pub zone: Zone,
    /// How much more than `limit` may be used at once.
    #[serde(default)]
    pub burst: u64,
    /// How it counts.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// What happens to a request that goes beyond it.
    #[serde(default)]
    pub action: Action,
    /// By how much `throttle` delays a request at most, in milliseconds, up to 60,000; one that would wait longer is refused.
    #[serde(default = "max_delay")]
    pub max_delay_ms: u32,
    /// For how long `quarantine` shuts a caller out, in seconds, up to a year.
    #[serde(default = "quarantine")]
    pub quarantine_seconds: u32,
    /// What happens instead to those who go beyond it again and again, the mildest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<Rung>,
    /// Over how long the ladder counts.
    #[serde(default = "ladder_window")]
    pub ladder_window: Window,
    /// Whether a success, as [`record_outcome`](crate::Engine::record_outcome) tells it, clears the caller's counter.
    #[serde(default)]
    pub reset_on_success: bool,
    /// Whether a request is counted here also when another rule refuses it.
    #[serde(default)]
    pub charge_denied: bool,
    /// How a replica takes the limit in chunks, to give them out without asking the shared counters again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<RuleLease>,
    /// How the limit shrinks as the load grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// Which of several violated rules of the same severity is named: the one with the highest.
    #[serde(default)]
    pub priority: i32,
    /// Whether it is there at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it only counts and reports, on counters of its own, and refuses nothing.
    #[serde(default)]
    pub shadow: bool,
    /// What happens to a request that lacks what it counts by.
    #[serde(default)]
    pub on_missing_identifier: OnMissingIdentifier,
    /// What happens while the counters cannot be reached.
    #[serde(default)]
    pub on_backend_failure: OnBackendFailure,
}

const fn yes() -> bool {
    true
}

const fn max_delay() -> u32 {
    1_000
}

const fn quarantine() -> u32 {
    3_600
}

const fn ladder_window() -> Window {
    Window::HOUR
}

/// How a replica takes a limit in chunks: see [`LeasedCounterStore`](crate::LeasedCounterStore).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleLease {
    /// How many units are taken at a time, at least 1 and at most `limit + burst`.
    pub chunk: u64,
    /// For how many seconds units that nobody asks for are kept from the other replicas, 1 to 3,600.
    #[serde(default = "lease_ttl")]
    pub ttl_seconds: u32,
}

const fn lease_ttl() -> u32 {
    5
}

impl RuleLease {
    pub(crate) fn lease(self) -> Option<Lease> {
        let ttl = Duration::from_secs(self.ttl_seconds.into());
        Some(Lease { chunk: NonZeroU64::new(self.chunk)?, ttl })
    }
}

/// From how many violations of one caller on a rule does something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// The number of violations within the ladder's window, at least 2.
    pub violations: u32,
    /// What happens from then on.
    pub action: Action,
}

/// How a rule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Algorithm {
    /// A full bucket of `limit + burst`, refilled steadily with `limit` over each window.
    #[default]
    TokenBucket,
    /// Evenly spaced, `limit` over each window; up to `burst` may come at once.
    Gcra,
    /// A bucket of `limit + burst` that fills with what is used and leaks `limit` over each window.
    LeakyBucket,
    /// One after the other, `limit` over each window, each with its delay; up to `burst` wait.
    LeakyQueue,
    /// `limit + burst` in each window of the calendar; a new window begins at zero.
    FixedWindow,
    /// `limit + burst` over the length of a window, of which the part that lies in the window before is estimated.
    SlidingWindow,
    /// `limit + burst` over any stretch as long as the window, exactly; at most 10,000.
    SlidingLog,
    /// `limit + burst` at the same time; one that does not end is given up after a window.
    Concurrency,
}

impl Algorithm {
    /// Returns the name that rules use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenBucket => "token_bucket",
            Self::Gcra => "gcra",
            Self::LeakyBucket => "leaky_bucket",
            Self::LeakyQueue => "leaky_queue",
            Self::FixedWindow => "fixed_window",
            Self::SlidingWindow => "sliding_window",
            Self::SlidingLog => "sliding_log",
            Self::Concurrency => "concurrency",
        }
    }

    /// Returns which arithmetic it needs of a store.
    #[must_use]
    pub const fn kernel(self) -> Kernel {
        match self {
            Self::TokenBucket | Self::Gcra | Self::LeakyBucket | Self::LeakyQueue => Kernel::Level,
            Self::FixedWindow => Kernel::FixedWindow,
            Self::SlidingWindow => Kernel::SlidingWindow,
            Self::SlidingLog | Self::Concurrency => Kernel::Entries,
        }
    }

    /// Returns the largest `limit + burst`.
    const fn most(self) -> u64 {
        match self.kernel() {
            Kernel::Level => Level::MAX,
            Kernel::FixedWindow => FixedWindow::MAX,
            Kernel::SlidingWindow => SlidingWindow::MAX,
            Kernel::Entries => EntryLimit::MAX,
        }
    }

    /// Tells whether its windows are those of the calendar.
    const fn has_windows(self) -> bool {
        matches!(self, Self::FixedWindow | Self::SlidingWindow)
    }
}

/// What happens to a request beyond a limit, mildest first: of several violated rules the most severe one decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is let through; the decision says that the limit is exceeded.
    Allow,
    /// It is admitted late, within a bound.
    Throttle,
    /// A challenge must be solved first.
    Captcha,
    /// It is refused.
    #[default]
    Block,
    /// The caller is shut out for a while.
    Quarantine,
}

impl Action {
    /// Returns the name that rules use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Throttle => "throttle",
            Self::Captcha => "captcha",
            Self::Block => "block",
            Self::Quarantine => "quarantine",
        }
    }
}

/// What happens to a request that lacks what a rule counts by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnMissingIdentifier {
    /// The rule is passed over.
    #[default]
    Skip,
    /// The request is refused.
    Deny,
    /// The address stands in for it; without an address the request is refused.
    Ip,
}

/// What a rule says while the counters cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnBackendFailure {
    /// Its requests are refused.
    #[default]
    Closed,
    /// Its requests are admitted, uncounted.
    Open,
    /// Each replica counts by itself, with its share of the limit.
    LocalShare,
}

/// A rule as stores keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRule {
    /// The rule.
    pub rule: Rule,
    /// The revision of the scope at which the rule's counters began. No other rule of the scope ever has it.
    pub epoch: Revision,
}

impl Rule {
    /// Starts a rule that counts with a token bucket in UTC, for every request, and blocks beyond the limit.
    #[must_use]
    pub fn new(id: RuleId, key: impl Into<KeySpec>, limit: u64, window: Window) -> Self {
        Self {
            id,
            name: None,
            key: key.into(),
            routes: Vec::new(),
            labels: Vec::new(),
            conditions: Vec::new(),
            limit,
            window,
            zone: Zone::UTC,
            burst: 0,
            algorithm: Algorithm::default(),
            action: Action::default(),
            max_delay_ms: max_delay(),
            quarantine_seconds: quarantine(),
            ladder: Vec::new(),
            ladder_window: ladder_window(),
            reset_on_success: false,
            charge_denied: false,
            lease: None,
            adaptive: None,
            priority: 0,
            enabled: true,
            shadow: false,
            on_missing_identifier: OnMissingIdentifier::default(),
            on_backend_failure: OnBackendFailure::default(),
        }
    }

    /// Tells whether counters of this rule go on under `next`: what they have counted means the same there.
    pub(crate) fn keeps_counters(&self, next: &Self) -> bool {
        // What is used is used, however fast it comes back; what was counted in other windows means something else.
        let same_windows = self.window == next.window && self.zone == next.zone;
        let same_kernel = self.algorithm.kernel() == next.algorithm.kernel();
        self.key == next.key && same_kernel && (same_windows || !next.algorithm.has_windows())
    }
}

#[cfg(test)]
mod tests;
