//! The ledger in memory passes the suite that every adapter passes.

use std::sync::Arc;

use stanchion_audit::{LedgerStore, MemoryLedgerStore};

async fn memory() -> Arc<dyn LedgerStore> {
    Arc::new(MemoryLedgerStore::new(4_096))
}

stanchion_audit::ledger_store_conformance!(mod memory_ledger_store, memory());
