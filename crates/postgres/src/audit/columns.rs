use std::collections::HashMap;

use chrono::{DateTime, Datelike as _, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};
use stanchion_audit::{AppendBatch, ChainId, Head, HeadMove, Row};
use stanchion_core::Timestamp;
use uuid::Uuid;

use super::number;
use super::row::class_number;
use crate::Error;
use crate::records::instant;
use crate::transaction::scope_id;

const APPEND: &str = "SELECT * FROM stanchion.audit_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                    $16, $17, $18, $19, $20, $21, $22, $23)";

const WRITE: &str = "SELECT stanchion.audit_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                     $16, $17, $18, $19, $20, $21, $22, $23)";

const ADD_PARTS: &str = "SELECT stanchion.audit_add_parts($1, $2)";

/// A batch, column by column: one array each, so that a batch of any size is one statement.
pub(super) struct Columns<'a> {
    batch: &'a AppendBatch,
    spans: Spans,
    scope_id: Vec<Uuid>,
    class: Vec<i16>,
    part: Vec<i32>,
    seq: Vec<i64>,
    recorded_at: Vec<DateTime<Utc>>,
    key_epoch: Vec<i64>,
    event_id: Vec<Uuid>,
    leaf: Vec<&'a [u8]>,
    link: Vec<&'a [u8]>,
    mac: Vec<&'a [u8]>,
    canonical: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Moves<'a> {
    scope_id: Vec<Uuid>,
    class: Vec<i16>,
    from_seq: Vec<i64>,
    from_link: Vec<&'a [u8]>,
    to_seq: Vec<i64>,
    to_link: Vec<&'a [u8]>,
    to_recorded_at: Vec<DateTime<Utc>>,
}

/// The parts of chains that a batch begins.
#[derive(Default)]
struct Spans {
    scope_id: Vec<Uuid>,
    class: Vec<i16>,
    part: Vec<i32>,
    first_seq: Vec<i64>,
}

/// Returns the part that an entry is kept in: its month.
pub(super) fn part_of(recorded_at: Timestamp) -> i32 {
    let at = instant(recorded_at);
    at.year().saturating_mul(100).saturating_add(at.month().cast_signed())
}

impl Spans {
    fn of(batch: &AppendBatch) -> Result<Self, Error> {
        let mut spans = Self::default();
        let part = |head: &Head| (head.seq > 0).then(|| part_of(head.recorded_at));
        // Chains that leave the part they were in; most batches have none.
        let leaving = batch.moves().iter().filter(|step| part(&step.from) != part(&step.to));
        let mut at: HashMap<ChainId, Option<i32>> =
            leaving.map(|step| (step.chain, part(&step.from))).collect();
        if at.is_empty() {
            return Ok(spans);
        }
        for row in batch.rows() {
            let now = part_of(row.recorded_at);
            if let Some(before) = at.get_mut(&row.chain)
                && *before != Some(now)
            {
                *before = Some(now);
                spans.scope_id.push(scope_id(row.chain.scope)?);
                spans.class.push(class_number(row.chain.class));
                spans.part.push(now);
                spans.first_seq.push(number(row.seq));
            }
        }
        Ok(spans)
    }
}

impl<'a> Moves<'a> {
    fn of(steps: impl IntoIterator<Item = &'a HeadMove>) -> Result<Self, Error> {
        let mut moves = Self::default();
        steps.into_iter().try_for_each(|step| moves.push(step))?;
        Ok(moves)
    }

    fn push(&mut self, step: &'a HeadMove) -> Result<(), Error> {
        self.scope_id.push(scope_id(step.chain.scope)?);
        self.class.push(class_number(step.chain.class));
        self.from_seq.push(number(step.from.seq));
        self.from_link.push(step.from.link.bytes());
        self.to_seq.push(number(step.to.seq));
        self.to_link.push(step.to.link.bytes());
        self.to_recorded_at.push(instant(step.to.recorded_at));
        Ok(())
    }
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a AppendBatch) -> Result<Self, Error> {
        let mut columns = Self::with_capacity(batch, Spans::of(batch)?);
        batch.rows().iter().try_for_each(|row| columns.push(row))?;
        Ok(columns)
    }

    fn with_capacity(batch: &'a AppendBatch, spans: Spans) -> Self {
        let rows = batch.rows().len();
        Self {
            batch,
            spans,
            scope_id: Vec::with_capacity(rows),
            class: Vec::with_capacity(rows),
            part: Vec::with_capacity(rows),
            seq: Vec::with_capacity(rows),
            recorded_at: Vec::with_capacity(rows),
            key_epoch: Vec::with_capacity(rows),
            event_id: Vec::with_capacity(rows),
            leaf: Vec::with_capacity(rows),
            link: Vec::with_capacity(rows),
            mac: Vec::with_capacity(rows),
            canonical: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, row: &'a Row) -> Result<(), Error> {
        self.scope_id.push(scope_id(row.chain.scope)?);
        self.class.push(class_number(row.chain.class));
        self.part.push(part_of(row.recorded_at));
        self.seq.push(number(row.seq));
        self.recorded_at.push(instant(row.recorded_at));
        self.key_epoch.push(row.key_epoch.into());
        self.event_id.push(row.content.id.uuid());
        self.leaf.push(row.content.leaf.bytes());
        self.link.push(row.link.bytes());
        self.mac.push(row.mac.bytes());
        self.canonical.push(&row.content.canonical);
        Ok(())
    }

    /// Makes the partitions that the batch needs and does not find.
    pub(super) async fn add_parts(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let mut parts: Vec<(i16, i32)> = self.class.iter().copied().zip(self.part.iter().copied()).collect();
        parts.sort_unstable();
        parts.dedup();
        add_parts(connection, parts).await
    }

    /// Writes the batch, or nothing that may be committed.
    pub(super) async fn write(&self, connection: &mut PgConnection) -> Result<bool, Error> {
        let key = |step: &&HeadMove| (scope_id(step.chain.scope).ok(), class_number(step.chain.class));
        let mut steps: Vec<&HeadMove> = self.batch.moves().iter().collect();
        steps.sort_unstable_by_key(key);
        let moves = Moves::of(steps)?;
        Ok(self.query(WRITE, &moves).fetch_one(connection).await?.try_get(0)?)
    }

    /// Writes the batch, or returns the rows that say why not.
    pub(super) async fn append(&self, connection: &mut PgConnection) -> Result<Vec<PgRow>, Error> {
        let moves = Moves::of(self.batch.moves())?;
        Ok(self.query(APPEND, &moves).fetch_all(connection).await?)
    }

    fn query<'q>(&'q self, call: &'static str, moves: &'q Moves<'_>) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(call)
            .bind(number(self.batch.fence().number()))
            .bind(&moves.scope_id)
            .bind(&moves.class)
            .bind(&moves.from_seq)
            .bind(&moves.from_link)
            .bind(&moves.to_seq)
            .bind(&moves.to_link)
            .bind(&moves.to_recorded_at)
            .bind(&self.spans.scope_id)
            .bind(&self.spans.class)
            .bind(&self.spans.part)
            .bind(&self.spans.first_seq)
            .bind(&self.scope_id)
            .bind(&self.class)
            .bind(&self.part)
            .bind(&self.seq)
            .bind(&self.recorded_at)
            .bind(&self.key_epoch)
            .bind(&self.event_id)
            .bind(&self.leaf)
            .bind(&self.link)
            .bind(&self.mac)
            .bind(&self.canonical)
    }
}

/// Makes the partitions of classes and months that are not there.
pub(super) async fn add_parts(
    connection: &mut PgConnection,
    parts: impl IntoIterator<Item = (i16, i32)>,
) -> Result<(), Error> {
    let (classes, parts): (Vec<i16>, Vec<i32>) = parts.into_iter().unzip();
    sqlx::query(ADD_PARTS).bind(classes).bind(parts).execute(connection).await?;
    Ok(())
}
