use stanchion_core::{StoreError, SystemScope};

use crate::{Database, Error, SystemTx};

/// How many pages are swept at once: some thousand rows, for a few milliseconds.
const PAGES: i64 = 64;

/// What is swept, and by which column.
const TABLES: [(&str, &str); 2] =
    [("stanchion.ratelimit_counter", "fresh_at"), ("stanchion.ratelimit_hold", "ends_at")];

impl Database {
    /// Removes rate-limit counters that are as good as new and holds that have ended, and returns how many they were. It goes through
    /// the tables by their pages. Nobody is waited for: a row that somebody has is left, and one that was changed meanwhile is looked
    /// at as it is then. While nobody does this, the tables grow by every new key; nothing else comes of it.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the database cannot be written.
    pub async fn sweep_counters(&self, system: SystemScope) -> Result<u64, StoreError> {
        let mut gone = 0;
        for table in TABLES {
            let pages = self.run("sweep_counters", pages(self, system, table.0)).await?;
            let mut from = 0;
            while from < pages {
                gone += self.run("sweep_counters", remove(self, system, table, from)).await?;
                from += PAGES;
            }
        }
        Ok(gone)
    }
}

async fn pages(database: &Database, system: SystemScope, table: &str) -> Result<i64, Error> {
    let count = "SELECT pg_relation_size($1::regclass) / current_setting('block_size')::bigint";
    let mut tx = SystemTx::begin_read(database, system).await?;
    let pages = sqlx::query_scalar(count).bind(table).fetch_one(tx.connection()?).await?;
    tx.commit().await?;
    Ok(pages)
}

async fn remove(
    database: &Database,
    system: SystemScope,
    (table, column): (&str, &str),
    from: i64,
) -> Result<u64, Error> {
    let delete = format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table}
            WHERE ctid >= $1::text::tid AND ctid < $2::text::tid
            AND {column} <= (extract(epoch FROM statement_timestamp()) * 1000000)::bigint
            FOR UPDATE SKIP LOCKED))"
    );
    let mut tx = SystemTx::begin(database, system).await?;
    let gone = sqlx::query(sqlx::AssertSqlSafe(delete))
        .bind(format!("({from},0)"))
        .bind(format!("({},0)", from + PAGES))
        .execute(tx.connection()?)
        .await?;
    tx.commit().await?;
    Ok(gone.rows_affected())
}
