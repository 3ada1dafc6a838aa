use proptest::prelude::*;

use super::*;
use crate::Limit;

mod settling;

const NOON: i64 = 1_772_366_400_000_000; // 2026-03-01T12:00:00Z

fn at(micros_after_noon: i64) -> Timestamp {
    Timestamp::from_micros(NOON + micros_after_noon)
}

fn bucket(capacity: u64, refill: u64, window_seconds: u64) -> Level {
    Level::new(capacity, refill, window_seconds).unwrap()
}

/// Charges and keeps the state, as a store does.
fn charge(bucket: Level, state: &mut Option<State>, now: Timestamp, cost: u64) -> Standing {
    let (after, standing) = bucket.charge(*state, now, cost);
    if standing.fits {
        *state = Some(after);
    }
    standing
}

#[test]
fn a_new_bucket_is_full_and_tokens_come_back_one_by_one() {
    // Ten a second: a token every 100,000 µs.
    let (bucket, mut state) = (bucket(10, 10, 1), None);
    let all = charge(bucket, &mut state, at(0), 10);
    assert_eq!(all.remaining, 0);
    assert_eq!(all.reset_after, Duration::from_secs(1));
    let none = charge(bucket, &mut state, at(0), 1);
    assert_eq!((none.fits, none.retry_after), (false, Some(Duration::from_micros(100_000))));
    assert!(!charge(bucket, &mut state, at(99_999), 1).fits);
    assert!(charge(bucket, &mut state, at(100_000), 1).fits);
    let three = charge(bucket, &mut state, at(100_000), 3);
    assert_eq!((three.fits, three.retry_after), (false, Some(Duration::from_micros(300_000))));
}

#[test]
fn burst_is_room_on_top_of_what_comes_back() {
    // 60 a minute with a burst of 10: 70 at once, then one a second.
    let (bucket, mut state) = (bucket(70, 60, 60), None);
    assert_eq!(charge(bucket, &mut state, at(0), 70).remaining, 0);
    // A tick of 60 µs brings 60 millionths: 16,667 ticks bring the first whole token.
    let wait = charge(bucket, &mut state, at(0), 1).retry_after;
    assert_eq!(wait, Some(Duration::from_micros(16_667 * 60)));
    assert_eq!(charge(bucket, &mut state, at(30_000_000), 0).remaining, 30);
}

#[test]
fn a_refusal_takes_nothing() {
    let (bucket, mut state) = (bucket(10, 10, 1), None);
    charge(bucket, &mut state, at(0), 8);
    assert!(!charge(bucket, &mut state, at(0), 3).fits);
    assert_eq!(charge(bucket, &mut state, at(0), 2).remaining, 0);
}

#[test]
fn a_cost_that_never_fits_has_no_time_to_retry() {
    let standing = bucket(10, 10, 1).charge(None, at(0), 11).1;
    assert_eq!((standing.fits, standing.remaining, standing.retry_after), (false, 10, None));
}

#[test]
fn a_clock_that_goes_backwards_gives_nothing_back_and_locks_nobody_out_for_longer() {
    let (bucket, mut state) = (bucket(10, 10, 1), None);
    charge(bucket, &mut state, at(0), 10);
    let earlier = at(-5_000_000);
    let refused = charge(bucket, &mut state, earlier, 1);
    assert_eq!((refused.fits, refused.retry_after), (false, Some(Duration::from_micros(5_100_000))));
    assert!(charge(bucket, &mut state, at(100_000), 1).fits);
}

#[test]
fn a_changed_limit_keeps_what_is_used_and_brings_it_back_at_the_new_pace() {
    // One a day, used up; then ten a second: the one token in use is one of ten, and back after 100,000 µs.
    let mut state = None;
    charge(bucket(1, 1, 86_400), &mut state, at(0), 1);
    let faster = bucket(10, 10, 1);
    assert_eq!(faster.charge(state, at(0), 0).1.remaining, 9);
    assert_eq!(faster.charge(state, at(100_000), 0).1.remaining, 10);
}

#[test]
fn a_changed_window_gives_nothing_back_either() {
    // A day in a million ticks of 86,400 µs. One unit is taken late in a tick; what is a tick there is 8 units at a hundred a second.
    let mut state = None;
    charge(bucket(10, 1, 86_400), &mut state, at(86_399), 8);
    let faster = bucket(100, 100, 1);
    assert_eq!(faster.charge(state, at(86_399), 0).1.remaining, 92);
    assert_eq!(faster.charge(state, at(86_399 + 80_000), 0).1.reset_after, Duration::ZERO);
    assert_eq!(faster.charge(state, at(86_399 + 79_999), 0).1.reset_after, Duration::from_micros(1));
}

#[test]
fn a_lowered_limit_holds_at_most_its_capacity_twice_against_what_was_used_before() {
    // 100 a minute, used up; then ten a minute: of the hundred twenty count, and the eleventh is back after eleven times six seconds.
    let mut state = None;
    charge(bucket(100, 100, 60), &mut state, at(0), 100);
    let lower = bucket(10, 10, 60);
    let refused = lower.charge(state, at(0), 1).1;
    assert_eq!((refused.fits, refused.retry_after), (false, Some(Duration::from_secs(66))));
    assert!(lower.charge(state, at(66_000_000), 1).1.fits);
}

#[test]
fn a_state_is_as_good_as_none_from_the_moment_that_all_is_back() {
    let (bucket, mut state) = (bucket(10, 10, 1), None);
    charge(bucket, &mut state, at(0), 5);
    assert_eq!(bucket.fresh_at(state.unwrap()), at(500_000));
    assert_eq!(bucket.charge(state, at(499_999), 0).1.remaining, 9);
    assert_eq!(bucket.charge(state, at(500_000), 0).1, bucket.charge(None, at(500_000), 0).1);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let slow = bucket(Level::MAX, 1, 3_155_760_000);
    for now in [Timestamp::MIN, at(0), Timestamp::MAX] {
        let (state, all) = slow.charge(None, now, Level::MAX);
        assert!(all.fits);
        assert_eq!(slow.fresh_at(state), Timestamp::MAX);
        for later in [Timestamp::MIN, at(0), Timestamp::MAX] {
            assert!(slow.charge(Some(state), later, u64::MAX).1.retry_after.is_none());
        }
    }
    let fast = bucket(Level::MAX, Level::MAX, 1);
    let (state, _) = fast.charge(None, Timestamp::MIN, Level::MAX);
    assert_eq!(fast.charge(Some(state), Timestamp::MAX, 0).1.remaining, Level::MAX);
}

#[test]
fn there_are_ticks_before_1970_too() {
    // A unit comes back with each tick of 60 µs, and one of them begins at zero.
    let (bucket, mut state) = (bucket(1, 1_000_000, 60), None);
    charge(bucket, &mut state, Timestamp::from_micros(-1), 1);
    assert!(charge(bucket, &mut state, Timestamp::EPOCH, 1).fits);
    assert!(!charge(bucket, &mut state, Timestamp::from_micros(59), 1).fits);
    assert!(charge(bucket, &mut state, Timestamp::from_micros(60), 1).fits);
}

#[test]
fn what_is_no_bucket_does_not_construct() {
    for (capacity, refill, window) in [
        (0, 1, 1),
        (1, 0, 1),
        (1, 1, 0),
        (Level::MAX + 1, 1, 1),
        (1, Level::MAX + 1, 1),
        (1, 1, 3_155_760_001),
    ] {
        assert_eq!(Level::new(capacity, refill, window), None);
    }
}

#[test]
fn what_may_be_late_is_bounded_by_what_is_counted() {
    // Of 2^53 − 1 millionths one unit is the capacity.
    const REST: u64 = (1 << 53) - 1 - 1_000_000;
    let one = bucket(1, 1, 1);
    assert_eq!(one.with_late(REST).map(|level| level.late()), Some(REST));
    assert_eq!(one.with_late(REST + 1), None);
    assert_eq!(one.with_late(u64::MAX), None);
    assert_eq!(one.with_delay(Duration::MAX).late(), REST);
    // A delay is rounded down to ticks: of an hour, 3,600 µs, each of which brings 60 millionths.
    let hour = bucket(1, 60, 3_600);
    assert_eq!(hour.with_delay(Duration::from_micros(3_599)).late(), 0);
    assert_eq!(hour.with_delay(Duration::from_micros(7_200)).late(), 120);
}

#[test]
fn the_most_that_is_held_against_anybody_is_the_capacity_twice_and_what_may_be_late() {
    assert_eq!(bucket(10, 1, 1).ceiling(), 20_000_000);
    assert_eq!(bucket(10, 1, 1).with_late(500_000).unwrap().ceiling(), 20_500_000);
    assert_eq!(bucket(Level::MAX, 1, 1).ceiling(), (1 << 53) - 1);
    assert_eq!(bucket(1, 1, 1).with_delay(Duration::MAX).ceiling(), (1 << 53) - 1);
}

#[test]
fn a_throttle_admits_late_within_its_bound_and_refuses_beyond() {
    // Ten a second, and nobody waits longer than 250 ms: two and a half more.
    let throttle = bucket(10, 10, 1).with_delay(Duration::from_millis(250));
    let mut state = None;
    assert_eq!(charge(throttle, &mut state, at(0), 10).delay, Duration::ZERO);
    assert_eq!(charge(throttle, &mut state, at(0), 1).delay, Duration::from_millis(100));
    assert_eq!(charge(throttle, &mut state, at(0), 1).delay, Duration::from_millis(200));
    let refused = charge(throttle, &mut state, at(0), 1);
    assert_eq!((refused.fits, refused.delay, refused.remaining), (false, Duration::ZERO, 0));
    assert_eq!(refused.retry_after, Some(Duration::from_millis(50)));
    assert_eq!(charge(throttle, &mut state, at(50_000), 1).delay, Duration::from_millis(250));
    // What asks for nothing waits for nobody.
    assert_eq!(charge(throttle, &mut state, at(50_000), 0).delay, Duration::ZERO);
}

#[test]
fn a_share_is_rounded_down_and_never_nothing() {
    let limit = Limit::Level(bucket(70, 60, 60));
    assert_eq!(limit.share(4), Limit::Level(bucket(17, 15, 60)));
    assert_eq!(limit.share(100), Limit::Level(bucket(1, 1, 60)));
}

/// The definition, taken literally: each tick that begins gives back `refill` millionths, until nothing is used; what was used under a
/// higher limit is held up to twice the capacity and what may be late. A refusal leaves no trace, so a clock that went back after it has
/// shown nothing.
#[derive(Clone, Copy, Default)]
struct Reference {
    used: u64,
    at: Option<Timestamp>,
}

impl Reference {
    /// Whether it fits, what is left, and how long it is late.
    fn charge(&mut self, level: Level, now: Timestamp, cost: u64) -> (bool, u64, Duration) {
        let length = i64::from(level.window_seconds());
        let at = self.at.unwrap_or(now).max(now);
        let mut tick = self.at.unwrap_or(now).micros().div_euclid(length);
        let full = level.capacity() * 1_000_000;
        let mut used = self.used.min(2 * full + level.late());
        while (tick + 1) * length <= at.micros() {
            tick += 1;
            used = used.saturating_sub(level.refill());
        }
        let fits = cost == 0 || used + cost * 1_000_000 <= full + level.late();
        if fits {
            used += cost * 1_000_000;
            *self = Self { used, at: Some(at) };
        }
        let left = full.saturating_sub(used) / 1_000_000;
        // It goes on as soon as it would have fitted without being late.
        let mut above = if fits && cost > 0 { used } else { 0 };
        let is_late = above > full;
        while above > full {
            tick += 1;
            above = above.saturating_sub(level.refill());
        }
        let turn = if is_late { Timestamp::from_micros(tick * length) } else { now };
        (fits, left, turn.since(now))
    }
}

fn levels() -> impl Strategy<Value = Level> {
    (1_u64..8, 1_u64..2_000_000, 1_u64..100, prop_oneof![Just(0), 0_u64..5_000_000]).prop_map(
        |(capacity, refill, window, late)| bucket(capacity, refill, window).with_late(late).unwrap(),
    )
}

proptest! {
    #[test]
    fn it_counts_like_its_definition_also_where_the_limit_changes(
        levels in prop::collection::vec(levels(), 1..4),
        steps in prop::collection::vec((-50_i64..5_000, 0_u64..4, 0_usize..40), 1..60),
    ) {
        let (mut state, mut now, mut reference, mut level) = (None, at(0), Reference::default(), levels[0]);
        for (step, cost, change) in steps {
            level = *levels.get(change).unwrap_or(&level);
            now = Timestamp::from_micros(now.micros() + step);
            let standing = charge(level, &mut state, now, cost);
            let expected = reference.charge(level, now, cost);
            prop_assert_eq!((standing.fits, standing.remaining, standing.delay), expected);
        }
    }

    #[test]
    fn the_times_it_tells_are_exact(
        capacity in 1_u64..1000, refill in 1_u64..1000, window in 1_u64..100_000, used in 1_u64..1000, cost in 1_u64..1000,
        phase in 0_i64..1_000_000,
    ) {
        let (bucket, mut state) = (bucket(capacity, refill, window), None);
        let now = at(phase);
        charge(bucket, &mut state, now, used.min(capacity));
        let standing = bucket.charge(state, now, cost).1;
        if let Some(wait) = standing.retry_after {
            prop_assert!(bucket.charge(state, now.plus(wait), cost).1.fits);
            prop_assert!(!bucket.charge(state, now.plus(wait - Duration::from_micros(1)), cost).1.fits);
        }
        let reset = bucket.charge(state, now, 0).1.reset_after;
        let fresh = |now| bucket.charge(state, now, 0).1.reset_after.is_zero();
        prop_assert!(fresh(now.plus(reset)));
        prop_assert!(!fresh(now.plus(reset - Duration::from_micros(1))));
        prop_assert_eq!(bucket.fresh_at(state.unwrap()), now.plus(reset));
    }

    #[test]
    fn a_throttle_delays_at_most_as_long_as_it_may_and_refuses_only_what_would_have_to_wait_longer(
        capacity in 1_u64..20, refill in 1_u64..20, window in 1_u64..100, most in 0_u64..30_000_000,
        steps in prop::collection::vec((0_i64..1_000_000, 1_u64..5), 1..100),
    ) {
        let most = Duration::from_micros(most);
        let patient = bucket(capacity, refill, window).with_delay(Duration::MAX);
        let throttle = patient.with_delay(most);
        let (mut state, mut now) = (None, at(0));
        for (step, cost) in steps {
            now = Timestamp::from_micros(now.micros() + step);
            let standing = charge(throttle, &mut state, now, cost);
            prop_assert!(standing.delay <= most);
            if !standing.fits {
                let wait = patient.charge(state, now, cost).1.delay;
                prop_assert!(wait + Duration::from_micros(window) > most, "{:?} {:?}", wait, most);
            }
        }
    }

    #[test]
    fn no_window_gives_more_than_a_full_bucket_and_a_refill(
        capacity in 1_u64..50, refill in 1_u64..50, window in 1_u64..4,
        steps in prop::collection::vec((0_i64..300_000, 1_u64..20), 1..200),
    ) {
        let (bucket, mut state, mut now) = (bucket(capacity, refill, window), None, at(0));
        let mut taken = Vec::new();
        for (step, cost) in steps {
            now = Timestamp::from_micros(now.micros() + step);
            if charge(bucket, &mut state, now, cost).fits {
                taken.push((now, cost));
            }
        }
        for (index, (start, _)) in taken.iter().enumerate() {
            let within = taken[index..].iter().take_while(|(when, _)| when.since(*start) < Duration::from_secs(window));
            prop_assert!(within.map(|(_, cost)| cost).sum::<u64>() <= capacity + refill);
        }
    }
}
