use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanchion_audit::Epochs;
use stanchion_core::Timestamp;

/// Whether the key that entries are signed with is replaced every now and then by one that follows from it, and destroyed. Then who captures
/// the server forges nothing that was signed before. The highest of `signing_keys` is the root, needed for the first start only: keep it where
/// no server is. [Operations](../operations.md#signing-keys-that-evolve) says what this protects from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvolveConfig {
    /// The file in which this replica keeps the oldest key that it still has, for its owner alone to read. A relative path begins at the
    /// directory of the configuration. Left out, keys do not evolve.
    pub state: Option<PathBuf>,
    /// When the epoch of the root began, such as `2026-11-01T00:00:00Z`: the same for all replicas, and changed with the root only.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// How long an epoch is, in seconds, 60 to 31,536,000: the same for all replicas, and changed with the root only.
    pub every_seconds: u32,
    /// How long after its end the key of an epoch stays, in seconds, 1 to less than an epoch, so that checkpoints cover what was signed last.
    pub grace_seconds: u32,
}

impl Default for EvolveConfig {
    fn default() -> Self {
        Self { state: None, since: None, every_seconds: 86_400, grace_seconds: 3_600 }
    }
}

impl EvolveConfig {
    /// Tells whether keys evolve.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.state.is_some()
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        if !(60..=31_536_000).contains(&self.every_seconds) {
            return Err("`every_seconds` must be 60 to 31536000".to_owned());
        }
        if self.grace_seconds == 0 || self.grace_seconds >= self.every_seconds {
            return Err("`grace_seconds` must be 1 to less than `every_seconds`".to_owned());
        }
        if self.is_on() && self.since.is_none() {
            return Err("`state` needs `since`: say when the epoch of the root began".to_owned());
        }
        Ok(())
    }

    pub(crate) fn epochs(&self) -> Epochs {
        Epochs {
            since: self.since.unwrap_or(Timestamp::EPOCH),
            every: Duration::from_secs(self.every_seconds.into()),
            grace: Duration::from_secs(self.grace_seconds.into()),
        }
    }
}
