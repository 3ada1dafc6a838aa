use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Permission};

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
    /// What is asked of grants that are made in an emergency.
    pub emergency: Emergency,
    /// How long subjects may use some of their roles by themselves.
    pub sessions: Sessions,
    /// What administrators are kept from doing.
    pub guards: Guards,
    /// Which decisions are recorded.
    pub decisions: DecisionRecords,
    /// What is removed when it has served its time.
    pub sweep: Sweep,
}

/// What is removed when it has served its time. Sessions are as soon as they have expired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RbacSweep"))]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    /// For how many days, 1 to 36,500, assignments, grants and memberships that have expired are kept, to be seen; left out, for ever.
    pub keep_days: Option<u32>,
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
            emergency: Emergency::default(),
            sessions: Sessions::default(),
            guards: Guards::default(),
            sweep: Sweep::default(),
        }
    }
}

/// What is asked of grants that are made in an emergency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RbacEmergency"))]
#[serde(deny_unknown_fields, default)]
pub struct Emergency {
    /// After how many minutes, 1 to 10,080, such a grant ends at the latest.
    pub max_minutes: u32,
    /// Whether it counts only once a second person has approved it.
    pub second_approver: bool,
}

impl Default for Emergency {
    fn default() -> Self {
        Self { max_minutes: 60, second_approver: false }
    }
}

/// How long subjects may use some of their roles by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RbacSessions"))]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// After how many minutes, 1 to 43,200, a session ends at the latest.
    pub max_minutes: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { max_minutes: 720 }
    }
}

/// What administrators are kept from doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RbacGuards"))]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// Whether a subject gives others only what it may do itself, unless it has `granting`, and itself nothing at all. Stanchion itself
    /// may give anything.
    pub self_elevation: bool,
    /// The permission by which a subject may give others what it may not do itself.
    pub granting: Permission,
    /// Whether a scope that has an administrator keeps one.
    pub last_administrator: bool,
    /// The permissions that make an administrator, together.
    pub administrative: Vec<Permission>,
}

impl Default for Guards {
    fn default() -> Self {
        let named = |name| Permission::new(name).ok();
        let everything = || Permission::everything();
        Self {
            self_elevation: true,
            granting: named("role:grant").unwrap_or_else(everything),
            last_administrator: true,
            administrative: vec![named("role:write").unwrap_or_else(everything)],
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
    /// The most permissions that one subject has in one scope besides its roles, 1 to 10,000.
    pub grants: usize,
    /// The most groups that one subject belongs to in one scope, 1 to 1,000.
    pub groups: usize,
    /// The most members of one group, 1 to 1,000,000.
    pub members: usize,
    /// The most separations of duty of one scope, 1 to 10,000.
    pub separations: usize,
    /// The most roles that one separation keeps apart, 2 to 1,000.
    pub separated_roles: usize,
    /// The most constraints of one role or grant, 1 to 100.
    pub constraints: usize,
    /// The most permissions that one role leaves out, 1 to 10,000.
    pub excludes: usize,
    /// The most roles that one role asks for, 1 to 100.
    pub requires: usize,
    /// The most entries that are kept with one role, 1 to 1,000; each has at most 1,000 characters.
    pub metadata: usize,
    /// The most sessions that one subject has in one scope, 1 to 1,000.
    pub sessions: usize,
    /// In how many tenants, 1 to 1,000,000, the rules are asked about a change of a role of the platform that they use. Where more use it,
    /// the others are not looked at, and whoever made the change is told.
    pub checked_tenants: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            roles: 10_000,
            permissions: 500,
            includes: 100,
            depth: 64,
            assignments: 200,
            denials: 200,
            grants: 200,
            groups: 100,
            members: 10_000,
            separations: 200,
            separated_roles: 100,
            constraints: 20,
            excludes: 100,
            requires: 20,
            metadata: 50,
            sessions: 20,
            checked_tenants: 1_000,
        }
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
        let minutes = |minutes: u32| usize::try_from(minutes).unwrap_or(usize::MAX);
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
            (1..=10_000, limits.grants, "limits.grants", "1 to 10000"),
            (1..=1_000, limits.groups, "limits.groups", "1 to 1000"),
            (1..=1_000_000, limits.members, "limits.members", "1 to 1000000"),
            (1..=10_000, limits.separations, "limits.separations", "1 to 10000"),
            (2..=1_000, limits.separated_roles, "limits.separated_roles", "2 to 1000"),
            (1..=100, limits.constraints, "limits.constraints", "1 to 100"),
            (1..=10_000, limits.excludes, "limits.excludes", "1 to 10000"),
            (1..=100, limits.requires, "limits.requires", "1 to 100"),
            (1..=1_000, limits.metadata, "limits.metadata", "1 to 1000"),
            (1..=1_000, limits.sessions, "limits.sessions", "1 to 1000"),
            (1..=10_080, minutes(self.emergency.max_minutes), "emergency.max_minutes", "1 to 10080"),
            (1..=36_500, minutes(self.sweep.keep_days.unwrap_or(1)), "sweep.keep_days", "1 to 36500"),
            (1..=1_000_000, limits.checked_tenants, "limits.checked_tenants", "1 to 1000000"),
            (1..=43_200, minutes(self.sessions.max_minutes), "sessions.max_minutes", "1 to 43200"),
        ];
        match bounds.into_iter().find(|(range, value, ..)| !range.contains(value)) {
            Some((_, _, setting, rule)) => Err(Error::InvalidConfig { setting, rule }),
            None if self.guards.last_administrator && self.guards.administrative.is_empty() => {
                let rule = "at least one permission, or `guards.last_administrator` must be off";
                Err(Error::InvalidConfig { setting: "guards.administrative", rule })
            }
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
