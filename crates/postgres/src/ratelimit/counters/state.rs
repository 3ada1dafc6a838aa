//! Counters as they are in rows.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use stanchion_core::Timestamp;
use stanchion_ratelimit::{CallId, Entries, Entry, State};

use crate::Error;

/// A counter as it was read. One that has no row was never used, or not for long.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) is_there: bool,
    pub(super) state: Option<State>,
    pub(super) entries: Entries,
}

/// Everything that one question found.
#[derive(Debug)]
pub(super) struct Found {
    /// As many as keys were asked for, in their order.
    pub(super) counters: Vec<Kept>,
    /// The database's time, after the last counter was had.
    pub(super) clock: Timestamp,
    /// Whether there was a hold, which is gone now.
    pub(super) released: bool,
}

impl Found {
    /// Reads the rows of the keys that were asked for, which are in their order.
    pub(super) fn read(rows: &[PgRow], keys: &[&[u8]]) -> Result<Self, Error> {
        let (mut counters, mut clock, mut released) = (vec![Kept::default(); keys.len()], None, false);
        for row in rows {
            if row.len() == 1 {
                released = true;
            } else if let Some(key) = row.try_get::<Option<Vec<u8>>, _>("key")? {
                let at = keys.binary_search(&key.as_slice()).ok();
                let kept = at.and_then(|at| counters.get_mut(at));
                *kept.ok_or_else(|| Error::corrupt("key", "nobody asked for it"))? = Kept::read(row)?;
            } else {
                clock = row.try_get::<Option<i64>, _>("clock")?.map(Timestamp::from_micros);
            }
        }
        Ok(Self { counters, clock: clock.ok_or_else(|| Error::corrupt("clock", "it is missing"))?, released })
    }
}

impl Kept {
    fn read(row: &PgRow) -> Result<Self, Error> {
        let state = match (row.try_get::<Option<i64>, _>("at")?, row.try_get::<Option<i64>, _>("used")?) {
            (Some(at), Some(used)) => {
                Some(State { at: Timestamp::from_micros(at), used: used.cast_unsigned() })
            }
            _ => None,
        };
        let entries = row.try_get::<Option<Vec<u8>>, _>("entries")?;
        Ok(Self {
            is_there: true,
            state,
            entries: entries.as_deref().map(decode).transpose()?.unwrap_or_default(),
        })
    }
}

const ENTRY_BYTES: usize = 32;

/// Writes each entry's end, call and amount, the highest byte first; `None` when there is no entry.
pub(super) fn encode(entries: &Entries) -> Option<Vec<u8>> {
    if entries.as_slice().is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(entries.as_slice().len() * ENTRY_BYTES);
    for Entry { until, id, amount } in entries.as_slice() {
        bytes.extend(until.micros().to_be_bytes());
        bytes.extend(id.number().to_be_bytes());
        bytes.extend(amount.to_be_bytes());
    }
    Some(bytes)
}

fn decode(bytes: &[u8]) -> Result<Entries, Error> {
    let (list, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(Error::corrupt("entries", "an entry is cut off"));
    }
    let mut entries = Entries::new();
    for entry in list {
        let (until, rest) = entry.split_first_chunk().ok_or_else(cut_off)?;
        let (id, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let (amount, _) = rest.split_first_chunk().ok_or_else(cut_off)?;
        entries.add(Entry {
            until: Timestamp::from_micros(i64::from_be_bytes(*until)),
            id: CallId::new(u128::from_be_bytes(*id)),
            amount: u64::from_be_bytes(*amount),
        });
    }
    Ok(entries)
}

fn cut_off() -> Error {
    Error::corrupt("entries", "an entry is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_as_they_were_written() {
        let mut entries = Entries::new();
        for number in 0..20_u8 {
            let until = Timestamp::from_micros(i64::from(number % 3) - 1);
            let (id, amount) = (CallId::new(u128::MAX - u128::from(number)), u64::MAX - u64::from(number));
            entries.add(Entry { until, id, amount });
        }
        assert_eq!(encode(&Entries::new()), None);
        let bytes = encode(&entries).unwrap();
        assert_eq!(bytes.len(), 640);
        assert_eq!(decode(&bytes).unwrap(), entries);
        assert_eq!(decode(&[]).unwrap(), Entries::new());
        assert!(decode(&bytes[1..]).is_err());
    }
}
