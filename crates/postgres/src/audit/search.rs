//! What queries look at: made from the entries, behind a cursor.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use stanchion_audit::{ChainId, Projected, Row, SearchPage, SearchRow, Withdrawn};
use stanchion_core::{RequestId, Scope, SystemScope, Text};
use uuid::Uuid;

use super::pack::entries;
use super::row::{ActorColumns, class_number, escaped, lines, search_row};
use super::{PgLedgerStore, chain, most, number, seq, withdrawn};
use crate::records::instant;
use crate::transaction::scope_id;
use crate::{Error, SystemTx, TenantTx};

pub(super) const BEGIN: &str = "
INSERT INTO stanchion.audit_cursor (scope_id, class, seq)
SELECT h.scope_id, h.class, 0
FROM unnest($1::uuid[], $2::smallint[]) AS asked (scope_id, class)
JOIN stanchion.audit_head AS h ON h.scope_id = asked.scope_id AND h.class = asked.class
LEFT JOIN stanchion.audit_cursor AS c ON c.scope_id = asked.scope_id AND c.class = asked.class
WHERE c.seq IS NULL ORDER BY 1, 2
ON CONFLICT DO NOTHING";

/// A chain that somebody else is at is left to them.
const HOLD: &str = "
SELECT c.scope_id, c.class, c.seq
FROM unnest($1::uuid[], $2::smallint[]) AS asked (scope_id, class)
JOIN stanchion.audit_cursor AS c ON c.scope_id = asked.scope_id AND c.class = asked.class
ORDER BY 1, 2 FOR UPDATE OF c SKIP LOCKED";

const FOLLOWING: &str = "
SELECT e.*, greatest(held.seq, h.base_seq) + 1 AS low
FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS held (scope_id, class, seq)
JOIN stanchion.audit_head AS h ON h.scope_id = held.scope_id AND h.class = held.class
CROSS JOIN LATERAL stanchion.audit_read(held.scope_id, held.class, held.seq + 1, 9223372036854775807, $4) AS e";

const KEEP: &str = "
INSERT INTO stanchion.audit_search (
    scope_id, class, part, seq, occurred_at, actor_kind, actor_id, actor_method, actor_key, action, category, outcome,
    severity, request_id, session, trace, targets, terms)
SELECT unnest($1::uuid[]), unnest($2::smallint[]), unnest($3::integer[]), unnest($4::bigint[]), unnest($5::timestamptz[]),
       unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::uuid[]), unnest($10::text[]),
       unnest($11::text[]), unnest($12::text[]), unnest($13::text[]), unnest($14::uuid[]), unnest($15::text[]),
       unnest($16::text[]), unnest($17::text[]), unnest($18::text[])::bigint[]
ON CONFLICT DO NOTHING";

const ADVANCE: &str = "
UPDATE stanchion.audit_cursor AS c SET seq = m.seq
FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS m (scope_id, class, seq)
WHERE c.scope_id = m.scope_id AND c.class = m.class";

const LEFT: &str = "
SELECT h.scope_id, h.class, h.seq - greatest(coalesce(c.seq, 0), h.base_seq) AS entries
FROM unnest($1::uuid[], $2::smallint[]) AS asked (scope_id, class)
JOIN stanchion.audit_head AS h ON h.scope_id = asked.scope_id AND h.class = asked.class
LEFT JOIN stanchion.audit_cursor AS c ON c.scope_id = asked.scope_id AND c.class = asked.class
WHERE h.seq > greatest(coalesce(c.seq, 0), h.base_seq)";

const UNPROJECTED: &str = "
SELECT h.scope_id, h.class
FROM stanchion.audit_head AS h
LEFT JOIN stanchion.audit_cursor AS c ON c.scope_id = h.scope_id AND c.class = h.class
WHERE (h.seq > greatest(coalesce(c.seq, 0), h.base_seq)
       OR EXISTS (SELECT FROM stanchion.audit_withdrawn AS w WHERE w.scope_id = h.scope_id AND NOT w.is_done))
  AND ($1::uuid IS NULL OR (h.scope_id, h.class) > ($1, $2))
ORDER BY h.scope_id, h.class LIMIT $3";

const CURSOR: &str = "
SELECT least(greatest(c.seq, h.base_seq), h.seq) AS until
FROM stanchion.audit_cursor AS c
JOIN stanchion.audit_head AS h ON h.scope_id = c.scope_id AND h.class = c.class
WHERE c.scope_id = $1 AND c.class = $2";

const PAGE: &str = "SELECT * FROM stanchion.audit_search_read($1, $2, $3, $4)";

/// Rows of what queries look at, column by column.
#[derive(Default)]
struct Columns {
    scope_id: Vec<Uuid>,
    class: Vec<i16>,
    part: Vec<i32>,
    seq: Vec<i64>,
    occurred_at: Vec<DateTime<Utc>>,
    actor_kind: Vec<&'static str>,
    actor_id: Vec<Option<String>>,
    actor_method: Vec<Option<&'static str>>,
    actor_key: Vec<Option<Uuid>>,
    action: Vec<String>,
    category: Vec<&'static str>,
    outcome: Vec<&'static str>,
    severity: Vec<&'static str>,
    request_id: Vec<Option<Uuid>>,
    session: Vec<Option<String>>,
    trace: Vec<Option<String>>,
    targets: Vec<String>,
    terms: Vec<String>,
}

impl Columns {
    fn push(&mut self, entry: &Row, part: i32, made: &SearchRow) -> Result<(), Error> {
        let shown = &made.projection;
        let actor = ActorColumns::of(&shown.actor);
        let optional = |text: &Option<Text>| text.as_ref().map(|text| escaped(text.as_str()).into_owned());
        self.scope_id.push(scope_id(entry.chain.scope)?);
        self.class.push(class_number(entry.chain.class));
        self.part.push(part);
        self.seq.push(number(entry.seq));
        self.occurred_at.push(instant(shown.occurred_at));
        self.actor_kind.push(actor.kind);
        self.actor_id.push(actor.id.map(Cow::into_owned));
        self.actor_method.push(actor.method);
        self.actor_key.push(actor.key);
        self.action.push(escaped(shown.action.as_str()).into_owned());
        self.category.push(shown.category.as_str());
        self.outcome.push(shown.outcome.as_str());
        self.severity.push(shown.severity.as_str());
        self.request_id.push(shown.request.map(RequestId::uuid));
        self.session.push(optional(&made.session));
        self.trace.push(optional(&made.trace));
        self.targets.push(lines(&shown.targets));
        self.terms.push(literal(&made.terms));
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let insert = sqlx::query(KEEP)
            .bind(&self.scope_id)
            .bind(&self.class)
            .bind(&self.part)
            .bind(&self.seq)
            .bind(&self.occurred_at)
            .bind(&self.actor_kind)
            .bind(&self.actor_id)
            .bind(&self.actor_method)
            .bind(&self.actor_key)
            .bind(&self.action)
            .bind(&self.category)
            .bind(&self.outcome)
            .bind(&self.severity)
            .bind(&self.request_id)
            .bind(&self.session)
            .bind(&self.trace)
            .bind(&self.targets)
            .bind(&self.terms);
        insert.execute(connection).await?;
        Ok(())
    }
}

/// Writes numbers as Postgres reads an array: arrays of arrays are not to be had as rows.
pub(super) fn literal(terms: &[i64]) -> String {
    let mut text = String::with_capacity(terms.len().saturating_mul(21).saturating_add(2));
    text.push('{');
    for (index, term) in terms.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        // A `String` takes whatever is written.
        let _ = write!(text, "{separator}{term}");
    }
    text.push('}');
    text
}

fn keys(chains: &[ChainId]) -> Result<(Vec<Uuid>, Vec<i16>), Error> {
    let scopes = chains.iter().map(|chain| scope_id(chain.scope)).collect::<Result<_, Error>>()?;
    Ok((scopes, chains.iter().map(|chain| class_number(chain.class)).collect()))
}

impl PgLedgerStore {
    pub(super) async fn bring_up(
        &self,
        system: SystemScope,
        chains: &[ChainId],
        limit: usize,
    ) -> Result<Projected, Error> {
        let (scopes, classes) = keys(chains)?;
        let mut tx = SystemTx::begin(&self.database, system).await?;
        sqlx::query(BEGIN).bind(&scopes).bind(&classes).execute(tx.connection()?).await?;
        let held = sqlx::query(HOLD).bind(&scopes).bind(&classes).fetch_all(tx.connection()?).await?;
        let entries = if held.is_empty() { 0 } else { follow(tx.connection()?, &held, limit).await? };
        let left = sqlx::query(LEFT).bind(&scopes).bind(&classes).fetch_all(tx.connection()?).await?;
        let undone = withdrawn::undone(tx.connection()?, &scopes).await?;
        tx.commit().await?;
        for scope in undone {
            self.finish_withdrawal(system, scope).await?;
        }
        let left = left.iter().map(|row| Ok((chain(row)?, seq(row, "entries")?)));
        Ok(Projected { entries, left: left.collect::<Result<_, Error>>()? })
    }

    pub(super) async fn behind(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<ChainId>, Error> {
        let mut tx = SystemTx::begin_read(&self.database, system).await?;
        let scope = after.map(|after| scope_id(after.scope)).transpose()?;
        let query = sqlx::query(UNPROJECTED).bind(scope).bind(after.map(|after| class_number(after.class)));
        let rows = query.bind(most(limit)).fetch_all(tx.connection()?).await?;
        tx.commit().await?;
        rows.iter().map(chain).collect()
    }

    pub(super) async fn page(&self, chain: ChainId, from: u64, limit: usize) -> Result<SearchPage, Error> {
        let (scope, class) = (scope_id(chain.scope)?, class_number(chain.class));
        let mut tx = TenantTx::begin_read(&self.database, chain.scope).await?;
        let cursor = sqlx::query(CURSOR).bind(scope).bind(class).fetch_optional(tx.connection()?).await?;
        let Some(cursor) = cursor else { return tx.commit().await.map(|()| SearchPage::default()) };
        let page = sqlx::query(PAGE).bind(scope).bind(class).bind(number(from)).bind(most(limit));
        let rows = page.fetch_all(tx.connection()?).await?;
        tx.commit().await?;
        // What holds values that no event has is no row: its entry is without one, and that is told.
        let rows = rows.iter().filter_map(|row| search_row(row).ok()).collect();
        Ok(SearchPage { until: seq(&cursor, "until")?, rows })
    }
}

/// Makes the rows of entries that follow the cursors that are held.
async fn follow(connection: &mut PgConnection, held: &[PgRow], limit: usize) -> Result<u64, Error> {
    let mut cursors = (Vec::new(), Vec::new(), Vec::new());
    for row in held {
        cursors.0.push(row.try_get::<Uuid, _>("scope_id")?);
        cursors.1.push(row.try_get::<i16, _>("class")?);
        cursors.2.push(row.try_get::<i64, _>("seq")?);
    }
    let each = limit.div_ceil(held.len().max(1)).max(1);
    let query = sqlx::query(FOLLOWING).bind(&cursors.0).bind(&cursors.1).bind(&cursors.2).bind(most(each));
    let found = query.fetch_all(&mut *connection).await?;
    let (mut columns, mut ends) = (Columns::default(), HashMap::<(Uuid, i16), i64>::new());
    let mut read: BTreeMap<Scope, (Vec<i32>, Vec<Row>)> = BTreeMap::new();
    let mut followed = 0_u64;
    for found in &found {
        let end = ends.entry((found.try_get("scope_id")?, found.try_get("class")?)).or_default();
        for entry in entries(found, seq(found, "low")?, u64::MAX)? {
            *end = number(entry.seq).max(*end);
            followed += 1;
            let (parts, rows) = read.entry(entry.chain.scope).or_default();
            parts.push(found.try_get("part")?);
            rows.push(entry);
        }
    }
    if followed == 0 {
        return Ok(0);
    }
    for (scope, (parts, rows)) in &read {
        let mut told = Withdrawn::default();
        rows.iter().for_each(|row| told.extend(&Withdrawn::told_by(&row.content)));
        if !told.is_empty() {
            withdrawn::add(&mut *connection, *scope, &told).await?;
        }
        let gone = withdrawn::of_rows(&mut *connection, *scope, rows).await?;
        for (entry, part) in rows.iter().zip(parts) {
            // Of bytes that are no event there is nothing to be found by; verification tells of them.
            if let Ok(made) = SearchRow::of(*scope, entry.seq, &entry.content, &gone) {
                columns.push(entry, *part, &made)?;
            }
        }
    }
    columns.write(&mut *connection).await?;
    let mut moves = (Vec::new(), Vec::new(), Vec::new());
    for ((scope, class), end) in ends {
        moves.0.push(scope);
        moves.1.push(class);
        moves.2.push(end);
    }
    sqlx::query(ADVANCE).bind(moves.0).bind(moves.1).bind(moves.2).execute(connection).await?;
    Ok(followed)
}
