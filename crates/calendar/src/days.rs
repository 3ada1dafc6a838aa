use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A day of the week, written `mon` to `sun`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Weekday {
    /// Monday, the first day of the week (ISO 8601).
    #[serde(rename = "mon")]
    Monday,
    /// Tuesday.
    #[serde(rename = "tue")]
    Tuesday,
    /// Wednesday.
    #[serde(rename = "wed")]
    Wednesday,
    /// Thursday.
    #[serde(rename = "thu")]
    Thursday,
    /// Friday.
    #[serde(rename = "fri")]
    Friday,
    /// Saturday.
    #[serde(rename = "sat")]
    Saturday,
    /// Sunday.
    #[serde(rename = "sun")]
    Sunday,
}

impl Weekday {
    /// Every day of the week, from Monday.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// Returns the name that it is written with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "mon",
            Self::Tuesday => "tue",
            Self::Wednesday => "wed",
            Self::Thursday => "thu",
            Self::Friday => "fri",
            Self::Saturday => "sat",
            Self::Sunday => "sun",
        }
    }

    /// Finds the day of a name of three letters, whatever their case.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| name.eq_ignore_ascii_case(day.as_str()))
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of days of the week, at least one.
///
/// Its text is `mon-fri`, `sat,sun`, `mon-wed,sat`; a stretch may go over the weekend: `fri-mon`. In JSON it is a list of days.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Days {
    /// Bit 0 is Monday.
    bits: u8,
}

/// The text or list is not a set of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDays(Option<String>);

impl fmt::Display for InvalidDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("no day is named: name at least one of mon, tue, wed, thu, fri, sat, sun"),
            Some(given) => write!(f, "`{given}` are not days: use mon to sun, such as mon-fri or sat,sun"),
        }
    }
}

impl std::error::Error for InvalidDays {}

impl Days {
    /// Every day of the week.
    pub const EVERY: Self = Self { bits: 0b111_1111 };

    /// Takes days, in any order.
    ///
    /// # Errors
    /// [`InvalidDays`] when there are none.
    pub fn new(days: impl IntoIterator<Item = Weekday>) -> Result<Self, InvalidDays> {
        let bits = days.into_iter().fold(0, |bits, day| bits | bit(day as i64));
        if bits == 0 { Err(InvalidDays(None)) } else { Ok(Self { bits }) }
    }

    /// Tells whether a day is one of them.
    #[must_use]
    pub fn contains(self, day: Weekday) -> bool {
        self.contains_number(day as i64)
    }

    /// Goes through the days, from Monday.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        Weekday::ALL.into_iter().filter(move |day| self.contains(*day))
    }

    /// As [`Days::contains`], of a day number whose 0 is a Monday.
    pub(crate) fn contains_number(self, day: i64) -> bool {
        self.bits & bit(day) != 0
    }
}

fn bit(day: i64) -> u8 {
    1 << day.rem_euclid(7)
}

impl fmt::Debug for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Days({self})")
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<Weekday> = self.iter().collect();
        let stretches = days.chunk_by(|day, next| *day as i64 + 1 == *next as i64);
        for (number, stretch) in stretches.enumerate() {
            let separator = if number == 0 { "" } else { "," };
            match stretch {
                [first, .., last] if stretch.len() > 2 => write!(f, "{separator}{first}-{last}")?,
                [first, last] => write!(f, "{separator}{first},{last}")?,
                stretch => stretch.iter().try_for_each(|day| write!(f, "{separator}{day}"))?,
            }
        }
        Ok(())
    }
}

impl FromStr for Days {
    type Err = InvalidDays;

    fn from_str(text: &str) -> Result<Self, InvalidDays> {
        let invalid = || InvalidDays(Some(text.chars().take(80).collect()));
        let day = |name| Weekday::from_name(name).ok_or_else(invalid);
        let mut bits = 0;
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (day(first)? as i64, day(last)? as i64),
                None => (day(part)? as i64, day(part)? as i64),
            };
            let length = (last - first).rem_euclid(7);
            bits = (first..=first + length).fold(bits, |bits, day| bits | bit(day));
        }
        Ok(Self { bits })
    }
}

impl Serialize for Days {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<Weekday>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Days {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "description": "days of the week, at least one",
            "items": generator.subschema_for::<Weekday>(),
            "minItems": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_text_whatever_it_was_written_as() {
        for (written, read) in [
            ("mon-fri", "mon-fri"),
            ("Mon-Fri", "mon-fri"),
            ("sun,sat", "sat,sun"),
            ("fri-mon", "mon,fri-sun"),
            ("mon,tue,wed,sat", "mon-wed,sat"),
            ("wed", "wed"),
            ("mon-sun", "mon-sun"),
            ("thu-wed", "mon-sun"),
        ] {
            let days: Days = written.parse().unwrap();
            assert_eq!(days.to_string(), read, "{written}");
            assert_eq!(read.parse(), Ok(days));
        }
        assert_eq!("mon-sun".parse(), Ok(Days::EVERY));
    }

    #[test]
    fn in_json_it_is_a_list_and_reads_back() {
        let weekend: Days = serde_json::from_str(r#"["sun","sat","sun"]"#).unwrap();
        assert_eq!(serde_json::to_string(&weekend).unwrap(), r#"["sat","sun"]"#);
        assert!(weekend.contains(Weekday::Sunday) && !weekend.contains(Weekday::Monday));
    }

    #[test]
    fn no_day_at_all_is_refused_and_so_is_what_is_no_day() {
        assert!(serde_json::from_str::<Days>("[]").unwrap_err().to_string().contains("name at least one"));
        assert!(Days::new([]).is_err());
        for bad in ["", "monday", "mon-", "-fri", "mon,,tue", "mon fri", "0", "mo", "mon-fri-sun"] {
            let error = bad.parse::<Days>().unwrap_err().to_string();
            assert!(error.contains("such as mon-fri or sat,sun"), "{bad}: {error}");
        }
        assert!(
            serde_json::from_str::<Days>("[0,1,2]").is_err(),
            "numbers begin on different days for different people"
        );
    }
}
