//! Who may do what: roles, what subjects hold, have and are denied, groups, separations and sessions.

mod read;
mod rows;
mod write;

use async_trait::async_trait;
use sqlx::PgConnection;
use stanchion_core::{
    Change, Page, PageRequest, Revision, Scope, SessionId, StoreError, SubjectRef, SystemScope, TenantId,
    Timestamp, Versioned,
};
use stanchion_rbac::{
    RbacChange, RbacStore, Record, RecordFilter, RecordKey, RecordKind, Role, RoleId, Session, Snapshot,
    SubjectRecords,
};

use self::write::Write;
use crate::feed::{Feed, follow};
use crate::records::advance;
use crate::{Database, Error, TenantTx};

const DOMAIN: &str = "rbac";

/// Who may do what, in Postgres.
///
/// What a check has to read, a scope's roles or all about one subject, is one message there and back. A change takes one statement for
/// each run of its parts that write, or remove, records of one kind: an import costs by the ten thousand, not by the record.
#[derive(Debug)]
pub struct PgRbacStore {
    database: Database,
    feed: Feed,
}

impl PgRbacStore {
    /// Keeps them in a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let feed = Feed::new(database.clone(), DOMAIN);
        Self { database, feed }
    }

    /// Writes a change as a part of a transaction, whose scope it is for. Both are committed, or neither is.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the scope has moved on.
    pub async fn apply_on(tx: &mut TenantTx<'_>, change: &Change<RbacChange>) -> Result<Revision, Error> {
        let scope = tx.scope();
        let connection: &mut PgConnection = tx.connection()?;
        let revision = advance(connection, DOMAIN, scope, change, RbacChange::key).await?;
        Write::new(scope, revision, change.at)?.all(connection, &change.changes).await?;
        Ok(revision)
    }
}

#[async_trait]
impl RbacStore for PgRbacStore {
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        self.database.run("load", read::snapshot(&self.database, scope)).await
    }

    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError> {
        self.database.run("subject", read::subject(&self.database, scope, subject)).await
    }

    async fn subjects(
        &self,
        scope: Scope,
        subjects: &[SubjectRef],
    ) -> Result<Vec<SubjectRecords>, StoreError> {
        self.database.run("subjects", read::subjects(&self.database, scope, subjects)).await
    }

    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError> {
        let read = async {
            let row = read::one(&self.database, scope, "rbac_role", id.as_str()).await?;
            row.as_ref().map(rows::role).transpose()
        };
        self.database.run("get_role", read).await
    }

    async fn get_session(
        &self,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Versioned<Session>>, StoreError> {
        let read = async {
            let row = read::one(&self.database, scope, "rbac_session", &id.to_string()).await?;
            row.as_ref().map(rows::session).transpose()
        };
        self.database.run("get_session", read).await
    }

    async fn list(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Record>>, StoreError> {
        self.database.run("list", read::list(&self.database, scope, filter, page)).await
    }

    async fn tenants_using(
        &self,
        system: SystemScope,
        role: &RoleId,
        limit: usize,
    ) -> Result<Vec<TenantId>, StoreError> {
        self.database.run("tenants_using", read::tenants_using(&self.database, system, role, limit)).await
    }

    async fn expired(
        &self,
        system: SystemScope,
        kind: RecordKind,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Scope, RecordKey)>, StoreError> {
        self.database.run("expired", read::expired(&self.database, system, kind, at, limit)).await
    }

    async fn apply(&self, scope: Scope, change: Change<RbacChange>) -> Result<Revision, StoreError> {
        let write = async {
            let mut tx = TenantTx::begin(&self.database, scope).await?;
            let written = Self::apply_on(&mut tx, &change).await;
            tx.end(written).await
        };
        self.database.run("apply", write).await
    }
}

follow!(PgRbacStore);
