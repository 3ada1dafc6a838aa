use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use stanchion_audit::conformance::{Answer, Intercept};
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Slug, StoreError, StoreErrorKind, SystemScope,
    TenantId, Versioned,
};
use stanchion_replica::ChangeFeed;
use stanchion_tenancy::{MemoryTenantStore, Tenant, TenantChange, TenantStore};

use crate::world::{Ask, World};

/// Tenants in memory, of which every write fails as it is told to.
#[derive(Debug)]
pub(crate) struct FaultyTenants {
    pub(crate) inner: MemoryTenantStore,
    pub(crate) fault: Arc<Mutex<Option<StoreErrorKind>>>,
}

#[async_trait]
impl TenantStore for FaultyTenants {
    async fn revision(&self, system: SystemScope) -> Result<Revision, StoreError> {
        self.inner.revision(system).await
    }

    async fn get(&self, system: SystemScope, id: TenantId) -> Result<Option<Versioned<Tenant>>, StoreError> {
        self.inner.get(system, id).await
    }

    async fn by_slug(
        &self,
        system: SystemScope,
        slug: &Slug,
    ) -> Result<Option<Versioned<Tenant>>, StoreError> {
        self.inner.by_slug(system, slug).await
    }

    async fn list(
        &self,
        system: SystemScope,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Tenant>>, StoreError> {
        self.inner.list(system, page).await
    }

    async fn apply(&self, system: SystemScope, change: Change<TenantChange>) -> Result<Revision, StoreError> {
        let fault = *self.fault.lock().unwrap();
        match fault {
            Some(kind) => Err(StoreError::new(kind, "postgres", "apply")
                .with_source("connection to 10.1.2.3 refused: hunter2")),
            None => self.inner.apply(system, change).await,
        }
    }
}

#[async_trait]
impl ChangeFeed for FaultyTenants {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.inner.changes(system, cursor, limit).await
    }
}

/// Has the time of every second entry changed, once it is told to.
#[derive(Debug)]
pub(crate) struct Tampering(pub(crate) Arc<AtomicBool>);

impl Intercept for Tampering {
    fn alter(&self, answer: Answer<'_>) {
        if let Answer::Rows(rows) = answer
            && self.0.load(Ordering::SeqCst)
        {
            for row in rows.iter_mut().filter(|row| row.seq == 2) {
                row.recorded_at = row.recorded_at.plus(Duration::from_secs(1));
            }
        }
    }
}

fn create(world: &World) -> Ask {
    let body = json!({"slug": "initech", "name": "Initech", "tier": "basic"});
    Ask::post("/v1/tenants", body).by(&world.root).header("idempotency-key", "k-1")
}

#[tokio::test]
async fn a_store_that_fails_is_told_of_without_a_word_of_ours() {
    let world = World::new().await;
    for (kind, status, code) in [
        (StoreErrorKind::Unavailable, 503, "backend_unavailable"),
        (StoreErrorKind::Corrupt, 500, "internal"),
        (StoreErrorKind::Internal, 500, "internal"),
        (StoreErrorKind::Conflict, 409, "conflict"),
        (StoreErrorKind::AlreadyExists, 409, "conflict"),
    ] {
        *world.fault.lock().unwrap() = Some(kind);
        let answer = world.send(&create(&world)).await;
        answer.problem(status, code);
        for ours in ["hunter2", "10.1.2.3", "postgres", "apply"] {
            assert!(!answer.text.contains(ours), "{}", answer.text);
        }
    }
    // None of them was done, so the same key may be used again.
    *world.fault.lock().unwrap() = None;
    world.send(&create(&world)).await.expect(201);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again_under_the_same_key() {
    let world = World::new().await;
    *world.fault.lock().unwrap() = Some(StoreErrorKind::Timeout);
    let detail = world.send(&create(&world)).await.problem(503, "backend_unavailable");
    assert!(detail.contains("may have been made"), "{detail}");
    *world.fault.lock().unwrap() = None;
    let detail = world.send(&create(&world)).await.problem(409, "conflict");
    assert!(detail.contains("may have been done"), "{detail}");
}

#[tokio::test]
async fn a_chain_that_was_tampered_with_is_named_with_the_place() {
    let mut world = World::new().await;
    world.settle().await;
    world.tampered.store(true, Ordering::SeqCst);
    let found = world.send(&Ask::get("/v1/audit/verification").by(&world.acme.admin)).await.expect(200);
    let chain = format!("{}/security", world.acme.id);
    let place = json!({"chain": chain, "sequence": "2", "detail": "it is not linked to the entry before it"});
    let broken = json!({"chain": chain, "intact": false, "entries": null, "head": null, "break": place});
    let expected = json!({
        "scope": world.acme.id.to_string(), "intact": false, "entries": "0", "first_break": place, "chains": [broken],
        "producers": [],
    });
    assert_eq!(found, expected);
}
