use std::num::NonZeroU64;

use proptest::prelude::*;
use stanchion_calendar::{Window, Zone};

use super::*;
use crate::Edges;
use crate::algorithm::tests::{Counter, NOON, Stated, every, most_within};

const MICRO: Duration = Duration::from_micros(1);

fn at(micros_after_noon: i64) -> Timestamp {
    Timestamp::from_micros(NOON.micros() + micros_after_noon)
}

fn seconds(capacity: u64, seconds: u64) -> SlidingWindow {
    SlidingWindow::new(capacity, every(seconds * 1_000_000)).unwrap()
}

fn counter(window: SlidingWindow) -> Counter {
    Counter::of(Limit::SlidingWindow(window))
}

#[test]
fn the_window_before_counts_for_the_part_that_is_still_within_a_windows_length() {
    // Ten seconds each. Eight units in one; three seconds into the next, seven tenths of them count: 5.6, so there is room for four.
    let mut counter = counter(seconds(10, 10));
    assert!(counter.charge(at(9_000_000), 8).fits);
    assert_eq!(counter.look(at(9_999_999), 0).remaining, 2);
    assert_eq!(counter.look(at(10_000_000), 0).remaining, 2, "all of them count where the next begins");
    assert_eq!(counter.look(at(13_000_000), 0).remaining, 4);
    assert!(counter.look(at(13_000_000), 4).fits);
    assert!(!counter.look(at(13_000_000), 5).fits);
    // A unit is left of them to the last microsecond.
    assert_eq!(counter.look(at(19_999_999), 0).remaining, 9);
    assert_eq!(counter.look(at(20_000_000), 0).remaining, 10);
}

#[test]
fn it_tells_when_the_window_before_counts_for_little_enough() {
    let mut counter = counter(seconds(10, 10));
    counter.charge(at(0), 8);
    // Six fit when half of the eight count: at 15 s.
    assert_eq!(counter.look(at(12_000_000), 6).retry_after, Some(Duration::from_secs(3)));
    // Ten fit when none counts any more.
    assert_eq!(counter.look(at(12_000_000), 10).retry_after, Some(Duration::from_secs(8)));
    // Of three thirds of a unit count: 0.375 of the window, and that is a whole number of its millionths.
    assert_eq!(counter.look(at(10_000_000), 7).retry_after, Some(Duration::from_micros(6_250_000)));
}

#[test]
fn it_tells_when_this_window_will_count_for_little_enough_as_the_one_before() {
    let mut counter = counter(seconds(10, 10));
    counter.charge(at(0), 8);
    // Four fit when six of the eight count, three quarters: 2.5 s into the next window.
    let wait = Duration::from_micros(12_500_000);
    assert_eq!(counter.look(at(0), 4).retry_after, Some(wait));
    assert!(counter.look(at(0).plus(wait), 4).fits);
    assert!(!counter.look(at(0).plus(wait).minus(MICRO), 4).fits);
    // Three of ten fit when seven of eight count: 1.25 s into it. Two fit at once.
    assert_eq!(counter.look(at(0), 3).retry_after, Some(Duration::from_micros(11_250_000)));
    assert!(counter.look(at(0), 2).fits);
    assert_eq!(counter.look(at(0), 10).retry_after, Some(Duration::from_secs(20)));
}

#[test]
fn a_unit_counts_until_its_window_and_the_next_are_over() {
    let (window, mut counter) = (seconds(10, 10), counter(seconds(10, 10)));
    counter.charge(at(3_000_000), 1);
    assert_eq!(counter.look(at(3_000_000), 0).reset_after, Duration::from_secs(17));
    assert_eq!(window.fresh_at(counter.state.unwrap()), at(20_000_000));
    // When nothing more was used in the second, it ends with it.
    counter.charge(at(12_000_000), 0);
    assert_eq!(counter.look(at(12_000_000), 0).reset_after, Duration::from_secs(8));
    assert_eq!(window.fresh_at(counter.state.unwrap()), at(20_000_000));
}

#[test]
fn two_cells_fit_into_one_number() {
    const MOST: u64 = 4_294_967_295;
    for (before, current) in [(0, 0), (1, 0), (0, 1), (3, 5), (MOST, MOST), (MOST, 0), (0, MOST)] {
        assert_eq!(SlidingWindow::cells(SlidingWindow::used(before, current)), (before, current));
    }
    assert_eq!(SlidingWindow::used(1, 2), 0x0000_0001_0000_0002);
    assert_eq!(SlidingWindow::cells(SlidingWindow::used(u64::MAX, MOST + 1)), (MOST, MOST));
}

#[test]
fn full_cells_are_counted_without_loss() {
    let mut counter = counter(seconds(SlidingWindow::MAX, 1));
    assert!(counter.charge(at(0), SlidingWindow::MAX).fits);
    assert!(!counter.charge(at(0), 1).fits);
    // After a millionth of a second a millionth of them is back: 4,294.967295, in whole units.
    assert_eq!(counter.look(at(1_000_001), 0).remaining, 4_294);
    assert!(counter.charge(at(1_500_000), SlidingWindow::MAX / 2).fits);
    counter.settle(9, at(1_500_000), at(1_500_000), Adjustment::Add(u64::MAX));
    assert_eq!(counter.look(at(1_500_000), 1).retry_after, Some(Duration::from_micros(500_001)));
}

#[test]
fn a_clock_that_is_behind_stays_in_the_later_window() {
    let mut counter = counter(seconds(10, 10));
    counter.charge(at(5_000_000), 4);
    counter.charge(at(10_000_000), 3);
    // By the clock that is behind, all of the window before counts still.
    let refused = counter.charge(at(4_000_000), 4);
    assert_eq!((refused.fits, refused.remaining), (false, 3));
    // Four fit when three of the four count: a quarter into the window.
    assert_eq!(refused.retry_after, Some(Duration::from_micros(8_500_000)));
    assert!(counter.charge(at(4_000_000), 3).fits);
    assert_eq!(counter.look(at(15_000_000), 0).remaining, 2, "six of this window and half of four");
}

#[test]
fn a_changed_limit_applies_to_both_cells() {
    let mut counter = counter(seconds(10, 10));
    counter.charge(at(0), 8);
    counter.charge(at(15_000_000), 2);
    let under = |capacity| Counter {
        stated: Stated::Steady(Limit::SlidingWindow(seconds(capacity, 10))),
        ..counter.clone()
    };
    assert_eq!(under(20).look(at(15_000_000), 0).remaining, 14);
    assert_eq!(under(5).look(at(15_000_000), 0).remaining, 0);
    // Of the eight three may count beside two: 6.25 s into the window.
    assert_eq!(under(6).look(at(15_000_000), 1).retry_after, Some(Duration::from_micros(1_250_000)));
    // One is all that fits, and two are used already: one of them must have run out, half into the next.
    assert_eq!(under(2).look(at(15_000_000), 1).retry_after, Some(Duration::from_secs(10)));
}

#[test]
fn what_is_given_back_is_given_back_in_the_window_that_was_charged() {
    let mut first = counter(seconds(10, 10));
    first.charge(at(5_000_000), 8);
    let give = |counter: &Counter, now: i64, units| {
        let mut counter = counter.clone();
        counter.settle(1, at(5_000_000), at(now), Adjustment::Return(units));
        counter.look(at(now), 0).remaining
    };
    assert_eq!(give(&first, 6_000_000, 3), 5);
    assert_eq!(give(&first, 6_000_000, 100), 10);
    // In the next window half of three count.
    assert_eq!(give(&first, 15_000_000, 3), 7, "ten less half of five, rounded");
    // After that none does, and what others use since is theirs.
    first.charge(at(25_000_000), 4);
    assert_eq!(give(&first, 25_000_000, 3), 6);
}

#[test]
fn what_is_no_window_does_not_construct() {
    assert_eq!(SlidingWindow::new(0, every(1_000_000)), None);
    assert!(SlidingWindow::new(4_294_967_295, every(1_000_000)).is_some());
    assert_eq!(SlidingWindow::new(4_294_967_296, every(1_000_000)), None);
    assert_eq!(SlidingWindow::new(1, Frame::Every(NonZeroU64::new(999_999).unwrap())), None);
    assert_eq!(SlidingWindow::new(1, every(1_500_000)), None);
    let edges = |last| Edges::new([at(0), at(1_000_000), at(2_000_000), at(last)]).unwrap();
    assert!(SlidingWindow::new(1, Frame::Calendar(edges(9_000_000))).is_some());
    assert_eq!(SlidingWindow::new(1, Frame::Calendar(edges(9_000_001))), None);
}

/// The definition: everything that was taken, and what of it lies in the windows as the calendar has them.
#[derive(Default)]
struct Reference(Vec<(Timestamp, u64)>);

impl Reference {
    /// Whether it fits, and what is left.
    fn charge(&mut self, capacity: u64, edges: [Timestamp; 3], now: Timestamp, cost: u64) -> (bool, u64) {
        let [before, start, end] = edges;
        let sum = |from: Timestamp, to: Timestamp| -> u128 {
            self.0.iter().filter(|(at, _)| from <= *at && *at < to).map(|(_, cost)| u128::from(*cost)).sum()
        };
        let micros = |from: Timestamp, to: Timestamp| to.since(from).as_micros();
        // In millionths of a unit.
        let weight = (micros(now, end) * 1_000_000).div_ceil(micros(start, end));
        let used = sum(start, end) * 1_000_000 + sum(before, start) * weight;
        let most = u128::from(capacity) * 1_000_000;
        let asked = u128::from(cost) * 1_000_000;
        let fits = cost == 0 || used + asked <= most;
        let kept = if fits { used + asked } else { used };
        if fits {
            self.0.push((now, cost));
        }
        (fits, u64::try_from(most.saturating_sub(kept) / 1_000_000).unwrap())
    }
}

proptest! {
    #[test]
    fn it_counts_like_its_definition(
        capacities in prop::collection::vec(1_u64..30, 1..4), length in 1_i64..20,
        steps in prop::collection::vec((0_i64..9_000_000, 0_u64..8, 0_usize..30), 1..80),
    ) {
        let (mut state, mut now, mut reference, mut capacity) = (None, at(0), Reference::default(), capacities[0]);
        for (step, cost, change) in steps {
            capacity = *capacities.get(change).unwrap_or(&capacity);
            now = Timestamp::from_micros(now.micros() + step);
            let window = seconds(capacity, length.try_into().unwrap());
            let (after, standing) = window.charge(state, now, cost);
            if standing.fits {
                state = Some(after);
            }
            let start = now.micros().div_euclid(length * 1_000_000) * length * 1_000_000;
            let edges = [-1, 0, 1].map(|number| Timestamp::from_micros(start + number * length * 1_000_000));
            prop_assert_eq!((standing.fits, standing.remaining), reference.charge(capacity, edges, now, cost));
        }
    }

    #[test]
    fn it_counts_like_its_definition_in_months_and_days_of_a_zone(
        capacity in 1_u64..30,
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
        window in prop::sample::select(vec!["1d", "7d", "1mo", "3mo"]),
        steps in prop::collection::vec((0_i64..900_000, 0_u64..8), 1..80),
    ) {
        let (zone, window): (Zone, Window) = (zone.parse().unwrap(), window.parse().unwrap());
        let seconds = i64::try_from(window.bounds(NOON, zone).length().as_secs()).unwrap();
        let (mut state, mut now, mut reference) = (None, at(0), Reference::default());
        for (step, cost) in steps {
            now = Timestamp::from_micros(now.micros() + step * seconds);
            let edges = Edges::around(window, now, zone);
            let (after, standing) = SlidingWindow::new(capacity, Frame::Calendar(edges)).unwrap().charge(state, now, cost);
            if standing.fits {
                state = Some(after);
            }
            let [before, start, end, _] = edges.instants();
            let expected = reference.charge(capacity, [before, start, end], now, cost);
            prop_assert_eq!((standing.fits, standing.remaining), expected);
        }
    }

    #[test]
    fn no_stretch_gives_twice_the_capacity(
        capacity in 1_u64..20, length in 1_u64..5, phase in 0_i64..5_000_000,
        steps in prop::collection::vec((prop_oneof![0_i64..1_500_000, Just(0)], 1_u64..20), 1..200),
    ) {
        let (mut counter, mut now, mut taken) = (counter(seconds(capacity, length)), at(phase), Vec::new());
        for (step, cost) in steps {
            now = Timestamp::from_micros(now.micros() + step);
            if counter.charge(now, cost).fits {
                taken.push((now, cost));
            }
        }
        prop_assert!(most_within(&taken, Duration::from_secs(length)) < 2 * capacity);
    }

    /// What the window before has used it has used evenly, or, in the first, early.
    #[test]
    fn who_asks_evenly_from_a_windows_start_gets_at_most_a_unit_more_than_the_capacity_in_any_stretch(
        capacity in 1_u64..30, length in 1_u64..5, spacing in 20_000_i64..3_000_000, phase in 0_i64..3_000_000,
    ) {
        let (mut counter, mut taken) = (counter(seconds(capacity, length)), Vec::new());
        let window = i64::try_from(length).unwrap() * 1_000_000;
        let start = (NOON.micros() / window + 1) * window + phase % spacing;
        for number in 0..300 {
            let now = Timestamp::from_micros(start + number * spacing);
            if counter.charge(now, 1).fits {
                taken.push((now, 1));
            }
        }
        prop_assert!(most_within(&taken, Duration::from_secs(length)) <= capacity + 1);
    }
}

#[test]
fn who_waits_for_the_edge_gets_one_less_than_twice_the_capacity() {
    let mut counter = counter(seconds(10, 10));
    let mut taken = vec![(at(9_999_999), 10)];
    assert!(counter.charge(at(9_999_999), 10).fits);
    for now in 10_000_000..19_999_999_i64 {
        let next = counter.look(at(now), 1).retry_after.map_or(at(now), |wait| at(now).plus(wait));
        if next >= at(19_999_999) {
            break;
        }
        assert!(counter.charge(next, 1).fits);
        taken.push((next, 1));
    }
    assert_eq!(most_within(&taken, Duration::from_secs(10)), 19);
}
