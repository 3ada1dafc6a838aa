use std::fmt;
use std::iter::Peekable;
use std::str::{FromStr, SplitWhitespace};

use serde::{Deserialize, Serialize};
use stanchion_core::Timestamp;

use crate::{Date, Days, Hours, InvalidDate, InvalidDays, InvalidHours, InvalidZone, Zone};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Hours of a week that recur, such as nine to five from Monday to Friday, as the clocks of a zone show them.
///
/// Each stretch of hours belongs to the day it begins on: `22:00-06:00` on `fri` is in force on Saturday at 02:00, and not on Friday
/// at 02:00. The days and the dates choose the days on which a stretch begins; `from` is the first such date, `until` the first that
/// is none any more. Without hours it is the whole day, without days every day: nothing is left out that was not said.
///
/// What the clocks show is what counts. When they are put back, hours that are shown twice are in force twice; when they are put
/// forward, hours that are left out are not in force. (A [`Window`](crate::Window) instead cuts time into days that follow each
/// other without gap.)
///
/// ```
/// use stanchion_calendar::Schedule;
/// use stanchion_core::Timestamp;
///
/// let office: Schedule = "09:00-17:00 mon-fri Europe/Berlin".parse()?;
/// let friday = Timestamp::parse_rfc3339("2026-03-27T16:59:59+01:00")?;
/// assert!(office.contains(friday));
///
/// let closing = office.next_edge(friday).unwrap();
/// assert_eq!(closing, Timestamp::parse_rfc3339("2026-03-27T17:00:00+01:00")?);
/// // The clocks go forward on Sunday.
/// assert_eq!(office.next_edge(closing), Some(Timestamp::parse_rfc3339("2026-03-30T09:00:00+02:00")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Parts")]
pub struct Schedule {
    #[serde(skip_serializing_if = "is_whole_day")]
    hours: Hours,
    #[serde(skip_serializing_if = "is_every_day")]
    days: Days,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Date>,
    zone: Zone,
}

/// The text or object is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSchedule(Fault);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Hours(InvalidHours),
    Days(InvalidDays),
    Date(InvalidDate),
    Zone(InvalidZone),
    /// What is left when a schedule has been read.
    Trailing(String),
    Nothing,
    /// The schedule, which is never in force.
    Empty(String),
}

impl fmt::Display for InvalidSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FORM: &str =
            "write `09:00-17:00 mon-fri from 2026-01-01 until 2027-01-01 Europe/Berlin`, any of it";
        match &self.0 {
            Fault::Hours(error) => fmt::Display::fmt(error, f),
            Fault::Days(error) => fmt::Display::fmt(error, f),
            Fault::Date(error) => fmt::Display::fmt(error, f),
            Fault::Zone(error) => fmt::Display::fmt(error, f),
            Fault::Trailing(rest) => write!(f, "`{rest}` does not belong there: {FORM}"),
            Fault::Nothing => write!(f, "there is no schedule: {FORM}"),
            Fault::Empty(text) => {
                write!(
                    f,
                    "`{text}` is never in force: let a day it names lie from the one date until before the other"
                )
            }
        }
    }
}

impl std::error::Error for InvalidSchedule {}

impl Schedule {
    /// Takes the hours of the day ([`Hours::WHOLE_DAY`]), the days of the week ([`Days::EVERY`]), the first date and the first date
    /// that does not count any more, and the zone whose clocks are meant.
    ///
    /// # Errors
    /// [`InvalidSchedule`] when it would never be in force: the dates are not in order, or hold none of the days.
    pub fn new(
        hours: Hours,
        days: Days,
        from: Option<Date>,
        until: Option<Date>,
        zone: Zone,
    ) -> Result<Self, InvalidSchedule> {
        let schedule = Self { hours, days, from, until, zone };
        if schedule.is_ever_in_force() {
            Ok(schedule)
        } else {
            Err(InvalidSchedule(Fault::Empty(schedule.to_string())))
        }
    }

    /// Returns the hours of the day.
    #[must_use]
    pub const fn hours(self) -> Hours {
        self.hours
    }

    /// Returns the days of the week on which the hours begin.
    #[must_use]
    pub const fn days(self) -> Days {
        self.days
    }

    /// Returns the first date on which the hours begin, if there is one.
    #[must_use]
    pub const fn from(self) -> Option<Date> {
        self.from
    }

    /// Returns the first date on which the hours do not begin any more, if there is one.
    #[must_use]
    pub const fn until(self) -> Option<Date> {
        self.until
    }

    /// Returns the zone whose clocks are meant.
    #[must_use]
    pub const fn zone(self) -> Zone {
        self.zone
    }

    /// Tells whether it is in force at an instant.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        let shown = self.zone.shown(at);
        let (day, time) = (Zone::day_of(shown), shown.rem_euclid(DAY));
        let (begun, over) = (time >= micros(self.hours.start()), time >= micros(self.hours.end()));
        if self.hours.is_overnight() {
            (begun && self.begins_on(day)) || (!over && self.begins_on(day - 1))
        } else {
            begun && !over && self.begins_on(day)
        }
    }

    /// Returns the next instant after `after` at which it comes into force or goes out of it; `None` when it stays as it is.
    #[must_use]
    pub fn next_edge(self, after: Timestamp) -> Option<Timestamp> {
        let before = self.contains(after);
        let mut at = after;
        loop {
            at = self.next_boundary(self.first_to_look_at(at)?)?;
            if self.contains(at) != before {
                return Some(at);
            }
        }
    }

    /// Skips the time in which nothing can change, so that what is left takes at most a few weeks' boundaries; `None` when nothing
    /// will change any more.
    fn first_to_look_at(self, after: Timestamp) -> Option<Timestamp> {
        // Two days early: clocks never differ by more between one showing of a date and another.
        let shortly_before = |date: Date| {
            let start = self.zone.day_start(date.number() - 2).unwrap_or(i64::MIN);
            Timestamp::from_micros(start).max(after)
        };
        let day = self.zone.day(after);
        if self.is_over(after) {
            return None;
        }
        match self.from {
            // A date may be shown once more after the next one was, and the day before `from` with it.
            Some(from) if day <= from.number() + 1 => Some(shortly_before(from)),
            _ if self.hours == Hours::WHOLE_DAY && self.days == Days::EVERY => self.until.map(shortly_before),
            _ => Some(after),
        }
    }

    /// Tells whether it will not be in force any more.
    fn is_over(self, at: Timestamp) -> bool {
        // The last stretch may last into `until`, and a date may be shown once more after the next one was.
        self.until.is_some_and(|until| self.zone.day(at) > until.number() + 1)
    }

    /// Returns the next instant at which the hours begin or end, or at which the clocks are changed.
    fn next_boundary(self, at: Timestamp) -> Option<Timestamp> {
        let (offset, time) = (self.zone.offset(at), self.zone.shown(at).rem_euclid(DAY));
        let to_come = |boundary: i64| (boundary - time - 1).rem_euclid(DAY) + 1;
        let ahead = to_come(micros(self.hours.start())).min(to_come(micros(self.hours.end())));
        let next = Timestamp::from_micros(at.micros().saturating_add(ahead));
        if next <= at {
            return None;
        }
        if self.zone.offset(next) == offset {
            return Some(next);
        }
        // Clocks change at whole seconds, and not twice within a day.
        let (mut same, mut changed) = (at.seconds(), next.seconds());
        while changed - same > 1 {
            let middle = same.midpoint(changed);
            if self.zone.offset(second(middle)) == offset {
                same = middle;
            } else {
                changed = middle;
            }
        }
        Some(second(changed))
    }

    /// Tells whether hours begin on a day, by its number.
    fn begins_on(self, day: i64) -> bool {
        self.days.contains_number(day)
            && self.from.is_none_or(|from| from.number() <= day)
            && self.until.is_none_or(|until| day < until.number())
    }

    fn is_ever_in_force(self) -> bool {
        if self.from.is_none() && self.until.is_none() {
            return true;
        }
        let start = self.from.and_then(|from| self.zone.day_start(from.number())).unwrap_or(i64::MIN);
        let start = Timestamp::from_micros(start);
        self.contains(start) || self.next_edge(start).is_some()
    }
}

fn micros(minutes: u16) -> i64 {
    i64::from(minutes) * MINUTE
}

const fn second(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

fn is_whole_day(hours: &Hours) -> bool {
    *hours == Hours::WHOLE_DAY
}

fn is_every_day(days: &Days) -> bool {
    *days == Days::EVERY
}

/// As it is written in JSON.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Parts {
    /// The hours of the day; without them it is the whole day.
    hours: Option<Hours>,
    /// The days of the week on which the hours begin; without them it is every day.
    days: Option<Days>,
    /// The first date on which the hours begin.
    from: Option<Date>,
    /// The first date on which the hours do not begin any more.
    until: Option<Date>,
    /// The zone whose clocks are meant; without it UTC.
    zone: Option<Zone>,
}

impl TryFrom<Parts> for Schedule {
    type Error = InvalidSchedule;

    fn try_from(parts: Parts) -> Result<Self, InvalidSchedule> {
        let Parts { hours, days, from, until, zone } = parts;
        let (hours, days) = (hours.unwrap_or(Hours::WHOLE_DAY), days.unwrap_or(Days::EVERY));
        Self::new(hours, days, from, until, zone.unwrap_or_default())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hours, days, from, until, zone } = self;
        let nothing_else = is_every_day(days) && from.is_none() && until.is_none();
        if !is_whole_day(hours) || nothing_else {
            write!(f, "{hours} ")?;
        }
        if !is_every_day(days) {
            write!(f, "{days} ")?;
        }
        from.iter().try_for_each(|from| write!(f, "from {from} "))?;
        until.iter().try_for_each(|until| write!(f, "until {until} "))?;
        fmt::Display::fmt(zone, f)
    }
}

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_none() {
            return Err(InvalidSchedule(Fault::Nothing));
        }
        let hours = words.next_if(|word| word.contains(':')).map(str::parse).transpose();
        let days = words.next_if(|word| is_days(word)).map(str::parse).transpose();
        let (from, until) = (date(&mut words, "from"), date(&mut words, "until"));
        let zone = words.next().map(str::parse).transpose();
        let parts = Parts {
            hours: hours.map_err(|error| InvalidSchedule(Fault::Hours(error)))?,
            days: days.map_err(|error| InvalidSchedule(Fault::Days(error)))?,
            from: from?,
            until: until?,
            zone: zone.map_err(|error| InvalidSchedule(Fault::Zone(error)))?,
        };
        match words.next() {
            None => parts.try_into(),
            Some(rest) => Err(InvalidSchedule(Fault::Trailing(rest.chars().take(80).collect()))),
        }
    }
}

/// Tells whether a word is meant as days; no zone has the name of one.
fn is_days(word: &str) -> bool {
    word.split([',', '-']).next().is_some_and(|day| day.parse::<Days>().is_ok())
}

/// Reads the date that follows a word.
fn date(words: &mut Peekable<SplitWhitespace<'_>>, name: &str) -> Result<Option<Date>, InvalidSchedule> {
    if words.next_if(|word| word.eq_ignore_ascii_case(name)).is_none() {
        return Ok(None);
    }
    let date = words.next().unwrap_or_default().parse();
    date.map(Some).map_err(|error| InvalidSchedule(Fault::Date(error)))
}

#[cfg(test)]
mod tests;
