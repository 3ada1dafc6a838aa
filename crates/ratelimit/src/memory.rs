mod counters;
mod entries;
mod holds;
mod name;
mod rules;
mod shard;

pub use counters::MemoryCounterStore;
pub use rules::MemoryRuleStore;
