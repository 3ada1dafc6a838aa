mod decision;
mod log;
mod prepared;
mod question;
mod refusals;
mod rows;
mod state;
mod statement;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::ConnectOptions as _;
use stanchion_core::{StoreError, Timestamp};
use stanchion_ratelimit::{Call, Capabilities, CounterStore, Kernel, Outcome, Settled, Settlement, Slot};

use self::prepared::preparing;
use self::question::Question;
use self::refusals::Refusals;
use self::rows::{Rows, scope};
use self::statement::Statement;
use crate::database::options;
use crate::{CounterConfig, Database, Error, TenantTx, Url};

/// Counters of rate limits in Postgres, for replicas that have no Redis. Exact, by the database's clock.
///
/// A decision is one transaction and two messages: the first locks the rows of its counters, in the order of their keys so that
/// nobody waits in a circle, and tells how they stand; the second writes what the same functions make of them that every store computes
/// with, and commits. Decisions on one counter come one after the other, each for as long as a message takes there and back.
///
/// Who is refused leaves no trace, but the locks of the first message cost a transaction id and some of the log. So a call that was refused
/// is, until it could fit, looked at first: one message that reads, takes no lock and waits for nobody. If it fits after all, because
/// something was given back, it is decided as any other.
///
/// It has connections of its own, so that counting does not take those that records need. What has become as good as new is removed by
/// [`Database::sweep_counters`].
///
/// A log, or leases, is a row that tells how much is held in all, and one for each entry. The first is the lock of the others, and a
/// decision reads of them what has ended since the last one, the last, and where it refuses as many of the first as have to end.
///
/// # What is lost, and when
///
/// Charges are in the database's log, but are not waited for until they are on its disk: a crash of the database forgets those of the
/// last second (three times its `wal_writer_delay`, 0.6 s unless it is set otherwise), a failover those that the standby had not
/// received. Limits give so much more, once. A restart in good order forgets nothing, and a crash of ours nothing that was answered.
///
/// The log costs about 250 bytes per charge. Where that is more than the counters are worth, make their tables unlogged:
/// `ALTER TABLE stanchion.ratelimit_counter SET UNLOGGED`, and `stanchion.ratelimit_entry` and `stanchion.ratelimit_hold`, all three of
/// them. Then a crash or a failover forgets all counters, and limits start over.
///
/// # When it does not answer
///
/// A decision ends within [`CounterConfig::operation_timeout_ms`]: `Unavailable` when it was not to be had, `Timeout` when nobody knows
/// whether the charges were taken. A replica that stands still in the middle of one is cut off after as long, and takes nothing.
#[derive(Clone)]
pub struct PgCounterStore {
    database: Database,
    refusals: Arc<Refusals>,
}

impl PgCounterStore {
    /// Counts in the database of a URL; connections are made when they are needed. It belongs to the tokio runtime it is first used in.
    #[must_use]
    pub fn new(url: &Url, config: CounterConfig) -> Self {
        let pool = config.pool();
        let whole = config.operation_timeout_ms.to_string();
        // The answer that a lock was not had in time should come before we have gone.
        let lock = (config.operation_timeout_ms / 4 * 3).max(1).to_string();
        let options = options(url, &pool).options([
            ("lock_timeout", lock.as_str()),
            ("idle_in_transaction_session_timeout", whole.as_str()),
            ("synchronous_commit", "off"),
            // What is prepared is planned once for all, and not for a table that happens to be empty.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            // What is written and read as text has this form.
            ("standard_conforming_strings", "on"),
            ("bytea_output", "hex"),
        ]);
        // Statements hold keys, and those hold who called.
        let options = options.disable_statement_logging();
        let database = Database::with_options(options, pool, preparing().into());
        Self { database, refusals: Arc::new(Refusals::new()) }
    }

    /// Decides as a part of a transaction, by the counters of its scope. Charges are taken if it commits. Until it has ended nobody
    /// else decides by the same counters, so decide last.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn decide_on(tx: &mut TenantTx<'_>, call: &Call<'_>) -> Result<Outcome, Error> {
        let question = Question::of_call(tx.scope().into(), call)?;
        question.ask_on(tx, |found| question.decide(call, found)).await
    }

    /// Corrects as a part of a transaction what an earlier call of its scope has charged. Tells whether it did.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn settle_on(
        tx: &mut TenantTx<'_>,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let question = Question::of_settlement(tx.scope().into(), call, corrections, now)?;
        question.ask_on(tx, |found| question.settle(call, corrections, found)).await
    }

    /// Closes all connections once they are free, and refuses new ones.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[async_trait]
impl CounterStore for PgCounterStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Kernel::ALL, true)
    }

    async fn decide(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        let ask = async {
            let question = Question::of_call(slot, call)?;
            let place = self.refusals.place(slot, call);
            if self.refusals.expects(place)
                && let Some(refused) = question.refuse(&self.database, call).await?
            {
                return Ok(refused);
            }
            let decided = question.ask(&self.database, |found| question.decide(call, found)).await?;
            self.refusals.note(place, &decided);
            Ok(decided)
        };
        self.database.run("decide", ask).await
    }

    async fn peek(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        let look = async { Question::of_call(slot, call)?.look(&self.database, call).await };
        self.database.run("peek", look).await
    }

    async fn settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let ask = async {
            let question = Question::of_settlement(slot, call, corrections, now)?;
            question.ask(&self.database, |found| question.settle(call, corrections, found)).await
        };
        self.database.run("settle", ask).await
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        let reset = async {
            let forget = Statement::text(&[Rows::of(slot)?.forget(key)]);
            let (tx, _) = TenantTx::begin_asking(&self.database, scope(slot), &forget).await?;
            tx.commit().await
        };
        self.database.run("reset", reset).await
    }
}

impl fmt::Debug for PgCounterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgCounterStore").field("database", &self.database).finish()
    }
}
