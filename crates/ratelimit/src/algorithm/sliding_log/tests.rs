use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::algorithm::tests::{Counter, NOON, most_within};

#[test]
fn the_capacity_comes_back_charge_by_charge() {
    let mut log = Counter::of(Limit::sliding_log(3, Duration::from_secs(60)).unwrap());
    for seconds in [0, 10, 20] {
        assert!(log.charge(NOON.plus(Duration::from_secs(seconds)), 1).fits);
    }
    let refused = log.charge(NOON.plus(Duration::from_secs(30)), 2);
    assert_eq!(
        (refused.retry_after, refused.reset_after),
        (Some(Duration::from_secs(40)), Duration::from_secs(50))
    );
    assert!(!log.charge(NOON.plus(Duration::from_micros(59_999_999)), 1).fits);
    assert!(log.charge(NOON.plus(Duration::from_secs(60)), 1).fits);
}

#[test]
fn a_log_keeps_no_more_charges_than_its_capacity() {
    let mut log = Counter::of(Limit::sliding_log(50, Duration::from_secs(1)).unwrap());
    for number in 0..10_000 {
        log.charge(NOON.plus(Duration::from_millis(number)), 1);
        assert!(log.entries.as_slice().len() <= 50);
    }
}

proptest! {
    /// Not only not more: as much as fits into the stretch that ends now.
    #[test]
    fn every_stretch_gives_the_capacity_and_not_one_more(
        capacity in 1_u64..20, window in 1_u64..2_000_000,
        steps in prop::collection::vec((prop_oneof![0_u64..500, Just(0)], 1_u64..20), 1..200),
    ) {
        let window = Duration::from_micros(window);
        let (mut log, mut now, mut taken) = (Counter::of(Limit::sliding_log(capacity, window).unwrap()), NOON, Vec::new());
        for (thousandths, cost) in steps {
            now = now.plus(window * u32::try_from(thousandths).unwrap() / 1_000);
            let within: u64 = taken.iter().filter(|(at, _)| now.since(*at) < window).map(|(_, cost)| cost).sum();
            let fits = log.charge(now, cost).fits;
            prop_assert_eq!(fits, within + cost <= capacity);
            if fits {
                taken.push((now, cost));
            }
        }
        prop_assert!(most_within(&taken, window) <= capacity);
    }
}
