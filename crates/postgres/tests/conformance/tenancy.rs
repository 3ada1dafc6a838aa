use std::sync::Arc;

use stanchion_postgres::{PgOutboxStore, PgTenantStore, testing};
use stanchion_tenancy::conformance::Fixture;

async fn fixture() -> Fixture {
    let database = testing::fresh().await;
    let outbox = Arc::new(PgOutboxStore::new(database.clone()));
    Fixture { store: Arc::new(PgTenantStore::new(database)), outbox }
}

stanchion_tenancy::tenant_store_conformance!(mod postgres_tenant_store, fixture());
