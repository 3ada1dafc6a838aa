use std::collections::HashMap;

use chrono::{DateTime, Datelike as _, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};
use stanchion_audit::{AppendBatch, ChainId, Head, HeadMove};
use stanchion_core::{SystemScope, Timestamp};
use uuid::Uuid;

use super::pack::Run;
use super::row::class_number;
use super::{number, shard_number};
use crate::Error;
use crate::records::instant;
use crate::session::SystemSessions;
use crate::transaction::scope_id;

const APPEND: &str = "SELECT * FROM stanchion.audit_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                    $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)";

const OFFER: &str = "SELECT stanchion.audit_offer($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                    $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)";

const ADD_PARTS: &str = "SELECT stanchion.audit_add_parts($1, $2)";

/// A batch, column by column: one array each, so that a batch of any size is one statement.
pub(super) struct Columns<'a> {
    batch: &'a AppendBatch,
    spans: Spans,
    ids: Ids,
    runs: Vec<Run<'a>>,
}

/// What became of a batch that was offered in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    Committed,
    /// A fence, a head or a known id stands against it.
    Refused,
    /// A partition is missing.
    Unpartitioned,
}

/// Where the entries of a batch are, by their ids.
#[derive(Default)]
struct Ids {
    scope_id: Vec<Uuid>,
    event_id: Vec<Uuid>,
    seq: Vec<i64>,
    class: Vec<i16>,
}

/// The rows that a batch is written in.
#[derive(Default)]
struct Rows<'r> {
    scope_id: Vec<Uuid>,
    class: Vec<i16>,
    part: Vec<i32>,
    seq: Vec<i64>,
    recorded_at: Vec<DateTime<Utc>>,
    key_epoch: Vec<i64>,
    event_id: Vec<Uuid>,
    leaf: Vec<&'r [u8]>,
    link: Vec<&'r [u8]>,
    mac: Vec<&'r [u8]>,
    canonical: Vec<&'r [u8]>,
    more: Vec<Option<&'r [u8]>>,
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

impl Ids {
    fn of(batch: &AppendBatch) -> Result<Self, Error> {
        let mut ids = Self::default();
        for row in batch.rows() {
            ids.scope_id.push(scope_id(row.chain.scope)?);
            ids.event_id.push(row.content.id.uuid());
            ids.seq.push(number(row.seq));
            ids.class.push(class_number(row.chain.class));
        }
        Ok(ids)
    }
}

impl<'r> Rows<'r> {
    fn of(runs: &'r [Run<'_>]) -> Result<Self, Error> {
        let mut rows = Self::default();
        for run in runs {
            let first = run.first;
            rows.scope_id.push(scope_id(first.chain.scope)?);
            rows.class.push(class_number(first.chain.class));
            rows.part.push(part_of(first.recorded_at));
            rows.seq.push(number(first.seq));
            rows.recorded_at.push(instant(first.recorded_at));
            rows.key_epoch.push(first.key_epoch.into());
            rows.event_id.push(first.content.id.uuid());
            rows.leaf.push(&run.leaf);
            rows.link.push(&run.link);
            rows.mac.push(&run.mac);
            rows.canonical.push(&run.canonical);
            rows.more.push(run.more());
        }
        Ok(rows)
    }
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a AppendBatch) -> Result<Self, Error> {
        Ok(Self { batch, spans: Spans::of(batch)?, ids: Ids::of(batch)?, runs: Run::of(batch.rows()) })
    }

    /// Makes the partitions that the batch needs and does not find.
    pub(super) async fn add_parts(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let part = |run: &Run<'_>| (class_number(run.first.chain.class), part_of(run.first.recorded_at));
        let mut parts: Vec<(i16, i32)> = self.runs.iter().map(part).collect();
        parts.sort_unstable();
        parts.dedup();
        add_parts(connection, parts).await
    }

    /// Writes the batch and commits it, or nothing of it.
    pub(super) async fn write(
        &self,
        sessions: &SystemSessions,
        system: SystemScope,
    ) -> Result<Offered, Error> {
        let key = |step: &&HeadMove| (scope_id(step.chain.scope).ok(), class_number(step.chain.class));
        let mut steps: Vec<&HeadMove> = self.batch.moves().iter().collect();
        steps.sort_unstable_by_key(key);
        let moves = Moves::of(steps)?;
        let rows = Rows::of(&self.runs)?;
        match sessions.call(system, self.query(OFFER, &moves, &rows)).await?.as_deref() {
            None => Ok(Offered::Committed),
            Some("refused") => Ok(Offered::Refused),
            Some("unpartitioned") => Ok(Offered::Unpartitioned),
            Some(other) => Err(Error::corrupt("audit_offer", other)),
        }
    }

    /// Writes the batch, or returns the rows that say why not.
    pub(super) async fn append(&self, connection: &mut PgConnection) -> Result<Vec<PgRow>, Error> {
        let moves = Moves::of(self.batch.moves())?;
        let rows = Rows::of(&self.runs)?;
        Ok(self.query(APPEND, &moves, &rows).fetch_all(connection).await?)
    }

    fn query<'q>(
        &'q self,
        call: &'static str,
        moves: &'q Moves<'_>,
        rows: &'q Rows<'_>,
    ) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(call)
            .bind(shard_number(self.batch.fence().shard()))
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
            .bind(&self.ids.scope_id)
            .bind(&self.ids.event_id)
            .bind(&self.ids.seq)
            .bind(&self.ids.class)
            .bind(&rows.scope_id)
            .bind(&rows.class)
            .bind(&rows.part)
            .bind(&rows.seq)
            .bind(&rows.recorded_at)
            .bind(&rows.key_epoch)
            .bind(&rows.event_id)
            .bind(&rows.leaf)
            .bind(&rows.link)
            .bind(&rows.mac)
            .bind(&rows.canonical)
            .bind(&rows.more)
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
