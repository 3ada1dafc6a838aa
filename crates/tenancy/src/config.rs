use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

/// How an [`Engine`](crate::Engine) keeps tenants' statuses in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "TenancyConfig"))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most tenants whose status is kept in memory, 16 to 10,000,000.
    pub cached_tenants: usize,
    /// The longest time, 1 to 3,600 seconds, that a status is answered after it was known to be current: after it was read, or after the
    /// engine had last [followed](stanchion_replica::Follower) all changes.
    pub max_stale_seconds: u32,
    /// The longest time, 1 to 3,600 seconds, that a tenant is taken not to exist after it was looked for, while nobody follows.
    pub unknown_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { cached_tenants: 100_000, max_stale_seconds: 60, unknown_seconds: 10 }
    }
}

impl Config {
    /// Checks that every setting lies in its range.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        let seconds = 1..=3_600;
        let bounds = [
            ((16..=10_000_000).contains(&self.cached_tenants), "cached_tenants", "16 to 10000000"),
            (seconds.contains(&self.max_stale_seconds), "max_stale_seconds", "1 to 3600"),
            (seconds.contains(&self.unknown_seconds), "unknown_seconds", "1 to 3600"),
        ];
        match bounds.into_iter().find(|(within, ..)| !within) {
            Some((_, setting, rule)) => Err(Error::InvalidConfig { setting, rule }),
            None => Ok(()),
        }
    }

    pub(crate) fn lifetime(&self, known: bool) -> Duration {
        let seconds = if known { self.max_stale_seconds } else { self.unknown_seconds };
        Duration::from_secs(seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_what_is_out_of_range_is_named() {
        Config::default().validate().unwrap();
        let error = Config { unknown_seconds: 0, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`unknown_seconds` must be 1 to 3600");
        let error = Config { cached_tenants: 15, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`cached_tenants` must be 16 to 10000000");
    }

    #[test]
    fn unknown_settings_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"max_stale":1}"#).is_err());
        let config: Config = serde_json::from_str(r#"{"max_stale_seconds":5}"#).unwrap();
        assert_eq!(config, Config { max_stale_seconds: 5, ..Config::default() });
    }
}
