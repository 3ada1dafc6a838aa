//! The in-memory store passes the suite that every adapter passes, and one that checks before it writes does not.

use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, SessionId, StoreError, StoreErrorKind,
    SubjectRef, SystemScope, TenantId, Versioned,
};
use stanchion_rbac::conformance::{self, Fixture};
use stanchion_rbac::{
    MemoryRbacStore, RbacChange, RbacStore, Record, RecordFilter, Role, RoleId, Session, Snapshot,
    SubjectRecords,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore};
use tokio::sync::Barrier;

async fn memory() -> Fixture {
    let outbox = Arc::new(MemoryOutboxStore::default());
    Fixture { store: Arc::new(MemoryRbacStore::new(Some(Arc::clone(&outbox)))), outbox: Some(outbox) }
}

stanchion_rbac::rbac_store_conformance!(mod memory_rbac_store, memory());

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[should_panic(expected = "writers at revision")]
async fn a_store_that_checks_and_then_writes_is_found_out() {
    let store = Arc::new(ChecksThenWrites(MemoryRbacStore::new(None), Barrier::new(3)));
    conformance::one_of_many_wins(Fixture { store, outbox: None }).await;
}

/// Compares the revision first and writes after that, as if the two were one; and has all three of its callers meet between the two.
#[derive(Debug)]
struct ChecksThenWrites(MemoryRbacStore, Barrier);

#[async_trait]
impl RbacStore for ChecksThenWrites {
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        self.0.load(scope).await
    }

    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError> {
        self.0.subject(scope, subject).await
    }

    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError> {
        self.0.get_role(scope, id).await
    }

    async fn get_session(
        &self,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Versioned<Session>>, StoreError> {
        self.0.get_session(scope, id).await
    }

    async fn list(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Record>>, StoreError> {
        self.0.list(scope, filter, page).await
    }

    async fn tenants_using(
        &self,
        system: SystemScope,
        role: &RoleId,
        limit: usize,
    ) -> Result<Vec<TenantId>, StoreError> {
        self.0.tenants_using(system, role, limit).await
    }

    async fn apply(&self, scope: Scope, mut change: Change<RbacChange>) -> Result<Revision, StoreError> {
        let expected = change.expected;
        if self.load(scope).await?.revision != expected {
            return Err(StoreError::new(StoreErrorKind::Conflict, "checks_then_writes", "apply"));
        }
        self.1.wait().await;
        loop {
            change.expected = self.load(scope).await?.revision;
            if self.0.apply(scope, change.clone()).await.is_ok() {
                return Ok(expected.next());
            }
        }
    }
}

#[async_trait]
impl ChangeFeed for ChecksThenWrites {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.0.changes(system, cursor, limit).await
    }
}
