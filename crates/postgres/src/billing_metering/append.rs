use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};
use stanchion_billing_metering::{AppendOutcome, UsageEvent};
use stanchion_core::{Scope, Timestamp};
use uuid::Uuid;

use super::storable;
use crate::Error;
use crate::records::instant;
use crate::transaction::scope_id;

const FLOOR: &str = "SELECT greatest(floor, $1) FROM stanchion.billing_metering_floor FOR SHARE";

/// Keeps the events of which no other has the key, and adds them up. Everybody takes keys and sums in the same order, so nobody waits
/// in a circle. A key that somebody else is just writing is waited for.
const KEEP: &str = r#"
WITH given AS (
    SELECT * FROM unnest(
        $1::int[], $2::uuid[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::timestamptz[], $10::numeric[], $11::jsonb[])
    AS given (place, scope_id, key_hash, payload_hash, meter, source, id, subject, "time", value, dimensions)
), unseen AS (
    INSERT INTO stanchion.billing_metering_seen (scope_id, key_hash, payload_hash, "time")
    SELECT scope_id, key_hash, payload_hash, "time" FROM given ORDER BY scope_id, key_hash
    ON CONFLICT DO NOTHING
    RETURNING scope_id, key_hash
), kept AS MATERIALIZED (
    SELECT given.*, nextval('stanchion.billing_metering_number') AS number
    FROM given JOIN unseen USING (scope_id, key_hash)
), written AS (
    INSERT INTO stanchion.billing_metering_event
        (scope_id, meter, "time", number, source, id, subject, value, dimensions, received_at)
    SELECT scope_id, meter, "time", number, source, id, subject, value, dimensions, $12 FROM kept
), added AS (
    INSERT INTO stanchion.billing_metering_sum AS total (scope_id, meter, quarter, events, sum)
    SELECT scope_id, meter, date_bin('15 minutes', "time", '2000-01-01T00:00:00Z'), count(*), sum(value)
    FROM kept GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (scope_id, meter, quarter) DO UPDATE
    SET events = total.events + excluded.events, sum = total.sum + excluded.sum
)
SELECT place, number FROM kept"#;

/// Compares the payloads of the others with those that were here before them.
const COMPARE: &str = "
SELECT place, seen.payload_hash = given.payload_hash AS same
FROM unnest($1::int[], $2::uuid[], $3::bytea[], $4::bytea[]) AS given (place, scope_id, key_hash, payload_hash)
JOIN stanchion.billing_metering_seen AS seen USING (scope_id, key_hash)";

type Hash = [u8; 32];

/// Events column by column.
#[derive(Default)]
struct Columns<'a> {
    place: Vec<i32>,
    scope_id: Vec<Uuid>,
    key_hash: Vec<Vec<u8>>,
    payload_hash: Vec<Vec<u8>>,
    meter: Vec<&'a str>,
    source: Vec<&'a str>,
    id: Vec<&'a str>,
    subject: Vec<Option<String>>,
    time: Vec<DateTime<Utc>>,
    value: Vec<rust_decimal::Decimal>,
    dimensions: Vec<serde_json::Value>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, place: usize, event: &'a UsageEvent, hashes: &(Hash, Hash)) -> Result<(), Error> {
        storable(event)?;
        self.place.push(i32::try_from(place).map_err(|_| Error::Unsupported("a batch of that many events"))?);
        self.scope_id.push(scope_id(Scope::Tenant(event.tenant))?);
        self.key_hash.push(hashes.0.to_vec());
        self.payload_hash.push(hashes.1.to_vec());
        self.meter.push(event.meter.as_str());
        self.source.push(event.source.as_str());
        self.id.push(event.id.as_str());
        self.subject.push(event.subject.as_ref().map(ToString::to_string));
        self.time.push(instant(event.time));
        self.value.push(event.value);
        let dimensions = serde_json::to_value(&event.dimensions);
        self.dimensions.push(dimensions.map_err(|error| Error::corrupt("dimensions", error))?);
        Ok(())
    }
}

/// Appends events, and tells what became of each. `least` is the earliest time that is asked to be told apart.
pub(super) async fn append(
    connection: &mut PgConnection,
    batch: &[UsageEvent],
    least: Timestamp,
    at: Timestamp,
) -> Result<Vec<AppendOutcome>, Error> {
    let floor = sqlx::query_scalar(FLOOR).bind(instant(least)).fetch_one(&mut *connection).await;
    let floor = Timestamp::from(floor.map(|floor: DateTime<Utc>| floor)?);
    let mut bytes = Vec::new();
    let hashes: Vec<(Hash, Hash)> = batch.iter().map(|event| hashes(event, &mut bytes)).collect();

    let (mut first, mut again) = (Columns::default(), Columns::default());
    let mut keys = HashSet::with_capacity(batch.len());
    for (place, (event, hashes)) in batch.iter().zip(&hashes).enumerate() {
        if event.time >= floor {
            let columns = if keys.insert(hashes.0) { &mut first } else { &mut again };
            columns.push(place, event, hashes)?;
        }
    }
    // What is not told below lies before the floor.
    let mut outcomes = vec![AppendOutcome::TooLate; batch.len()];
    let kept = keep(connection, &first, at, &mut outcomes).await?;
    if kept < first.place.len() || !again.place.is_empty() {
        let others = first.place.iter().zip(batch_places(&first)).filter(|(_, place)| {
            outcomes.get(*place).is_some_and(|outcome| *outcome == AppendOutcome::TooLate)
        });
        let places: Vec<usize> = others.map(|(_, place)| place).chain(batch_places(&again)).collect();
        compare(connection, &places, batch, &hashes, &mut outcomes).await?;
    }
    Ok(outcomes)
}

fn batch_places<'a>(columns: &'a Columns<'_>) -> impl Iterator<Item = usize> + 'a {
    columns.place.iter().map(|place| usize::try_from(*place).unwrap_or(usize::MAX))
}

fn hashes(event: &UsageEvent, bytes: &mut Vec<u8>) -> (Hash, Hash) {
    bytes.clear();
    event.encode_key(bytes);
    let key = Sha256::digest(&*bytes).into();
    bytes.clear();
    event.encode_payload(bytes);
    (key, Sha256::digest(&*bytes).into())
}

async fn keep(
    connection: &mut PgConnection,
    columns: &Columns<'_>,
    at: Timestamp,
    outcomes: &mut [AppendOutcome],
) -> Result<usize, Error> {
    if columns.place.is_empty() {
        return Ok(0);
    }
    let rows = sqlx::query(KEEP)
        .bind(&columns.place)
        .bind(&columns.scope_id)
        .bind(&columns.key_hash)
        .bind(&columns.payload_hash)
        .bind(&columns.meter)
        .bind(&columns.source)
        .bind(&columns.id)
        .bind(&columns.subject)
        .bind(&columns.time)
        .bind(&columns.value)
        .bind(&columns.dimensions)
        .bind(instant(at))
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let number: i64 = row.try_get("number")?;
        let seq = u64::try_from(number).map_err(|error| Error::corrupt("number", error))?;
        set(outcomes, row.try_get("place")?, AppendOutcome::Accepted { seq });
    }
    Ok(rows.len())
}

async fn compare(
    connection: &mut PgConnection,
    places: &[usize],
    batch: &[UsageEvent],
    hashes: &[(Hash, Hash)],
    outcomes: &mut [AppendOutcome],
) -> Result<(), Error> {
    let mut columns = Columns::default();
    for place in places {
        if let (Some(event), Some(hashes)) = (batch.get(*place), hashes.get(*place)) {
            columns.push(*place, event, hashes)?;
        }
    }
    let query = sqlx::query(COMPARE).bind(&columns.place).bind(&columns.scope_id);
    let rows = query.bind(&columns.key_hash).bind(&columns.payload_hash).fetch_all(connection).await?;
    for row in rows {
        let outcome = if row.try_get("same")? { AppendOutcome::Duplicate } else { AppendOutcome::Conflict };
        set(outcomes, row.try_get("place")?, outcome);
    }
    Ok(())
}

fn set(outcomes: &mut [AppendOutcome], place: i32, outcome: AppendOutcome) {
    if let Some(slot) = usize::try_from(place).ok().and_then(|place| outcomes.get_mut(place)) {
        *slot = outcome;
    }
}
