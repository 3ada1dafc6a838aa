//! The in-memory store passes the suite that every adapter passes.

use std::sync::Arc;

use stanchion_replica::MemoryOutboxStore;
use stanchion_tenancy::MemoryTenantStore;
use stanchion_tenancy::conformance::Fixture;

async fn memory() -> Fixture {
    let outbox = Arc::new(MemoryOutboxStore::default());
    Fixture { store: Arc::new(MemoryTenantStore::new(Some(Arc::clone(&outbox)))), outbox }
}

stanchion_tenancy::tenant_store_conformance!(mod memory_tenant_store, memory());
