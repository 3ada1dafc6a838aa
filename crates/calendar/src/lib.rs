//! Windows and months of the civil calendar, in a stated time zone.
//!
//! Rate limits, quotas and invoices all ask the same question: which window does this instant belong to, and when does it end?
//! [`Window`] answers it. Seconds, minutes and hours are cut out of UTC; days and months are the days and months of a [`Zone`], so
//! a day has 23 or 25 hours when the clocks change, and a month has as many days as it has.
//!
//! Windows of one kind follow each other without gap or overlap: every instant lies in exactly one, and that one is half-open,
//! `start <= t < end`.
//!
//! A [`Schedule`] asks another question: is this one of the hours of the week in which something may happen, and when does that
//! change? It goes by what the clocks of its zone show.
//!
//! ```
//! use stanchion_calendar::{Month, Window, Zone};
//! use stanchion_core::Timestamp;
//!
//! let berlin: Zone = "Europe/Berlin".parse()?;
//! let noon = Timestamp::parse_rfc3339("2026-03-29T12:00:00+02:00")?;
//!
//! let day = "1d".parse::<Window>()?.bounds(noon, berlin);
//! assert_eq!(day.start(), Timestamp::parse_rfc3339("2026-03-29T00:00:00+01:00")?);
//! assert_eq!(day.length().as_secs(), 23 * 3600, "the clocks went forward that night");
//!
//! assert_eq!(Month::of(noon, berlin).to_string(), "2026-03");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod date;
mod days;
mod hours;
mod month;
mod period;
mod schedule;
mod window;
mod zone;

pub use date::{Date, InvalidDate};
pub use days::{Days, InvalidDays, Weekday};
pub use hours::{Hours, InvalidHours};
pub use month::{InvalidMonth, Month};
pub use period::{InvalidPeriod, Period};
pub use schedule::{InvalidSchedule, Schedule};
pub use window::{InvalidWindow, Unit, Window};
pub use zone::{InvalidZone, Zone};
