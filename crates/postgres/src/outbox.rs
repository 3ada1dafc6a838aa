use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use stanchion_core::{StoreError, SystemScope};
use stanchion_replica::{Backlog, OutboxRecord, OutboxStore};

use crate::bus::{News, Topic};
use crate::{Database, Error, SystemTx};

/// The outbox that all record ports of a database share.
#[derive(Debug)]
pub struct PgOutboxStore {
    database: Database,
    news: News,
}

impl PgOutboxStore {
    /// Reads the outbox of a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let news = database.bus().subscribe(Topic::Outbox);
        Self { database, news }
    }
}

/// Reads a row; of one that is no event, its position and what is wrong.
fn record(row: &PgRow) -> Result<OutboxRecord, (i64, String)> {
    let at = row.try_get("position").unwrap_or_default();
    let text = row.try_get::<&str, _>("event").map_err(|error| (at, error.to_string()))?;
    let event = serde_json::from_str(text).map_err(|error| (at, error.to_string()))?;
    Ok(OutboxRecord { position: u64::try_from(at).unwrap_or(0), event })
}

const PENDING: &str = "SELECT position, event FROM stanchion.outbox WHERE parked_at IS NULL \
                       ORDER BY position LIMIT $1";

const PARK: &str = "UPDATE stanchion.outbox SET parked_at = now(), parked_because = $2 \
                    WHERE position = $1 AND parked_at IS NULL";

const BACKLOG: &str = "SELECT count(*) FILTER (WHERE parked_at IS NULL) AS pending, count(parked_at) AS parked \
                       FROM stanchion.outbox";

impl PgOutboxStore {
    async fn put_aside(&self, system: SystemScope, position: i64, reason: &str) -> Result<(), Error> {
        let reason = reason.replace('\0', " ");
        let mut tx = SystemTx::begin(&self.database, system).await?;
        sqlx::query(PARK).bind(position).bind(reason).execute(tx.connection()?).await?;
        tx.commit().await
    }
}

#[async_trait]
impl OutboxStore for PgOutboxStore {
    async fn pending(&self, system: SystemScope, limit: usize) -> Result<Vec<OutboxRecord>, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = sqlx::query(PENDING).bind(limit).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            let mut records = Vec::with_capacity(rows.len());
            for row in &rows {
                match record(row) {
                    Ok(record) => records.push(record),
                    Err((position, reason)) => {
                        tracing::error!(
                            position,
                            reason,
                            "an event of the outbox is unreadable and was parked"
                        );
                        self.put_aside(system, position, &reason).await?;
                    }
                }
            }
            Ok(records)
        };
        self.database.run("pending", read).await
    }

    async fn acknowledge(&self, system: SystemScope, positions: &[u64]) -> Result<(), StoreError> {
        let write = async {
            let positions: Vec<i64> = positions.iter().filter_map(|at| i64::try_from(*at).ok()).collect();
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let done = "DELETE FROM stanchion.outbox WHERE position = ANY($1)";
            sqlx::query(done).bind(positions).execute(tx.connection()?).await?;
            tx.commit().await
        };
        self.database.run("acknowledge", write).await
    }

    async fn park(&self, system: SystemScope, position: u64, reason: &str) -> Result<(), StoreError> {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        self.database.run("park", self.put_aside(system, position, reason)).await
    }

    async fn backlog(&self, system: SystemScope) -> Result<Backlog, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let row = sqlx::query(BACKLOG).fetch_one(tx.connection()?).await?;
            tx.commit().await?;
            let count = |column| row.try_get::<i64, _>(column).map(|count| u64::try_from(count).unwrap_or(0));
            Ok(Backlog { pending: count("pending")?, parked: count("parked")? })
        };
        self.database.run("backlog", read).await
    }

    async fn arrived(&self) {
        self.news.arrived().await;
    }
}
