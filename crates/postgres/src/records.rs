//! What record ports have in common: the revision of a scope, the change feed, the outbox, and the columns of a record. For adapters
//! of domains that are not ours, too.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use stanchion_core::{Change, Event, Page, PageRequest, Revision, Scope, Timestamp, Versioned};

use crate::Error;
use crate::transaction::scope_id;

/// Moves a scope's revision, announces the change and queues its events: one statement, before the records are written. Whoever
/// comes second waits for the first, and then finds that the scope has moved on.
///
/// `$3` is the revision the change expects, `$4` the keys it changes, `$5` its events as JSON.
const ADVANCE: &str = "
WITH first AS (
    INSERT INTO stanchion.revision (scope_id, domain, revision)
    SELECT $1, $2, 1 WHERE $3 = 0
    ON CONFLICT DO NOTHING RETURNING revision
), next AS (
    UPDATE stanchion.revision SET revision = revision + 1
    WHERE scope_id = $1 AND domain = $2 AND revision = $3 RETURNING revision
), moved AS (
    SELECT revision FROM first UNION ALL SELECT revision FROM next
), fed AS (
    INSERT INTO stanchion.change (scope_id, domain, revision, keys)
    SELECT $1, $2, revision, $4 FROM moved
), queued AS (
    INSERT INTO stanchion.outbox (scope_id, event)
    SELECT $1, event FROM moved, unnest($5) WITH ORDINALITY AS events (event, number) ORDER BY number
)
SELECT revision, pg_notify('stanchion', $2), CASE WHEN cardinality($5) > 0 THEN pg_notify('stanchion', 'outbox') END
FROM moved";

/// Opens a change to a domain's records in one scope: returns the revision it makes, which the records are then written with.
///
/// # Errors
/// [`Error::Conflict`] when the scope has moved on.
pub async fn advance<C>(
    connection: &mut PgConnection,
    domain: &'static str,
    scope: Scope,
    change: &Change<C>,
    key: impl Fn(&C) -> Arc<str>,
) -> Result<Revision, Error> {
    let keys: Vec<String> = change.changes.iter().map(|part| key(part).to_string()).collect();
    let events = change.events.iter().map(written).collect::<Result<Vec<String>, Error>>()?;
    let moved: Option<i64> = sqlx::query_scalar(ADVANCE)
        .bind(scope_id(scope)?)
        .bind(domain)
        .bind(number(change.expected))
        .bind(keys)
        .bind(events)
        .fetch_optional(connection)
        .await?;
    moved.map(revision).ok_or(Error::Conflict)
}

/// Reads the revision of a domain's records in one scope.
///
/// # Errors
/// When the database refuses, or what it holds breaks the format.
pub async fn current(
    connection: &mut PgConnection,
    domain: &'static str,
    scope: Scope,
) -> Result<Revision, Error> {
    let read = "SELECT revision FROM stanchion.revision WHERE scope_id = $1 AND domain = $2";
    let current: Option<i64> =
        sqlx::query_scalar(read).bind(scope_id(scope)?).bind(domain).fetch_optional(connection).await?;
    Ok(current.map_or(Revision::ZERO, revision))
}

fn written(event: &Event) -> Result<String, Error> {
    serde_json::to_string(event).map_err(|error| Error::corrupt("event", error))
}

/// Returns the column value of a revision.
#[must_use]
pub fn number(revision: Revision) -> i64 {
    i64::try_from(revision.number()).unwrap_or(i64::MAX)
}

/// Returns the revision of a column value.
#[must_use]
pub fn revision(number: i64) -> Revision {
    Revision::from_number(u64::try_from(number).unwrap_or(0))
}

/// Returns the column value of an instant.
#[must_use]
pub fn instant(at: Timestamp) -> DateTime<Utc> {
    at.to_utc()
}

/// Reads a record with the columns that all records have beside their own: `revision`, `created_at`, `updated_at`.
///
/// # Errors
/// When the database refuses, or what it holds breaks the format.
pub fn versioned<T>(row: &PgRow, value: T) -> Result<Versioned<T>, Error> {
    Ok(Versioned {
        value,
        revision: revision(row.try_get("revision")?),
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// Reads a text column as the type its text is of.
///
/// # Errors
/// When the database refuses, or what it holds breaks the format.
pub fn parsed<T: FromStr<Err: fmt::Display>>(row: &PgRow, column: &'static str) -> Result<T, Error> {
    row.try_get::<&str, _>(column)?.parse().map_err(|error| Error::corrupt(column, error))
}

/// Reads a text column that may be null.
///
/// # Errors
/// When the database refuses, or what it holds breaks the format.
pub fn parsed_option<T: FromStr<Err: fmt::Display>>(
    row: &PgRow,
    column: &'static str,
) -> Result<Option<T>, Error> {
    let text = row.try_get::<Option<&str>, _>(column)?;
    text.map(str::parse).transpose().map_err(|error| Error::corrupt(column, error))
}

/// Reads a column of many texts.
///
/// # Errors
/// When the database refuses, or what it holds breaks the format.
pub fn parsed_all<T: FromStr<Err: fmt::Display>, C: FromIterator<T>>(
    row: &PgRow,
    column: &'static str,
) -> Result<C, Error> {
    let texts = row.try_get::<Vec<String>, _>(column)?;
    texts.iter().map(|text| text.parse().map_err(|error| Error::corrupt(column, error))).collect()
}

/// Reads a time column.
///
/// # Errors
/// When the database refuses, or what it holds breaks the format.
pub fn time(row: &PgRow, column: &'static str) -> Result<Timestamp, Error> {
    Ok(row.try_get::<DateTime<Utc>, _>(column)?.into())
}

/// Reads a time column that may be null.
///
/// # Errors
/// When the database refuses, or what it holds breaks the format.
pub fn time_option(row: &PgRow, column: &'static str) -> Result<Option<Timestamp>, Error> {
    Ok(row.try_get::<Option<DateTime<Utc>>, _>(column)?.map(Timestamp::from))
}

/// Returns how many rows to ask for, so that one more than the page tells whether there are more.
#[must_use]
pub fn rows_of(page: &PageRequest) -> i64 {
    i64::try_from(page.limit()).unwrap_or(i64::MAX).saturating_add(1)
}

/// Returns the text that a page begins after. Postgres holds no NUL; no text of ours does, so what is before it will do.
#[must_use]
pub fn page_key(page: &PageRequest) -> Option<&str> {
    page.key().map(|key| key.split('\0').next().unwrap_or_default())
}

/// Makes a page of the rows that [`rows_of`] asked for.
///
/// # Errors
/// When the database refuses, or what it holds breaks the format.
pub fn page<T>(
    rows: &[PgRow],
    request: &PageRequest,
    read: impl Fn(&PgRow) -> Result<T, Error>,
    key: impl Fn(&T) -> String,
) -> Result<Page<T>, Error> {
    let items = rows.iter().take(request.limit()).map(read).collect::<Result<Vec<T>, Error>>()?;
    let next = if rows.len() > request.limit() { items.last().map(key) } else { None };
    Ok(Page { items, next })
}
