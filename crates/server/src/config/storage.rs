use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanchion_billing_metering as metering;
use stanchion_postgres as postgres;
use stanchion_redis as redis;

use crate::config::SecretRef;

/// Where everything is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// The kind of store.
    pub backend: Backend,
    /// Where rate limits are counted. Left out, that is Redis with `backend = "postgres+redis"`, else the memory of the process.
    pub counters: Option<Counters>,
    /// What tells replicas of changed roles, besides that they look twice a second.
    pub invalidation: Invalidation,
    /// The bounds of what is kept in memory.
    pub memory: MemoryConfig,
    /// The database.
    pub postgres: PostgresConfig,
    /// The servers that rate limits are counted in, with `backend = "postgres+redis"` or `counters = "redis"`, and that tell of changed
    /// roles, with `invalidation = "redis"`.
    pub redis: RedisConfig,
}

impl StorageConfig {
    /// Returns where rate limits are counted. What keeps nothing beyond the process has nothing to count in but its memory.
    #[must_use]
    pub fn counting(&self) -> Counters {
        match (self.backend, self.counters) {
            (Backend::Memory, _) | (Backend::Postgres, None) => Counters::Memory,
            (Backend::PostgresAndRedis, None) => Counters::Redis,
            (_, Some(counters)) => counters,
        }
    }
}

impl StorageConfig {
    /// Tells whether Redis carries news between replicas. What nobody shares nobody has to hear of.
    #[must_use]
    pub fn wakes_by_redis(&self) -> bool {
        self.backend.is_durable() && self.invalidation == Invalidation::Redis
    }
}

/// The database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// Where it is and who signs in: `postgres://login:password@host:5432/database?sslmode=verify-full`. The login needs no right of
    /// its own, only to be a member of `stanchion_tenant` and `stanchion_system`.
    pub url: Option<SecretRef>,
    /// The same for who may change the schema; `stanchion migrate` signs in with it. Left out, that is `url`.
    pub migrate_url: Option<SecretRef>,
    /// How many connections there are, and how long anything may take.
    pub pool: postgres::Config,
    /// The connections that rate limits are counted by, with `counters = "postgres"`: others than those of `pool`.
    pub counters: postgres::CounterConfig,
}

/// The servers that rate limits are counted in, and that may tell of changed roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// Where the servers are: `redis://user:password@host:6379`, several with commas between.
    pub urls: Option<SecretRef>,
    /// How they work together, and how long they may take.
    pub servers: redis::Config,
}

/// The bounds of what is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// The most counters of rate limits, in about 70 bytes each. At least 64.
    pub rate_limit_counters: usize,
    /// The newest entries of each audit chain, in about 1,000 bytes each; older ones are dropped. At least 1.
    pub audit_entries: usize,
    /// The most usage events that are told apart from repetitions, in about 60 bytes each. At least 1,000.
    pub usage_ids: usize,
    /// The most usage events kept one by one, in about 250 bytes each; sums are kept without them. At least 1,000.
    pub usage_events: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        let usage = metering::MemoryConfig::default();
        Self {
            rate_limit_counters: 1_000_000,
            audit_entries: 1_000_000,
            usage_ids: usage.ids,
            usage_events: usage.events,
        }
    }
}

impl MemoryConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        let bounds = [
            ("rate_limit_counters", self.rate_limit_counters, 64),
            ("audit_entries", self.audit_entries, 1),
            ("usage_ids", self.usage_ids, 1_000),
            ("usage_events", self.usage_events, 1_000),
        ];
        match bounds.into_iter().find(|(_, value, least)| value < least) {
            Some((name, _, least)) => Err(format!("`{name}` must be at least {least}")),
            None => Ok(()),
        }
    }

    pub(crate) fn usage(&self) -> metering::MemoryConfig {
        metering::MemoryConfig {
            ids: self.usage_ids,
            events: self.usage_events,
            ..metering::MemoryConfig::default()
        }
    }
}

/// A kind of store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// The memory of the process: everything ends with it, and no other replica sees it.
    #[default]
    Memory,
    /// Postgres. Rate limits are counted in memory, by each replica for itself, unless `counters` says otherwise.
    Postgres,
    /// Postgres, and Redis or Valkey, where all replicas count the same rate limits together.
    #[serde(rename = "postgres+redis")]
    #[value(name = "postgres+redis")]
    PostgresAndRedis,
}

impl Backend {
    /// Tells whether what is kept outlives the process.
    #[must_use]
    pub fn is_durable(self) -> bool {
        self != Self::Memory
    }
}

/// Where rate limits are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counters {
    /// The memory of the process: each replica counts for itself.
    Memory,
    /// Postgres: all replicas count together, each decision in a transaction. Exact without Redis, at some thousand decisions a second.
    Postgres,
    /// Redis or Valkey: all replicas count together.
    Redis,
}

/// What tells replicas that something has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Invalidation {
    /// Postgres announces it.
    #[default]
    Postgres,
    /// Postgres announces it, and Redis or Valkey does: for where something between the replicas and Postgres, such as a pooler, lets
    /// its announcements fall.
    Redis,
}
