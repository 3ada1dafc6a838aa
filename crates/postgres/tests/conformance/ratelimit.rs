use std::sync::Arc;

use stanchion_postgres::{PgOutboxStore, PgRuleStore, testing};
use stanchion_ratelimit::conformance::rule_store::Fixture;

async fn fixture() -> Fixture {
    let database = testing::fresh().await;
    let outbox = Arc::new(PgOutboxStore::new(database.clone()));
    Fixture { store: Arc::new(PgRuleStore::new(database)), outbox }
}

stanchion_ratelimit::rule_store_conformance!(mod postgres_rule_store, fixture());
