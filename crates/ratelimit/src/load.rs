mod latency;

use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_core::Timestamp;

pub use latency::{LatencyLoad, LatencyTarget};

use crate::Limit;

/// How loaded a service is: thousandths, from nothing at 0 to all it can bear at 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "u16", into = "u16")]
pub struct Load(u16);

/// More than 1000 thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLoad(u16);

impl fmt::Display for InvalidLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no load: use 0 to 1000 thousandths", self.0)
    }
}

impl std::error::Error for InvalidLoad {}

impl Load {
    /// Nothing to do.
    pub const IDLE: Self = Self(0);
    /// All that can be borne.
    pub const FULL: Self = Self(1000);

    /// Takes thousandths; more than 1000 are 1000.
    #[must_use]
    pub const fn from_permille(permille: u16) -> Self {
        if permille > Self::FULL.0 { Self::FULL } else { Self(permille) }
    }

    /// Returns the thousandths, 0 to 1000.
    #[must_use]
    pub const fn permille(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Load {
    type Error = InvalidLoad;

    fn try_from(permille: u16) -> Result<Self, InvalidLoad> {
        if permille > Self::FULL.0 { Err(InvalidLoad(permille)) } else { Ok(Self(permille)) }
    }
}

impl From<Load> for u16 {
    fn from(load: Load) -> Self {
        load.0
    }
}

/// When a load that has fallen is believed, so that limits do not swing with every sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Hysteresis {
    /// By how many thousandths the load has to be below the one that is applied, 0 to 1000.
    pub margin: Load,
    /// For how many seconds.
    pub hold_seconds: u32,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { margin: Load(50), hold_seconds: 10 }
    }
}

/// The load that limits are scaled by: told by its owner, read by every decision.
///
/// It rises at once. It falls when it has been lower by the margin for the whole hold time, and then to the highest that was told
/// meanwhile. A load that nobody tells stays as it is, so an owner tells it also when nothing happens.
#[derive(Debug)]
pub struct LoadSignal {
    applied: AtomicU16,
    lower: Mutex<Option<Lower>>,
    hysteresis: Hysteresis,
}

/// A stretch of time in which the load was lower than the one that is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lower {
    since: Timestamp,
    highest: Load,
}

impl LoadSignal {
    /// Starts with no load.
    #[must_use]
    pub const fn new(hysteresis: Hysteresis) -> Self {
        Self { applied: AtomicU16::new(0), lower: Mutex::new(None), hysteresis }
    }

    /// Returns the load that is applied: one atomic read.
    #[must_use]
    #[inline]
    pub fn applied(&self) -> Load {
        Load(self.applied.load(Ordering::Relaxed))
    }

    /// Tells the load as it is now, and returns the one that is applied.
    pub fn set(&self, load: Load, now: Timestamp) -> Load {
        let mut lower = self.lower.lock().unwrap_or_else(PoisonError::into_inner);
        let (applied, next) = self.hysteresis.follow(self.applied(), *lower, load, now);
        *lower = next;
        self.applied.store(applied.0, Ordering::Relaxed);
        applied
    }
}

impl Hysteresis {
    fn follow(
        &self,
        applied: Load,
        lower: Option<Lower>,
        load: Load,
        now: Timestamp,
    ) -> (Load, Option<Lower>) {
        if load >= applied {
            return (load, None);
        }
        if load.0.saturating_add(self.margin.0) > applied.0 {
            return (applied, None);
        }
        let Some(Lower { since, highest }) = lower else {
            let lower = Lower { since: now, highest: load };
            // Without a time to hold it is believed at once.
            return if self.hold_seconds == 0 { (load, None) } else { (applied, Some(lower)) };
        };
        let highest = highest.max(load);
        if now.since(since) < Duration::from_secs(self.hold_seconds.into()) {
            return (applied, Some(Lower { since, highest }));
        }
        // From here on it is the next stretch, which may lead further down.
        let goes_on = load.0.saturating_add(self.margin.0) <= highest.0;
        (highest, goes_on.then_some(Lower { since: now, highest: load }))
    }
}

/// How a rule's limit shrinks as the load grows: the whole below `starts_at`, `floor_percent` of it from `full_at` on, and in between
/// evenly, in whole percents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    /// What is left of the limit under full load, 1 to 100 percent.
    pub floor_percent: u8,
    /// The load from which it shrinks, in thousandths; less than `full_at`.
    #[serde(default = "half")]
    pub starts_at: Load,
    /// The load from which no more than the floor is left, in thousandths.
    #[serde(default = "full")]
    pub full_at: Load,
}

const fn half() -> Load {
    Load(500)
}

const fn full() -> Load {
    Load::FULL
}

/// A field of an [`Adaptive`] cannot be as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAdaptive {
    field: &'static str,
    problem: &'static str,
}

impl InvalidAdaptive {
    /// Returns the field.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Returns what is wrong with it and how to mend it.
    #[must_use]
    pub const fn problem(&self) -> &'static str {
        self.problem
    }
}

impl fmt::Display for InvalidAdaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for InvalidAdaptive {}

impl Adaptive {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`InvalidAdaptive`] names the first field that is out of its range.
    pub const fn validate(&self) -> Result<(), InvalidAdaptive> {
        let (field, problem) = if self.floor_percent == 0 || self.floor_percent > 100 {
            ("floor_percent", "use 1 to 100; a limit of nothing would shut everybody out")
        } else if self.starts_at.0 >= self.full_at.0 {
            ("starts_at", "use less than `full_at`")
        } else {
            return Ok(());
        };
        Err(InvalidAdaptive { field, problem })
    }

    /// Returns how many thousandths of the limit are left under a load: a multiple of ten from the floor to 1000, that never grows
    /// with the load. Whole percents, so that a limit does not change with every sample: what is [leased](crate::Lease) under one
    /// limit does not hold under another.
    #[must_use]
    pub fn factor(&self, load: Load) -> u32 {
        let floor = u32::from(self.floor_percent.clamp(1, 100));
        let (starts_at, full_at) = (u32::from(self.starts_at.0), u32::from(self.full_at.0));
        let beyond = u32::from(load.0).saturating_sub(starts_at);
        let span = full_at.saturating_sub(starts_at);
        if beyond == 0 {
            return 1000;
        }
        let lost = (100 - floor) * beyond.min(span);
        let percent = lost.checked_div(span).map_or(floor, |_| 100 - lost.div_ceil(span));
        percent * 10
    }

    /// Returns what is left of a limit under a load, rounded down, but never less than one unit.
    #[must_use]
    pub fn limit(&self, limit: &Limit, load: Load) -> Limit {
        match self.factor(load) {
            1000 => *limit,
            factor => limit.part(factor, 1000),
        }
    }
}

#[cfg(test)]
mod tests;
