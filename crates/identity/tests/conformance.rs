//! The in-memory store passes the suite that every adapter passes.

use std::sync::Arc;

use stanchion_identity::MemoryKeyStore;
use stanchion_identity::conformance::Fixture;
use stanchion_replica::MemoryOutboxStore;

async fn memory() -> Fixture {
    let outbox = Arc::new(MemoryOutboxStore::default());
    Fixture { store: Arc::new(MemoryKeyStore::new(Some(Arc::clone(&outbox)))), outbox }
}

stanchion_identity::key_store_conformance!(mod memory_key_store, memory());
