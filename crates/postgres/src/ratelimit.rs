//! Rate-limit rules, and their counters for those who have no Redis.

mod config;
mod counters;
mod rules;
mod sweep;

pub use config::CounterConfig;
pub use counters::PgCounterStore;
pub use rules::PgRuleStore;
