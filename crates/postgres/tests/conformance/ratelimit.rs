use std::sync::Arc;

use stanchion_postgres::{CounterConfig, PgCounterStore, PgOutboxStore, PgRuleStore, testing};
use stanchion_ratelimit::CounterStore;
use stanchion_ratelimit::conformance::rule_store::Fixture;

async fn fixture() -> Fixture {
    let database = testing::fresh().await;
    let outbox = Arc::new(PgOutboxStore::new(database.clone()));
    Fixture { store: Arc::new(PgRuleStore::new(database)), outbox }
}

async fn counters() -> Arc<dyn CounterStore> {
    // A busy machine is no reason to fail.
    let config =
        CounterConfig { max_connections: 6, acquire_timeout_ms: 30_000, operation_timeout_ms: 60_000 };
    Arc::new(PgCounterStore::new(&testing::fresh_url().await, config))
}

stanchion_ratelimit::rule_store_conformance!(mod postgres_rule_store, fixture());
stanchion_ratelimit::counter_store_conformance!(mod postgres_counter_store, counters());
