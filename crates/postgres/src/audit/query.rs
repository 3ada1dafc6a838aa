//! Finding entries again.
//!
//! What was committed after the cursor is read from the ledger itself, newest first. What lies before it is found by what is kept for
//! queries, and read from the ledger by its number. Either way [`Query::matches`] has the last word.

use std::cmp::{Ordering, Reverse};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use stanchion_audit::{ChainId, Place, Query, RetentionClass, Row, Withdrawn};
use stanchion_core::{Scope, Severity, SystemScope, Timestamp};
use uuid::Uuid;

use super::pack::entries;
use super::row::{class_number, escaped, row};
use super::withdrawn::of_rows;
use super::{PgLedgerStore, most, number, seq};
use crate::records::instant;
use crate::transaction::scope_id;
use crate::{Error, SystemTx, TenantTx};

const SYSTEM: SystemScope = SystemScope::new("find entries of one scope by their terms");

const RANGE: &str = "
SELECT CASE WHEN $3::timestamptz IS NULL THEN h.base_seq ELSE stanchion.audit_last_before($1, $2, $3) END + 1 AS low,
       CASE WHEN $4::timestamptz IS NULL THEN h.seq ELSE stanchion.audit_last_before($1, $2, $4) END AS high,
       coalesce((SELECT c.seq FROM stanchion.audit_cursor AS c WHERE c.scope_id = $1 AND c.class = $2), 0) AS cursor
FROM stanchion.audit_head AS h
WHERE h.scope_id = $1 AND h.class = $2";

const READ_BACK: &str = "SELECT * FROM stanchion.audit_read_back($1, $2, $3, $4, $5)";

const FIND: &str = "SELECT stanchion.audit_find($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const READ_FOUND: &str = "
SELECT e.* FROM unnest($3::bigint[]) AS found (seq)
CROSS JOIN LATERAL stanchion.audit_get($1, $2, found.seq) AS e
JOIN stanchion.audit_head AS h ON h.scope_id = e.scope_id AND h.class = e.class
WHERE e.seq > h.base_seq ORDER BY e.seq DESC";

/// How many entries are looked at at a time where nothing but the ledger tells which are wanted.
const STEP: i64 = 500;

/// The numbers of a chain's entries that a query may be about, both ends among them, and the last one that was prepared for queries.
struct Range {
    scope: Uuid,
    class: i16,
    low: i64,
    high: i64,
    cursor: i64,
}

impl PgLedgerStore {
    pub(super) async fn find(
        &self,
        scope: Scope,
        query: &Query,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut found = Vec::new();
        for class in RetentionClass::ALL.into_iter().filter(|class| query.may_match(*class)) {
            found.extend(self.newest(ChainId { scope, class }, query, before, limit).await?);
        }
        found.sort_by_key(|row| Reverse(Place::from(row)));
        found.truncate(limit);
        Ok(found)
    }

    /// Finds the newest entries of one chain that are asked for.
    async fn newest(
        &self,
        chain: ChainId,
        query: &Query,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut found = Vec::new();
        let mut tx = TenantTx::begin_read(&self.database, chain.scope).await?;
        let range = range(tx.connection()?, chain, query, before).await?;
        let Some(mut range) = range else { return tx.commit().await.map(|()| found) };
        let cursor = if query.is_range() { 0 } else { range.cursor };
        walk(tx.connection()?, chain.scope, &mut range, cursor, query, limit, &mut found).await?;
        tx.commit().await?;
        let terms = query.terms(chain.scope);
        while found.len() < limit && range.low <= range.high {
            let missing = limit - found.len();
            let numbers = self.look_up(&range, query, &terms, missing).await?;
            let Some(last) = numbers.last() else { break };
            range.high = last.saturating_sub(1);
            let is_all = numbers.len() < missing;
            let mut tx = TenantTx::begin_read(&self.database, chain.scope).await?;
            let read = sqlx::query(READ_FOUND).bind(range.scope).bind(range.class).bind(numbers);
            let rows = read.fetch_all(tx.connection()?).await?;
            let rows: Vec<Row> = rows.iter().map(row).collect::<Result<_, Error>>()?;
            let withdrawn = withdrawn(tx.connection()?, chain.scope, query, &rows).await?;
            tx.commit().await?;
            // Two values may have one term, and what is kept for queries may have been altered.
            found.extend(rows.into_iter().filter(|entry| query.matches_without(entry, &withdrawn)));
            if is_all {
                break;
            }
        }
        Ok(found)
    }

    /// Finds the numbers of entries that may be asked for, greatest first.
    async fn look_up(
        &self,
        range: &Range,
        query: &Query,
        terms: &[i64],
        limit: usize,
    ) -> Result<Vec<i64>, Error> {
        let action = query.action.as_ref().map(|action| escaped(action.as_str()));
        // `role.*` is every action below `role.`; a star that stands elsewhere is only a letter.
        let family =
            action.as_deref().and_then(|action| action.strip_suffix('*')).filter(|text| text.ends_with('.'));
        let actions: Option<Vec<String>> = query.event_type.as_ref().map(|wanted| {
            wanted.actions.iter().map(|action| escaped(action.as_str()).into_owned()).collect()
        });
        let severities = query.severity.map(|least| {
            let names = Severity::ALL.iter().filter(|severity| **severity >= least);
            names.map(|severity| severity.as_str()).collect::<Vec<_>>()
        });
        let mut tx = SystemTx::begin_read(&self.database, SYSTEM).await?;
        let find = sqlx::query_scalar(FIND)
            .bind(range.scope)
            .bind(range.class)
            .bind(range.low)
            .bind(range.high)
            .bind(terms)
            .bind(family)
            .bind(actions)
            .bind(query.outcome.map(|outcome| outcome.as_str()))
            .bind(query.category.map(|category| category.as_str()))
            .bind(severities)
            .bind(most(limit));
        let numbers = find.fetch_all(tx.connection()?).await?;
        tx.commit().await?;
        Ok(numbers)
    }
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
    let high = below.map_or(high, |below| high.min(number(below).saturating_sub(1)));
    let (low, cursor) = (number(seq(&found, "low")?), number(seq(&found, "cursor")?));
    Ok(Some(Range { scope, class, low, high, cursor }))
}

/// Finds what is withdrawn of entries, for a query that may ask for such words.
async fn withdrawn(
    connection: &mut PgConnection,
    scope: Scope,
    query: &Query,
    rows: &[Row],
) -> Result<Withdrawn, Error> {
    if query.asks_for_protected() { of_rows(connection, scope, rows).await } else { Ok(Withdrawn::default()) }
}

/// Goes back through a chain, not beyond the cursor, until so many entries are found that are asked for.
async fn walk(
    connection: &mut PgConnection,
    scope: Scope,
    range: &mut Range,
    cursor: i64,
    query: &Query,
    limit: usize,
    found: &mut Vec<Row>,
) -> Result<(), Error> {
    let low = range.low.max(cursor.saturating_add(1));
    while found.len() < limit && low <= range.high {
        let step = if query.is_range() { most(limit - found.len()) } else { STEP };
        let read = sqlx::query(READ_BACK).bind(range.scope).bind(range.class).bind(low).bind(range.high);
        let rows: Vec<PgRow> = read.bind(step).fetch_all(&mut *connection).await?;
        let Some(last) = rows.last() else {
            range.high = low.saturating_sub(1);
            break;
        };
        let (least, greatest) = (u64::try_from(low).unwrap_or(0), u64::try_from(range.high).unwrap_or(0));
        range.high = last.try_get::<i64, _>("seq")?.saturating_sub(1);
        let mut read = Vec::new();
        for packed in &rows {
            read.extend(entries(packed, least, greatest)?.into_iter().rev());
        }
        let withdrawn = withdrawn(&mut *connection, scope, query, &read).await?;
        let matching = read.into_iter().filter(|entry| query.matches_without(entry, &withdrawn));
        let missing = limit.saturating_sub(found.len());
        found.extend(matching.take(missing));
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
