use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};
use stanchion_audit::{AppendBatch, HeadMove, Row};
use stanchion_core::RequestId;
use uuid::Uuid;

use super::number;
use super::row::{ActorColumns, class_number, escaped, lines};
use crate::Error;
use crate::records::instant;
use crate::transaction::scope_id;

const APPEND: &str = "SELECT * FROM stanchion.audit_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                    $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)";

const WRITE: &str = "SELECT stanchion.audit_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                     $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)";

/// A batch, column by column: one array each, so that a batch of any size is one statement.
pub(super) struct Columns<'a> {
    batch: &'a AppendBatch,
    scope_id: Vec<Uuid>,
    class: Vec<i16>,
    seq: Vec<i64>,
    recorded_at: Vec<DateTime<Utc>>,
    link: Vec<&'a [u8]>,
    mac: Vec<&'a [u8]>,
    key_epoch: Vec<i64>,
    event_id: Vec<Uuid>,
    leaf: Vec<&'a [u8]>,
    canonical: Vec<&'a [u8]>,
    occurred_at: Vec<DateTime<Utc>>,
    actor_kind: Vec<&'a str>,
    actor_id: Vec<Option<Cow<'a, str>>>,
    actor_method: Vec<Option<&'static str>>,
    actor_key: Vec<Option<Uuid>>,
    action: Vec<Cow<'a, str>>,
    category: Vec<&'static str>,
    outcome: Vec<&'static str>,
    severity: Vec<&'static str>,
    request_id: Vec<Option<Uuid>>,
    targets: Vec<String>,
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
        let mut columns = Self::with_capacity(batch);
        batch.rows().iter().try_for_each(|row| columns.push(row))?;
        Ok(columns)
    }

    fn with_capacity(batch: &'a AppendBatch) -> Self {
        let rows = batch.rows().len();
        Self {
            batch,
            scope_id: Vec::with_capacity(rows),
            class: Vec::with_capacity(rows),
            seq: Vec::with_capacity(rows),
            recorded_at: Vec::with_capacity(rows),
            link: Vec::with_capacity(rows),
            mac: Vec::with_capacity(rows),
            key_epoch: Vec::with_capacity(rows),
            event_id: Vec::with_capacity(rows),
            leaf: Vec::with_capacity(rows),
            canonical: Vec::with_capacity(rows),
            occurred_at: Vec::with_capacity(rows),
            actor_kind: Vec::with_capacity(rows),
            actor_id: Vec::with_capacity(rows),
            actor_method: Vec::with_capacity(rows),
            actor_key: Vec::with_capacity(rows),
            action: Vec::with_capacity(rows),
            category: Vec::with_capacity(rows),
            outcome: Vec::with_capacity(rows),
            severity: Vec::with_capacity(rows),
            request_id: Vec::with_capacity(rows),
            targets: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, row: &'a Row) -> Result<(), Error> {
        let shown = &row.content.projection;
        let actor = ActorColumns::of(&shown.actor);
        self.scope_id.push(scope_id(row.chain.scope)?);
        self.class.push(class_number(row.chain.class));
        self.seq.push(number(row.seq));
        self.recorded_at.push(instant(row.recorded_at));
        self.link.push(row.link.bytes());
        self.mac.push(row.mac.bytes());
        self.key_epoch.push(row.key_epoch.into());
        self.event_id.push(row.content.id.uuid());
        self.leaf.push(row.content.leaf.bytes());
        self.canonical.push(&row.content.canonical);
        self.occurred_at.push(instant(shown.occurred_at));
        self.actor_kind.push(actor.kind);
        self.actor_id.push(actor.id);
        self.actor_method.push(actor.method);
        self.actor_key.push(actor.key);
        self.action.push(escaped(shown.action.as_str()));
        self.category.push(shown.category.as_str());
        self.outcome.push(shown.outcome.as_str());
        self.severity.push(shown.severity.as_str());
        self.request_id.push(shown.request.map(RequestId::uuid));
        self.targets.push(lines(&shown.targets));
        Ok(())
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
            .bind(&self.scope_id)
            .bind(&self.class)
            .bind(&self.seq)
            .bind(&self.recorded_at)
            .bind(&self.link)
            .bind(&self.mac)
            .bind(&self.key_epoch)
            .bind(&self.event_id)
            .bind(&self.leaf)
            .bind(&self.canonical)
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
            .bind(&self.targets)
    }
}
