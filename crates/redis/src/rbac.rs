//! Roles whose changes are announced.

use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, SessionId, StoreError, SubjectRef,
    SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_rbac::{
    RbacChange, RbacStore, Record, RecordFilter, RecordKey, RecordKind, Role, RoleId, Session, Snapshot,
    SubjectRecords,
};
use stanchion_replica::ChangeFeed;

use crate::{Wake, WokenFeed};

const TOPIC: &str = "rbac";

/// A store of roles whose changes a [`Wake`] carries to the followers on other replicas. The records stay where they are.
#[derive(Debug)]
pub struct WakingRbacStore {
    store: Arc<dyn RbacStore>,
    feed: WokenFeed,
    wake: Wake,
}

impl WakingRbacStore {
    /// Announces the changes of a store, and wakes those who follow it.
    #[must_use]
    pub fn new(store: Arc<dyn RbacStore>, wake: Wake) -> Self {
        let feed = wake.feed(TOPIC, Arc::clone(&store) as _);
        Self { store, feed, wake }
    }
}

#[async_trait]
impl RbacStore for WakingRbacStore {
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        self.store.load(scope).await
    }

    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError> {
        self.store.subject(scope, subject).await
    }

    async fn subjects(
        &self,
        scope: Scope,
        subjects: &[SubjectRef],
    ) -> Result<Vec<SubjectRecords>, StoreError> {
        self.store.subjects(scope, subjects).await
    }

    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError> {
        self.store.get_role(scope, id).await
    }

    async fn get_session(
        &self,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Versioned<Session>>, StoreError> {
        self.store.get_session(scope, id).await
    }

    async fn list(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Record>>, StoreError> {
        self.store.list(scope, filter, page).await
    }

    async fn tenants_using(
        &self,
        system: SystemScope,
        role: &RoleId,
        limit: usize,
    ) -> Result<Vec<TenantId>, StoreError> {
        self.store.tenants_using(system, role, limit).await
    }

    async fn expired(
        &self,
        system: SystemScope,
        kind: RecordKind,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Scope, RecordKey)>, StoreError> {
        self.store.expired(system, kind, at, limit).await
    }

    async fn apply(&self, scope: Scope, change: Change<RbacChange>) -> Result<Revision, StoreError> {
        // Whatever the outcome, and also when the caller goes away: the change may have been written.
        let _announced = Announced(&self.wake);
        self.store.apply(scope, change).await
    }
}

/// Announces when it is dropped.
struct Announced<'a>(&'a Wake);

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.announce(TOPIC);
    }
}

#[async_trait]
impl ChangeFeed for WakingRbacStore {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.feed.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        self.feed.arrived().await;
    }
}
