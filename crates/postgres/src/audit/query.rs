//! Finding entries again.

use std::cmp::Ordering;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use stanchion_audit::{ChainId, Place, Query, RetentionClass, Row};
use stanchion_core::Timestamp;
use uuid::Uuid;

use super::row::{class_number, row};
use super::{most, number, seq};
use crate::Error;
use crate::records::instant;
use crate::transaction::scope_id;

const RANGE: &str = "
SELECT h.base_seq + 1 AS base,
       CASE WHEN $3::timestamptz IS NULL THEN h.base_seq ELSE stanchion.audit_last_before($1, $2, $3) END + 1 AS low,
       CASE WHEN $4::timestamptz IS NULL THEN h.seq ELSE stanchion.audit_last_before($1, $2, $4) END AS high
FROM stanchion.audit_head AS h
WHERE h.scope_id = $1 AND h.class = $2";

const READ_BACK: &str = "SELECT * FROM stanchion.audit_read_back($1, $2, $3, $4, $5)";

/// How many entries are looked at at a time where nothing but the ledger tells which are wanted.
const STEP: i64 = 500;

/// The numbers of a chain's entries that a query may be about, both ends among them.
struct Range {
    scope: Uuid,
    class: i16,
    low: i64,
    high: i64,
}

/// Finds the newest entries of one chain that are asked for.
pub(super) async fn newest(
    connection: &mut PgConnection,
    chain: ChainId,
    query: &Query,
    before: Option<Place>,
    limit: usize,
) -> Result<Vec<Row>, Error> {
    let mut found = Vec::new();
    if let Some(range) = range(connection, chain, query, before).await? {
        walk(connection, range, query, limit, &mut found).await?;
    }
    Ok(found)
}

async fn range(
    connection: &mut PgConnection,
    chain: ChainId,
    query: &Query,
    before: Option<Place>,
) -> Result<Option<Range>, Error> {
    let (until, below) = end(chain.class, query.until, before);
    let (scope, class) = (scope_id(chain.scope)?, class_number(chain.class));
    let range = sqlx::query(RANGE).bind(scope).bind(class);
    let range = range.bind(query.since.map(instant)).bind(until.map(instant));
    let Some(found) = range.fetch_optional(connection).await? else { return Ok(None) };
    let high = number(seq(&found, "high")?);
    let high = below.map_or(high, |below| high.min(number(below) - 1));
    Ok(Some(Range { scope, class, low: number(seq(&found, "low")?), high }))
}

/// Goes back through a chain until so many entries are found that are asked for.
async fn walk(
    connection: &mut PgConnection,
    mut range: Range,
    query: &Query,
    limit: usize,
    found: &mut Vec<Row>,
) -> Result<(), Error> {
    while found.len() < limit && range.low <= range.high {
        let step = if query.is_range() { most(limit - found.len()) } else { STEP };
        let read =
            sqlx::query(READ_BACK).bind(range.scope).bind(range.class).bind(range.low).bind(range.high);
        let rows: Vec<PgRow> = read.bind(step).fetch_all(&mut *connection).await?;
        let Some(last) = rows.last() else { break };
        range.high = last.try_get::<i64, _>("seq")? - 1;
        for entry in &rows {
            let entry = row(entry)?;
            if query.matches(&entry) && found.len() < limit {
                found.push(entry);
            }
        }
    }
    Ok(())
}

/// Returns the instant before which a class's entries were recorded, and the number that theirs are less than. Places of one instant
/// are in the order of class and number.
fn end(
    class: RetentionClass,
    until: Option<Timestamp>,
    before: Option<Place>,
) -> (Option<Timestamp>, Option<u64>) {
    let Some(before) = before else { return (until, None) };
    let next = Timestamp::from_micros(before.recorded_at.micros().saturating_add(1));
    let (instant, below) = match class.cmp(&before.class) {
        Ordering::Less => (next, None),
        Ordering::Equal => (next, Some(before.seq)),
        Ordering::Greater => (before.recorded_at, None),
    };
    (Some(until.map_or(instant, |until| until.min(instant))), below)
}
