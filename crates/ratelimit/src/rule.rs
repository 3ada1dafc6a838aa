use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_calendar::{Unit, Window, Zone};
use stanchion_core::{Revision, Slug, Text, slug_id};

use crate::{Adaptive, Condition, EntryLimit, FixedWindow, Kernel, KeySpec, Lease, Level, SlidingWindow};

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

/// One or more fields of a rule cannot be as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRule {
    rule: RuleId,
    problems: Vec<(&'static str, String)>,
}

impl InvalidRule {
    pub(crate) fn one(rule: &RuleId, field: &'static str, problem: impl Into<String>) -> Self {
        Self { rule: rule.clone(), problems: vec![(field, problem.into())] }
    }

    /// Returns the rule's id.
    #[must_use]
    pub const fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// Returns each field with what is wrong with it and how to mend it.
    pub fn problems(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.problems.iter().map(|(field, problem)| (*field, problem.as_str()))
    }
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule `{}`: ", self.rule)?;
        for (index, (field, problem)) in self.problems().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{field}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidRule {}

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

    /// Checks everything that the types leave open.
    ///
    /// # Errors
    /// [`InvalidRule`] with every field that cannot be as it is, and how to mend it.
    pub fn validate(&self) -> Result<(), InvalidRule> {
        const NAME: usize = 200;
        const SELECTORS: usize = 100;
        let mut problems = Vec::new();
        let mut find = |field, problem: String| problems.push((field, problem));
        if self.name.as_ref().is_some_and(|name| !(1..=NAME).contains(&name.as_str().chars().count())) {
            find("name", format!("use 1 to {NAME} characters, or leave it out"));
        }
        for (field, selectors) in [("routes", &self.routes), ("labels", &self.labels)] {
            if selectors.len() > SELECTORS {
                find(field, format!("use at most {SELECTORS}; a label can stand for many routes"));
            }
            if let Some(twice) = selectors
                .iter()
                .enumerate()
                .find(|(at, one)| selectors.iter().take(*at).any(|other| other == *one))
            {
                find(field, format!("`{}` stands twice: leave one out", twice.1));
            }
        }
        let most = self.algorithm.most();
        if self.limit == 0 {
            find(
                "limit",
                "use at least 1; to shut callers out, take away their key or their permission".to_owned(),
            );
        }
        if self.limit.checked_add(self.burst).is_none_or(|capacity| capacity > most) {
            let algorithm = self.algorithm.as_str();
            find(
                "limit",
                format!("`limit` and `burst` together are at most {most} with `{algorithm}`: lower one"),
            );
        }
        if !self.algorithm.has_windows() && self.window.unit() == Unit::Month {
            let algorithm = self.algorithm.as_str();
            find(
                "window",
                format!(
                    "months are not equally long, and `{algorithm}` needs a length: use days, or algorithm `fixed_window`"
                ),
            );
        }
        if self.algorithm == Algorithm::LeakyQueue && self.burst == 0 {
            find("burst", "a queue needs a length: say how many may wait".to_owned());
        }
        if let Some(lease) = self.lease {
            if self.algorithm.kernel() == Kernel::Entries || self.algorithm == Algorithm::LeakyQueue {
                let algorithm = self.algorithm.as_str();
                find("lease", format!("`{algorithm}` cannot be given out in chunks: leave it out"));
            }
            if lease.chunk == 0 || lease.chunk > self.limit.saturating_add(self.burst) {
                find("lease", "use a chunk of 1 to `limit + burst`".to_owned());
            }
            if !(1..=3_600).contains(&lease.ttl_seconds) {
                find("lease", "use 1 to 3600 for `ttl_seconds`".to_owned());
            }
        }
        if let Some(Err(invalid)) = self.adaptive.as_ref().map(Adaptive::validate) {
            find("adaptive", invalid.to_string());
        }
        self.validate_actions(&mut find);
        self.validate_conditions(&mut find);
        if problems.is_empty() { Ok(()) } else { Err(InvalidRule { rule: self.id.clone(), problems }) }
    }

    fn validate_actions(&self, find: &mut impl FnMut(&'static str, String)) {
        const MINUTE_MS: u32 = 60_000;
        const YEAR: u32 = 31_536_000;
        let actions = std::iter::once(self.action).chain(self.ladder.iter().map(|rung| rung.action));
        if actions.clone().any(|action| action == Action::Throttle) {
            if self.algorithm.kernel() != Kernel::Level {
                let algorithm = self.algorithm.as_str();
                find(
                    "action",
                    format!(
                        "`throttle` needs an algorithm that drains steadily, and `{algorithm}` does not: use token_bucket, gcra or \
                         leaky_bucket"
                    ),
                );
            }
            if !(1..=MINUTE_MS).contains(&self.max_delay_ms) {
                find("max_delay_ms", format!("use 1 to {MINUTE_MS}"));
            }
        }
        if actions.clone().any(|action| action == Action::Quarantine) {
            if !(1..=YEAR).contains(&self.quarantine_seconds) {
                find("quarantine_seconds", format!("use 1 to {YEAR}"));
            }
            if !self.key.names_a_caller() {
                find(
                    "action",
                    "`quarantine` needs a caller to shut out: count by tenant, user, api_key or ip"
                        .to_owned(),
                );
            }
        }
        let is_ascending = |pair: &[Rung]| match pair {
            [one, other] => one.violations < other.violations && one.action < other.action,
            _ => true,
        };
        let first_is_more =
            self.ladder.first().is_none_or(|rung| rung.violations > 1 && rung.action > self.action);
        if !first_is_more || !self.ladder.windows(2).all(is_ascending) {
            find(
                "ladder",
                "each rung needs more violations, from 2, and a more severe action than the one before it and than `action`"
                    .to_owned(),
            );
        }
        if self.ladder_window.unit() == Unit::Month {
            find("ladder_window", "use seconds, minutes, hours or days".to_owned());
        }
    }

    fn validate_conditions(&self, find: &mut impl FnMut(&'static str, String)) {
        const CONDITIONS: usize = 16;
        if self.conditions.len() > CONDITIONS {
            find("conditions", format!("use at most {CONDITIONS}"));
        }
        for (number, condition) in self.conditions.iter().enumerate() {
            if let Some(problem) = condition.problem() {
                find("conditions", format!("number {}: {problem}", number + 1));
            }
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
