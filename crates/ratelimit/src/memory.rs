mod counters;
mod entries;
mod holds;
#[cfg(not(test))]
mod lock;
#[cfg(test)]
#[path = "memory/lock/scheduled.rs"]
mod lock;
pub(crate) mod name;
mod rules;
mod shard;

pub use counters::MemoryCounterStore;
pub use rules::MemoryRuleStore;
