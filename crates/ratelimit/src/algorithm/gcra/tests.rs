use proptest::prelude::*;
use stanchion_core::Timestamp;

use super::*;
use crate::algorithm::tests::{Counter, NOON, most_within};
use std::time::Duration;

fn at(micros_after_noon: i64) -> Timestamp {
    Timestamp::from_micros(NOON.micros() + micros_after_noon)
}

fn gcra(limit: u64, burst: u64, window_seconds: u64) -> Counter {
    Counter::of(Limit::gcra(limit, burst, window_seconds).unwrap())
}

#[test]
fn without_a_burst_requests_are_spaced_evenly() {
    // Four a second: one each 250 ms, and no two at once.
    let mut counter = gcra(4, 1, 1);
    assert!(counter.charge(at(0), 1).fits);
    assert_eq!(counter.charge(at(0), 1).retry_after, Some(Duration::from_millis(250)));
    assert!(!counter.charge(at(249_999), 1).fits);
    assert!(counter.charge(at(250_000), 1).fits);
    // An hour of silence saves up one.
    assert!(counter.charge(at(3_600_000_000), 1).fits && !counter.charge(at(3_600_000_000), 1).fits);
    assert_eq!(Limit::gcra(4, 0, 1), Limit::gcra(4, 1, 1));
}

#[test]
fn a_burst_comes_at_once_and_is_back_one_by_one() {
    let mut counter = gcra(4, 3, 1);
    assert!((0..3).all(|_| counter.charge(at(0), 1).fits));
    for number in 1..=3 {
        assert!(!counter.charge(at(number * 250_000 - 1), 1).fits);
        assert!(counter.charge(at(number * 250_000), 1).fits);
    }
}

/// The virtual scheduling algorithm of ITU-T I.371, Annex A, with the theoretical arrival time counted in parts of a microsecond of
/// which `limit` are one, so that every interval is a whole number of them.
#[derive(Default)]
struct Reference {
    arrival: Option<i128>,
}

impl Reference {
    fn conforms(
        &mut self,
        limit: i128,
        burst: i128,
        window_micros: i128,
        now: Timestamp,
        cost: i128,
    ) -> bool {
        let now = i128::from(now.micros()) * limit;
        let arrival = self.arrival.unwrap_or(now).max(now);
        // `cost` cells in a row are the last of them, with the others before it.
        let conforms = arrival + (cost - burst) * window_micros <= now;
        if conforms {
            self.arrival = Some(arrival + cost * window_micros);
        }
        conforms
    }
}

proptest! {
    #[test]
    fn it_admits_what_the_theoretical_arrival_time_admits(
        limit in 1_u64..2_000_000, burst in 1_u64..20,
        steps in prop::collection::vec((prop_oneof![0_u64..2_000, Just(0)], 1_u64..5), 1..100),
    ) {
        let (mut counter, mut reference, mut now) = (gcra(limit, burst, 1), Reference::default(), at(0));
        for (thousandths, cost) in steps {
            // In thousandths of the interval between two requests.
            now = now.plus(Duration::from_micros(1_000 * thousandths / limit));
            let expected = reference.conforms(limit.into(), burst.into(), 1_000_000, now, cost.into());
            prop_assert_eq!(counter.charge(now, cost).fits, expected);
        }
    }

    /// A longer window is counted in longer ticks, so what it sees are the ticks that have begun.
    #[test]
    fn it_does_so_by_ticks_of_a_millionth_of_the_window(
        limit in 1_u64..100, burst in 1_u64..20, window in 2_u64..5_000,
        steps in prop::collection::vec((prop_oneof![0_u64..2_000, Just(0)], 1_u64..5), 1..100),
    ) {
        let (mut counter, mut reference, mut now) = (gcra(limit, burst, window), Reference::default(), at(0));
        let tick = i64::try_from(window).unwrap();
        for (thousandths, cost) in steps {
            now = now.plus(Duration::from_micros(1_000 * window * thousandths / limit));
            let shown = Timestamp::from_micros(now.micros().div_euclid(tick) * tick);
            let micros = i128::from(window) * 1_000_000;
            let expected = reference.conforms(limit.into(), burst.into(), micros, shown, cost.into());
            prop_assert_eq!(counter.charge(now, cost).fits, expected);
        }
    }

    #[test]
    fn no_stretch_gives_more_than_the_limit_and_a_burst(
        limit in 1_u64..30, burst in 1_u64..30, window in 1_u64..4,
        steps in prop::collection::vec((0_u64..2_000, 1_u64..20), 1..200),
    ) {
        let (mut counter, mut now, mut taken) = (gcra(limit, burst, window), at(0), Vec::new());
        for (thousandths, cost) in steps {
            now = now.plus(Duration::from_micros(1_000 * window * thousandths / limit));
            if counter.charge(now, cost).fits {
                taken.push((now, cost));
            }
        }
        prop_assert!(most_within(&taken, Duration::from_secs(window)) <= limit + burst);
    }
}
