use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{AnalyticsConfig, Hysteresis, LatencyTarget};

/// How an [`Engine`](crate::Engine) keeps rules and counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RatelimitConfig"))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many tenants' rules are kept in memory, at least 16. Others are read when they are asked for.
    pub cached_tenants: usize,
    /// For how many seconds rules are trusted after it was last known that they are current; at least 1. A follower makes that known
    /// all the time; without one, rules are read again after so long.
    pub max_stale_seconds: u32,
    /// How many rules a scope may have, at least 1.
    pub rules_per_scope: usize,
    /// How many overrides, quarantines and resets a scope may have together, at least 1.
    pub controls_per_scope: usize,
    /// How many replicas share a limit. A rule with `on_backend_failure = "local_share"` gives one part of so many.
    pub replicas: NonZeroU32,
    /// How many counters are kept for such rules while the store cannot be reached, at least 64.
    pub local_counters: usize,
    /// How many things may wait that decisions set going: leases to give back, callers to shut out; at least 64.
    pub errands: usize,
    /// What is a full load, for whoever tells the engine how loaded the service is by what its requests take. Left out, nothing is
    /// measured, and limits that shrink with the load (`adaptive`) are whole unless somebody else tells it.
    pub load: Option<LatencyTarget>,
    /// When a load that has fallen is believed, for limits that shrink with it.
    pub hysteresis: Hysteresis,
    /// From how many percent of a limit on a counter is near it, up to 100. The first time in its window is counted and told. At 0
    /// none is, and nothing is looked at.
    pub near_limit_percent: u8,
    /// How much is kept of what limits have done.
    pub analytics: AnalyticsConfig,
    /// By whose clock is decided. Unset, it is the store's where counters are shared and the engine's where they are not.
    pub time: Option<TimeSource>,
}

/// By whose clock a decision is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// The engine's clock: tests, and stores without replicas.
    Engine,
    /// The store's clock, the same for all replicas.
    Store,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cached_tenants: 10_000,
            max_stale_seconds: 60,
            rules_per_scope: 1_000,
            controls_per_scope: 10_000,
            replicas: NonZeroU32::MIN,
            local_counters: 100_000,
            errands: 65_536,
            load: None,
            hysteresis: Hysteresis::default(),
            // What Envoy's rate-limit service calls near, so that thresholds of alerts can be carried over.
            near_limit_percent: 80,
            analytics: AnalyticsConfig::default(),
            time: None,
        }
    }
}

/// A field of the configuration is out of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig {
    field: &'static str,
    problem: String,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for InvalidConfig {}

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`InvalidConfig`] names the first field that is out of its range.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let max_stale = usize::try_from(self.max_stale_seconds).unwrap_or(usize::MAX);
        for (field, value, least) in [
            ("cached_tenants", self.cached_tenants, 16),
            ("max_stale_seconds", max_stale, 1),
            ("rules_per_scope", self.rules_per_scope, 1),
            ("controls_per_scope", self.controls_per_scope, 1),
            ("local_counters", self.local_counters, 64),
            ("errands", self.errands, 64),
        ] {
            if value < least {
                return Err(InvalidConfig { field, problem: format!("use at least {least}") });
            }
        }
        if self.load.is_some_and(|load| load.smoothing > LatencyTarget::MOST_SMOOTHING) {
            let problem = format!("use 0 to {}", LatencyTarget::MOST_SMOOTHING);
            return Err(InvalidConfig { field: "load.smoothing", problem });
        }
        if self.analytics.event_interval_seconds > 86_400 {
            let problem = "use 0 to 86400".to_owned();
            return Err(InvalidConfig { field: "analytics.event_interval_seconds", problem });
        }
        if self.near_limit_percent > 100 {
            return Err(InvalidConfig { field: "near_limit_percent", problem: "use 0 to 100".to_owned() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_checked_and_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let config: Config = serde_json::from_str(r#"{"local_counters":63}"#).unwrap();
        assert_eq!(config.validate().unwrap_err().to_string(), "local_counters: use at least 64");
        let config: Config = serde_json::from_str(r#"{"load":{"latency_ms":250,"smoothing":17}}"#).unwrap();
        assert_eq!(config.validate().unwrap_err().to_string(), "load.smoothing: use 0 to 16");
        let config: Config = serde_json::from_str(r#"{"near_limit_percent":101}"#).unwrap();
        assert_eq!(config.validate().unwrap_err().to_string(), "near_limit_percent: use 0 to 100");
        assert!(serde_json::from_str::<Config>(r#"{"load":{"latency_ms":0}}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"load":{"in_flight":9}}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"replica":3}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"replicas":0}"#).is_err());
    }
}
