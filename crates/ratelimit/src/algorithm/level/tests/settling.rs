//! Corrections of a level, by hand.

use super::*;

fn settle(
    level: Level,
    state: &mut Option<State>,
    now: Timestamp,
    charged: Timestamp,
    adjustment: Adjustment,
) {
    *state = level.settle(*state, now, charged, adjustment);
}

fn remaining(level: Level, state: Option<State>, now: Timestamp) -> u64 {
    level.charge(state, now, 0).1.remaining
}

#[test]
fn what_is_given_back_at_once_is_there_at_once() {
    let (level, mut state) = (bucket(10, 10, 1), None);
    charge(level, &mut state, at(0), 8);
    settle(level, &mut state, at(0), at(0), Adjustment::Return(3));
    assert_eq!(remaining(level, state, at(0)), 5);
}

#[test]
fn what_has_come_back_by_itself_is_not_given_back_again() {
    // Of six units taken, three have come back after 300 ms: one more is all there is to give of the four.
    let (level, mut state) = (bucket(10, 10, 1), None);
    charge(level, &mut state, at(0), 6);
    settle(level, &mut state, at(300_000), at(0), Adjustment::Return(4));
    assert_eq!(remaining(level, state, at(300_000)), 8);
    // 99,999 µs on, two units have not quite come back.
    assert_eq!(remaining(level, state, at(399_999)), 8);
    assert_eq!(remaining(level, state, at(400_000)), 9);
}

#[test]
fn what_came_back_long_ago_takes_nothing_from_what_others_use_since() {
    let (level, mut state) = (bucket(10, 10, 1), None);
    charge(level, &mut state, at(0), 6);
    charge(level, &mut state, at(2_000_000), 7);
    settle(level, &mut state, at(2_000_000), at(0), Adjustment::Return(6));
    assert_eq!(remaining(level, state, at(2_000_000)), 3);
}

#[test]
fn a_correction_by_a_clock_that_is_behind_gives_back_no_more_than_was_charged() {
    let (level, mut state) = (bucket(10, 10, 1), None);
    charge(level, &mut state, at(1_000_000), 6);
    settle(level, &mut state, at(0), at(1_000_000), Adjustment::Return(2));
    assert_eq!(remaining(level, state, at(1_000_000)), 6);
    assert_eq!(remaining(level, state, at(0)), 6);
}

#[test]
fn what_has_come_back_is_told_by_the_latest_time_that_was_counted_in() {
    let (level, mut state) = (bucket(10, 10, 1), None);
    charge(level, &mut state, at(0), 6);
    charge(level, &mut state, at(300_000), 1);
    // Three of the six have come back by then, whatever the clock says that settles.
    settle(level, &mut state, at(0), at(0), Adjustment::Return(4));
    assert_eq!(remaining(level, state, at(300_000)), 7);
}

#[test]
fn more_may_be_added_than_fits_and_is_held_up_to_the_ceiling() {
    let (level, mut state) = (bucket(10, 10, 1), None);
    charge(level, &mut state, at(0), 1);
    settle(level, &mut state, at(0), at(0), Adjustment::Add(14));
    let refused = level.charge(state, at(0), 1).1;
    // Fifteen are used: when six have come back one fits.
    assert_eq!((refused.remaining, refused.retry_after), (0, Some(Duration::from_millis(600))));
    settle(level, &mut state, at(0), at(0), Adjustment::Add(u64::MAX));
    let most = level.charge(state, at(0), 1).1;
    assert_eq!(most.retry_after, Some(Duration::from_millis(1_100)), "of twenty at most");
    assert_eq!(level.fresh_at(state.unwrap()), at(2_000_000));
}

#[test]
fn a_place_in_a_queue_is_given_back_with_its_turn_as_the_time_it_was_charged() {
    // One a second, four may wait. The last of five has its turn after four seconds; after three, two are gone.
    let level = bucket(1, 1, 1).with_late(4 * Level::UNIT).unwrap();
    let mut state = None;
    let turns: Vec<Timestamp> =
        (0..5).map(|_| at(0).plus(charge(level, &mut state, at(0), 1).delay)).collect();
    assert_eq!(turns[4], at(4_000_000));
    let now = at(2_500_000);
    let waiting = |state: Option<State>| level.charge(state, now, 1).1.delay;
    assert_eq!(waiting(state), Duration::from_micros(2_500_000));
    let mut left_early = state;
    settle(level, &mut left_early, now, turns[4], Adjustment::Return(1));
    assert_eq!(waiting(left_early), Duration::from_micros(1_500_000), "those behind move up");
    // By the time it was asked for, two and a half units have come back since then, and they may have been this one.
    settle(level, &mut state, now, at(0), Adjustment::Return(1));
    assert_eq!(waiting(state), Duration::from_micros(2_500_000));
}
