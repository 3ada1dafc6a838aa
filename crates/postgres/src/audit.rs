//! The audit ledger.

mod columns;
mod holds;
mod pack;
mod protection;
mod query;
mod retention;
mod row;
mod search;
mod trees;
mod withdrawn;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use stanchion_audit::{
    AppendBatch, AppendOutcome, Chain, ChainId, CutOutcome, Digest, Fence, Head, KnownRow, LedgerStore,
    Place, Projected, Query, Row, Seal, SearchPage, Shard, SubjectKeyId, Withdrawn, Writers,
};
use stanchion_core::{EventId, Scope, StoreError, StoreErrorKind, SystemScope};

pub use self::holds::PgHoldStore;
pub use self::protection::PgSubjectKeyStore;

use self::columns::{Columns, Offered};
use self::pack::{entries, seals};
use self::row::{class_number, class_of, digest, row};
use crate::records::time;
use crate::session::SystemSessions;
use crate::transaction::{scope_id, scope_of};
use crate::{Database, Error, SystemTx, TenantTx};

/// The audit ledger in Postgres: entries in the partition of their class and month, with what their chain needs and no more; those of a
/// chain that one batch brings share a row.
///
/// A batch is one call of a function there, one message and one transaction, however many entries and chains it has; a second one when it
/// was refused, which tells why. A partition that is missing is made on the way.
#[derive(Debug)]
pub struct PgLedgerStore {
    database: Database,
    sessions: SystemSessions,
}

/// How often a batch is offered again that met another one with an id of its own.
const ATTEMPTS: u32 = 4;

const SETTLE: &str = "UPDATE stanchion.audit_shards SET count = coalesce(count, $1) RETURNING count";

const OPEN: &str = "UPDATE stanchion.audit_writer SET fence = fence + 1, \
                    least = CASE WHEN $1 THEN fence + 1 ELSE least END WHERE shard = $2 RETURNING fence";

const HEADS: &str = "
SELECT h.seq, h.link, h.recorded_at
FROM unnest($1::uuid[], $2::smallint[]) WITH ORDINALITY AS asked (scope_id, class, place)
LEFT JOIN stanchion.audit_head AS h ON h.scope_id = asked.scope_id AND h.class = asked.class
ORDER BY place";

const CHAINS: &str = "SELECT * FROM stanchion.audit_head WHERE scope_id = $1 AND seq > 0 ORDER BY class";

const LIST: &str = "SELECT * FROM stanchion.audit_head \
                    WHERE seq > 0 AND ($1::uuid IS NULL OR (scope_id, class) > ($1, $2)) \
                    ORDER BY scope_id, class LIMIT $3";

const READ: &str = "
SELECT e.*, greatest($3, h.base_seq + 1) AS low FROM stanchion.audit_head AS h
CROSS JOIN LATERAL stanchion.audit_read($1, $2, $3, 9223372036854775807, $4) AS e
WHERE h.scope_id = $1 AND h.class = $2";

const SEALS: &str = "
SELECT e.seq, e.recorded_at, e.leaf, e.link, e.mac, e.key_epoch, greatest($3, h.base_seq + 1) AS low
FROM stanchion.audit_head AS h
CROSS JOIN LATERAL stanchion.audit_read($1, $2, $3, 9223372036854775807, $4) AS e
WHERE h.scope_id = $1 AND h.class = $2";

const GET: &str = "
SELECT e.* FROM stanchion.audit_id AS i
JOIN stanchion.audit_head AS h ON h.scope_id = i.scope_id AND h.class = i.class
CROSS JOIN LATERAL stanchion.audit_get(i.scope_id, i.class, i.seq) AS e
WHERE i.scope_id = $1 AND i.event_id = $2 AND e.event_id = $2 AND e.seq > h.base_seq";

impl PgLedgerStore {
    /// Keeps the ledger in a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { sessions: SystemSessions::new(database.clone()), database }
    }

    /// Settles among how many shards the ledger's scopes are divided, if no one has yet, and returns among how many they are.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the database cannot be written.
    pub async fn settle_shards(&self, system: SystemScope, count: u16) -> Result<u16, StoreError> {
        let settle = async {
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let settled = settle(&mut tx, count).await;
            tx.end(settled).await
        };
        self.database.run("settle_shards", settle).await
    }

    /// Reads a part of a chain: from the rows that have entries of it, those that are asked for.
    async fn part<T>(
        &self,
        select: &'static str,
        chain: ChainId,
        from: u64,
        limit: usize,
        read: impl Fn(&PgRow, u64, u64) -> Result<Vec<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut tx = TenantTx::begin_read(&self.database, chain.scope).await?;
        let query = sqlx::query(select).bind(scope_id(chain.scope)?).bind(class_number(chain.class));
        let rows = query.bind(number(from)).bind(most(limit)).fetch_all(tx.connection()?).await?;
        tx.commit().await?;
        let mut found = Vec::new();
        for row in &rows {
            found.extend(read(row, seq(row, "low")?, u64::MAX)?);
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Writes a batch, as nearly all are, or finds out why not.
    async fn offer(&self, system: SystemScope, batch: &AppendBatch) -> Result<AppendOutcome, Error> {
        let columns = Columns::of(batch)?;
        match columns.write(&self.sessions, system).await? {
            Offered::Committed => return Ok(AppendOutcome::Committed),
            Offered::Unpartitioned => self.add_parts(system, &columns).await?,
            Offered::Refused => {}
        }
        self.offer_again(system, &columns).await
    }

    async fn offer_again(&self, system: SystemScope, columns: &Columns<'_>) -> Result<AppendOutcome, Error> {
        let mut attempts = ATTEMPTS;
        loop {
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let offered = columns.append(tx.connection()?).await;
            let refusals = match offered {
                Ok(refusals) if refusals.is_empty() => {
                    tx.commit().await?;
                    return Ok(AppendOutcome::Committed);
                }
                refused => {
                    tx.rollback().await?;
                    refused
                }
            };
            match refusals {
                Ok(refusals) => return refusal(&refusals),
                // Another batch had one of the ids on its way; it is known now.
                Err(error) if attempts > 1 && error.kind() == StoreErrorKind::AlreadyExists => {}
                Err(error) if attempts > 1 && is_unpartitioned(&error) => {
                    self.add_parts(system, columns).await?;
                }
                Err(error) => return Err(error),
            }
            attempts -= 1;
        }
    }

    async fn add_parts(&self, system: SystemScope, columns: &Columns<'_>) -> Result<(), Error> {
        let mut tx = SystemTx::begin(&self.database, system).await?;
        let added = columns.add_parts(tx.connection()?).await;
        tx.end(added).await
    }
}

async fn settle(tx: &mut SystemTx, count: u16) -> Result<u16, Error> {
    let settle = sqlx::query_scalar(SETTLE).bind(shard_number(count));
    let settled: i16 = settle.fetch_one(tx.connection()?).await?;
    u16::try_from(settled).map_err(|error| Error::corrupt("count", error))
}

/// Tells whether a row found no partition: Postgres says so as of a constraint, of which the ledger's tables have no other.
fn is_unpartitioned(error: &Error) -> bool {
    matches!(error, Error::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("23514"))
}

/// Reads why a batch was not written.
fn refusal(rows: &[PgRow]) -> Result<AppendOutcome, Error> {
    let kind: &str = rows.first().map_or(Ok(""), |row| row.try_get("refusal"))?;
    match kind {
        "fenced" => Ok(AppendOutcome::Fenced),
        "moved" => {
            let moved = |row: &PgRow| {
                let head = Head {
                    seq: seq(row, "seq")?,
                    link: digest(row, "digest")?,
                    recorded_at: time(row, "recorded_at")?,
                };
                Ok((chain(row)?, head))
            };
            Ok(AppendOutcome::HeadsMoved(rows.iter().map(moved).collect::<Result<_, Error>>()?))
        }
        "known" => {
            let known = |row: &PgRow| {
                let index: i32 = row.try_get("place")?;
                Ok(KnownRow {
                    index: usize::try_from(index).map_err(|error| Error::corrupt("place", error))?,
                    chain: chain(row)?,
                    seq: seq(row, "seq")?,
                    leaf: digest(row, "digest")?,
                })
            };
            Ok(AppendOutcome::Known(rows.iter().map(known).collect::<Result<_, Error>>()?))
        }
        other => Err(Error::corrupt("refusal", other)),
    }
}

fn chain(row: &PgRow) -> Result<ChainId, Error> {
    Ok(ChainId { scope: scope_of(row.try_get("scope_id")?), class: class_of(row.try_get("class")?)? })
}

fn seq(row: &PgRow, column: &'static str) -> Result<u64, Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|error| Error::corrupt(column, error))
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A shard's number, or how many there are: at most 64.
fn shard_number(number: u16) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl LedgerStore for PgLedgerStore {
    async fn open(&self, system: SystemScope, shard: Shard, writers: Writers) -> Result<Fence, StoreError> {
        let write = async {
            let mut tx = SystemTx::begin(&self.database, system).await?;
            if settle(&mut tx, shard.count()).await? != shard.count() {
                tx.rollback().await?;
                return Err(Error::Unsupported(
                    "the ledger was begun with another number of shards: set `shards` to that in `stanchion.audit_shards`",
                ));
            }
            let query = sqlx::query_scalar(OPEN).bind(writers == Writers::Exclusive);
            let query = query.bind(shard_number(shard.index()));
            let fence: i64 = query.fetch_one(tx.connection()?).await?;
            tx.commit().await?;
            u64::try_from(fence)
                .map(|number| Fence::of(shard, number))
                .map_err(|error| Error::corrupt("fence", error))
        };
        self.database.run("open", write).await
    }

    async fn heads(&self, system: SystemScope, chains: &[ChainId]) -> Result<Vec<Head>, StoreError> {
        let read = async {
            let scopes =
                chains.iter().map(|chain| scope_id(chain.scope)).collect::<Result<Vec<_>, Error>>()?;
            let classes: Vec<i16> = chains.iter().map(|chain| class_number(chain.class)).collect();
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let query = sqlx::query(HEADS).bind(scopes).bind(classes);
            let rows = query.fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            let head = |row: &PgRow| match row.try_get::<Option<i64>, _>("seq")? {
                None => Ok(Head::EMPTY),
                Some(_) => head(row, ("seq", "link", "recorded_at")),
            };
            rows.iter().map(head).collect()
        };
        self.database.run("heads", read).await
    }

    async fn append(&self, system: SystemScope, batch: &AppendBatch) -> Result<AppendOutcome, StoreError> {
        self.database.run("append", self.offer(system, batch)).await
    }

    async fn chains(&self, scope: Scope) -> Result<Vec<Chain>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let rows = sqlx::query(CHAINS).bind(scope_id(scope)?).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(whole_chain).collect()
        };
        self.database.run("chains", read).await
    }

    async fn list(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<Chain>, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let scope = after.map(|after| scope_id(after.scope)).transpose()?;
            let query = sqlx::query(LIST).bind(scope).bind(after.map(|after| class_number(after.class)));
            let rows = query.bind(most(limit)).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(whole_chain).collect()
        };
        self.database.run("list", read).await
    }

    async fn read(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.database.run("read", self.part(READ, chain, from, limit, entries)).await
    }

    async fn seals(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Seal>, StoreError> {
        self.database.run("seals", self.part(SEALS, chain, from, limit, seals)).await
    }

    async fn query(
        &self,
        scope: Scope,
        query: &Query,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.database.run("query", self.find(scope, query, before, limit)).await
    }

    async fn get(&self, scope: Scope, id: EventId) -> Result<Option<Row>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let query = sqlx::query(GET).bind(scope_id(scope)?).bind(id.uuid());
            let found = query.fetch_optional(tx.connection()?).await?;
            tx.commit().await?;
            found.as_ref().map(row).transpose()
        };
        self.database.run("get", read).await
    }

    async fn project(
        &self,
        system: SystemScope,
        chains: &[ChainId],
        limit: usize,
    ) -> Result<Projected, StoreError> {
        self.database.run("project", self.bring_up(system, chains, limit)).await
    }

    async fn unprojected(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<ChainId>, StoreError> {
        self.database.run("unprojected", self.behind(system, after, limit)).await
    }

    async fn projected(&self, chain: ChainId, from: u64, limit: usize) -> Result<SearchPage, StoreError> {
        self.database.run("projected", self.page(chain, from, limit)).await
    }

    async fn withdraw(
        &self,
        system: SystemScope,
        scope: Scope,
        withdrawn: &Withdrawn,
    ) -> Result<(), StoreError> {
        self.database.run("withdraw", self.withdraw_words(system, scope, withdrawn)).await
    }

    async fn withdrawn(&self, scope: Scope, keys: &[SubjectKeyId]) -> Result<Withdrawn, StoreError> {
        self.database.run("withdrawn", self.withdrawn_of(scope, keys)).await
    }

    async fn unfinished(&self, scope: Scope, withdrawn: &Withdrawn) -> Result<u64, StoreError> {
        self.database.run("unfinished", self.unfinished_of(scope, withdrawn)).await
    }

    async fn cut(
        &self,
        system: SystemScope,
        chain: ChainId,
        from: &Head,
        base: Head,
    ) -> Result<CutOutcome, StoreError> {
        self.database.run("cut", self.move_base(system, chain, from, base)).await
    }

    async fn reclaim(&self, system: SystemScope) -> Result<u64, StoreError> {
        self.reclaim_parts(system).await
    }
}

fn whole_chain(row: &PgRow) -> Result<Chain, Error> {
    let base = head(row, ("base_seq", "base_link", "base_recorded_at"))?;
    Ok(Chain { id: chain(row)?, base, head: head(row, ("seq", "link", "recorded_at"))? })
}

fn head(row: &PgRow, (seq_of, link, at): (&'static str, &'static str, &'static str)) -> Result<Head, Error> {
    Ok(Head { seq: seq(row, seq_of)?, link: digest(row, link)?, recorded_at: time(row, at)? })
}

/// The digest of a text of bytes that has to be 32 long.
fn digest_of(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest::from_bytes)
}
