use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

#[track_caller]
fn check(window: &str, zone: &str, moment: &str, start: &str, end: &str) {
    let period = window.parse::<Window>().unwrap().bounds(at(moment), zone.parse().unwrap());
    assert_eq!((period.start(), period.end()), (at(start), at(end)), "{window} in {zone} at {moment}");
}

#[test]
fn seconds_minutes_and_hours_are_cut_out_of_utc() {
    check("30s", "UTC", "2026-03-04T10:15:29.999999Z", "2026-03-04T10:15:00Z", "2026-03-04T10:15:30Z");
    check("1m", "UTC", "2026-03-04T10:15:00Z", "2026-03-04T10:15:00Z", "2026-03-04T10:16:00Z");
    check("6h", "UTC", "2026-03-04T10:15:00Z", "2026-03-04T06:00:00Z", "2026-03-04T12:00:00Z");
    check("1s", "UTC", "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z");
    // Kathmandu is UTC+05:45: its clocks show a quarter to, the window is still the hour of UTC.
    check("1h", "Asia/Kathmandu", "2026-03-04T10:15:00Z", "2026-03-04T10:00:00Z", "2026-03-04T11:00:00Z");
}

#[test]
fn a_day_is_as_long_as_the_clocks_make_it() {
    // The European Union changes at 01:00 UTC on the last Sundays of March and October (Directive 2000/84/EC).
    check("1d", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
    check("1d", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    check("1d", "UTC", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z");
}

// The changes below are those of the IANA time zone database: rules Brazil, Cuba, StJohns and the zone lines of Pacific/Apia.

#[test]
fn a_day_whose_midnight_is_left_out_begins_with_the_change() {
    // 4 November 2018, 00:00 -03 became 01:00 -02.
    check("1d", "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z");
    check("1d", "America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z");
}

#[test]
fn a_day_whose_midnight_is_shown_twice_begins_at_the_first() {
    // 3 November 2024, 01:00 -04 became 00:00 -05.
    check("1d", "America/Havana", "2024-11-03T04:30:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");
    check("1d", "America/Havana", "2024-11-03T05:30:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");
}

#[test]
fn a_date_that_is_shown_again_belongs_to_the_day_after() {
    // 28 October 1990, 00:01 -02:30 became 27 October, 23:01 -03:30.
    for moment in ["1990-10-28T02:30:30Z", "1990-10-28T03:00:00Z", "1990-10-28T12:00:00Z"] {
        check("1d", "America/St_Johns", moment, "1990-10-28T02:30:00Z", "1990-10-29T03:30:00Z");
    }
    check("1d", "America/St_Johns", "1990-10-28T02:29:59Z", "1990-10-27T02:30:00Z", "1990-10-28T02:30:00Z");
}

#[test]
fn a_date_that_a_zone_left_out_is_no_window() {
    // Samoa went from 29 December 2011, 24:00 -10 to 31 December, 00:00 +14.
    check("1d", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z");
    let (zone, after) = ("Pacific/Apia".parse().unwrap(), at("2011-12-30T10:00:00Z"));
    let before = Window::DAY.previous(Window::DAY.bounds(after, zone), zone);
    assert_eq!((before.start(), before.end()), (at("2011-12-29T10:00:00Z"), after));
}

#[test]
fn months_have_the_days_they_have() {
    check("1mo", "UTC", "2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z");
    check("1mo", "UTC", "2100-02-28T23:59:59Z", "2100-02-01T00:00:00Z", "2100-03-01T00:00:00Z");
    // March in Berlin begins in winter time and ends in summer time.
    check("1mo", "Europe/Berlin", "2026-03-15T00:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
    check("1mo", "America/New_York", "2026-01-01T04:59:59Z", "2025-12-01T05:00:00Z", "2026-01-01T05:00:00Z");
}

#[test]
fn windows_of_several_units_begin_at_fixed_places() {
    // 2 March 2026 is a Monday.
    check("7d", "UTC", "2026-03-04T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z");
    check("7d", "UTC", "2026-03-08T23:59:59Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z");
    check("3mo", "UTC", "2024-02-29T00:00:00Z", "2024-01-01T00:00:00Z", "2024-04-01T00:00:00Z");
    check("12mo", "Asia/Tokyo", "2025-12-31T15:00:00Z", "2025-12-31T15:00:00Z", "2026-12-31T15:00:00Z");
}

#[test]
fn the_ends_of_time_have_a_window() {
    for zone in ["UTC", "Pacific/Kiritimati", "America/New_York"].map(|zone| zone.parse().unwrap()) {
        for window in ["1s", "7d", "36525d", "1mo", "1200mo"].map(|text| text.parse::<Window>().unwrap()) {
            assert!(window.bounds(Timestamp::MIN, zone).contains(Timestamp::MIN), "{window}");
            assert!(window.bounds(Timestamp::MAX, zone).start() < Timestamp::MAX, "{window}");
        }
    }
}

#[test]
fn a_window_reads_back_as_written() {
    for text in ["30s", "1m", "1h", "1d", "1mo", "3mo", "3155760000s"] {
        assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
    }
    assert_eq!(serde_json::from_str::<Window>("\"5m\"").unwrap().to_string(), "5m");
    assert_eq!("90m".parse::<Window>().unwrap().nominal_seconds(), Some(5400));
    assert_eq!(Window::MONTH.nominal_seconds(), None);
}

#[test]
fn what_is_no_window_is_refused_with_the_way_out() {
    for text in ["", "m", "1", "0s", "-1s", "1.5h", "1 m", "1M", "1min", "1w", "٣s"] {
        let error = text.parse::<Window>().unwrap_err().to_string();
        assert!(error.ends_with("use a number and a unit, such as 30s, 1m, 1h, 1d or 1mo"), "{error}");
    }
    for text in ["1201mo", "36526d", "99999999999999999999999999999999999999999s"] {
        assert!(
            text.parse::<Window>().unwrap_err().to_string().ends_with("at most a hundred years"),
            "{text}"
        );
    }
}

proptest! {
    /// Windows follow each other without gap or overlap, whatever the clocks do.
    #[test]
    fn every_instant_lies_in_exactly_one_window(
        micros in Timestamp::MIN.micros()..Timestamp::MAX.micros(),
        recent in 0_i64..4_102_444_800_000_000,
        zone in prop::sample::select(&[
            "UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "America/Havana", "Pacific/Apia",
            "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "Antarctica/Troll", "Asia/Tehran",
        ][..]),
        window in prop::sample::select(&["1s", "7m", "5h", "1d", "7d", "10d", "1mo", "3mo", "12mo", "7mo"][..]),
    ) {
        let (zone, window): (Zone, Window) = (zone.parse().unwrap(), window.parse().unwrap());
        for micros in [micros, recent] {
            let moment = Timestamp::from_micros(micros);
            let period = window.bounds(moment, zone);
            prop_assert!(period.contains(moment), "{period:?}");
            let last = Timestamp::from_micros(period.end().micros() - 1);
            prop_assert_eq!(window.bounds(period.start(), zone), period);
            prop_assert_eq!(window.bounds(last, zone), period);
            if period.end() < Timestamp::MAX {
                prop_assert_eq!(window.next(period, zone).start(), period.end());
            }
            if period.start() > Timestamp::MIN {
                prop_assert_eq!(window.previous(period, zone).end(), period.start());
            }
        }
    }
}
