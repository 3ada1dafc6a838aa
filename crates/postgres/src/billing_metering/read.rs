use rust_decimal::Decimal;
use sqlx::Row;
use sqlx::postgres::PgRow;
use stanchion_billing_metering::{
    EventPosition, Filter, MeterId, MeterTotal, StoredEvent, Total, UsageEvent,
};
use stanchion_calendar::Period;
use stanchion_core::{Page, PageRequest, Scope, TenantId, Text};

use crate::records::{instant, page, parsed, parsed_option, rows_of, time};
use crate::transaction::scope_id;
use crate::{Database, Error, TenantTx};

/// The sums of whole quarter hours, and the events before the first and after the last of them. `$2` and `$3` bound the period, `$4`
/// and `$5` the quarter hours that lie in it whole.
const TOTALS: &str = r#"
SELECT meter, sum(events)::bigint AS events, sum(sum)::text AS sum FROM (
    SELECT meter, events, sum FROM stanchion.billing_metering_sum
    WHERE scope_id = $1 AND quarter >= $4 AND quarter < $5 AND ($6::text IS NULL OR meter = $6)
    UNION ALL
    SELECT meter, count(*), sum(value) FROM stanchion.billing_metering_event
    WHERE scope_id = $1 AND "time" >= $2 AND "time" < least($4, $3) AND ($6::text IS NULL OR meter = $6)
    GROUP BY meter
    UNION ALL
    SELECT meter, count(*), sum(value) FROM stanchion.billing_metering_event
    WHERE scope_id = $1 AND "time" >= greatest($5, $4) AND "time" < $3 AND ($6::text IS NULL OR meter = $6)
    GROUP BY meter
) AS parts GROUP BY meter ORDER BY meter"#;

const FILTERED: &str = r#"
SELECT count(*) AS events, coalesce(sum(value), 0)::text AS sum FROM stanchion.billing_metering_event
WHERE scope_id = $1 AND meter = $2 AND "time" >= $3 AND "time" < $4
  AND ($5::text IS NULL OR subject = $5) AND dimensions @> $6"#;

const EVENTS: &str = r#"
SELECT *, value::text AS value_text FROM stanchion.billing_metering_event
WHERE scope_id = $1 AND meter = $2 AND "time" >= $3 AND "time" < $4
  AND ($5::text IS NULL OR subject = $5) AND dimensions @> $6
  AND ($7::timestamptz IS NULL OR ("time", number) > ($7, $8))
ORDER BY "time", number LIMIT $9"#;

const QUARTER: i64 = 15 * 60 * 1_000_000;

pub(super) async fn total(
    database: &Database,
    tenant: TenantId,
    meter: &MeterId,
    period: Period,
    filter: &Filter,
) -> Result<Total, Error> {
    if filter.passes_all() {
        let totals = sums(database, tenant, period, Some(meter)).await?;
        return Ok(totals.into_iter().next().map_or_else(Total::default, |of_meter| of_meter.total));
    }
    let scope = Scope::Tenant(tenant);
    let mut tx = TenantTx::begin_read(database, scope).await?;
    let row = sqlx::query(FILTERED)
        .bind(scope_id(scope)?)
        .bind(meter.as_str())
        .bind(instant(period.start()))
        .bind(instant(period.end()))
        .bind(filter.subject.as_ref().map(ToString::to_string))
        .bind(dimensions(filter)?)
        .fetch_one(tx.connection()?)
        .await?;
    tx.commit().await?;
    total_of(&row)
}

pub(super) async fn totals(
    database: &Database,
    tenant: TenantId,
    period: Period,
) -> Result<Vec<MeterTotal>, Error> {
    sums(database, tenant, period, None).await
}

async fn sums(
    database: &Database,
    tenant: TenantId,
    period: Period,
    meter: Option<&MeterId>,
) -> Result<Vec<MeterTotal>, Error> {
    let scope = Scope::Tenant(tenant);
    let (from, to) = quarters(period);
    let mut tx = TenantTx::begin_read(database, scope).await?;
    let rows = sqlx::query(TOTALS)
        .bind(scope_id(scope)?)
        .bind(instant(period.start()))
        .bind(instant(period.end()))
        .bind(instant(from))
        .bind(instant(to))
        .bind(meter.map(MeterId::as_str))
        .fetch_all(tx.connection()?)
        .await?;
    tx.commit().await?;
    rows.iter().map(|row| Ok(MeterTotal { meter: parsed(row, "meter")?, total: total_of(row)? })).collect()
}

/// Returns from where to where quarter hours lie in a period whole; where there is none, an empty range at its end.
fn quarters(period: Period) -> (stanchion_core::Timestamp, stanchion_core::Timestamp) {
    let (start, end) = (period.start().micros(), period.end().micros());
    let from = start.saturating_add(QUARTER - 1).div_euclid(QUARTER).saturating_mul(QUARTER);
    let to = end.div_euclid(QUARTER).saturating_mul(QUARTER);
    if from >= to {
        return (period.end(), period.end());
    }
    (stanchion_core::Timestamp::from_micros(from), stanchion_core::Timestamp::from_micros(to))
}

pub(super) async fn events(
    database: &Database,
    tenant: TenantId,
    meter: &MeterId,
    (period, filter): (Period, &Filter),
    request: &PageRequest,
) -> Result<Page<StoredEvent>, Error> {
    let after = request.key().map(str::parse::<EventPosition>).transpose();
    let after = after.map_err(|error| Error::corrupt("page key", error))?;
    let number = after.map(|after| i64::try_from(after.seq).unwrap_or(i64::MAX));
    let scope = Scope::Tenant(tenant);
    let mut tx = TenantTx::begin_read(database, scope).await?;
    let rows = sqlx::query(EVENTS)
        .bind(scope_id(scope)?)
        .bind(meter.as_str())
        .bind(instant(period.start()))
        .bind(instant(period.end()))
        .bind(filter.subject.as_ref().map(ToString::to_string))
        .bind(dimensions(filter)?)
        .bind(after.map(|after| instant(after.time)))
        .bind(number)
        .bind(rows_of(request))
        .fetch_all(tx.connection()?)
        .await?;
    tx.commit().await?;
    page(&rows, request, event, |stored| stored.position().to_string())
}

fn dimensions(filter: &Filter) -> Result<serde_json::Value, Error> {
    let has_nul = filter.dimensions.iter().any(|(name, value)| format!("{name}{value}").contains('\0'));
    if has_nul {
        return Err(Error::Unsupported("a filter with a NUL in a text"));
    }
    serde_json::to_value(&filter.dimensions).map_err(|error| Error::corrupt("dimensions", error))
}

fn total_of(row: &PgRow) -> Result<Total, Error> {
    let events: i64 = row.try_get("events")?;
    let events = u64::try_from(events).map_err(|error| Error::corrupt("events", error))?;
    let sum = Decimal::from_str_exact(row.try_get("sum")?);
    Ok(Total { events, sum: sum.map_err(|_| Error::Unsupported("a sum larger than a decimal"))? })
}

fn event(row: &PgRow) -> Result<StoredEvent, Error> {
    let number: i64 = row.try_get("number")?;
    let value = Decimal::from_str_exact(row.try_get("value_text")?);
    let pairs: std::collections::BTreeMap<String, String> =
        serde_json::from_value(row.try_get("dimensions")?)
            .map_err(|error| Error::corrupt("dimensions", error))?;
    let (source, id): (String, String) = (row.try_get("source")?, row.try_get("id")?);
    Ok(StoredEvent {
        seq: u64::try_from(number).map_err(|error| Error::corrupt("number", error))?,
        received_at: time(row, "received_at")?,
        event: UsageEvent {
            tenant: TenantId::from_uuid(row.try_get("scope_id")?),
            source: Text::from(source),
            id: Text::from(id),
            meter: parsed(row, "meter")?,
            subject: parsed_option(row, "subject")?,
            time: time(row, "time")?,
            value: value.map_err(|error| Error::corrupt("value", error))?,
            dimensions: pairs.into_iter().collect(),
        },
    })
}
