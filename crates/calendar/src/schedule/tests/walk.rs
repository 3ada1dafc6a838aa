use chrono::{Datelike, TimeZone, Timelike};
use proptest::prelude::*;

use super::*;
use crate::Weekday;

/// Reads the clocks of the zone with `chrono` and goes by them, step by step.
fn naive(text: &Given, moment: Timestamp) -> bool {
    let zone: chrono_tz::Tz = text.zone.parse().unwrap();
    let clock = zone.from_utc_datetime(&moment.to_utc().naive_utc());
    let minute = clock.hour() * 60 + clock.minute();
    let chosen = |date: chrono::NaiveDate| {
        let days: &[u32] = &text.days;
        (days.is_empty() || days.contains(&date.weekday().num_days_from_monday()))
            && text.from.is_none_or(|from| from <= date)
            && text.until.is_none_or(|until| date < until)
    };
    let (today, yesterday) = (clock.date_naive(), clock.date_naive().pred_opt().unwrap());
    let (start, end) = text.hours;
    if start < end {
        chosen(today) && (start..end).contains(&minute)
    } else {
        (minute >= start && chosen(today)) || (minute < end && chosen(yesterday))
    }
}

#[derive(Clone, Debug)]
struct Given {
    hours: (u32, u32),
    days: Vec<u32>,
    from: Option<chrono::NaiveDate>,
    until: Option<chrono::NaiveDate>,
    zone: &'static str,
}

impl Given {
    fn schedule(&self) -> Result<Schedule, InvalidSchedule> {
        let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let hours = format!("{}-{}", time(self.hours.0), time(self.hours.1)).parse().unwrap();
        let days = Days::new(self.days.iter().map(|day| Weekday::ALL[*day as usize])).unwrap_or(Days::EVERY);
        let date = |date: Option<chrono::NaiveDate>| date.map(|date| date.to_string().parse().unwrap());
        Schedule::new(hours, days, date(self.from), date(self.until), self.zone.parse().unwrap())
    }
}

/// Zones, and a time shortly before their clocks change: by an hour, half of one, two; at midnight; over a whole date; in Ramadan.
const CHANGES: [(&str, &str); 12] = [
    ("UTC", "2026-03-28T12:00:00Z"),
    ("Asia/Kathmandu", "2026-03-28T12:00:00Z"),
    ("Europe/Berlin", "2026-03-28T12:00:00Z"),
    ("Europe/Berlin", "2026-10-24T12:00:00Z"),
    ("America/St_Johns", "1990-10-27T12:00:00Z"),
    ("America/Sao_Paulo", "2018-11-03T12:00:00Z"),
    ("America/Havana", "2024-11-02T12:00:00Z"),
    ("Pacific/Apia", "2011-12-29T12:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
    ("Africa/Casablanca", "2026-02-14T12:00:00Z"),
    ("Antarctica/Troll", "2026-10-24T12:00:00Z"),
    ("Asia/Tehran", "2022-03-21T12:00:00Z"),
];

/// Seconds since 1970, up to 2038: shortly before the clocks of the zone change, or anywhere.
fn moment() -> impl Strategy<Value = (&'static str, i64)> {
    let change = |(zone, change): (&'static str, &str)| (zone, at(change).seconds());
    let anywhere = (prop::sample::select(&CHANGES[..]), 0_i64..2_145_916_800);
    prop_oneof![
        3 => (prop::sample::select(CHANGES.map(change).to_vec()), 0_i64..50_000)
            .prop_map(|((zone, change), later)| (zone, change + later)),
        1 => anywhere.prop_map(|((zone, _), moment)| (zone, moment)),
    ]
}

fn given() -> impl Strategy<Value = (Given, i64)> {
    let minute = || prop_oneof![0_u32..1440, prop::sample::select(vec![0, 60, 120, 150, 180, 1380])];
    let hours = (minute(), minute()).prop_map(|(start, end)| {
        // Written `24:00`: the end of the day, not its beginning.
        let end = if end == 0 { 1440 } else { end };
        (start, if start == end { end % 1440 + 1 } else { end })
    });
    let hours = prop_oneof![4 => hours, 1 => Just((0, 1440))];
    let days = prop_oneof![Just(Vec::new()), prop::collection::vec(0_u32..7, 1..4)];
    let dates = (prop::option::of(-3_i64..3), prop::option::of(1_i64..12));
    (hours, days, dates, moment()).prop_map(|(hours, days, (from, length), (zone, moment))| {
        let day = chrono::DateTime::from_timestamp(moment, 0).unwrap().date_naive();
        let from_day = day + chrono::TimeDelta::days(from.unwrap_or(0));
        let until = length.map(|length| from_day + chrono::TimeDelta::days(length));
        (Given { hours, days, from: from.map(|_| from_day), until, zone }, moment)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// From an instant to the next edge nothing changes, at the edge it does; all that by the clocks' own showing.
    #[test]
    fn between_two_edges_it_stays_as_it_is((given, second) in given(), micros in 0_i64..60_000_000) {
        let start = Timestamp::from_micros(second * 1_000_000 + micros);
        let end = start.micros() + 21 * DAY;
        let Ok(schedule) = given.schedule() else {
            // It claims never to be in force.
            for minute in (second / 60 - 5 * 1_440)..(second / 60 + 21 * 1_440) {
                let moment = Timestamp::from_micros(minute * MINUTE);
                prop_assert!(!naive(&given, moment), "{:?} is in force at {moment}", given);
            }
            return Ok(());
        };
        prop_assert_eq!(schedule.to_string().parse(), Ok(schedule));
        let mut edge = schedule.next_edge(start);
        let mut now = schedule.contains(start);
        prop_assert_eq!(now, naive(&given, start), "{} at {}", schedule, start);
        if let Some(edge) = edge {
            prop_assert_eq!(schedule.contains(Timestamp::from_micros(edge.micros() - 1)), now);
        }
        let mut minute = start.micros().div_euclid(MINUTE) * MINUTE + MINUTE;
        while minute < end {
            let moment = Timestamp::from_micros(minute);
            if edge.is_some_and(|edge| edge <= moment) {
                // In these zones and years all changes are at whole minutes.
                prop_assert_eq!(edge, Some(moment), "{}", schedule);
                (now, edge) = (!now, schedule.next_edge(moment));
            }
            prop_assert_eq!(naive(&given, moment), now, "{} at {}, next {:?}", schedule, moment, edge);
            prop_assert_eq!(schedule.contains(moment), now, "{} at {}", schedule, moment);
            minute += MINUTE;
        }
    }
}
