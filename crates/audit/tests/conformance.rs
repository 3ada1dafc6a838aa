//! The ledger in memory passes the suite that every adapter passes.

use std::sync::Arc;

use stanchion_audit::conformance::tree_store::TreeFixture;
use stanchion_audit::{
    Anchor, HoldStore, LedgerStore, MemoryAnchor, MemoryHoldStore, MemoryLedgerStore, MemoryObjectStore,
    MemorySubjectKeyStore, ObjectStore, SubjectKeyStore,
};

async fn memory() -> Arc<dyn LedgerStore> {
    Arc::new(MemoryLedgerStore::new(4_096))
}

async fn memory_trees() -> TreeFixture {
    let store = Arc::new(MemoryLedgerStore::new(4_096));
    TreeFixture { trees: Arc::clone(&store) as _, ledger: store }
}

async fn memory_keys() -> Arc<dyn SubjectKeyStore> {
    Arc::new(MemorySubjectKeyStore::new(None))
}

async fn memory_holds() -> Arc<dyn HoldStore> {
    Arc::new(MemoryHoldStore::default())
}

async fn memory_anchor() -> Arc<dyn Anchor> {
    Arc::new(MemoryAnchor::default())
}

stanchion_audit::anchor_conformance!(mod memory_anchor_conforms, memory_anchor());
async fn memory_objects() -> Arc<dyn ObjectStore> {
    Arc::new(MemoryObjectStore::default())
}

stanchion_audit::ledger_store_conformance!(mod memory_ledger_store, memory());
stanchion_audit::tree_store_conformance!(mod memory_tree_store, memory_trees());
stanchion_audit::subject_key_store_conformance!(mod memory_subject_key_store, memory_keys());
stanchion_audit::object_store_conformance!(mod memory_object_store, memory_objects());
stanchion_audit::hold_store_conformance!(mod memory_hold_store, memory_holds());
