use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use stanchion_core::{StoreError, SystemScope};
use stanchion_replica::{OutboxRecord, OutboxStore};

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

fn record(row: &PgRow) -> Result<OutboxRecord, Error> {
    let position: i64 = row.try_get("position")?;
    let event =
        serde_json::from_str(row.try_get("event")?).map_err(|error| Error::corrupt("event", error))?;
    Ok(OutboxRecord { position: u64::try_from(position).unwrap_or(0), event })
}

#[async_trait]
impl OutboxStore for PgOutboxStore {
    async fn pending(&self, system: SystemScope, limit: usize) -> Result<Vec<OutboxRecord>, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let waiting = "SELECT position, event FROM stanchion.outbox WHERE parked_at IS NULL \
                           ORDER BY position LIMIT $1";
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = sqlx::query(waiting).bind(limit).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(record).collect()
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

    async fn arrived(&self) {
        self.news.arrived().await;
    }
}
