use stanchion_core::{StoreErrorKind, Timestamp};
use stanchion_ratelimit::{Call, CallId, Outcome, Settled, Settlement, Slot};

use super::decision::{Takes, decide, settle};
use super::rows::{Hold, Keys, Rows, scope};
use super::state::Found;
use super::statement::Statement;
use crate::{Database, Error, TenantTx};

/// Which counters a call is about, and how they are asked.
pub(super) struct Question<'a> {
    slot: Slot,
    rows: Rows,
    keys: Keys<'a>,
    /// The call whose hold ends with it, and the time at which that must still last.
    held: Option<(CallId, Option<Timestamp>)>,
}

/// What the counters that were found say to it, and what has to be written before that counts.
pub(super) type Answer<'a, T> = (T, Vec<Statement<'a>>);

impl<'a> Question<'a> {
    pub(super) fn of_call(slot: Slot, call: &Call<'a>) -> Result<Self, Error> {
        let keys = Keys::of(call.charges.iter().map(|charge| charge.key));
        Ok(Self { slot, rows: Rows::of(slot)?, keys, held: None })
    }

    pub(super) fn of_settlement(
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'a>],
        now: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let keys = Keys::of(corrections.iter().map(|correction| correction.key));
        Ok(Self { slot, rows: Rows::of(slot)?, keys, held: call.hold.then_some((call.id, now)) })
    }

    /// Asks in a transaction of its own: two messages, unless somebody makes a counter at the same time.
    ///
    /// Nobody waits in a circle. Everybody locks in the order of the keys, and makes what was not there in that order after the last
    /// lock; who waits for something to be made waits for somebody who waits for no lock any more.
    pub(super) async fn ask<T>(
        &self,
        database: &Database,
        answer: impl Fn(Found) -> Answer<'a, T> + Send,
    ) -> Result<T, Error> {
        let question = Statement::text(&self.statements());
        loop {
            let (tx, rows) = TenantTx::begin_asking(database, scope(self.slot), &question).await?;
            let found = Found::read(&rows, &self.keys.sorted)?;
            let is_changed = found.released;
            let (told, writing) = answer(found);
            if writing.is_empty() && !is_changed {
                tx.rollback().await?;
                return Ok(told);
            }
            match tx.commit_after(&Statement::text(&writing)).await {
                Ok(()) => return Ok(told),
                // One of the counters was made meanwhile.
                Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks in somebody's transaction.
    pub(super) async fn ask_on<T>(
        &self,
        tx: &mut TenantTx<'_>,
        answer: impl Fn(Found) -> Answer<'a, T> + Send,
    ) -> Result<T, Error> {
        let connection = tx.connection()?;
        loop {
            sqlx::raw_sql("SAVEPOINT stanchion_counters").execute(&mut *connection).await?;
            let mut rows = Vec::new();
            for statement in self.statements() {
                rows.extend(statement.query().fetch_all(&mut *connection).await?);
            }
            let (told, writing) = answer(Found::read(&rows, &self.keys.sorted)?);
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
                Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {
                    let back = sqlx::raw_sql("ROLLBACK TO SAVEPOINT stanchion_counters");
                    back.execute(&mut *connection).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at the counters as they are at one moment, and takes nothing.
    pub(super) async fn look(&self, database: &Database, call: &Call<'_>) -> Result<Outcome, Error> {
        let look = Statement::text(&[self.rows.look(&self.keys)]);
        let found = TenantTx::read(database, scope(self.slot), &look).await?;
        let found = Found::read(&found, &self.keys.sorted)?;
        let now = call.now.unwrap_or(found.clock);
        Ok(decide(call, now, &self.keys.numbers, &found.counters, Takes::Nothing).outcome)
    }

    fn statements(&self) -> Vec<Statement<'a>> {
        let release = self.held.map(|(id, now)| self.rows.release(id, now));
        release.into_iter().chain([self.rows.take(&self.keys)]).collect()
    }

    pub(super) fn decide(&self, call: &Call<'_>, found: Found) -> Answer<'a, Outcome> {
        let Found { counters, clock, .. } = found;
        let now = call.now.unwrap_or(clock);
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
        now: Option<Timestamp>,
        found: Found,
    ) -> Answer<'a, bool> {
        let Found { mut counters, clock, released } = found;
        if call.hold && !released {
            return (false, Vec::new());
        }
        let now = now.unwrap_or(clock);
        let changes = settle(call, corrections, now, &self.keys.numbers, &mut counters);
        (true, self.rows.writing(&self.keys, changes, (now, clock), None))
    }
}
