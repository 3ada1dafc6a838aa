use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

/// How often checkpoints are made, and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// How long after an entry its chain gets a new checkpoint, in milliseconds, 10 to 3,600,000.
    pub interval_ms: u64,
    /// How often the platform's ledger records the checkpoints of tenants, in seconds, 1 to 86,400.
    pub record_seconds: u32,
    /// After how long without any checkpoint of a tenant the platform's ledger records that there was none, in seconds, 1 to 86,400.
    /// So a log that stands still is told from one that was stopped.
    pub heartbeat_seconds: u32,
    /// The longest that somebody waits for a checkpoint over an event (`ack=checkpointed`), in milliseconds, 1 to 600,000. The event
    /// stays recorded, whenever its checkpoint comes.
    pub ack_timeout_ms: u64,
    /// How often all chains are looked through for entries that another process committed and did not live to cover, in seconds, 1
    /// to 86,400.
    pub sweep_seconds: u32,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            interval_ms: 1_000,
            record_seconds: 10,
            heartbeat_seconds: 300,
            ack_timeout_ms: 5_000,
            sweep_seconds: 60,
        }
    }
}

impl CheckpointConfig {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Config`] names the first that is not.
    pub fn validate(&self) -> Result<(), Error> {
        let seconds = |value: u32| (1..=86_400).contains(&value);
        let (setting, rule) = if !(10..=3_600_000).contains(&self.interval_ms) {
            ("interval_ms", "use 10 to 3600000")
        } else if !seconds(self.record_seconds) {
            ("record_seconds", "use 1 to 86400")
        } else if !seconds(self.heartbeat_seconds) {
            ("heartbeat_seconds", "use 1 to 86400")
        } else if !(1..=600_000).contains(&self.ack_timeout_ms) {
            ("ack_timeout_ms", "use 1 to 600000")
        } else if !seconds(self.sweep_seconds) {
            ("sweep_seconds", "use 1 to 86400")
        } else {
            return Ok(());
        };
        Err(Error::Config { setting, rule })
    }

    pub(crate) const fn ack_timeout(&self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms)
    }
}
