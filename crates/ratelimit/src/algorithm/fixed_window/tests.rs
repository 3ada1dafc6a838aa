use std::time::Duration;

use proptest::prelude::*;
use stanchion_calendar::{Window, Zone};

use super::*;
use crate::algorithm::tests::{Counter, Stated, most_within};
use crate::{Edges, Limit};
use std::num::NonZeroU64;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn every(capacity: u64, seconds: u64) -> FixedWindow {
    FixedWindow::new(capacity, Frame::Every(NonZeroU64::new(seconds * 1_000_000).unwrap())).unwrap()
}

/// Charges and keeps the state, as a store does.
fn charge(window: FixedWindow, state: &mut Option<State>, now: Timestamp, cost: u64) -> Standing {
    let (after, standing) = window.charge(*state, now, cost);
    if standing.fits {
        *state = Some(after);
    }
    standing
}

#[test]
fn a_window_gives_so_much_and_the_next_begins_at_zero() {
    let (window, mut state) = (every(3, 60), None);
    let first = charge(window, &mut state, at("2026-03-01T12:00:30Z"), 2);
    assert_eq!((first.remaining, first.reset_after), (1, Duration::from_secs(30)));
    let second = charge(window, &mut state, at("2026-03-01T12:00:59.999999Z"), 2);
    assert_eq!((second.fits, second.remaining), (false, 1));
    assert_eq!(second.retry_after, Some(Duration::from_micros(1)));
    let third = charge(window, &mut state, at("2026-03-01T12:01:00Z"), 2);
    assert_eq!((third.fits, third.remaining, third.reset_after), (true, 1, Duration::from_secs(60)));
}

#[test]
fn a_window_of_the_calendar_is_the_callers() {
    // A day of 25 hours in Berlin, from 2026-10-24T22:00Z to 2026-10-25T23:00Z.
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let now = at("2026-10-25T22:59:59Z");
    let window = FixedWindow::new(1, Frame::Calendar(Edges::around(Window::DAY, now, berlin))).unwrap();
    let mut state = None;
    assert!(charge(window, &mut state, at("2026-10-24T22:00:00Z"), 1).fits);
    assert_eq!(charge(window, &mut state, now, 1).retry_after, Some(Duration::from_secs(1)));
    let next = at("2026-10-25T23:00:00Z");
    let window = FixedWindow::new(1, Frame::Calendar(Edges::around(Window::DAY, next, berlin))).unwrap();
    assert!(charge(window, &mut state, next, 1).fits);
}

#[test]
fn a_clock_that_goes_backwards_stays_in_the_later_window() {
    let (window, mut state) = (every(1, 60), None);
    charge(window, &mut state, at("2026-03-01T12:01:00Z"), 1);
    let refused = charge(window, &mut state, at("2026-03-01T12:00:59Z"), 1);
    assert_eq!((refused.fits, refused.retry_after), (false, Some(Duration::from_secs(61))));
    assert!(charge(window, &mut state, at("2026-03-01T12:02:00Z"), 1).fits);
}

#[test]
fn a_changed_limit_applies_to_what_is_used() {
    let mut state = None;
    let now = at("2026-03-01T12:00:00Z");
    charge(every(10, 60), &mut state, now, 8);
    assert_eq!(every(20, 60).charge(state, now, 0).1.remaining, 12);
    let lower = every(5, 60).charge(state, now, 1).1;
    assert_eq!((lower.fits, lower.remaining, lower.retry_after), (false, 0, Some(Duration::from_secs(60))));
    assert!(every(5, 60).charge(state, now, 0).1.fits, "asking for nothing is no excess");
}

#[test]
fn a_cost_that_never_fits_has_no_time_to_retry() {
    let standing = every(3, 60).charge(None, at("2026-03-01T12:00:00Z"), 4).1;
    assert_eq!((standing.fits, standing.remaining, standing.retry_after), (false, 3, None));
    assert!(!every(3, 60).charge(None, at("2026-03-01T12:00:00Z"), u64::MAX).1.fits);
}

#[test]
fn what_is_no_window_does_not_construct() {
    let frame = every(1, 1).frame();
    assert_eq!(FixedWindow::new(0, frame), None);
    assert_eq!(FixedWindow::new(FixedWindow::MAX + 1, frame), None);
    assert_eq!(Limit::FixedWindow(every(10, 60)).share(4), Limit::FixedWindow(every(2, 60)));
}

#[test]
fn the_largest_window_is_counted_without_loss() {
    let (window, mut state) = (every(FixedWindow::MAX, 60), None);
    let now = at("2026-03-01T12:00:00Z");
    assert_eq!(charge(window, &mut state, now, FixedWindow::MAX - 1).remaining, 1);
    assert!(!charge(window, &mut state, now, 2).fits && charge(window, &mut state, now, 1).fits);
    state = window.settle(state, now, now, Adjustment::Add(u64::MAX));
    assert_eq!(state.map(|state| state.used), Some(FixedWindow::MAX));
}

#[test]
fn what_is_given_back_is_given_back_within_its_window_only() {
    let (window, mut state) = (every(10, 60), None);
    let (charged, last) = (at("2026-03-01T12:00:30Z"), at("2026-03-01T12:00:59.999999Z"));
    charge(window, &mut state, charged, 8);
    let returned = |state, now, units| window.settle(state, now, charged, Adjustment::Return(units));
    assert_eq!(window.charge(returned(state, last, 3), last, 0).1.remaining, 5);
    assert_eq!(window.charge(returned(state, last, u64::MAX), last, 0).1.remaining, 10);
    // The next window has never seen them.
    let next = at("2026-03-01T12:01:00Z");
    charge(window, &mut state, next, 4);
    assert_eq!(returned(state, next, 3), state);
}

#[test]
fn what_was_added_beyond_the_capacity_ends_with_the_window() {
    let (window, mut state) = (every(10, 60), None);
    let now = at("2026-03-01T12:00:30Z");
    charge(window, &mut state, now, 4);
    state = window.settle(state, now, now, Adjustment::Add(100));
    let refused = window.charge(state, now, 1).1;
    assert_eq!((refused.remaining, refused.retry_after), (0, Some(Duration::from_secs(30))));
    assert_eq!(window.charge(state, at("2026-03-01T12:01:00Z"), 0).1.remaining, 10);
}

#[test]
fn a_clock_that_is_behind_gives_nothing_back_that_it_did_not_charge() {
    let (window, mut state) = (every(10, 60), None);
    charge(window, &mut state, at("2026-03-01T12:01:00Z"), 4);
    // In which of the two windows this one counts, nobody can tell afterwards.
    let behind = at("2026-03-01T12:00:59Z");
    charge(window, &mut state, behind, 2);
    let after = window.settle(state, behind, behind, Adjustment::Return(2));
    assert_eq!(window.charge(after, behind, 0).1.remaining, 4);
}

#[test]
fn over_the_edge_of_two_windows_twice_the_capacity_is_given_and_over_a_short_month_three_times() {
    let mut counter = Counter::of(Limit::FixedWindow(every(5, 60)));
    let both = [(at("2026-03-01T12:00:59.999999Z"), 5), (at("2026-03-01T12:01:00Z"), 5)];
    assert!(both.iter().all(|(now, cost)| counter.charge(*now, *cost).fits));
    assert_eq!(most_within(&both, Duration::from_micros(2)), 10);
    let months =
        Stated::Calendar { limit: Limit::fixed_window, capacity: 5, window: Window::MONTH, zone: Zone::UTC };
    let mut counter = Counter::new(months);
    let three =
        [(at("2026-01-31T23:59:59Z"), 5), (at("2026-02-14T00:00:00Z"), 5), (at("2026-03-01T00:00:00Z"), 5)];
    assert!(three.iter().all(|(now, cost)| counter.charge(*now, *cost).fits));
    let days = |days: u64| Duration::from_secs(days * 86_400);
    assert_eq!((most_within(&three, days(31)), most_within(&three, days(28))), (15, 10));
}

proptest! {
    /// The definition, taken literally: one sum per window.
    #[test]
    fn it_counts_like_its_definition(
        capacity in 1_u64..10, seconds in 1_u64..5,
        steps in prop::collection::vec((0_i64..3_000_000, 0_u64..5), 1..100),
    ) {
        let window = every(capacity, seconds);
        let (mut state, mut now) = (None, at("2026-03-01T12:00:00Z"));
        let mut sums = std::collections::HashMap::new();
        for (step, cost) in steps {
            now = Timestamp::from_micros(now.micros() + step);
            let sum = sums.entry(now.seconds() / i64::try_from(seconds).unwrap()).or_insert(0);
            let fits = *sum + cost <= capacity;
            *sum += if fits { cost } else { 0 };
            let standing = charge(window, &mut state, now, cost);
            prop_assert_eq!((standing.fits, standing.remaining), (fits, capacity - *sum));
            if let Some(wait) = standing.retry_after {
                prop_assert!(window.charge(state, now.plus(wait), cost).1.fits);
                prop_assert!(!window.charge(state, now.plus(wait - Duration::from_micros(1)), cost).1.fits);
            }
        }
    }

    #[test]
    fn a_clock_in_any_order_never_gives_more_than_one_capacity_per_window_it_showed(
        steps in prop::collection::vec(0_i64..10_000_000, 1..100),
    ) {
        let (window, mut state) = (every(2, 1), None);
        let taken = steps.iter().filter(|step| charge(window, &mut state, Timestamp::from_micros(**step), 1).fits).count();
        let windows = steps.iter().map(|step| step / 1_000_000).collect::<std::collections::HashSet<_>>().len();
        prop_assert!(taken <= 2 * windows);
    }

    #[test]
    fn no_stretch_gives_more_than_twice_the_capacity(
        capacity in 1_u64..20, seconds in 1_u64..5,
        steps in prop::collection::vec((prop_oneof![0_i64..1_500_000, Just(0)], 1_u64..20), 1..200),
    ) {
        let mut counter = Counter::of(Limit::FixedWindow(every(capacity, seconds)));
        let (mut now, mut taken) = (at("2026-03-01T12:00:00Z"), Vec::new());
        for (step, cost) in steps {
            now = Timestamp::from_micros(now.micros() + step);
            if counter.charge(now, cost).fits {
                taken.push((now, cost));
            }
        }
        prop_assert!(most_within(&taken, Duration::from_secs(seconds)) <= 2 * capacity);
    }
}
