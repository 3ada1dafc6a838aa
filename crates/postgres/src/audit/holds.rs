use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use stanchion_audit::{Hold, HoldStore};
use stanchion_core::{Scope, StoreError, Text, Timestamp};
use uuid::Uuid;

use super::row::{class_number, class_of, escaped, unescaped};
use crate::records::{instant, time};
use crate::transaction::{scope_id, scope_of};
use crate::{Database, Error, TenantTx};

/// Legal holds in Postgres.
#[derive(Debug)]
pub struct PgHoldStore {
    database: Database,
}

const PUT: &str = "
INSERT INTO stanchion.audit_hold
    (scope_id, hold_id, class, reason, placed_by, placed_at, until, lifted_by, lifted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING";

const GET: &str = "SELECT * FROM stanchion.audit_hold WHERE scope_id = $1 AND hold_id = $2";

const LIST: &str = "SELECT * FROM stanchion.audit_hold WHERE scope_id = $1 ORDER BY placed_at, hold_id";

const LIFT: &str = "UPDATE stanchion.audit_hold SET lifted_by = $3, lifted_at = $4 \
                    WHERE scope_id = $1 AND hold_id = $2 AND lifted_at IS NULL";

impl PgHoldStore {
    /// Keeps holds in a database.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl HoldStore for PgHoldStore {
    async fn put(&self, hold: &Hold) -> Result<Hold, StoreError> {
        let write = async {
            let mut tx = TenantTx::begin(&self.database, hold.scope).await?;
            sqlx::query(PUT)
                .bind(scope_id(hold.scope)?)
                .bind(hold.id)
                .bind(hold.class.map(class_number))
                .bind(escaped(hold.reason.as_str()))
                .bind(escaped(hold.placed_by.as_str()))
                .bind(instant(hold.placed_at))
                .bind(hold.until.map(instant))
                .bind(hold.lifted_by.as_ref().map(|by| escaped(by.as_str())))
                .bind(hold.lifted_at.map(instant))
                .execute(tx.connection()?)
                .await?;
            let query = sqlx::query(GET).bind(scope_id(hold.scope)?).bind(hold.id);
            let row = query.fetch_one(tx.connection()?).await?;
            tx.commit().await?;
            read(&row)
        };
        self.database.run("put", write).await
    }

    async fn list(&self, scope: Scope) -> Result<Vec<Hold>, StoreError> {
        let list = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let rows = sqlx::query(LIST).bind(scope_id(scope)?).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(read).collect()
        };
        self.database.run("list", list).await
    }

    async fn lift(
        &self,
        scope: Scope,
        id: Uuid,
        by: &Text,
        at: Timestamp,
    ) -> Result<Option<Hold>, StoreError> {
        let write = async {
            let mut tx = TenantTx::begin(&self.database, scope).await?;
            let query = sqlx::query(LIFT).bind(scope_id(scope)?).bind(id);
            query.bind(escaped(by.as_str())).bind(instant(at)).execute(tx.connection()?).await?;
            let query = sqlx::query(GET).bind(scope_id(scope)?).bind(id);
            let found = query.fetch_optional(tx.connection()?).await?;
            tx.commit().await?;
            found.as_ref().map(read).transpose()
        };
        self.database.run("lift", write).await
    }
}

fn read(row: &PgRow) -> Result<Hold, Error> {
    let text = |column| Ok::<_, Error>(Text::from(unescaped(row.try_get(column)?)?));
    let at = |column| match row.try_get::<Option<chrono::DateTime<chrono::Utc>>, _>(column)? {
        None => Ok::<_, Error>(None),
        Some(_) => time(row, column).map(Some),
    };
    Ok(Hold {
        id: row.try_get("hold_id")?,
        scope: scope_of(row.try_get("scope_id")?),
        class: row.try_get::<Option<i16>, _>("class")?.map(class_of).transpose()?,
        reason: text("reason")?,
        placed_by: text("placed_by")?,
        placed_at: time(row, "placed_at")?,
        until: at("until")?,
        lifted_by: row.try_get::<Option<&str>, _>("lifted_by")?.map(unescaped).transpose()?.map(Text::from),
        lifted_at: at("lifted_at")?,
    })
}
