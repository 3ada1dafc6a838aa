use crate::Config;

/// How many connections count rate limits, and how long a decision may take.
///
/// They are apart from those that records are read and written by: counting takes one for each decision under way, and must not
/// starve the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PostgresCounterConfig"))]
#[serde(default, deny_unknown_fields)]
pub struct CounterConfig {
    /// The most connections of this process, 2 to 1,000: as many decisions are under way at once, others wait their turn. Some four
    /// per core of the database server keep it busy.
    pub max_connections: u32,
    /// The longest wait for a free or new connection, 10 to 60,000 ms.
    pub acquire_timeout_ms: u32,
    /// The longest time a decision may take, connection included, 10 to 600,000 ms. Decisions on the same counter come one after the
    /// other, so it bounds the queue behind a counter that everybody uses.
    pub operation_timeout_ms: u32,
}

impl Default for CounterConfig {
    fn default() -> Self {
        Self { max_connections: 16, acquire_timeout_ms: 100, operation_timeout_ms: 500 }
    }
}

impl CounterConfig {
    /// Checks the ranges and returns everything that is wrong, as `field: problem`.
    ///
    /// # Errors
    /// One line per field out of range.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        self.pool().validate()
    }

    pub(super) const fn pool(&self) -> Config {
        Config {
            max_connections: self.max_connections,
            acquire_timeout_ms: self.acquire_timeout_ms,
            operation_timeout_ms: self.operation_timeout_ms,
        }
    }
}
