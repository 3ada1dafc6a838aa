use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::Timestamp;

use crate::window::{month_start, month_window};
use crate::{Period, Zone};

/// A month of a calendar year between 1 and 9999, written `2026-03`. Text order is time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: u16,
    /// 1 to 12.
    month: u8,
}

/// The text or number is not a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMonth(String);

impl fmt::Display for InvalidMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a month: use year and month, such as 2026-03", self.0)
    }
}

impl std::error::Error for InvalidMonth {}

impl Month {
    const FIRST: Self = Self { year: 1, month: 1 };
    const LAST: Self = Self { year: 9999, month: 12 };

    /// Takes a year, 1 to 9999, and a month, 1 to 12.
    ///
    /// # Errors
    /// [`InvalidMonth`] when one of them is out of its range.
    pub fn new(year: u16, month: u8) -> Result<Self, InvalidMonth> {
        if (1..=9999).contains(&year) && (1..=12).contains(&month) {
            Ok(Self { year, month })
        } else {
            Err(InvalidMonth(format!("{year:04}-{month:02}")))
        }
    }

    /// Returns the month that the calendars of `zone` show at an instant.
    #[must_use]
    pub fn of(at: Timestamp, zone: Zone) -> Self {
        let (number, _) = month_window(at, 1, zone);
        let year = u16::try_from(number.div_euclid(12)).unwrap_or(0);
        let month = u8::try_from(number.rem_euclid(12)).unwrap_or(0) + 1;
        // East and west of UTC the first and the last instants lie just outside the years that can be written.
        Self::new(year, month).unwrap_or(if year == 0 { Self::FIRST } else { Self::LAST })
    }

    /// Returns the year, 1 to 9999.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// Returns the month within the year, 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// Returns the stretch of time it is in `zone`.
    #[must_use]
    pub fn period(self, zone: Zone) -> Period {
        let number = i64::from(self.year) * 12 + i64::from(self.month) - 1;
        let start = |number| month_start(number, zone);
        Period::from_micros(start(number).unwrap_or(i64::MIN), start(number + 1).unwrap_or(i64::MAX))
    }

    /// Returns the month after it; `None` after December 9999.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self.month {
            12 => Self::new(self.year + 1, 1).ok(),
            month => Some(Self { month: month + 1, ..self }),
        }
    }

    /// Returns the month before it; `None` before January of the year 1.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self.month {
            1 => Self::new(self.year - 1, 12).ok(),
            month => Some(Self { month: month - 1, ..self }),
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let invalid = || InvalidMonth(text.chars().take(80).collect());
        let (year, month) = text.split_once('-').ok_or_else(invalid)?;
        let number = |digits: &str, length| {
            (digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| digits.parse().ok())
        };
        let year: u16 = number(year, 4).flatten().ok_or_else(invalid)?;
        let month =
            number(month, 2).flatten().and_then(|month| u8::try_from(month).ok()).ok_or_else(invalid)?;
        Self::new(year, month)
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn the_zone_says_which_month_it_is() {
        let new_year = at("2026-01-01T04:59:59.999999Z");
        let new_york = "America/New_York".parse().unwrap();
        assert_eq!(Month::of(new_year, Zone::UTC).to_string(), "2026-01");
        assert_eq!(Month::of(new_year, new_york).to_string(), "2025-12");
        let december = Month::of(new_year, new_york).period(new_york);
        assert_eq!(
            (december.start(), december.end()),
            (at("2025-12-01T05:00:00Z"), at("2026-01-01T05:00:00Z"))
        );
    }

    #[test]
    fn a_month_and_its_instants_agree_where_a_midnight_is_shown_twice() {
        // Newfoundland set its clocks back at 00:01, to 23:01 (tzdata, rule StJohns 2007 to 2011: the first Sunday of November).
        // In 2009 that was the first of the month: 00:01 daylight time was 02:31 UTC.
        let zone = "America/St_Johns".parse().unwrap();
        let again_october = at("2009-11-01T03:00:00Z");
        let month = Month::of(again_october, zone);
        assert_eq!(month.to_string(), "2009-11");
        assert_eq!(month.period(zone).start(), at("2009-11-01T02:30:00Z"));
        assert!(month.period(zone).contains(again_october));
    }

    #[test]
    fn months_follow_each_other_over_the_year() {
        let december: Month = "2025-12".parse().unwrap();
        assert_eq!(december.next().unwrap().to_string(), "2026-01");
        assert_eq!(december.next().unwrap().previous(), Some(december));
        assert_eq!("9999-12".parse::<Month>().unwrap().next(), None);
        assert_eq!("0001-01".parse::<Month>().unwrap().previous(), None);
    }

    #[test]
    fn the_ends_of_time_have_a_month() {
        for zone in ["UTC", "Pacific/Kiritimati", "America/New_York"] {
            let zone = zone.parse().unwrap();
            assert_eq!(Month::of(Timestamp::MIN, zone).to_string(), "0001-01");
            assert_eq!(Month::of(Timestamp::MAX, zone).to_string(), "9999-12");
        }
    }

    #[test]
    fn only_a_month_reads_as_one() {
        for bad in ["2026-13", "2026-00", "0000-01", "26-01", "2026-1", "2026-01-01", "2026-+1", ""] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&Month::new(2026, 3).unwrap()).unwrap(), "\"2026-03\"");
    }
}
