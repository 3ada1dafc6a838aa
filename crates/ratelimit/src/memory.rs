mod counters;
mod name;
mod rules;
mod shard;

pub use counters::MemoryCounterStore;
pub use rules::MemoryRuleStore;
