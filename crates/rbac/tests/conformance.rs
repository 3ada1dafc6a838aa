//! The in-memory store passes the suite that every adapter passes.

use std::sync::Arc;

use stanchion_rbac::MemoryRbacStore;
use stanchion_rbac::conformance::Fixture;
use stanchion_replica::MemoryOutboxStore;

async fn memory() -> Fixture {
    let outbox = Arc::new(MemoryOutboxStore::default());
    Fixture { store: Arc::new(MemoryRbacStore::new(Some(Arc::clone(&outbox)))), outbox: Some(outbox) }
}

stanchion_rbac::rbac_store_conformance!(mod memory_rbac_store, memory());
