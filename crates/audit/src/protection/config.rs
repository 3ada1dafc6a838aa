use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FieldPath;

/// Which values of events are protected whoever records them, and how their keys are kept in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ProtectConfig {
    /// The fields that are protected in every event that has them: `details.NAME`, `details.NAME.NAME`, `changes.FIELD`, `source.ip`,
    /// `source.user_agent`; for the event's actor.
    pub fields: Vec<FieldPath>,
    /// Those of `fields` that can be found by their value, until they are erased. A keyed hash for that stays in the entry's bytes.
    pub searchable: Vec<FieldPath>,
    /// About how many keys are kept in memory, 16 to 1,000,000.
    pub cached_keys: usize,
    /// For how many seconds a key is kept in memory, 1 to 3,600. Where others' erasures cannot be followed, it is as long until no
    /// more values are protected with an erased key.
    pub key_lifetime_seconds: u32,
    /// How long to wait for keys, in milliseconds, 1 to 60,000. After that an event that is offered is refused; of one that was accepted
    /// already the value is withheld and lost.
    pub key_timeout_ms: u32,
}

impl Default for ProtectConfig {
    fn default() -> Self {
        Self {
            fields: Vec::new(),
            searchable: Vec::new(),
            cached_keys: 10_000,
            key_lifetime_seconds: 30,
            key_timeout_ms: 1_000,
        }
    }
}

impl ProtectConfig {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// One sentence that names the setting and its range.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(field) = self.searchable.iter().find(|field| !self.fields.contains(field)) {
            return Err(format!("`searchable` names `{field}`, which is not among `fields`"));
        }
        if !(16..=1_000_000).contains(&self.cached_keys) {
            return Err("`cached_keys` must be 16 to 1000000".to_owned());
        }
        if !(1..=3_600).contains(&self.key_lifetime_seconds) {
            return Err("`key_lifetime_seconds` must be 1 to 3600".to_owned());
        }
        if !(1..=60_000).contains(&self.key_timeout_ms) {
            return Err("`key_timeout_ms` must be 1 to 60000".to_owned());
        }
        Ok(())
    }

    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.key_lifetime_seconds.max(1).into())
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.key_timeout_ms.max(1).into())
    }
}
