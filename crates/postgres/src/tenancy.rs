//! Tenants.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use stanchion_core::{
    Change, Page, PageRequest, Revision, Scope, Slug, StoreError, SystemScope, TenantId, Versioned,
};
use stanchion_tenancy::{Tenant, TenantChange, TenantStatus, TenantStore};
use uuid::Uuid;

use crate::feed::{Feed, follow};
use crate::records::{advance, current, instant, number, page, parsed, rows_of, versioned};
use crate::transaction::scope_id;
use crate::{Database, Error, SystemTx};

const DOMAIN: &str = "tenancy";

/// Tenants in Postgres.
#[derive(Debug)]
pub struct PgTenantStore {
    database: Database,
    feed: Feed,
}

impl PgTenantStore {
    /// Keeps them in a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let feed = Feed::new(database.clone(), DOMAIN);
        Self { database, feed }
    }

    /// Writes a change as a part of a transaction. Both are committed, or neither is.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the tenants have moved on; the database's refusal of a slug that is taken.
    pub async fn apply_on(tx: &mut SystemTx, change: &Change<TenantChange>) -> Result<Revision, Error> {
        let connection = tx.connection()?;
        let key = |TenantChange::Put(tenant): &TenantChange| tenant.id.to_string().into();
        let revision = advance(connection, DOMAIN, Scope::Platform, change, key).await?;
        for TenantChange::Put(tenant) in &change.changes {
            sqlx::query(PUT)
                .bind(scope_id(Scope::Tenant(tenant.id))?)
                .bind(number(revision))
                .bind(instant(change.at))
                .bind(tenant.slug.as_str())
                .bind(tenant.name.as_str())
                .bind(tenant.status.as_str())
                .bind(tenant.tier.as_str())
                .execute(&mut *connection)
                .await?;
        }
        Ok(revision)
    }

    async fn find(
        &self,
        system: SystemScope,
        query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<Option<Versioned<Tenant>>, Error> {
        let mut tx = SystemTx::begin_read(&self.database, system).await?;
        let row = query.fetch_optional(tx.connection()?).await?;
        tx.commit().await?;
        row.as_ref().map(tenant).transpose()
    }
}

const PUT: &str = "
INSERT INTO stanchion.tenancy_tenant (id, revision, created_at, updated_at, slug, name, status, tier)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET
    (revision, updated_at, slug, name, status, tier) =
    (excluded.revision, excluded.updated_at, excluded.slug, excluded.name, excluded.status, excluded.tier)";

#[async_trait]
impl TenantStore for PgTenantStore {
    async fn revision(&self, system: SystemScope) -> Result<Revision, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let revision = current(tx.connection()?, DOMAIN, Scope::Platform).await?;
            tx.commit().await?;
            Ok(revision)
        };
        self.database.run("revision", read).await
    }

    async fn get(&self, system: SystemScope, id: TenantId) -> Result<Option<Versioned<Tenant>>, StoreError> {
        let one = sqlx::query("SELECT * FROM stanchion.tenancy_tenant WHERE id = $1").bind(id.uuid());
        self.database.run("get", self.find(system, one)).await
    }

    async fn by_slug(
        &self,
        system: SystemScope,
        slug: &Slug,
    ) -> Result<Option<Versioned<Tenant>>, StoreError> {
        let one = sqlx::query("SELECT * FROM stanchion.tenancy_tenant WHERE slug = $1").bind(slug.as_str());
        self.database.run("by_slug", self.find(system, one)).await
    }

    async fn list(
        &self,
        system: SystemScope,
        request: &PageRequest,
    ) -> Result<Page<Versioned<Tenant>>, StoreError> {
        let read = async {
            let after = request.key().map(str::parse::<TenantId>).transpose();
            let after = after.map_err(|error| Error::corrupt("page key", error))?.map(TenantId::uuid);
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let rest = "SELECT * FROM stanchion.tenancy_tenant WHERE $1::uuid IS NULL OR id > $1 \
                        ORDER BY id LIMIT $2";
            let query = sqlx::query(rest).bind(after).bind(rows_of(request));
            let rows = query.fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            page(&rows, request, tenant, |tenant| tenant.value.id.to_string())
        };
        self.database.run("list", read).await
    }

    async fn apply(&self, system: SystemScope, change: Change<TenantChange>) -> Result<Revision, StoreError> {
        let write = async {
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let written = Self::apply_on(&mut tx, &change).await;
            tx.end(written).await
        };
        self.database.run("apply", write).await
    }
}

follow!(PgTenantStore);

fn tenant(row: &PgRow) -> Result<Versioned<Tenant>, Error> {
    let status: &str = row.try_get("status")?;
    let tenant = Tenant {
        id: TenantId::from_uuid(row.try_get::<Uuid, _>("id")?),
        slug: parsed(row, "slug")?,
        name: parsed(row, "name")?,
        status: TenantStatus::from_name(status).ok_or_else(|| Error::corrupt("status", status))?,
        tier: parsed(row, "tier")?,
    };
    versioned(row, tenant)
}
