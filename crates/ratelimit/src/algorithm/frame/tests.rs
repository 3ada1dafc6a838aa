use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::algorithm::tests::Counter;
use crate::{Limit, State};

const MICRO: Duration = Duration::from_micros(1);

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn around(window: &str, zone_name: &str, text: &str) -> Edges {
    Edges::around(window.parse().unwrap(), at(text), zone(zone_name))
}

/// What the zones' own calendars say: the edges are midnights there.
#[test]
fn windows_are_those_of_the_zones_calendar() {
    for (window, zone, now, edges) in [
        // Clocks go forward at 2026-03-29T01:00Z: 23 hours.
        (
            "1d",
            "Europe/Berlin",
            "2026-03-29T12:00:00Z",
            ["2026-03-27T23:00", "2026-03-28T23:00", "2026-03-29T22:00", "2026-03-30T22:00"],
        ),
        // And back at 2026-10-25T01:00Z: 25 hours.
        (
            "1d",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            ["2026-10-23T22:00", "2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00"],
        ),
        (
            "1d",
            "Europe/Berlin",
            "2026-10-26T00:30:00Z",
            ["2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00", "2026-10-27T23:00"],
        ),
        (
            "1d",
            "America/New_York",
            "2026-03-08T12:00:00Z",
            ["2026-03-07T05:00", "2026-03-08T05:00", "2026-03-09T04:00", "2026-03-10T04:00"],
        ),
        (
            "1d",
            "America/New_York",
            "2026-11-01T12:00:00Z",
            ["2026-10-31T04:00", "2026-11-01T04:00", "2026-11-02T05:00", "2026-11-03T05:00"],
        ),
        (
            "1mo",
            "America/New_York",
            "2026-11-15T12:00:00Z",
            ["2026-10-01T04:00", "2026-11-01T04:00", "2026-12-01T05:00", "2027-01-01T05:00"],
        ),
        (
            "1d",
            "Asia/Tokyo",
            "2026-03-29T14:59:59Z",
            ["2026-03-27T15:00", "2026-03-28T15:00", "2026-03-29T15:00", "2026-03-30T15:00"],
        ),
        (
            "1d",
            "Asia/Tokyo",
            "2026-03-29T15:00:00Z",
            ["2026-03-28T15:00", "2026-03-29T15:00", "2026-03-30T15:00", "2026-03-31T15:00"],
        ),
        // Samoa went to the other side of the date line and had no 30 December 2011.
        (
            "1d",
            "Pacific/Apia",
            "2011-12-29T20:00:00Z",
            ["2011-12-28T10:00", "2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"],
        ),
        (
            "1d",
            "Pacific/Apia",
            "2011-12-30T10:00:00Z",
            ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00", "2012-01-01T10:00"],
        ),
        (
            "1mo",
            "Pacific/Apia",
            "2011-12-30T20:00:00Z",
            ["2011-11-01T10:00", "2011-12-01T10:00", "2011-12-31T10:00", "2012-01-31T10:00"],
        ),
        // Leap days.
        (
            "1d",
            "UTC",
            "2028-02-29T23:59:59Z",
            ["2028-02-28T00:00", "2028-02-29T00:00", "2028-03-01T00:00", "2028-03-02T00:00"],
        ),
        (
            "1mo",
            "UTC",
            "2028-02-29T12:00:00Z",
            ["2028-01-01T00:00", "2028-02-01T00:00", "2028-03-01T00:00", "2028-04-01T00:00"],
        ),
        (
            "1mo",
            "UTC",
            "2027-02-28T12:00:00Z",
            ["2027-01-01T00:00", "2027-02-01T00:00", "2027-03-01T00:00", "2027-04-01T00:00"],
        ),
        (
            "1mo",
            "Asia/Tokyo",
            "2028-02-29T14:59:59Z",
            ["2027-12-31T15:00", "2028-01-31T15:00", "2028-02-29T15:00", "2028-03-31T15:00"],
        ),
        (
            "12mo",
            "Europe/Berlin",
            "2028-02-29T12:00:00Z",
            ["2026-12-31T23:00", "2027-12-31T23:00", "2028-12-31T23:00", "2029-12-31T23:00"],
        ),
    ] {
        let expected = Edges::new(edges.map(|edge| at(&format!("{edge}:00Z")))).unwrap();
        assert_eq!(around(window, zone, now), expected, "{window} {zone} {now}");
    }
}

#[test]
fn edges_come_one_after_the_other() {
    let [a, b, c, d] = [1, 2, 3, 4].map(Timestamp::from_micros);
    assert!(Edges::new([a, b, c, d]).is_some());
    for wrong in [[a, a, c, d], [a, b, b, d], [a, b, c, c], [b, a, c, d], [a, c, b, d], [a, b, d, c]] {
        assert_eq!(Edges::new(wrong), None);
    }
}

#[test]
fn a_day_is_used_up_until_its_midnight_whatever_its_length() {
    for (zone_name, start, end) in [
        ("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
        ("America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        ("Asia/Tokyo", "2026-03-28T15:00:00Z", "2026-03-29T15:00:00Z"),
        ("Pacific/Apia", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
        ("UTC", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
    ] {
        let (start, end) = (at(start), at(end));
        let limit = |now| {
            let edges = Edges::around(Window::DAY, now, zone(zone_name));
            Limit::fixed_window(5, Frame::Calendar(edges)).unwrap()
        };
        let (state, _) = limit(start.minus(MICRO)).charge(None, start.minus(MICRO), 5);
        let (state, first) = limit(start).charge(Some(state), start, 5);
        assert!(first.fits, "{zone_name} {start}: the day before is another");
        assert_eq!(first.reset_after, end.since(start));
        let last = limit(end.minus(MICRO)).charge(Some(state), end.minus(MICRO), 1).1;
        assert_eq!((last.fits, last.retry_after), (false, Some(MICRO)), "{zone_name} {end}");
        assert!(limit(end).charge(Some(state), end, 5).1.fits, "{zone_name} {end}");
    }
}

/// What is left of 100 in a sliding day of a zone, after all the day before has used.
fn left(zone_name: &str, before: &str, used: u64, now: &str) -> u64 {
    let limit = |text| Limit::sliding_window(100, Frame::Calendar(around("1d", zone_name, text))).unwrap();
    let (state, _) = limit(before).charge(None, at(before), used);
    limit(now).charge(Some(state), at(now), 0).1.remaining
}

#[test]
fn the_day_before_counts_by_the_part_of_the_day_that_is_left() {
    // Five of 25 hours into the day: four fifths of the day before. Six of 24 into the next: three quarters of it.
    assert_eq!(left("Europe/Berlin", "2026-10-24T12:00:00Z", 100, "2026-10-25T03:00:00Z"), 20);
    assert_eq!(left("Europe/Berlin", "2026-10-25T12:00:00Z", 100, "2026-10-26T05:00:00Z"), 25);
    // Half of 23 hours.
    assert_eq!(left("Europe/Berlin", "2026-03-28T12:00:00Z", 92, "2026-03-29T10:30:00Z"), 54);
    assert_eq!(left("America/New_York", "2026-03-07T12:00:00Z", 92, "2026-03-08T16:30:00Z"), 54);
    assert_eq!(left("America/New_York", "2026-10-31T12:00:00Z", 100, "2026-11-01T09:00:00Z"), 20);
    // Where a date was skipped, the day before is the one that there was.
    assert_eq!(left("Pacific/Apia", "2011-12-29T20:00:00Z", 100, "2011-12-30T16:00:00Z"), 25);
    assert_eq!(left("UTC", "2028-02-28T12:00:00Z", 100, "2028-02-29T06:00:00Z"), 25);
    assert_eq!(left("UTC", "2028-02-29T12:00:00Z", 100, "2028-03-01T06:00:00Z"), 25);
}

#[test]
fn a_leap_february_has_29_days_to_forget_january_in() {
    let limit = |text| Limit::sliding_window(290, Frame::Calendar(around("1mo", "UTC", text))).unwrap();
    let (state, _) = limit("2028-01-15T00:00:00Z").charge(None, at("2028-01-15T00:00:00Z"), 290);
    // Ten of 29 days on, 19 parts of 29 are left, rounded up to millionths: 190.
    let eleventh = "2028-02-11T00:00:00Z";
    assert_eq!(limit(eleventh).charge(Some(state), at(eleventh), 0).1.remaining, 99);
    let last = "2028-02-29T23:59:59.999999Z";
    assert_eq!(limit(last).charge(Some(state), at(last), 0).1.remaining, 289);
}

#[test]
fn a_store_whose_clock_is_ahead_counts_in_the_next_day_already() {
    let midnight = at("2026-10-25T23:00:00Z");
    let (caller, store) = (midnight.minus(Duration::from_secs(2)), midnight.plus(Duration::from_secs(3)));
    let limit = |now| {
        Limit::fixed_window(2, Frame::Calendar(Edges::around(Window::DAY, now, zone("Europe/Berlin"))))
            .unwrap()
    };
    let (state, standing) = limit(caller).charge(None, store, 2);
    assert_eq!((standing.fits, state.at), (true, at("2026-10-26T23:00:00Z")));
    // The caller's clock has got there as well: it is the same window.
    let refused = limit(store).charge(Some(state), store, 1).1;
    assert_eq!((refused.fits, refused.retry_after), (false, Some(Duration::from_secs(86_397))));
}

#[test]
fn a_store_whose_clock_is_behind_counts_in_the_day_before_still() {
    let midnight = at("2026-03-29T22:00:00Z");
    let (caller, store) = (midnight.plus(Duration::from_secs(2)), midnight.minus(Duration::from_secs(3)));
    let limit = |now| {
        Limit::fixed_window(2, Frame::Calendar(Edges::around(Window::DAY, now, zone("Europe/Berlin"))))
            .unwrap()
    };
    let (before, _) = limit(store).charge(None, store, 2);
    let refused = limit(caller).charge(Some(before), store, 1).1;
    assert_eq!((refused.fits, refused.retry_after), (false, Some(Duration::from_secs(3))));
    assert!(limit(caller).charge(Some(before), midnight, 2).1.fits);
}

#[test]
fn what_was_charged_before_all_that_the_caller_looked_up_is_not_given_back() {
    // Charged two days ago. The store's clock is behind, in the first of the three days.
    let frame = Frame::Calendar(around("1d", "UTC", "2026-03-03T00:00:01Z"));
    let (charged, now) = (at("2026-02-28T12:00:00Z"), at("2026-03-02T23:59:59Z"));
    for limit in [Limit::fixed_window(9, frame), Limit::sliding_window(9, frame)].map(Option::unwrap) {
        let (state, _) = limit.charge(None, now, 5);
        let back = crate::Adjustment::Return(3);
        assert_eq!(limit.settle(Some(state), now, charged, back), Some(state));
        assert_ne!(limit.settle(Some(state), now, now, back), Some(state));
    }
}

#[test]
fn a_window_beyond_those_looked_up_is_kept_until_it_surely_is_over() {
    // The store's clock is ahead, in the last window that the caller looked up: February, of 28 days. March has 31.
    let frame = Frame::Calendar(around("1mo", "UTC", "2026-01-31T23:59:59Z"));
    let limit = Limit::sliding_window(10, frame).unwrap();
    let now = at("2026-02-01T00:00:01Z");
    let (state, standing) = limit.charge(None, now, 10);
    let over = at("2026-04-01T00:00:00Z");
    assert!(limit.fresh_at(state) >= over);
    assert!(now.plus(standing.reset_after) >= over);
    let exact =
        Limit::sliding_window(10, Frame::Calendar(around("1mo", "UTC", "2026-02-01T00:00:01Z"))).unwrap();
    assert_eq!(exact.fresh_at(state), over);
    let (told, wait) = (limit.charge(Some(state), now, 1).1, exact.charge(Some(state), now, 1).1);
    assert!(told.retry_after >= wait.retry_after, "not too early");
}

#[test]
fn the_first_and_the_last_windows_of_time_have_edges() {
    for window in ["1s", "1h", "1d", "7d", "1mo", "1200mo", "36525d"] {
        for zone in [Zone::UTC, zone("Pacific/Apia"), zone("Pacific/Kiritimati")] {
            for now in [Timestamp::MIN, Timestamp::MAX] {
                let edges = Edges::around(window.parse().unwrap(), now, zone);
                let [a, b, c, d] = edges.instants();
                assert!(a <= b && b < c && c <= d && b <= now, "{window} {now} {edges:?}");
                let limit = Limit::fixed_window(3, Frame::Calendar(edges)).unwrap();
                assert!(limit.charge(None, now, 3).1.fits);
            }
        }
    }
}

proptest! {
    /// Caller and store disagree by less than a window: decisions are those of a caller whose clock is right.
    #[test]
    fn a_store_decides_by_its_own_clock_what_the_caller_has_looked_up(
        zone_name in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Apia"]),
        window in prop::sample::select(vec!["1h", "1d", "1mo", "3mo"]),
        start in prop::sample::select(vec!["2026-10-20T00:00:00Z", "2011-12-25T00:00:00Z", "2028-02-20T00:00:00Z"]),
        slides in any::<bool>(), capacity in 1_u64..20,
        steps in prop::collection::vec((0_u64..1_200, -880_i64..880, 0_u64..8), 1..60),
    ) {
        let (window, zone): (Window, Zone) = (window.parse().unwrap(), zone(zone_name));
        let thousandth = i64::try_from(window.bounds(at(start), zone).length().as_micros()).unwrap() / 1_000;
        let (mut state, mut now) = (None::<State>, at(start));
        for (step, skew, cost) in steps {
            now = Timestamp::from_micros(now.micros() + i64::try_from(step).unwrap() * thousandth);
            let caller = Timestamp::from_micros(now.micros() + skew * thousandth);
            let frame = |at| Frame::Calendar(Edges::around(window, at, zone));
            let limit = |at| if slides { Limit::sliding_window(capacity, frame(at)) } else { Limit::fixed_window(capacity, frame(at)) };
            let (right, skewed) = (limit(now).unwrap(), limit(caller).unwrap());
            let ((after, expected), (other, standing)) = (right.charge(state, now, cost), skewed.charge(state, now, cost));
            prop_assert_eq!((after, expected.fits, expected.remaining), (other, standing.fits, standing.remaining));
            // What is told of windows that the caller has not looked up is never too early.
            prop_assert!(standing.retry_after >= expected.retry_after && standing.reset_after >= expected.reset_after);
            prop_assert!(skewed.fresh_at(other) >= right.fresh_at(after));
            if !slides {
                prop_assert_eq!(standing, expected);
                prop_assert_eq!(skewed.fresh_at(other), right.fresh_at(after));
            }
            if standing.fits {
                state = Some(after);
            }
        }
    }

    #[test]
    fn every_instant_is_in_one_window_of_its_frame(length in 1_u64..10_000_000_000, now in any::<i32>()) {
        let frame = Frame::Every(NonZeroU64::new(length).unwrap());
        let now = Timestamp::from_micros(i64::from(now) * 1_000);
        let window = frame.window_at(now);
        let micros = i64::try_from(length).unwrap();
        prop_assert!(window.start <= now.micros() && now.micros() < window.end);
        prop_assert_eq!((window.start % micros, window.end - window.start, window.next_end - window.end), (0, micros, micros));
        prop_assert_eq!(frame.window_ending(window.end()), window);
        prop_assert_eq!(frame.window_of(now), Some(window));
        let counter = Counter::of(Limit::fixed_window(1, frame).unwrap());
        prop_assert!(counter.look(now, 1).fits);
    }
}
