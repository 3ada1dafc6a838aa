//! Usage events.

mod append;
mod read;

use std::time::Duration;

use async_trait::async_trait;
use stanchion_billing_metering::{
    AppendOutcome, Filter, MeterId, MeterTotal, StoredEvent, Total, UsageEvent, UsageStore,
};
use stanchion_calendar::Period;
use stanchion_core::{Page, PageRequest, StoreError, SystemScope, TenantId, Timestamp};

use crate::records::instant;
use crate::{Database, Error, SystemTx};

/// Usage events in Postgres: every event in a partition of its month, sums of quarter hours beside them, and for a window of time what
/// tells an event from one that was here before.
#[derive(Debug)]
pub struct PgUsageStore {
    database: Database,
    window: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How far ahead months have partitions.
const AHEAD: Duration = Duration::from_secs(62 * 24 * 60 * 60);

const RAISE: &str = "UPDATE stanchion.billing_metering_floor SET floor = greatest(floor, $1) RETURNING floor";
const FORGET: &str = "DELETE FROM stanchion.billing_metering_seen WHERE time < $1";

impl PgUsageStore {
    /// Keeps them in a database, and tells events apart for 101 days: a day more than the engine's longest late window leaves room for
    /// events that waited.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database, window: Duration::from_secs(101 * 24 * 60 * 60) }
    }

    /// Forgets what lies before the window, a day at the most behind `at`, and makes the partitions of the present month and the two
    /// after it. While nobody does this, more is remembered than is needed, and new months lie in the default partition: nothing is
    /// lost.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the database cannot be written.
    pub async fn maintain(&self, system: SystemScope, at: Timestamp) -> Result<(), StoreError> {
        let months = async {
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let add = sqlx::query("SELECT stanchion.billing_metering_add_months($1, $2)");
            let add = add.bind(instant(at)).bind(instant(at.plus(AHEAD)));
            add.execute(tx.connection()?).await?;
            tx.commit().await
        };
        self.database.run("add_months", months).await?;
        let forget = async {
            let floor = instant(at.minus(self.window).minus(DAY));
            let mut tx = SystemTx::begin(&self.database, system).await?;
            sqlx::query(RAISE).bind(floor).execute(tx.connection()?).await?;
            sqlx::query(FORGET).bind(floor).execute(tx.connection()?).await?;
            tx.commit().await
        };
        self.database.run("maintain", forget).await
    }
}

#[async_trait]
impl UsageStore for PgUsageStore {
    fn window(&self) -> Duration {
        self.window
    }

    async fn append(
        &self,
        system: SystemScope,
        batch: &[UsageEvent],
        at: Timestamp,
    ) -> Result<Vec<AppendOutcome>, StoreError> {
        let write = async {
            let least = at.minus(self.window);
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let written = append::append(tx.connection()?, batch, least, at).await;
            tx.end(written).await
        };
        self.database.run("append", write).await
    }

    async fn total(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
    ) -> Result<Total, StoreError> {
        self.database.run("total", read::total(&self.database, tenant, meter, period, filter)).await
    }

    async fn totals(&self, tenant: TenantId, period: Period) -> Result<Vec<MeterTotal>, StoreError> {
        self.database.run("totals", read::totals(&self.database, tenant, period)).await
    }

    async fn events(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let read = read::events(&self.database, tenant, meter, (period, filter), page);
        self.database.run("events", read).await
    }
}

/// Refuses what Postgres cannot hold in a text.
fn storable(event: &UsageEvent) -> Result<(), Error> {
    let texts = [event.source.as_str(), event.id.as_str()];
    let dimensions = event.dimensions.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    if texts.into_iter().chain(dimensions).any(|text| text.contains('\0')) {
        return Err(Error::Unsupported("a usage event with a NUL in a text"));
    }
    Ok(())
}
