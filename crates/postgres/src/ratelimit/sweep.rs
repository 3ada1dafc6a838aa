use stanchion_core::{StoreError, SystemScope};

use crate::{Database, Error, SystemTx};

/// How many pages are swept at once: some thousand rows, for a few milliseconds.
const PAGES: i64 = 64;

/// What is swept, and of which rows. The order is that in which they come to be left over.
///
/// An entry and its counter are written together, so who sees an entry and no counter sees one that was left over. Each is looked for by
/// its key: `OFFSET` keeps the planner from reading all counters for every few pages of entries.
const TABLES: [(&str, &str); 3] = [
    (
        "stanchion.ratelimit_counter",
        "fresh_at <= (extract(epoch FROM statement_timestamp()) * 1000000)::bigint",
    ),
    (
        "stanchion.ratelimit_entry",
        "NOT EXISTS (SELECT FROM stanchion.ratelimit_counter AS c
            WHERE c.scope_id = swept.scope_id AND c.edge = swept.edge AND c.key = swept.key OFFSET 0)",
    ),
    ("stanchion.ratelimit_hold", "ends_at <= (extract(epoch FROM statement_timestamp()) * 1000000)::bigint"),
];

impl Database {
    /// Removes rate-limit counters that are as good as new, with their entries, and holds that have ended, and returns how many rows
    /// they were. It goes through the tables by their pages. Nobody is waited for: a row that somebody has is left, and one that was changed meanwhile is looked
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
    (table, is_left_over): (&str, &str),
    from: i64,
) -> Result<u64, Error> {
    let delete = format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table} AS swept
            WHERE ctid >= $1::text::tid AND ctid < $2::text::tid AND {is_left_over}
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
