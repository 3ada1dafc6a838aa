use std::time::Duration;

use proptest::prelude::*;
use stanchion_calendar::{Window, Zone};

use super::*;
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
}
