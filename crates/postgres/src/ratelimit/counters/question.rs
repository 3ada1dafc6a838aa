use sqlx::postgres::PgRow;
use stanchion_core::Timestamp;
use stanchion_ratelimit::{Call, Limit, Outcome, Settled, Settlement, Slot};

use super::decision::{Takes, decide, settle};
use super::rows::{Hold, Keys, Logs, Rows, scope};
use super::state::Found;
use super::statement::Statement;
use crate::{Database, Error, TenantTx};

/// How often it is asked again in somebody's transaction because somebody else was first. Once is usual, twice is rare.
const ATTEMPTS: usize = 16;

/// Which counters a call is about, and how they are asked.
pub(super) struct Question<'a> {
    slot: Slot,
    rows: Rows,
    keys: Keys<'a>,
    logs: Logs,
    /// The caller's time.
    now: Option<Timestamp>,
    settled: Option<Settled>,
}

/// What the counters that were found say to it, and what has to be written before that counts.
pub(super) type Answer<'a, T> = (T, Vec<Statement<'a>>);

impl<'a> Question<'a> {
    pub(super) fn of_call(slot: Slot, call: &Call<'a>) -> Result<Self, Error> {
        let keys = Keys::of(call.charges.iter().map(|charge| charge.key));
        let logs = Logs::of(keys.numbers.iter().zip(call.charges).filter_map(|(key, charge)| {
            let Limit::Entries(limit) = charge.limit else { return None };
            // What asks for nothing fits whatever is held.
            let spare = limit.capacity().checked_sub(charge.cost).filter(|_| charge.cost > 0);
            Some((*key, spare.and_then(|spare| i64::try_from(spare).ok())))
        }));
        Ok(Self { slot, rows: Rows::of(slot)?, keys, logs, now: call.now, settled: None })
    }

    pub(super) fn of_settlement(
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'a>],
        now: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let keys = Keys::of(corrections.iter().map(|correction| correction.key));
        let logs = Logs::of(keys.numbers.iter().zip(corrections).filter_map(|(key, correction)| {
            matches!(correction.limit, Limit::Entries(_)).then_some((*key, None))
        }));
        Ok(Self { slot, rows: Rows::of(slot)?, keys, logs, now, settled: Some(call) })
    }

    /// Asks in a transaction of its own: two messages, unless somebody makes a counter at the same time.
    ///
    /// Nobody waits in a circle. Everybody locks in the order of the keys, and makes what was not there in that order after the last
    /// lock; who waits for something to be made waits for somebody who waits for no lock any more. Whoever came second asks again, for as
    /// long as the operation may take: each time somebody else has been answered.
    pub(super) async fn ask<T>(
        &self,
        database: &Database,
        answer: impl Fn(Found) -> Answer<'a, T> + Send,
    ) -> Result<T, Error> {
        let question = Statement::text(&self.statements());
        loop {
            match self.ask_once(database, &question, &answer).await {
                Err(error) if came_second(&error) => {}
                told => return told,
            }
        }
    }

    async fn ask_once<T>(
        &self,
        database: &Database,
        question: &str,
        answer: &(impl Fn(Found) -> Answer<'a, T> + Send),
    ) -> Result<T, Error> {
        let (tx, rows) = TenantTx::begin_asking(database, scope(self.slot), question).await?;
        let found = self.read(&rows)?;
        let is_changed = found.released;
        let (told, writing) = answer(found);
        if writing.is_empty() && !is_changed {
            tx.rollback().await?;
        } else {
            tx.commit_after(&Statement::text(&writing)).await?;
        }
        Ok(told)
    }

    /// Asks in somebody's transaction.
    pub(super) async fn ask_on<T>(
        &self,
        tx: &mut TenantTx<'_>,
        answer: impl Fn(Found) -> Answer<'a, T> + Send,
    ) -> Result<T, Error> {
        let connection = tx.connection()?;
        for _ in 0..ATTEMPTS {
            sqlx::raw_sql("SAVEPOINT stanchion_counters").execute(&mut *connection).await?;
            let mut rows = Vec::new();
            for statement in self.statements() {
                rows.extend(statement.query().fetch_all(&mut *connection).await?);
            }
            let (told, writing) = answer(self.read(&rows)?);
            let mut written = Ok(());
            for statement in writing {
                if written.is_ok() {
                    written =
                        statement.query().execute(&mut *connection).await.map(drop).map_err(Error::from);
                }
            }
            match written {
                Ok(()) => {
                    sqlx::raw_sql("RELEASE SAVEPOINT stanchion_counters").execute(&mut *connection).await?;
                    return Ok(told);
                }
                Err(error) if came_second(&error) => {
                    let back =
                        "ROLLBACK TO SAVEPOINT stanchion_counters; RELEASE SAVEPOINT stanchion_counters";
                    sqlx::raw_sql(back).execute(&mut *connection).await?;
                }
                Err(error) => return Err(error),
            }
        }
        // A transaction that sees one moment throughout never sees what was made after it.
        Err(Error::Contended)
    }

    /// Looks at the counters as they are at one moment, and takes nothing.
    pub(super) async fn look(&self, database: &Database, call: &Call<'_>) -> Result<Outcome, Error> {
        let Found { counters, now, .. } = self.see(database).await?;
        Ok(decide(call, now, &self.keys.numbers, &counters, Takes::Nothing).outcome)
    }

    /// Refuses by a look, where that is all there is to it. It is as if the call had come at that moment: what is refused leaves nothing
    /// behind, so no lock is needed, nor a transaction id.
    pub(super) async fn refuse(
        &self,
        database: &Database,
        call: &Call<'_>,
    ) -> Result<Option<Outcome>, Error> {
        let Found { counters, now, .. } = self.see(database).await?;
        let decided = decide(call, now, &self.keys.numbers, &counters, Takes::Charges);
        let is_all = !decided.outcome.is_admitted() && decided.changes.is_empty();
        Ok(is_all.then_some(decided.outcome))
    }

    async fn see(&self, database: &Database) -> Result<Found, Error> {
        let look: Vec<_> = [self.rows.look(&self.keys)].into_iter().chain(self.entries()).collect();
        let found = TenantTx::read(database, scope(self.slot), &Statement::text(&look)).await?;
        self.read(&found)
    }

    fn statements(&self) -> Vec<Statement<'a>> {
        let release = self.settled.filter(|call| call.hold).map(|call| self.rows.release(call.id, self.now));
        release.into_iter().chain([self.rows.take(&self.keys)]).chain(self.entries()).collect()
    }

    /// Looks into logs and leases, if there are any.
    fn entries(&self) -> impl Iterator<Item = Statement<'a>> {
        let has_logs = !self.logs.keys.is_empty();
        let entries = has_logs.then(|| self.rows.entries(&self.keys, &self.logs, self.now));
        let own = self.settled.filter(|_| has_logs).map(|call| self.rows.own(call.id));
        entries.into_iter().chain(own)
    }

    fn read(&self, rows: &[PgRow]) -> Result<Found, Error> {
        Found::read(rows, &self.keys.sorted, self.now)
    }

    pub(super) fn decide(&self, call: &Call<'_>, found: Found) -> Answer<'a, Outcome> {
        let Found { counters, clock, now, .. } = found;
        let decided = decide(call, now, &self.keys.numbers, &counters, Takes::Charges);
        let lasts = call.hold.filter(|_| decided.outcome.is_admitted());
        let hold =
            lasts.map(|lasts| Hold { id: call.id, until: now.plus(lasts), ends_at: clock.plus(lasts) });
        (decided.outcome, self.rows.writing(&self.keys, decided.changes, (now, clock), hold))
    }

    pub(super) fn settle(
        &self,
        call: Settled,
        corrections: &[Settlement<'_>],
        found: Found,
    ) -> Answer<'a, bool> {
        let Found { mut counters, clock, now, released } = found;
        if call.hold && !released {
            return (false, Vec::new());
        }
        let changes = settle(call, corrections, now, &self.keys.numbers, &mut counters);
        (true, self.rows.writing(&self.keys, changes, (now, clock), None))
    }
}

/// Tells whether nothing was written because somebody else was first: made one of the counters, or was let go on.
fn came_second(error: &Error) -> bool {
    let Error::Database(sqlx::Error::Database(error)) = error else { return false };
    matches!(error.code().as_deref(), Some("23505" | "40001" | "40P01"))
}
