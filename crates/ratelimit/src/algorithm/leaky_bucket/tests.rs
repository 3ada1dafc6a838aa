use std::time::Duration;

use proptest::prelude::*;
use stanchion_core::Timestamp;

use super::*;
use crate::Adjustment;
use crate::algorithm::tests::{Counter, NOON, most_within};

fn at(micros_after_noon: i64) -> Timestamp {
    Timestamp::from_micros(NOON.micros() + micros_after_noon)
}

fn queue(length: u64, leak: u64, window_seconds: u64) -> Counter {
    Counter::of(Limit::leaky_queue(length, leak, window_seconds).unwrap())
}

#[test]
fn a_meter_is_as_strict_as_a_bucket_of_tokens() {
    assert_eq!(Limit::leaky_bucket(7, 3, 60), Limit::token_bucket(7, 3, 60));
}

#[test]
fn one_goes_at_once_and_others_wait_their_turn() {
    // Four a second, and two may wait.
    let mut queue = queue(2, 4, 1);
    let delays: Vec<_> = (0..3).map(|_| queue.charge(at(0), 1).delay.as_millis()).collect();
    assert_eq!(delays, [0, 250, 500]);
    let refused = queue.charge(at(0), 1);
    assert_eq!((refused.fits, refused.retry_after), (false, Some(Duration::from_millis(250))));
    assert_eq!(queue.charge(at(250_000), 1).delay, Duration::from_millis(500));
    // When all have left, the next goes at once again.
    assert_eq!(queue.charge(at(1_000_000), 1).delay, Duration::ZERO);
}

#[test]
fn a_queue_without_places_lets_nobody_wait() {
    let mut queue = queue(0, 4, 1);
    assert!(queue.charge(at(0), 1).fits && !queue.charge(at(249_999), 1).fits);
    assert_eq!(queue.charge(at(250_000), 1).delay, Duration::ZERO);
}

#[test]
fn what_costs_more_waits_until_all_of_it_has_its_turn() {
    let mut queue = queue(4, 4, 1);
    assert_eq!(queue.charge(at(0), 3).delay, Duration::from_millis(500));
    assert_eq!(queue.charge(at(0), 2).delay, Duration::from_millis(1_000));
    assert!(!queue.charge(at(0), 1).fits);
    assert_eq!(queue.look(at(0), 6).retry_after, None, "never are six places free");
}

#[test]
fn the_longest_queue_is_what_is_counted() {
    assert!(Limit::leaky_queue(9_007_199_253, 1, 1).is_some());
    assert_eq!(Limit::leaky_queue(9_007_199_254, 1, 1), None);
    assert_eq!(Limit::leaky_queue(u64::MAX, 1, 1), None);
}

/// The definition: who waits, and when each goes.
struct Reference {
    interval: i64,
    turns: Vec<i64>,
}

impl Reference {
    /// When it goes, if there is a place.
    fn join(&mut self, length: usize, now: i64) -> Option<i64> {
        let waiting = self.turns.iter().filter(|turn| **turn > now).count();
        let turn = self.turns.last().map_or(now, |last| (last + self.interval).max(now));
        let is_late = turn > now;
        (!is_late || waiting < length).then(|| {
            self.turns.push(turn);
            turn
        })
    }
}

proptest! {
    #[test]
    fn it_queues_like_its_definition(
        length in 0_u64..6, leak in prop::sample::select(vec![1_u64, 2, 4, 5, 8, 10, 100, 1_000]),
        steps in prop::collection::vec(0_i64..2_000, 1..100),
    ) {
        let interval = 1_000_000 / i64::try_from(leak).unwrap();
        let (mut queue, mut now) = (queue(length, leak, 1), 0);
        let mut reference = Reference { interval, turns: Vec::new() };
        for thousandths in steps {
            now += interval * thousandths / 1_000;
            let standing = queue.charge(at(now), 1);
            let turn = reference.join(length.try_into().unwrap(), now);
            prop_assert_eq!(standing.fits.then(|| at(now).plus(standing.delay)), turn.map(at));
        }
    }

    /// Who was admitted and waits as told goes in the order of arrival, one more than the leak over any window at most.
    #[test]
    fn turns_come_in_order_and_evenly(
        length in 0_u64..20, leak in 1_u64..20, window in 1_u64..4,
        steps in prop::collection::vec((0_u64..2_000, 1_u64..4), 1..200),
    ) {
        let (mut queue, mut now, mut turns) = (queue(length, leak, window), at(0), Vec::new());
        for (thousandths, cost) in steps {
            now = now.plus(Duration::from_micros(1_000 * window * thousandths / leak));
            let standing = queue.charge(now, cost);
            if standing.fits {
                turns.push((now.plus(standing.delay), cost));
            }
        }
        prop_assert!(turns.is_sorted_by_key(|(turn, _)| *turn));
        let ones: Vec<_> = turns.iter().filter(|(_, cost)| *cost == 1).copied().collect();
        prop_assert!(most_within(&ones, Duration::from_secs(window)) <= leak + 1);
    }

    /// A place that is given back with its turn as the time that was charged is free for another, however long it was waited.
    #[test]
    fn who_leaves_the_queue_makes_room_until_its_turn(
        length in 1_u64..6, ahead in 0_u64..5, waited in 0_i64..1_000,
    ) {
        let mut queue = queue(length, 4, 1);
        let joined = (0..ahead).filter(|_| queue.charge(at(0), 1).fits).count();
        let mut alone = queue.clone();
        let mine = queue.charge(at(0), 1);
        prop_assume!(mine.fits);
        let turn = at(0).plus(mine.delay);
        let now = at(i64::try_from(mine.delay.as_micros()).unwrap() * waited / 1_000);
        queue.settle(u128::try_from(joined).unwrap() + 1, turn, now, Adjustment::Return(1));
        prop_assert_eq!(queue.look(now, 1), alone.charge(now, 1));
    }
}
