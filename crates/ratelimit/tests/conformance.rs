//! The in-memory stores pass the suites that every adapter passes.

use std::sync::Arc;

use stanchion_core::SystemClock;
use stanchion_ratelimit::conformance::rule_store::Fixture;
use stanchion_ratelimit::{CounterStore, LeasedCounterStore, MemoryCounterStore, MemoryRuleStore};
use stanchion_replica::MemoryOutboxStore;

async fn rules() -> Fixture {
    let outbox = Arc::new(MemoryOutboxStore::default());
    Fixture { store: Arc::new(MemoryRuleStore::new(Some(Arc::clone(&outbox)))), outbox }
}

async fn counters() -> Arc<dyn CounterStore> {
    Arc::new(MemoryCounterStore::new(10_000, Arc::new(SystemClock)))
}

async fn leased() -> Arc<dyn CounterStore> {
    Arc::new(LeasedCounterStore::new(counters().await, 10_000, Arc::new(SystemClock)))
}

stanchion_ratelimit::rule_store_conformance!(mod memory_rule_store, rules());
stanchion_ratelimit::counter_store_conformance!(mod memory_counter_store, counters());
stanchion_ratelimit::counter_store_conformance!(mod leased_counter_store, leased());
