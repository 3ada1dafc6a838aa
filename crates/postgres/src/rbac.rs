//! Roles, assignments and denials.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use stanchion_core::{
    Actor, Change, Page, PageRequest, Revision, Scope, StoreError, SubjectRef, SystemScope, TenantId,
    Timestamp, Versioned,
};
use stanchion_rbac::{
    Assignment, AssignmentFilter, Denial, RbacChange, RbacStore, Role, RoleId, Snapshot, SubjectRecords,
};
use uuid::Uuid;

use crate::feed::{Feed, follow};
use crate::records::{
    advance, current, instant, number, page, page_key, parsed, parsed_all, parsed_option, rows_of,
    time_option, versioned,
};
use crate::transaction::scope_id;
use crate::{Database, Error, SystemTx, TenantTx};

const DOMAIN: &str = "rbac";

/// Roles, assignments and denials in Postgres.
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
        let connection = tx.connection()?;
        let revision = advance(connection, DOMAIN, scope, change, RbacChange::key).await?;
        let write = Write { scope: scope_id(scope)?, revision: number(revision), at: change.at };
        for part in &change.changes {
            write.part(connection, part).await?;
        }
        Ok(revision)
    }
}

#[async_trait]
impl RbacStore for PgRbacStore {
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let revision = current(tx.connection()?, DOMAIN, scope).await?;
            let roles = "SELECT * FROM stanchion.rbac_role WHERE scope_id = $1 ORDER BY id";
            let rows = sqlx::query(roles).bind(scope_id(scope)?).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            Ok(Snapshot::new(revision, rows.iter().map(role).collect::<Result<_, Error>>()?))
        };
        self.database.run("load", read).await
    }

    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError> {
        let read = async {
            let (scope_id, of) = (scope_id(scope)?, subject.to_string());
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let revision = current(tx.connection()?, DOMAIN, scope).await?;
            let held =
                "SELECT * FROM stanchion.rbac_assignment WHERE scope_id = $1 AND subject = $2 ORDER BY role";
            let held = sqlx::query(held).bind(scope_id).bind(&of).fetch_all(tx.connection()?).await?;
            let denied = "SELECT * FROM stanchion.rbac_denial WHERE scope_id = $1 AND subject = $2 ORDER BY permission";
            let denied = sqlx::query(denied).bind(scope_id).bind(&of).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            let held = held.iter().map(assignment).collect::<Result<_, Error>>()?;
            let denied = denied.iter().map(denial).collect::<Result<_, Error>>()?;
            Ok(SubjectRecords::new(revision, held, denied))
        };
        self.database.run("subject", read).await
    }

    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let one = "SELECT * FROM stanchion.rbac_role WHERE scope_id = $1 AND id = $2";
            let query = sqlx::query(one).bind(scope_id(scope)?).bind(id.as_str());
            let row = query.fetch_optional(tx.connection()?).await?;
            tx.commit().await?;
            row.as_ref().map(role).transpose()
        };
        self.database.run("get_role", read).await
    }

    async fn list_roles(
        &self,
        scope: Scope,
        request: &PageRequest,
    ) -> Result<Page<Versioned<Role>>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let after = "SELECT * FROM stanchion.rbac_role WHERE scope_id = $1 AND ($2::text IS NULL OR id > $2) \
                         ORDER BY id LIMIT $3";
            let query = sqlx::query(after).bind(scope_id(scope)?).bind(page_key(request));
            let rows = query.bind(rows_of(request)).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            page(&rows, request, role, |role| role.value.id.to_string())
        };
        self.database.run("list_roles", read).await
    }

    async fn list_assignments(
        &self,
        scope: Scope,
        filter: &AssignmentFilter,
        request: &PageRequest,
    ) -> Result<Page<Versioned<Assignment>>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let picked = "SELECT * FROM stanchion.rbac_assignment \
                WHERE scope_id = $1 AND ($2::text IS NULL OR subject = $2) AND ($3::text IS NULL OR role = $3) \
                AND ($4::text IS NULL OR (subject >= $4 AND subject || ' ' || role > $5)) \
                ORDER BY subject, role LIMIT $6";
            let rows = sqlx::query(picked)
                .bind(scope_id(scope)?)
                .bind(filter.subject.as_ref().map(ToString::to_string))
                .bind(filter.role.as_ref().map(RoleId::as_str))
                .bind(first_word(page_key(request)))
                .bind(page_key(request))
                .bind(rows_of(request))
                .fetch_all(tx.connection()?)
                .await?;
            tx.commit().await?;
            page(&rows, request, assignment, |held| format!("{} {}", held.value.subject, held.value.role))
        };
        self.database.run("list_assignments", read).await
    }

    async fn list_denials(
        &self,
        scope: Scope,
        subject: Option<&SubjectRef>,
        request: &PageRequest,
    ) -> Result<Page<Versioned<Denial>>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let picked = "SELECT * FROM stanchion.rbac_denial \
                WHERE scope_id = $1 AND ($2::text IS NULL OR subject = $2) \
                AND ($3::text IS NULL OR (subject >= $3 AND subject || ' ' || permission > $4)) \
                ORDER BY subject, permission LIMIT $5";
            let rows = sqlx::query(picked)
                .bind(scope_id(scope)?)
                .bind(subject.map(ToString::to_string))
                .bind(first_word(page_key(request)))
                .bind(page_key(request))
                .bind(rows_of(request))
                .fetch_all(tx.connection()?)
                .await?;
            tx.commit().await?;
            page(&rows, request, denial, |denied| {
                format!("{} {}", denied.value.subject, denied.value.permission)
            })
        };
        self.database.run("list_denials", read).await
    }

    async fn tenants_using(
        &self,
        system: SystemScope,
        role: &RoleId,
        limit: usize,
    ) -> Result<Vec<TenantId>, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let using = "SELECT scope_id FROM ( \
                    SELECT scope_id FROM stanchion.rbac_assignment WHERE role = $1 \
                    UNION SELECT scope_id FROM stanchion.rbac_role WHERE includes @> ARRAY[$1] \
                ) AS used \
                WHERE scope_id <> $2 AND NOT EXISTS ( \
                    SELECT FROM stanchion.rbac_role AS own WHERE own.scope_id = used.scope_id AND own.id = $1) \
                ORDER BY scope_id LIMIT $3";
            let query = sqlx::query_scalar::<_, Uuid>(using).bind(role.as_str()).bind(Uuid::nil());
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let tenants = query.bind(limit).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            Ok(tenants.into_iter().map(TenantId::from_uuid).collect())
        };
        self.database.run("tenants_using", read).await
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

/// What all parts of a change are written with.
struct Write {
    scope: Uuid,
    revision: i64,
    at: Timestamp,
}

impl Write {
    async fn part(&self, connection: &mut PgConnection, part: &RbacChange) -> Result<(), Error> {
        let query = match part {
            RbacChange::PutRole(role) => sqlx::query(PUT_ROLE)
                .bind(self.scope)
                .bind(self.revision)
                .bind(instant(self.at))
                .bind(role.id.as_str())
                .bind(role.name.as_str())
                .bind(role.description.as_ref().map(|note| note.as_str()))
                .bind(role.permissions.iter().map(ToString::to_string).collect::<Vec<_>>())
                .bind(role.includes.iter().map(ToString::to_string).collect::<Vec<_>>())
                .bind(role.active)
                .bind(role.system),
            RbacChange::DeleteRole(id) => {
                let gone = "DELETE FROM stanchion.rbac_role WHERE scope_id = $1 AND id = $2";
                sqlx::query(gone).bind(self.scope).bind(id.as_str())
            }
            RbacChange::PutAssignment(assignment) => {
                let granted_by = assignment.granted_by.as_ref().map(serde_json::to_string).transpose();
                sqlx::query(PUT_ASSIGNMENT)
                    .bind(self.scope)
                    .bind(self.revision)
                    .bind(instant(self.at))
                    .bind(assignment.subject.to_string())
                    .bind(assignment.role.as_str())
                    .bind(assignment.not_before.map(instant))
                    .bind(assignment.expires_at.map(instant))
                    .bind(assignment.reason.as_ref().map(|note| note.as_str()))
                    .bind(granted_by.map_err(|error| Error::corrupt("granted_by", error))?)
            }
            RbacChange::DeleteAssignment { subject, role } => {
                let gone = "DELETE FROM stanchion.rbac_assignment WHERE scope_id = $1 AND subject = $2 AND role = $3";
                sqlx::query(gone).bind(self.scope).bind(subject.to_string()).bind(role.as_str())
            }
            RbacChange::PutDenial(denial) => sqlx::query(PUT_DENIAL)
                .bind(self.scope)
                .bind(self.revision)
                .bind(instant(self.at))
                .bind(denial.subject.to_string())
                .bind(denial.permission.to_string())
                .bind(denial.reason.as_ref().map(|note| note.as_str())),
            RbacChange::DeleteDenial { subject, permission } => {
                let gone = "DELETE FROM stanchion.rbac_denial WHERE scope_id = $1 AND subject = $2 AND permission = $3";
                sqlx::query(gone).bind(self.scope).bind(subject.to_string()).bind(permission.to_string())
            }
            _ => return Err(Error::Unsupported("a change of roles that this adapter does not know")),
        };
        query.execute(connection).await?;
        Ok(())
    }
}

const PUT_ROLE: &str = "
INSERT INTO stanchion.rbac_role
    (scope_id, revision, created_at, updated_at, id, name, description, permissions, includes, active, system)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (scope_id, id) DO UPDATE SET
    (revision, updated_at, name, description, permissions, includes, active, system) =
    (excluded.revision, excluded.updated_at, excluded.name, excluded.description, excluded.permissions,
     excluded.includes, excluded.active, excluded.system)";

const PUT_ASSIGNMENT: &str = "
INSERT INTO stanchion.rbac_assignment
    (scope_id, revision, created_at, updated_at, subject, role, not_before, expires_at, reason, granted_by)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (scope_id, subject, role) DO UPDATE SET
    (revision, updated_at, not_before, expires_at, reason, granted_by) =
    (excluded.revision, excluded.updated_at, excluded.not_before, excluded.expires_at, excluded.reason,
     excluded.granted_by)";

const PUT_DENIAL: &str = "
INSERT INTO stanchion.rbac_denial (scope_id, revision, created_at, updated_at, subject, permission, reason)
VALUES ($1, $2, $3, $3, $4, $5, $6)
ON CONFLICT (scope_id, subject, permission) DO UPDATE SET
    (revision, updated_at, reason) = (excluded.revision, excluded.updated_at, excluded.reason)";

fn role(row: &PgRow) -> Result<Versioned<Role>, Error> {
    let mut role = Role::new(parsed(row, "id")?, parsed(row, "name")?);
    role.description = parsed_option(row, "description")?;
    role.permissions = parsed_all(row, "permissions")?;
    role.includes = parsed_all(row, "includes")?;
    role.active = row.try_get("active")?;
    role.system = row.try_get("system")?;
    versioned(row, role)
}

fn assignment(row: &PgRow) -> Result<Versioned<Assignment>, Error> {
    let mut assignment = Assignment::new(parsed(row, "subject")?, parsed(row, "role")?);
    assignment.not_before = time_option(row, "not_before")?;
    assignment.expires_at = time_option(row, "expires_at")?;
    assignment.reason = parsed_option(row, "reason")?;
    let granted_by = row.try_get::<Option<&str>, _>("granted_by")?;
    let granted_by = granted_by.map(serde_json::from_str::<Actor>).transpose();
    assignment.granted_by = granted_by.map_err(|error| Error::corrupt("granted_by", error))?;
    versioned(row, assignment)
}

fn denial(row: &PgRow) -> Result<Versioned<Denial>, Error> {
    let mut denial = Denial::new(parsed(row, "subject")?, parsed(row, "permission")?);
    denial.reason = parsed_option(row, "reason")?;
    versioned(row, denial)
}

/// Subjects are of letters beyond the blank, so those before the one of the page key hold nothing that comes after it.
fn first_word(key: Option<&str>) -> Option<&str> {
    key.map(|key| key.split(|letter| letter <= ' ').next().unwrap_or_default())
}
