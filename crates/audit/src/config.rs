use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_replica::QueueConfig;

use crate::{Error, Shard, Writers};

/// How a ledger queues and commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "LedgerConfig"))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most events that wait to be committed, at least 1.
    pub capacity: usize,
    /// The most events of one scope that wait, 1 to `capacity`. Less than `capacity`, so that no tenant fills the queue alone.
    pub share: usize,
    /// The most events of one commit, at least 1.
    pub batch: usize,
    /// How long a commit waits for company after its first event, in milliseconds.
    pub linger_ms: u64,
    /// How long to wait after the first failure of the store, in milliseconds, at least 1; doubled with each further one.
    pub retry_min_ms: u64,
    /// The longest wait after a failure of the store, in milliseconds, at least `retry_min_ms`.
    pub retry_max_ms: u64,
    /// The longest that an answer waits for its record to be committed (`ack = "durable"`), in milliseconds, 1 to 600,000. After that
    /// it is withheld; the record may still be committed.
    pub commit_timeout_ms: u64,
    /// Whether other sequencers write to the same store.
    pub writers: Writers,
    /// Among how many sequencers the scopes are divided, 1 to 64, each with a queue of its own, for which `capacity` is divided too. It is
    /// settled by the first start on a database, and the same for all replicas for good.
    pub shards: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            share: 16_384,
            batch: 1_000,
            linger_ms: 2,
            retry_min_ms: 10,
            retry_max_ms: 1_000,
            commit_timeout_ms: 1_000,
            writers: Writers::Shared,
            shards: 1,
        }
    }
}

impl Config {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Config`] names the setting and its range.
    pub const fn validate(&self) -> Result<(), Error> {
        let (setting, rule) = if self.capacity == 0 {
            ("capacity", "use at least 1")
        } else if self.share == 0 || self.share > self.capacity {
            ("share", "use 1 to `capacity`")
        } else if self.batch == 0 {
            ("batch", "use at least 1")
        } else if self.retry_min_ms == 0 {
            ("retry_min_ms", "use at least 1")
        } else if self.retry_max_ms < self.retry_min_ms {
            ("retry_max_ms", "use at least `retry_min_ms`")
        } else if self.commit_timeout_ms == 0 || self.commit_timeout_ms > 600_000 {
            ("commit_timeout_ms", "use 1 to 600000")
        } else if self.shards == 0 || self.shards > Shard::MOST {
            ("shards", "use 1 to 64")
        } else {
            return Ok(());
        };
        Err(Error::Config { setting, rule })
    }

    pub(crate) fn queue(&self) -> QueueConfig {
        let capacity = self.capacity.div_ceil(usize::from(self.shards.max(1))).max(1);
        QueueConfig {
            capacity,
            share: self.share.clamp(1, capacity),
            batch: self.batch.max(1),
            linger: Duration::from_millis(self.linger_ms),
        }
    }

    pub(crate) const fn commit_timeout(&self) -> Duration {
        Duration::from_millis(self.commit_timeout_ms)
    }

    /// Returns how long to wait after that many failures in a row.
    pub(crate) fn retry(&self, failures: u32) -> Duration {
        let doubled =
            self.retry_min_ms.max(1).saturating_mul(2_u64.saturating_pow(failures.saturating_sub(1)));
        Duration::from_millis(doubled.min(self.retry_max_ms.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_what_is_out_of_range_is_named() {
        let good = Config::default();
        assert!(good.validate().is_ok());
        let bad = [
            (Config { capacity: 0, ..good }, "capacity"),
            (Config { share: 65_537, ..good }, "share"),
            (Config { batch: 0, ..good }, "batch"),
            (Config { retry_min_ms: 0, ..good }, "retry_min_ms"),
            (Config { retry_max_ms: 9, ..good }, "retry_max_ms"),
            (Config { commit_timeout_ms: 0, ..good }, "commit_timeout_ms"),
            (Config { shards: 0, ..good }, "shards"),
            (Config { shards: 65, ..good }, "shards"),
        ];
        for (config, name) in bad {
            assert!(matches!(config.validate(), Err(Error::Config { setting, .. }) if setting == name));
        }
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let config = Config::default();
        let waits: Vec<u128> = [1, 2, 3, 7, 8, u32::MAX].map(|n| config.retry(n).as_millis()).to_vec();
        assert_eq!(waits, [10, 20, 40, 640, 1000, 1000]);
    }
}
