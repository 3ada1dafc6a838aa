use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A day of the calendar between the years 1 and 9999, written `2026-03-01`. Text order is time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(NaiveDate);

/// The text or number is not a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDate(String);

impl fmt::Display for InvalidDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a date: use year, month and day, such as 2026-03-01", self.0)
    }
}

impl std::error::Error for InvalidDate {}

impl Date {
    /// Takes a year, 1 to 9999, a month, 1 to 12, and a day of that month.
    ///
    /// # Errors
    /// [`InvalidDate`] when there is no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Self, InvalidDate> {
        let date = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into());
        let date = date.filter(|_| (1..=9999).contains(&year));
        date.map(Self).ok_or_else(|| InvalidDate(format!("{year:04}-{month:02}-{day:02}")))
    }

    /// Returns its number: 0 is Monday, 1 January of the year 1.
    pub(crate) fn number(self) -> i64 {
        i64::from(self.0.num_days_from_ce()) - 1
    }
}

stanchion_core::text_schema!(Date, "a date, such as `2026-03-01`");

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

impl FromStr for Date {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        let invalid = || InvalidDate(text.chars().take(80).collect());
        let digits = |part: Option<&str>, length| {
            part.filter(|part| part.len() == length && is_number(part)).map(str::parse)
        };
        let mut parts = text.splitn(3, '-');
        let (year, month, day) = (digits(parts.next(), 4), digits(parts.next(), 2), digits(parts.next(), 2));
        let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day))) = (year, month, day) else {
            return Err(invalid());
        };
        let small = |number: u16| u8::try_from(number).map_err(|_| invalid());
        Self::new(year, small(month)?, small(day)?)
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_reads_back_and_is_counted_from_a_monday() {
        let leap: Date = "2024-02-29".parse().unwrap();
        assert_eq!(leap, Date::new(2024, 2, 29).unwrap());
        assert_eq!(serde_json::to_string(&leap).unwrap(), "\"2024-02-29\"");
        assert_eq!(serde_json::from_str::<Date>("\"2024-02-29\"").unwrap(), leap);
        assert_eq!("0001-01-01".parse::<Date>().unwrap().number(), 0);
        // 2 March 2026 is a Monday.
        assert_eq!("2026-03-02".parse::<Date>().unwrap().number().rem_euclid(7), 0);
    }

    #[test]
    fn only_a_day_that_there_is_reads_as_one() {
        for bad in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "0000-01-01",
            "26-01-01",
            "2026-1-1",
            "2026-01-011",
            "2026-01",
            "2026-01-01T00:00:00Z",
            "+026-01-01",
            "2026-+1-01",
            "",
        ] {
            let error = bad.parse::<Date>().unwrap_err().to_string();
            assert!(error.contains("is not a date"), "{bad}: {error}");
        }
    }
}
