use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_replica::QueueConfig;

use crate::Error;

/// Which events an [`Engine`](crate::Engine) takes, and how many wait at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RecordingConfig"))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How far back the time of an event may lie, 1 to 400 days; never further than the store tells duplicates.
    pub late_window_days: u32,
    /// How far ahead of the clock the time of an event may lie, 0 to 3,600 seconds.
    pub future_tolerance_seconds: u32,
    /// The most submitted events that wait for the store, 1 to 10,000,000.
    pub queue_capacity: usize,
    /// The most of them that may be one tenant's, 1 to `queue_capacity`.
    pub queue_share: usize,
    /// The most events appended at once, 1 to 10,000.
    pub batch: usize,
    /// How long the first event of a batch waits for company, 0 to 1,000 milliseconds.
    pub linger_ms: u64,
    /// The longest that an answer waits for its usage to be kept (`ack = "durable"`), 1 to 600,000 milliseconds. After that it is
    /// withheld; the usage may still be counted.
    pub commit_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        let queue = QueueConfig::default();
        Self {
            late_window_days: 100,
            future_tolerance_seconds: 300,
            queue_capacity: queue.capacity,
            queue_share: queue.share,
            batch: queue.batch,
            linger_ms: 2,
            commit_timeout_ms: 1_000,
        }
    }
}

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the first field that is out of its range.
    pub const fn validate(&self) -> Result<(), Error> {
        let problem = if self.late_window_days < 1 || self.late_window_days > 400 {
            "`late_window_days` must be 1 to 400"
        } else if self.future_tolerance_seconds > 3_600 {
            "`future_tolerance_seconds` must be 0 to 3600"
        } else if self.queue_capacity < 1 || self.queue_capacity > 10_000_000 {
            "`queue_capacity` must be 1 to 10000000"
        } else if self.queue_share < 1 || self.queue_share > self.queue_capacity {
            "`queue_share` must be 1 to `queue_capacity`"
        } else if self.batch < 1 || self.batch > 10_000 {
            "`batch` must be 1 to 10000"
        } else if self.linger_ms > 1_000 {
            "`linger_ms` must be 0 to 1000"
        } else if self.commit_timeout_ms < 1 || self.commit_timeout_ms > 600_000 {
            "`commit_timeout_ms` must be 1 to 600000"
        } else {
            return Ok(());
        };
        Err(Error::InvalidConfig(problem))
    }

    pub(crate) fn late_window(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60) * self.late_window_days
    }

    pub(crate) fn future_tolerance(&self) -> Duration {
        Duration::from_secs(self.future_tolerance_seconds.into())
    }

    pub(crate) const fn commit_timeout(&self) -> Duration {
        Duration::from_millis(self.commit_timeout_ms)
    }

    /// The queue works with at least one place and batches of at least one event, whether or not the ranges were checked.
    pub(crate) fn queue(&self) -> QueueConfig {
        QueueConfig {
            capacity: self.queue_capacity.max(1),
            share: self.queue_share.max(1),
            batch: self.batch.max(1),
            linger: Duration::from_millis(self.linger_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_its_range_is_named() {
        assert!(Config::default().validate().is_ok());
        let error = Config { queue_share: 70_000, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`queue_share` must be 1 to `queue_capacity`");
    }

    #[test]
    fn a_file_says_only_what_differs_and_nothing_unknown() {
        let config: Config = toml::from_str("late_window_days = 34").unwrap();
        assert_eq!(config, Config { late_window_days: 34, ..Config::default() });
        assert!(toml::from_str::<Config>("late_window = 34").is_err());
    }
}
