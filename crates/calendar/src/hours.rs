use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const DAY: u16 = 24 * 60;

/// Hours of a day, half-open, written `09:00-17:00`: at 09:00 they have begun, at 17:00 they are over.
///
/// When they end at or before the time they begin at, they last into the next day: `22:00-06:00`. The end of the day is `24:00`,
/// so the whole day is `00:00-24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours {
    /// Minutes from midnight, below a day.
    start: u16,
    /// Minutes from midnight, above zero; below `start` it is the next day's.
    end: u16,
}

/// The text is not a stretch of hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHours {
    given: String,
    empty: bool,
}

impl fmt::Display for InvalidHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = &self.given;
        if self.empty {
            write!(
                f,
                "`{given}` holds no time: let it end at another time than it begins at; the whole day is 00:00-24:00"
            )
        } else {
            write!(
                f,
                "`{given}` are not hours: use two times of 24 hours, such as 09:00-17:00 or 22:00-06:00"
            )
        }
    }
}

impl std::error::Error for InvalidHours {}

impl Hours {
    /// The whole day, `00:00-24:00`.
    pub const WHOLE_DAY: Self = Self { start: 0, end: DAY };

    /// Tells whether they last into the next day.
    #[must_use]
    pub const fn is_overnight(self) -> bool {
        self.end < self.start
    }

    /// Minutes from midnight at which they begin.
    pub(crate) const fn start(self) -> u16 {
        self.start
    }

    /// Minutes from midnight at which they end, of the next day when they last into it.
    pub(crate) const fn end(self) -> u16 {
        self.end
    }
}

stanchion_core::text_schema!(Hours, "hours of a day, such as `09:00-17:00`, or `22:00-06:00` into the next");

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.start, self.end);
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let invalid = |empty| InvalidHours { given: text.chars().take(80).collect(), empty };
        let (start, end) = text.split_once('-').ok_or_else(|| invalid(false))?;
        let time = |text| time(text).ok_or_else(|| invalid(false));
        let (start, end) = (time(start)?, time(end)?);
        if start == end {
            return Err(invalid(true));
        }
        if start == DAY {
            return Err(invalid(false));
        }
        // Midnight at the end is the end of the day, so that one stretch has one text.
        Ok(Self { start, end: if end == 0 { DAY } else { end } })
    }
}

/// Reads `HH:MM` as minutes from midnight.
fn time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| {
        let digits =
            (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)?;
        digits.parse::<u16>().ok()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let time = hours * 60 + minutes;
    (minutes < 60 && time <= DAY).then_some(time)
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_read_back_as_written() {
        for text in ["09:00-17:00", "22:00-06:00", "00:00-24:00", "23:59-00:01", "22:00-24:00", "00:00-00:01"]
        {
            let hours: Hours = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&hours).unwrap(), format!("\"{text}\""));
        }
        assert_eq!("22:00-00:00".parse::<Hours>().unwrap().to_string(), "22:00-24:00");
        assert!("22:00-06:00".parse::<Hours>().unwrap().is_overnight());
        assert!(!"22:00-00:00".parse::<Hours>().unwrap().is_overnight());
    }

    #[test]
    fn hours_without_time_are_refused_with_the_way_out() {
        for text in ["09:00-09:00", "00:00-00:00", "24:00-24:00"] {
            let error = text.parse::<Hours>().unwrap_err().to_string();
            assert!(error.ends_with("the whole day is 00:00-24:00"), "{error}");
        }
    }

    #[test]
    fn what_are_no_hours_is_refused() {
        for text in [
            "",
            "09:00",
            "9:00-17:00",
            "09:00-25:00",
            "09:60-17:00",
            "24:00-06:00",
            "09:00-24:01",
            "09:00–17:00",
            "09:00:00-17:00:00",
            "9am-5pm",
            "09:00-17:00-18:00",
            "+9:00-17:00",
            "٠٩:٠٠-١٧:٠٠",
        ] {
            let error = text.parse::<Hours>().unwrap_err().to_string();
            assert!(error.contains("such as 09:00-17:00"), "{text}: {error}");
        }
    }
}
