mod data;
mod page;
mod sorted;

use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, SessionId, StoreError, SubjectRef,
    SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore, Records};

use self::data::Data;
use crate::{
    RbacChange, RbacStore, Record, RecordFilter, RecordKey, RecordKind, Role, RoleId, Session, Snapshot,
    SubjectRecords,
};

/// Who may do what, in memory: the reference that every other adapter equals. They are gone with the process.
#[derive(Debug)]
pub struct MemoryRbacStore {
    records: Records<Data>,
}

impl MemoryRbacStore {
    /// Makes an empty store. Without an outbox the events of changes are discarded.
    #[must_use]
    pub fn new(outbox: Option<Arc<MemoryOutboxStore>>) -> Self {
        Self { records: Records::new(outbox) }
    }
}

#[async_trait]
impl RbacStore for MemoryRbacStore {
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        let read = |revision, data: &Data| {
            let (roles, separations) = (data.roles.values(), data.separations.values());
            Snapshot::new(revision, roles.cloned().collect(), separations.cloned().collect())
        };
        Ok(self.records.read(scope, read))
    }

    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError> {
        Ok(self.records.read(scope, |revision, data| data.of_subject(subject, revision)))
    }

    async fn subjects(
        &self,
        scope: Scope,
        subjects: &[SubjectRef],
    ) -> Result<Vec<SubjectRecords>, StoreError> {
        let read = |revision, data: &Data| {
            subjects.iter().map(|subject| data.of_subject(subject, revision)).collect()
        };
        Ok(self.records.read(scope, read))
    }

    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError> {
        Ok(self.records.read(scope, |_, data| data.roles.get(id).cloned()))
    }

    async fn get_session(
        &self,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Versioned<Session>>, StoreError> {
        Ok(self.records.read(scope, |_, data| data.sessions.get(&id).cloned()))
    }

    async fn list(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Record>>, StoreError> {
        Ok(self.records.read(scope, |_, data| data.page(filter, page)))
    }

    async fn tenants_using(
        &self,
        _system: SystemScope,
        role: &RoleId,
        limit: usize,
    ) -> Result<Vec<TenantId>, StoreError> {
        let mut tenants = Vec::new();
        self.records.each(|scope, _, data| tenants.extend(scope.tenant().filter(|_| data.uses(role))));
        tenants.sort_unstable();
        tenants.truncate(limit);
        Ok(tenants)
    }

    async fn expired(
        &self,
        _system: SystemScope,
        kind: RecordKind,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Scope, RecordKey)>, StoreError> {
        let mut found = Vec::new();
        self.records.each(|scope, _, data| {
            let missing = limit.saturating_sub(found.len());
            found.extend(data.expired(kind, at, missing).into_iter().map(|key| (scope, key)));
        });
        Ok(found)
    }

    async fn apply(&self, scope: Scope, change: Change<RbacChange>) -> Result<Revision, StoreError> {
        let (revision, at) = (change.expected.next(), change.at);
        let write = |data: &mut Data, part| data.write(part, revision, at);
        self.records.apply("apply", scope, change, write, RbacChange::key)
    }
}

#[async_trait]
impl ChangeFeed for MemoryRbacStore {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.records.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        self.records.arrived().await;
    }
}
