use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use stanchion_audit::Content;
use stanchion_core::{Clock as _, Event, Scope, SystemClock};
use stanchion_postgres::{scope_id, testing};
use uuid::Uuid;

use crate::given::Given;

const INSERT: &str = "INSERT INTO floor (scope_id, class, part, seq, recorded_at, key_epoch, event_id, leaf, link, mac, canonical) \
                      SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::integer[], $4::bigint[], $5::timestamptz[], \
                      $6::bigint[], $7::uuid[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[])";

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
    part: Vec<i32>,
    seq: Vec<i64>,
    recorded_at: Vec<DateTime<Utc>>,
    link: Vec<Vec<u8>>,
    mac: Vec<Vec<u8>>,
    key_epoch: Vec<i64>,
    event_id: Vec<Uuid>,
    leaf: Vec<Vec<u8>>,
    canonical: Vec<Vec<u8>>,
}

impl Bare {
    pub(crate) async fn new(connection: PgConnection, admin: &mut PgConnection) -> Self {
        testing::run(admin, "CREATE TABLE floor (LIKE stanchion.audit_entry, PRIMARY KEY (scope_id, seq), UNIQUE (scope_id, event_id))").await;
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
            .bind(&batch.part)
            .bind(&batch.seq)
            .bind(&batch.recorded_at)
            .bind(&batch.key_epoch)
            .bind(&batch.event_id)
            .bind(&batch.leaf)
            .bind(&batch.link)
            .bind(&batch.mac)
            .bind(&batch.canonical);
        insert.execute(&mut self.connection).await.unwrap();
    }
}

impl Batch {
    fn push(&mut self, event: Event, seq: i64) {
        let (chain, content) = Content::new(event).unwrap();
        self.scope_id.push(scope_id(chain.scope).unwrap());
        self.class.push(3);
        self.part.push(202_611);
        self.seq.push(seq);
        self.recorded_at.push(SystemClock.now().to_utc());
        // Of what has to be computed only the leaf is; the others are as long and compress as little.
        self.link.push(content.leaf.bytes().to_vec());
        self.mac.push(content.leaf.bytes().to_vec());
        self.key_epoch.push(1);
        self.event_id.push(content.id.uuid());
        self.leaf.push(content.leaf.bytes().to_vec());
        self.canonical.push(content.canonical.into());
    }
}
