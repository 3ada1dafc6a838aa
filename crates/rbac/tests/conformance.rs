//! The in-memory store passes the suite that every adapter passes, and one that checks before it writes does not.

use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{Change, Revision, Scope, StoreError, StoreErrorKind};
use stanchion_rbac::conformance::{self, Fixture, Intercept, Intercepted};
use stanchion_rbac::{MemoryRbacStore, RbacChange, RbacStore};
use stanchion_replica::MemoryOutboxStore;
use tokio::sync::Barrier;

async fn memory() -> Fixture {
    let outbox = Arc::new(MemoryOutboxStore::default());
    Fixture { store: Arc::new(MemoryRbacStore::new(Some(Arc::clone(&outbox)))), outbox: Some(outbox) }
}

stanchion_rbac::rbac_store_conformance!(mod memory_rbac_store, memory());

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[should_panic(expected = "writers at revision")]
async fn a_store_that_checks_and_then_writes_is_found_out() {
    let store = Arc::new(MemoryRbacStore::new(None));
    let store = Arc::new(Intercepted::new(store, ChecksThenWrites(Barrier::new(3))));
    conformance::one_of_many_wins(Fixture { store, outbox: None }).await;
}

/// Compares the revision first and writes after that, as if the two were one; and has all three of its callers meet between the two.
#[derive(Debug)]
struct ChecksThenWrites(Barrier);

#[async_trait]
impl Intercept for ChecksThenWrites {
    async fn apply(
        &self,
        store: &dyn RbacStore,
        scope: Scope,
        mut change: Change<RbacChange>,
    ) -> Result<Revision, StoreError> {
        let expected = change.expected;
        if store.load(scope).await?.revision != expected {
            return Err(StoreError::new(StoreErrorKind::Conflict, "checks_then_writes", "apply"));
        }
        self.0.wait().await;
        loop {
            change.expected = store.load(scope).await?.revision;
            if store.apply(scope, change.clone()).await.is_ok() {
                return Ok(expected.next());
            }
        }
    }
}
