//! The in-memory outbox passes the suite that every adapter passes.

use std::sync::Arc;

use stanchion_replica::MemoryOutboxStore;
use stanchion_replica::conformance::Fixture;

async fn memory() -> Fixture {
    let store = Arc::new(MemoryOutboxStore::default());
    let writer = Arc::clone(&store);
    let commit = Arc::new(move |events| -> stanchion_core::BoxFuture<'static, ()> {
        writer.append(events);
        Box::pin(std::future::ready(()))
    });
    Fixture { store, commit }
}

stanchion_replica::outbox_store_conformance!(mod memory_outbox_store, memory());
