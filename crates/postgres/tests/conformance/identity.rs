use std::sync::Arc;

use stanchion_identity::conformance::Fixture;
use stanchion_postgres::{PgKeyStore, PgOutboxStore, testing};

async fn fixture() -> Fixture {
    let database = testing::fresh().await;
    let outbox = Arc::new(PgOutboxStore::new(database.clone()));
    Fixture { store: Arc::new(PgKeyStore::new(database)), outbox }
}

stanchion_identity::key_store_conformance!(mod postgres_key_store, fixture());
