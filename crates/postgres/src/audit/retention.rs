//! What has served its time: chains lose their beginning, and months of which nothing is left are dropped.

use chrono::Datelike as _;
use sqlx::Row as _;
use stanchion_audit::{ChainId, CutOutcome, Head};
use stanchion_core::{Clock as _, StoreError, SystemClock, SystemScope, Timestamp};

use super::columns::add_parts;
use super::row::class_number;
use super::{PgLedgerStore, head, number};
use crate::records::instant;
use crate::transaction::scope_id;
use crate::{Error, SystemTx};

const BASE: &str = "SELECT base_seq, base_link, base_recorded_at FROM stanchion.audit_head \
                    WHERE scope_id = $1 AND class = $2";

const CUT: &str = "UPDATE stanchion.audit_head SET base_seq = $3, base_link = $4, base_recorded_at = $5 \
                   WHERE scope_id = $1 AND class = $2 AND base_seq = $6 AND base_link = $7 \
                   AND $3 BETWEEN base_seq AND seq";

/// How many entries each part of a class has, and how many of them are still kept.
const PARTS: &str = "
SELECT s.part, sum(s.last - s.first_seq + 1)::bigint AS entries,
       sum(greatest(s.last - greatest(s.first_seq - 1, s.base_seq), 0))::bigint AS kept
FROM (
    SELECT s.part, s.first_seq, h.base_seq, coalesce(
        lead(s.first_seq) OVER (PARTITION BY s.scope_id ORDER BY s.part) - 1, h.seq) AS last
    FROM stanchion.audit_span AS s
    JOIN stanchion.audit_head AS h ON h.scope_id = s.scope_id AND h.class = s.class
    WHERE s.class = $1
) AS s GROUP BY s.part HAVING sum(s.last - s.first_seq + 1) > 0 ORDER BY s.part";

/// A row whose last entries are kept is carried over whole; what is below the base in it is read by nobody.
const CARRY_ENTRIES: &str = "
INSERT INTO stanchion.audit_entry (
    scope_id, class, part, seq, recorded_at, key_epoch, event_id, leaf, link, mac, canonical, more)
SELECT e.scope_id, e.class, 0, e.seq, e.recorded_at, e.key_epoch, e.event_id, e.leaf, e.link, e.mac, e.canonical, e.more
FROM stanchion.audit_entry AS e
JOIN stanchion.audit_head AS h ON h.scope_id = e.scope_id AND h.class = e.class
WHERE e.class = $1 AND e.part = $2 AND e.seq + octet_length(e.leaf) / 32 - 1 > h.base_seq";

const CARRY_SEARCH: &str = "
INSERT INTO stanchion.audit_search (
    scope_id, class, part, seq, occurred_at, actor_kind, actor_id, actor_method, actor_key, action, category, outcome,
    severity, request_id, session, trace, targets, terms)
SELECT s.scope_id, s.class, 0, s.seq, s.occurred_at, s.actor_kind, s.actor_id, s.actor_method, s.actor_key, s.action,
       s.category, s.outcome, s.severity, s.request_id, s.session, s.trace, s.targets, s.terms
FROM stanchion.audit_search AS s
JOIN stanchion.audit_head AS h ON h.scope_id = s.scope_id AND h.class = s.class
WHERE s.class = $1 AND s.part = $2 AND s.seq > h.base_seq";

const CARRY_SPANS: &str = "
INSERT INTO stanchion.audit_span (scope_id, class, part, first_seq)
SELECT e.scope_id, e.class, 0, greatest(min(e.seq), min(h.base_seq) + 1)
FROM stanchion.audit_entry AS e
JOIN stanchion.audit_head AS h ON h.scope_id = e.scope_id AND h.class = e.class
WHERE e.class = $1 AND e.part = 0 GROUP BY e.scope_id, e.class
ON CONFLICT DO NOTHING";

const FORGET_IDS: &str = "
DELETE FROM stanchion.audit_id AS i
USING stanchion.audit_entry AS packed
JOIN stanchion.audit_head AS h ON h.scope_id = packed.scope_id AND h.class = packed.class
CROSS JOIN LATERAL stanchion.audit_unpack(packed) AS e
WHERE packed.class = $1 AND packed.part = $2 AND packed.seq <= h.base_seq AND e.seq <= h.base_seq
  AND i.scope_id = e.scope_id AND i.event_id = e.event_id AND i.class = e.class AND i.seq = e.seq";

/// The part that a chain is in stays its part, without entries: it may get more.
const KEEP_LAST_SPANS: &str = "
UPDATE stanchion.audit_span AS s SET first_seq = h.seq + 1
FROM stanchion.audit_head AS h
WHERE s.class = $1 AND s.part = $2 AND h.scope_id = s.scope_id AND h.class = s.class
  AND NOT EXISTS (SELECT FROM stanchion.audit_span AS later
                  WHERE later.scope_id = s.scope_id AND later.class = s.class AND later.part > s.part)";

const DROP_SPANS: &str = "
DELETE FROM stanchion.audit_span AS s
WHERE s.class = $1 AND s.part = $2
  AND EXISTS (SELECT FROM stanchion.audit_span AS later
              WHERE later.scope_id = s.scope_id AND later.class = s.class AND later.part > s.part)";

const DROP: &str = "SELECT stanchion.audit_drop_parts($1, $2)";

/// One at a time: the eight letters are `auditcut`.
const LOCK: &str = "SELECT pg_try_advisory_xact_lock(7022083127387678068)";

/// What is kept of a month is carried over only if it is little, one in so many: otherwise the month stays as it is.
const LITTLE: i64 = 10;

/// A part of a class, and what is left in it.
struct Part {
    part: i32,
    entries: i64,
    kept: i64,
}

impl PgLedgerStore {
    /// Makes the partitions of the present month and the two after it. While nobody does this, they are made when the first batch of
    /// a month finds none, which waits for it.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the database cannot be written.
    pub async fn maintain(&self, system: SystemScope, at: Timestamp) -> Result<(), StoreError> {
        let make = async {
            let at = instant(at);
            let first = at.year().saturating_mul(12).saturating_add(at.month0().cast_signed());
            let months = (first..first.saturating_add(3)).map(|month| month / 12 * 100 + month % 12 + 1);
            let parts = months.flat_map(|part| (1..=3).map(move |class| (class, part)));
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let added = add_parts(tx.connection()?, parts).await;
            tx.end(added).await
        };
        self.database.run("maintain", make).await
    }

    pub(super) async fn move_base(
        &self,
        system: SystemScope,
        chain: ChainId,
        from: &Head,
        base: Head,
    ) -> Result<CutOutcome, Error> {
        let mut tx = SystemTx::begin(&self.database, system).await?;
        let query = sqlx::query(CUT).bind(scope_id(chain.scope)?).bind(class_number(chain.class));
        let query = query.bind(number(base.seq)).bind(base.link.bytes()).bind(instant(base.recorded_at));
        let query = query.bind(number(from.seq)).bind(from.link.bytes());
        if query.execute(tx.connection()?).await?.rows_affected() == 1 {
            tx.commit().await?;
            return Ok(CutOutcome::Cut);
        }
        let query = sqlx::query(BASE).bind(scope_id(chain.scope)?).bind(class_number(chain.class));
        let found = query.fetch_optional(tx.connection()?).await?;
        tx.rollback().await?;
        let base = found.as_ref().map(|row| head(row, ("base_seq", "base_link", "base_recorded_at")));
        Ok(CutOutcome::Moved(base.transpose()?.unwrap_or(Head::EMPTY)))
    }

    /// Drops the months of which nothing is kept, oldest first, and those of which little is, once that is carried over. A month that
    /// is not over yet stays. Each is an operation of its own.
    pub(super) async fn reclaim_parts(&self, system: SystemScope) -> Result<u64, StoreError> {
        let now = SystemClock.now().to_utc();
        let present = now.year().saturating_mul(100).saturating_add(now.month().cast_signed());
        let mut freed = 0;
        for class in 1..=3 {
            let parts = self.database.run("reclaim", self.parts(system, class)).await?;
            let is_over = |part: &Part| part.part < present;
            let is_due = |part: &Part| {
                part.kept == 0 || (part.part > 0 && part.kept.saturating_mul(LITTLE) <= part.entries)
            };
            // Chains go through their parts in order, so what is carried over must come before all that stays.
            let due = parts.into_iter().filter(|part| part.part > 0 || is_due(part));
            for part in due.take_while(|part| is_over(part) && is_due(part)) {
                let dropped = self.database.run("reclaim", self.drop_part(system, class, &part)).await?;
                freed += dropped;
            }
        }
        Ok(freed)
    }

    async fn parts(&self, system: SystemScope, class: i16) -> Result<Vec<Part>, Error> {
        let mut tx = SystemTx::begin_read(&self.database, system).await?;
        let rows = sqlx::query(PARTS).bind(class).fetch_all(tx.connection()?).await?;
        tx.commit().await?;
        let part = |row: &sqlx::postgres::PgRow| {
            Ok(Part {
                part: row.try_get("part")?,
                entries: row.try_get("entries")?,
                kept: row.try_get("kept")?,
            })
        };
        rows.iter().map(part).collect()
    }

    /// Drops one part; returns how many entries went with it, none if somebody else is at it.
    async fn drop_part(&self, system: SystemScope, class: i16, part: &Part) -> Result<u64, Error> {
        if part.kept > 0 {
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let added = add_parts(tx.connection()?, [(class, 0)]).await;
            tx.end(added).await?;
        }
        let mut tx = SystemTx::begin(&self.database, system).await?;
        let is_alone: bool = sqlx::query_scalar(LOCK).fetch_one(tx.connection()?).await?;
        if !is_alone {
            tx.rollback().await?;
            return Ok(0);
        }
        if part.kept > 0 {
            for carry in [CARRY_ENTRIES, CARRY_SEARCH] {
                sqlx::query(carry)
                    .bind(class)
                    .bind(part.part)
                    .persistent(false)
                    .execute(tx.connection()?)
                    .await?;
            }
            sqlx::query(CARRY_SPANS).bind(class).persistent(false).execute(tx.connection()?).await?;
        }
        for forget in [FORGET_IDS, KEEP_LAST_SPANS, DROP_SPANS, DROP] {
            sqlx::query(forget)
                .bind(class)
                .bind(part.part)
                .persistent(false)
                .execute(tx.connection()?)
                .await?;
        }
        tx.commit().await?;
        Ok(u64::try_from(part.entries - part.kept).unwrap_or_default())
    }
}
