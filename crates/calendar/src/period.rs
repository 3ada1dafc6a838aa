use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_core::Timestamp;

/// A stretch of time, half-open: `start <= t < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Bounds")]
pub struct Period {
    start: Timestamp,
    end: Timestamp,
}

/// The end does not come after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPeriod {
    start: Timestamp,
    end: Timestamp,
}

impl fmt::Display for InvalidPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a period from {} to {} holds no instant: let it end after it starts", self.start, self.end)
    }
}

impl std::error::Error for InvalidPeriod {}

impl Period {
    /// Takes the first instant that belongs to the period and the first one that does not any more.
    ///
    /// # Errors
    /// [`InvalidPeriod`] when `end` does not come after `start`.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, InvalidPeriod> {
        if start < end { Ok(Self { start, end }) } else { Err(InvalidPeriod { start, end }) }
    }

    /// Takes bounds that are in order by construction, in microseconds; beyond the years 1 to 9999 they are cut off.
    pub(crate) const fn from_micros(start: i64, end: i64) -> Self {
        Self { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) }
    }

    /// Returns the first instant.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// Returns the first instant after it.
    #[must_use]
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// Returns how long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        self.end.since(self.start)
    }

    /// Tells whether an instant lies in it.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    start: Timestamp,
    end: Timestamp,
}

impl TryFrom<Bounds> for Period {
    type Error = InvalidPeriod;

    fn try_from(bounds: Bounds) -> Result<Self, InvalidPeriod> {
        Self::new(bounds.start, bounds.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn the_start_belongs_to_it_and_the_end_does_not() {
        let period = Period::new(at(10), at(20)).unwrap();
        assert_eq!([9, 10, 19, 20].map(|micros| period.contains(at(micros))), [false, true, true, false]);
        assert_eq!(period.length(), Duration::from_micros(10));
    }

    #[test]
    fn a_period_that_holds_nothing_is_refused_also_from_json() {
        assert!(Period::new(at(10), at(10)).is_err());
        let json = r#"{"start":"2026-02-01T00:00:00Z","end":"2026-01-01T00:00:00Z"}"#;
        assert!(serde_json::from_str::<Period>(json).unwrap_err().to_string().contains("holds no instant"));
    }
}
