use std::sync::Arc;

use stanchion_postgres::{PgOutboxStore, PgRbacStore, testing};
use stanchion_rbac::conformance::Fixture;

async fn fixture() -> Fixture {
    let database = testing::fresh().await;
    let outbox = Some(Arc::new(PgOutboxStore::new(database.clone())) as _);
    Fixture { store: Arc::new(PgRbacStore::new(database)), outbox }
}

stanchion_rbac::rbac_store_conformance!(mod postgres_rbac_store, fixture());
