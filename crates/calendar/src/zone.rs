use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, LocalResult, NaiveDate, NaiveTime, Offset, TimeZone};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::Timestamp;

const MICROS: i64 = 1_000_000;
/// The number of 1970-01-01, counted from 1 for 0001-01-01 as `chrono` does.
const EPOCH_DAY: i64 = 719_163;

/// A time zone by its IANA name, such as `Europe/Berlin`. Its rules are those of the time zone database compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

/// The text is not the name of a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidZone(String);

impl fmt::Display for InvalidZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a time zone: use an IANA name such as UTC or Europe/Berlin", self.0)
    }
}

impl std::error::Error for InvalidZone {}

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(Tz::UTC);

    /// Returns the IANA name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Returns the civil date of an instant, as a day number: 0 is Monday, 1 January of the year 1.
    pub(crate) fn day(self, at: Timestamp) -> i64 {
        Self::day_of(self.shown(at))
    }

    /// Returns the day number of a time that clocks show, in microseconds since they would have shown 1970-01-01T00:00.
    pub(crate) const fn day_of(shown: i64) -> i64 {
        shown.div_euclid(86_400 * MICROS) + EPOCH_DAY - 1
    }

    /// Returns the time that the clocks show at an instant, in microseconds since they would have shown 1970-01-01T00:00.
    pub(crate) fn shown(self, at: Timestamp) -> i64 {
        at.micros().saturating_add(self.offset(at).saturating_mul(MICROS))
    }

    /// Returns by how many seconds the clocks are ahead of UTC at an instant.
    pub(crate) fn offset(self, at: Timestamp) -> i64 {
        self.0.offset_from_utc_datetime(&at.to_utc().naive_utc()).fix().local_minus_utc().into()
    }

    /// Returns the instant a civil day begins at, in microseconds since 1970; `None` beyond what `chrono` can date.
    ///
    /// That is the first instant at which the clocks show its midnight or later. Where they are put forward over midnight, the day
    /// begins with the change; where they show midnight twice, it begins at the first.
    pub(crate) fn day_start(self, day: i64) -> Option<i64> {
        let date = NaiveDate::from_num_days_from_ce_opt(i32::try_from(day).ok()?.checked_add(1)?)?;
        let midnight = date.and_time(NaiveTime::MIN);
        let start = match self.0.from_local_datetime(&midnight) {
            LocalResult::Single(start) | LocalResult::Ambiguous(start, _) => start,
            LocalResult::None => GapInfo::new(&midnight, &self.0)?.end?,
        };
        Some(start.timestamp_micros())
    }

    /// Returns year and month (0 to 11) of a day number.
    pub(crate) fn year_month(day: i64) -> Option<(i32, u32)> {
        let date = NaiveDate::from_num_days_from_ce_opt(i32::try_from(day).ok()?.checked_add(1)?)?;
        Some((date.year(), date.month0()))
    }

    /// Returns the day number of the first of a month (0 to 11).
    pub(crate) fn first_of_month(year: i32, month: u32) -> Option<i64> {
        Some(i64::from(NaiveDate::from_ymd_opt(year, month + 1, 1)?.num_days_from_ce()) - 1)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

stanchion_core::text_schema!(Zone, "a name of the IANA time zone database, such as `Europe/Berlin`");

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(text: &str) -> Result<Self, InvalidZone> {
        text.parse().map(Self).map_err(|_| InvalidZone(text.chars().take(80).collect()))
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
