use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What an [`Engine`](crate::Engine) keeps in memory, for how long, and how large it lets a scope's records grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RbacConfig"))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most scopes whose roles are kept in memory, 16 to 1,000,000.
    pub cached_scopes: usize,
    /// The most subjects whose assignments are kept in memory, over all scopes, 16 to 10,000,000.
    pub cached_subjects: usize,
    /// The most sessions that are kept in memory, over all scopes, 16 to 10,000,000.
    pub cached_sessions: usize,
    /// The longest time, 1 to 3,600 seconds, that a decision is made by what may be out of date. While changes are followed, nothing
    /// is; this is the bound for when the store cannot be reached, or nobody follows.
    pub max_stale_seconds: u32,
    /// How often, 1 to 1,000 times, a write is tried while others keep changing the scope.
    pub write_attempts: u32,
    /// How large a scope's records may grow.
    pub limits: Limits,
    /// Which decisions are recorded.
    pub decisions: DecisionRecords,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cached_scopes: 10_000,
            cached_subjects: 100_000,
            cached_sessions: 100_000,
            max_stale_seconds: 60,
            write_attempts: 32,
            limits: Limits::default(),
            decisions: DecisionRecords::default(),
        }
    }
}

/// Which decisions are recorded, as recent attempts and as events where there is a sink for them. Refusals all are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RbacDecisionRecords"))]
#[serde(deny_unknown_fields, default)]
pub struct DecisionRecords {
    /// One permitted check in so many is recorded: 1 for all, 0 for none, at most 1,000,000.
    pub permits: u32,
    /// How many of the latest attempts are kept in memory, at most 100,000; 0 for none.
    pub recent: usize,
}

/// How large a scope's records may grow. A write past a limit is refused; nothing is ever cut off in silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RbacLimits"))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most roles of one scope, 1 to 100,000.
    pub roles: usize,
    /// The most permissions that one role names, 1 to 10,000.
    pub permissions: usize,
    /// The most roles that one role includes directly, 1 to 1,000.
    pub includes: usize,
    /// The most roles on a way from a role over what it includes, itself counted, 1 to 256.
    pub depth: usize,
    /// The most roles that one subject holds in one scope, 1 to 10,000.
    pub assignments: usize,
    /// The most permissions that are denied to one subject in one scope, 1 to 10,000.
    pub denials: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { roles: 10_000, permissions: 500, includes: 100, depth: 64, assignments: 200, denials: 200 }
    }
}

impl Config {
    /// Checks that every setting lies in its range.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        let seconds = usize::try_from(self.max_stale_seconds).unwrap_or(usize::MAX);
        let attempts = usize::try_from(self.write_attempts).unwrap_or(usize::MAX);
        let permits = usize::try_from(self.decisions.permits).unwrap_or(usize::MAX);
        let limits = &self.limits;
        let bounds = [
            (16..=1_000_000, self.cached_scopes, "cached_scopes", "16 to 1000000"),
            (16..=10_000_000, self.cached_subjects, "cached_subjects", "16 to 10000000"),
            (16..=10_000_000, self.cached_sessions, "cached_sessions", "16 to 10000000"),
            (1..=3_600, seconds, "max_stale_seconds", "1 to 3600"),
            (1..=1_000, attempts, "write_attempts", "1 to 1000"),
            (0..=1_000_000, permits, "decisions.permits", "0 to 1000000"),
            (0..=100_000, self.decisions.recent, "decisions.recent", "0 to 100000"),
            (1..=100_000, limits.roles, "limits.roles", "1 to 100000"),
            (1..=10_000, limits.permissions, "limits.permissions", "1 to 10000"),
            (1..=1_000, limits.includes, "limits.includes", "1 to 1000"),
            (1..=256, limits.depth, "limits.depth", "1 to 256"),
            (1..=10_000, limits.assignments, "limits.assignments", "1 to 10000"),
            (1..=10_000, limits.denials, "limits.denials", "1 to 10000"),
        ];
        match bounds.into_iter().find(|(range, value, ..)| !range.contains(value)) {
            Some((_, _, setting, rule)) => Err(Error::InvalidConfig { setting, rule }),
            None => Ok(()),
        }
    }

    pub(crate) fn max_stale(&self) -> Duration {
        Duration::from_secs(self.max_stale_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_what_is_out_of_range_is_named() {
        Config::default().validate().unwrap();
        let error = Config { max_stale_seconds: 0, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`max_stale_seconds` must be 1 to 3600");
        let limits = Limits { depth: 257, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`limits.depth` must be 1 to 256");
    }

    #[test]
    fn unknown_settings_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"max_stale":1}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"limits":{"deep":1}}"#).is_err());
        let config: Config = serde_json::from_str(r#"{"limits":{"depth":8}}"#).unwrap();
        assert_eq!(config.limits, Limits { depth: 8, ..Limits::default() });
    }
}
