use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::Timestamp;

use crate::{Period, Zone};

const MICROS: i64 = 1_000_000;

/// What a [`Window`] is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Seconds of UTC, written `s`.
    Second,
    /// Minutes of UTC, written `m`.
    Minute,
    /// Hours of UTC, written `h`.
    Hour,
    /// Days of the zone's calendar, written `d`.
    Day,
    /// Months of the zone's calendar, written `mo`.
    Month,
}

impl Unit {
    /// Every unit, shortest first.
    pub const ALL: [Self; 5] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// Returns the sign that follows the number in a window's text.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
            Self::Month => "mo",
        }
    }

    /// Seconds, a day taken as 86,400; months have no usual length.
    const fn seconds(self) -> Option<u64> {
        match self {
            Self::Second => Some(1),
            Self::Minute => Some(60),
            Self::Hour => Some(3600),
            Self::Day => Some(86_400),
            Self::Month => None,
        }
    }

    /// How many make a hundred years, the longest window.
    const fn most(self) -> u32 {
        match self {
            Self::Second => 3_155_760_000,
            Self::Minute => 52_596_000,
            Self::Hour => 876_600,
            Self::Day => 36_525,
            Self::Month => 1200,
        }
    }
}

/// A recurring stretch of time: so many seconds, minutes, hours, days or months, at most a hundred years.
///
/// Its text is a number and a sign: `30s`, `1m`, `1h`, `1d`, `1mo`.
///
/// Windows of several units begin at fixed places. Seconds, minutes and hours are counted from 1970-01-01T00:00Z, days from Monday,
/// 1 January of the year 1 (so `7d` is the week from Monday), months from January of the year 0 (so `3mo` is the quarter and `12mo`
/// the year).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    unit: Unit,
    size: NonZeroU32,
}

/// The text or number is not a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidWindow {
    given: String,
    too_long: bool,
}

impl fmt::Display for InvalidWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = &self.given;
        if self.too_long {
            write!(f, "`{given}` is too long for a window: use at most a hundred years")
        } else {
            write!(f, "`{given}` is not a window: use a number and a unit, such as 30s, 1m, 1h, 1d or 1mo")
        }
    }
}

impl std::error::Error for InvalidWindow {}

impl Window {
    /// One second.
    pub const SECOND: Self = Self::one(Unit::Second);
    /// One minute.
    pub const MINUTE: Self = Self::one(Unit::Minute);
    /// One hour.
    pub const HOUR: Self = Self::one(Unit::Hour);
    /// One day of the zone.
    pub const DAY: Self = Self::one(Unit::Day);
    /// One month of the zone.
    pub const MONTH: Self = Self::one(Unit::Month);

    const fn one(unit: Unit) -> Self {
        Self { unit, size: NonZeroU32::MIN }
    }

    /// Takes a number of units.
    ///
    /// # Errors
    /// [`InvalidWindow`] when that is more than a hundred years.
    pub fn new(unit: Unit, size: NonZeroU32) -> Result<Self, InvalidWindow> {
        if size.get() <= unit.most() {
            Ok(Self { unit, size })
        } else {
            Err(InvalidWindow { given: format!("{size}{}", unit.sign()), too_long: true })
        }
    }

    /// Returns what it is counted in.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// Returns how many units it has.
    #[must_use]
    pub const fn size(self) -> NonZeroU32 {
        self.size
    }

    /// Returns its length in seconds, with a day taken as 86,400; `None` for months, which have no usual length.
    #[must_use]
    pub fn nominal_seconds(self) -> Option<u64> {
        // At most a hundred years: no product overflows.
        self.unit.seconds().map(|seconds| seconds.saturating_mul(u64::from(self.size.get())))
    }

    /// Returns the window that `at` lies in. What lies beyond the years 1 to 9999 is cut off.
    #[must_use]
    pub fn bounds(self, at: Timestamp, zone: Zone) -> Period {
        let size = i64::from(self.size.get());
        let aligned = |micros: i64| {
            let length = micros.saturating_mul(size);
            let start = at.micros().div_euclid(length).saturating_mul(length);
            Period::from_micros(start, start.saturating_add(length))
        };
        match self.unit {
            Unit::Second => aligned(MICROS),
            Unit::Minute => aligned(60 * MICROS),
            Unit::Hour => aligned(3600 * MICROS),
            Unit::Day => {
                let start_of = |number: i64| zone.day_start(number.saturating_mul(size));
                civil(at, zone.day(at).div_euclid(size), start_of).1
            }
            Unit::Month => month_window(at, size, zone).1,
        }
    }

    /// Returns the window that follows `period`, which this window made in the same zone.
    #[must_use]
    pub fn next(self, period: Period, zone: Zone) -> Period {
        self.bounds(period.end(), zone)
    }

    /// Returns the window that comes before `period`, which this window made in the same zone.
    #[must_use]
    pub fn previous(self, period: Period, zone: Zone) -> Period {
        self.bounds(Timestamp::from_micros(period.start().micros().saturating_sub(1)), zone)
    }
}

/// Finds the number and the bounds of the window of `at`, beginning at the one its civil date suggests.
///
/// That one can be off: where clocks set back over midnight show a date again, its second showing belongs to the day after, and a
/// date that a zone has skipped (Samoa had no 30 December 2011) is a window without an instant.
fn civil(at: Timestamp, suggested: i64, start_of: impl Fn(i64) -> Option<i64>) -> (i64, Period) {
    let start_of = |number| start_of(number).unwrap_or(if number < suggested { i64::MIN } else { i64::MAX });
    let mut number = suggested;
    let mut start = start_of(number);
    while start > at.micros() {
        number -= 1;
        start = start_of(number);
    }
    let mut end = start_of(number + 1);
    while end <= at.micros() {
        number += 1;
        (start, end) = (end, start_of(number + 1));
    }
    (number, Period::from_micros(start, end))
}

/// Finds the number and the bounds of the window of `size` months; months are counted from January of the year 0.
pub(crate) fn month_window(at: Timestamp, size: i64, zone: Zone) -> (i64, Period) {
    let (year, month) = Zone::year_month(zone.day(at)).unwrap_or_default();
    let suggested = (i64::from(year) * 12 + i64::from(month)).div_euclid(size);
    civil(at, suggested, |number| month_start(number.saturating_mul(size), zone))
}

/// Returns the instant a month begins at; months are counted from January of the year 0.
pub(crate) fn month_start(month: i64, zone: Zone) -> Option<i64> {
    let year = i32::try_from(month.div_euclid(12)).ok()?;
    let month = u32::try_from(month.rem_euclid(12)).ok()?;
    zone.day_start(Zone::first_of_month(year, month)?)
}

stanchion_core::text_schema!(Window, "a number and a unit: `30s`, `1m`, `1h`, `1d`, `1mo`");

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.size, self.unit.sign())
    }
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let invalid = || InvalidWindow { given: text.chars().take(80).collect(), too_long: false };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, sign) = text.split_at_checked(digits).ok_or_else(invalid)?;
        let unit = Unit::ALL.into_iter().find(|unit| unit.sign() == sign).ok_or_else(invalid)?;
        let too_long = || InvalidWindow { too_long: true, ..invalid() };
        let number = number.parse::<u128>().map_err(|_| if digits == 0 { invalid() } else { too_long() })?;
        if number == 0 {
            return Err(invalid());
        }
        Self::new(unit, u32::try_from(number).ok().and_then(NonZeroU32::new).ok_or_else(too_long)?)
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
