use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use stanchion_audit::Content;
use stanchion_core::{Actor, Clock as _, Event, KeyId, RequestId, Scope, SystemClock};
use stanchion_postgres::{scope_id, testing};
use uuid::Uuid;

use crate::given::Given;

const INSERT: &str = "INSERT INTO floor SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::timestamptz[], \
                      $5::bytea[], $6::bytea[], $7::bigint[], $8::uuid[], $9::bytea[], $10::bytea[], $11::timestamptz[], \
                      $12::text[], $13::text[], $14::text[], $15::uuid[], $16::text[], $17::text[], $18::text[], \
                      $19::text[], $20::uuid[], $21::text[])";

/// A table like the ledger's, and a connection that inserts into it.
pub(crate) struct Bare {
    connection: PgConnection,
    seqs: HashMap<Scope, i64>,
}

/// The columns of a transaction's rows.
#[derive(Default)]
pub(crate) struct Batch {
    scope_id: Vec<Uuid>,
    class: Vec<i16>,
    seq: Vec<i64>,
    recorded_at: Vec<DateTime<Utc>>,
    link: Vec<Vec<u8>>,
    mac: Vec<Vec<u8>>,
    key_epoch: Vec<i64>,
    event_id: Vec<Uuid>,
    leaf: Vec<Vec<u8>>,
    canonical: Vec<Vec<u8>>,
    occurred_at: Vec<DateTime<Utc>>,
    actor_kind: Vec<String>,
    actor_id: Vec<Option<String>>,
    actor_method: Vec<Option<String>>,
    actor_key: Vec<Option<Uuid>>,
    action: Vec<String>,
    category: Vec<&'static str>,
    outcome: Vec<&'static str>,
    severity: Vec<&'static str>,
    request_id: Vec<Option<Uuid>>,
    targets: Vec<String>,
}

impl Bare {
    pub(crate) async fn new(connection: PgConnection, admin: &mut PgConnection) -> Self {
        testing::run(admin, "CREATE TABLE floor (LIKE stanchion.audit_entry INCLUDING ALL)").await;
        Self { connection, seqs: HashMap::new() }
    }

    /// Prepares so many rows in batches, as ours will find them.
    pub(crate) fn batches(&mut self, given: &Given, batch: usize, rows: usize) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut left = rows;
        while left > 0 {
            let mut columns = Batch::default();
            for event in given.events(left.min(batch)) {
                let seq = self.seqs.entry(event.scope).or_default();
                *seq += 1;
                columns.push(event, *seq);
            }
            left -= left.min(batch);
            batches.push(columns);
        }
        batches
    }

    /// Inserts a batch in a transaction of its own, with one message.
    pub(crate) async fn insert(&mut self, batch: &Batch) {
        let insert = sqlx::query(INSERT)
            .bind(&batch.scope_id)
            .bind(&batch.class)
            .bind(&batch.seq)
            .bind(&batch.recorded_at)
            .bind(&batch.link)
            .bind(&batch.mac)
            .bind(&batch.key_epoch)
            .bind(&batch.event_id)
            .bind(&batch.leaf)
            .bind(&batch.canonical)
            .bind(&batch.occurred_at)
            .bind(&batch.actor_kind)
            .bind(&batch.actor_id)
            .bind(&batch.actor_method)
            .bind(&batch.actor_key)
            .bind(&batch.action)
            .bind(&batch.category)
            .bind(&batch.outcome)
            .bind(&batch.severity)
            .bind(&batch.request_id)
            .bind(&batch.targets);
        insert.execute(&mut self.connection).await.unwrap();
    }
}

impl Batch {
    fn push(&mut self, event: Event, seq: i64) {
        let (chain, content) = Content::new(event).unwrap();
        let shown = content.projection;
        let Actor::Subject { subject, key, .. } = shown.actor else { unreachable!("all are a subject's") };
        self.scope_id.push(scope_id(chain.scope).unwrap());
        self.class.push(3);
        self.seq.push(seq);
        self.recorded_at.push(SystemClock.now().to_utc());
        // Of what has to be computed only the leaf is; the others are as long and compress as little.
        self.link.push(content.leaf.bytes().to_vec());
        self.mac.push(content.leaf.bytes().to_vec());
        self.key_epoch.push(1);
        self.event_id.push(content.id.uuid());
        self.leaf.push(content.leaf.bytes().to_vec());
        self.canonical.push(content.canonical.into());
        self.occurred_at.push(shown.occurred_at.to_utc());
        self.actor_kind.push(subject.kind().as_str().to_owned());
        self.actor_id.push(Some(subject.id().as_str().to_owned()));
        self.actor_method.push(Some("api_key".to_owned()));
        self.actor_key.push(key.map(KeyId::uuid));
        self.action.push(shown.action.as_str().to_owned());
        self.category.push(shown.category.as_str());
        self.outcome.push(shown.outcome.as_str());
        self.severity.push(shown.severity.as_str());
        self.request_id.push(shown.request.map(RequestId::uuid));
        self.targets.push("route/orders.list".to_owned());
    }
}
