//! Counters as they are in rows.

use sqlx::postgres::{PgColumn, PgRow};
use sqlx::{Column as _, Row as _};
use stanchion_core::Timestamp;
use stanchion_ratelimit::{CallId, Entry, State};
use uuid::Uuid;

use super::log::Log;
use crate::Error;

/// A counter as it was read. One that has no row was never used, or not for long.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) is_there: bool,
    /// Of a log or leases: no entry ends then or before.
    pub(super) at: Option<Timestamp>,
    pub(super) used: Option<u64>,
    /// How much all entries take, those included that have ended and were not removed.
    pub(super) held: Option<u128>,
    pub(super) log: Log,
}

/// Everything that one question found.
#[derive(Debug)]
pub(super) struct Found {
    /// As many as keys were asked for, in their order.
    pub(super) counters: Vec<Kept>,
    /// The database's time, after the last counter was had.
    pub(super) clock: Timestamp,
    /// The time to decide by.
    pub(super) now: Timestamp,
    /// Whether there was a hold, which is gone now.
    pub(super) released: bool,
}

/// The rows of one question, of one kind for each of its statements.
struct Reading<'a> {
    keys: &'a [&'a [u8]],
    counters: Vec<Kept>,
    clock: Option<i64>,
    /// The time that entries were looked at by.
    now: Option<i64>,
    released: bool,
}

impl Found {
    /// Reads the rows of the keys that were asked for, which are in their order. `now` is the caller's time, if it has one.
    pub(super) fn read(rows: &[PgRow], keys: &[&[u8]], now: Option<Timestamp>) -> Result<Self, Error> {
        let counters = vec![Kept::default(); keys.len()];
        let mut reading = Reading { keys, counters, clock: None, now: None, released: false };
        for row in rows {
            reading.row(row)?;
        }
        let Reading { counters, clock, now: looked, released, .. } = reading;
        let clock = clock.ok_or_else(|| Error::corrupt("clock", "it is missing"))?;
        // Entries are looked at after counters were had, and all that is decided has one time.
        let own = Timestamp::from_micros(looked.unwrap_or(clock));
        let clock = if now.is_some() { Timestamp::from_micros(clock) } else { own };
        Ok(Self { counters, clock, now: now.unwrap_or(own), released })
    }
}

impl Reading<'_> {
    fn row(&mut self, row: &PgRow) -> Result<(), Error> {
        match row.columns().first().map(PgColumn::name) {
            Some("released") => self.released = true,
            Some("log") => {
                self.now = Some(row.try_get("now")?);
                let clear_at = row.try_get::<Option<i64>, _>("clear_at")?;
                let fits_at = row.try_get::<Option<i64>, _>("fits_at")?;
                self.counter(row, "log")?.log = Log {
                    ended: u64::try_from(row.try_get::<i64, _>("ended")?).unwrap_or(0),
                    ended_amount: amount(row, "ended_amount")?.unwrap_or(0),
                    clear_at: clear_at.map(Timestamp::from_micros),
                    fits_at: fits_at.map(Timestamp::from_micros),
                    ..Log::default()
                };
            }
            Some("own") => self.own(row)?,
            _ => match row.try_get::<Option<i64>, _>("clock")? {
                Some(clock) => self.clock = Some(clock),
                None => {
                    *self.counter(row, "key")? = Kept {
                        is_there: true,
                        at: row.try_get::<Option<i64>, _>("at")?.map(Timestamp::from_micros),
                        used: row.try_get::<Option<i64>, _>("used")?.map(i64::cast_unsigned),
                        held: amount(row, "held")?,
                        log: Log::default(),
                    };
                }
            },
        }
        Ok(())
    }

    /// Reads an entry of the call that is settled. Of those that count, the one that ends first is meant.
    fn own(&mut self, row: &PgRow) -> Result<(), Error> {
        let (until, now) = (row.try_get::<i64, _>("until")?, self.now);
        let amount = amount(row, "amount")?.unwrap_or(0);
        let entry = Entry {
            until: Timestamp::from_micros(until),
            id: CallId::new(row.try_get::<Uuid, _>("id")?.as_u128()),
            amount: u64::try_from(amount).unwrap_or(u64::MAX),
        };
        // A call may have charged other counters, and one of these may be another than it has charged.
        if let Ok(kept) = self.counter(row, "own")
            && kept.is_there
            && kept.log.own.is_none()
            && now.is_some_and(|now| until > now)
        {
            (kept.log.found, kept.log.own) = (Some(entry), Some(entry));
        }
        Ok(())
    }

    fn counter(&mut self, row: &PgRow, column: &'static str) -> Result<&mut Kept, Error> {
        let key: Vec<u8> = row.try_get(column)?;
        let at = self.keys.binary_search(&key.as_slice()).ok();
        let kept = at.and_then(|at| self.counters.get_mut(at));
        kept.ok_or_else(|| Error::corrupt(column, "nobody asked for it"))
    }
}

fn amount(row: &PgRow, column: &'static str) -> Result<Option<u128>, Error> {
    let text = row.try_get::<Option<&str>, _>(column)?;
    text.map(str::parse).transpose().map_err(|error| Error::corrupt(column, error))
}

impl Kept {
    pub(super) fn state(&self) -> Option<State> {
        Some(State { at: self.at?, used: self.used? })
    }

    pub(super) fn with(&self, state: State) -> Self {
        Self { at: Some(state.at), used: Some(state.used), ..self.clone() }
    }
}
