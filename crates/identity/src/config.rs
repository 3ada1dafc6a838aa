use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Environment, Error};

/// How an [`Engine`](crate::Engine) makes keys and keeps them in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ApiKeyConfig"))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The environment of keys that are issued without one.
    pub environment: Environment,
    /// The most keys that are kept in memory, 16 to 10,000,000.
    pub cached_keys: usize,
    /// The longest time, 1 to 3,600 seconds, that a key is accepted after it was known to be current: after it was read, or after the
    /// engine had last [followed](stanchion_replica::Follower) all changes.
    pub max_stale_seconds: u32,
    /// The most texts in the form of a key that are remembered as none, 16 to 1,000,000. They have their own room, so that no flood of
    /// them drives out a key.
    pub cached_unknown: usize,
    /// The longest time, 1 to 3,600 seconds, that a text is remembered as none.
    pub unknown_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            environment: Environment::default(),
            cached_keys: 100_000,
            max_stale_seconds: 60,
            cached_unknown: 10_000,
            unknown_seconds: 10,
        }
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
            ((16..=10_000_000).contains(&self.cached_keys), "cached_keys", "16 to 10000000"),
            (seconds.contains(&self.max_stale_seconds), "max_stale_seconds", "1 to 3600"),
            ((16..=1_000_000).contains(&self.cached_unknown), "cached_unknown", "16 to 1000000"),
            (seconds.contains(&self.unknown_seconds), "unknown_seconds", "1 to 3600"),
        ];
        match bounds.into_iter().find(|(within, ..)| !within) {
            Some((_, setting, rule)) => Err(Error::InvalidConfig { setting, rule }),
            None => Ok(()),
        }
    }

    pub(crate) fn max_stale(&self) -> Duration {
        Duration::from_secs(self.max_stale_seconds.into())
    }

    pub(crate) fn unknown_for(&self) -> Duration {
        Duration::from_secs(self.unknown_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_what_is_out_of_range_is_named() {
        Config::default().validate().unwrap();
        let error = Config { cached_unknown: 0, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`cached_unknown` must be 16 to 1000000");
        let error = Config { max_stale_seconds: 3_601, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`max_stale_seconds` must be 1 to 3600");
    }

    #[test]
    fn unknown_settings_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"environment":"live","max_stale":1}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"environment":"Live"}"#).is_err());
        let config: Config = serde_json::from_str(r#"{"environment":"test"}"#).unwrap();
        assert_eq!(config.environment.as_str(), "test");
    }
}
