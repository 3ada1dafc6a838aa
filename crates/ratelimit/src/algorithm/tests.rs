//! What holds for every algorithm, whatever its kernel: a counter is charged at random, then asked.

use proptest::prelude::*;

use super::*;

mod counter;
mod extremes;

pub(super) use counter::{Counter, NOON, Stated, every, most_within};
use counter::{after, stated, steps, used};

pub(super) const MICRO: Duration = Duration::from_micros(1);

proptest! {
    #[test]
    fn a_charge_that_does_not_fit_fits_when_it_was_told_to_and_not_a_microsecond_before(
        stated in stated(), steps in steps(40), cost in 1_u64..40,
    ) {
        let (counter, now) = used(stated, &steps);
        let standing = counter.look(now, cost);
        prop_assert_eq!(standing.retry_after.is_some(), !standing.fits && cost <= stated.most());
        if let Some(wait) = standing.retry_after {
            prop_assert!(counter.look(now.plus(wait), cost).fits, "{:?}", wait);
            prop_assert!(!counter.look(now.plus(wait).minus(MICRO), cost).fits, "{:?}", wait);
        }
    }

    #[test]
    fn a_counter_is_as_good_as_new_when_it_was_told_to_be_and_not_a_microsecond_before(
        stated in stated(), steps in steps(40), later in 0_u64..3_000_000, cost in 0_u64..40,
    ) {
        let (counter, now) = used(stated, &steps);
        let reset = now.plus(counter.look(now, 0).reset_after);
        let new = Counter::new(stated);
        if reset > now {
            prop_assert_ne!(counter.look(reset.minus(MICRO), 0), new.look(reset.minus(MICRO), 0));
        }
        for at in [reset, reset.plus(Duration::from_micros(later))] {
            prop_assert_eq!(counter.look(at, cost), new.look(at, cost));
            let (mut old, mut new) = (counter.clone(), new.clone());
            old.charge(at, cost);
            new.charge(at, cost);
            prop_assert_eq!(old.look(at.plus(MICRO), cost), new.look(at.plus(MICRO), cost));
        }
        if let Some(state) = counter.state {
            let fresh_at = stated.limit(now).fresh_at(state);
            prop_assert_eq!(fresh_at.max(now), reset);
        }
    }

    #[test]
    fn a_clock_that_goes_backwards_gives_nothing_back(
        stated in stated(), steps in steps(40), back in 0_u64..3_000, cost in 0_u64..40,
    ) {
        let (counter, now) = used(stated, &steps);
        let earlier = now.minus(stated.length() / 1_000 * u32::try_from(back).unwrap());
        let left = |at| counter.look(at, 0).remaining;
        prop_assert!(left(earlier) <= left(now), "{} {}", left(earlier), left(now));
        let (before, after) = (counter.look(now, cost), counter.look(earlier, cost));
        prop_assert!(before.fits || !after.fits);
        // Whoever waits by the clock that went back waits at least the step besides, as far as the calendar was looked up.
        let is_known = back < 900 || matches!(stated, Stated::Steady(_));
        if is_known
            && let (Some(before), Some(after)) = (before.retry_after, after.retry_after) {
            prop_assert!(earlier.plus(after) >= now.plus(before));
        }
    }

    #[test]
    fn what_asks_for_nothing_fits_and_what_asks_for_everything_never_does(
        stated in stated(), steps in steps(40),
    ) {
        let (counter, now) = used(stated, &steps);
        let nothing = counter.look(now, 0);
        prop_assert!(nothing.fits && nothing.retry_after.is_none() && nothing.delay.is_zero());
        for cost in [stated.most() + 1, u64::MAX / 1_000_000, u64::MAX / 1_000_000 + 1, u64::MAX - 1, u64::MAX] {
            let standing = counter.look(now, cost);
            prop_assert!(!standing.fits && standing.retry_after.is_none());
            prop_assert_eq!(standing.remaining, nothing.remaining);
            prop_assert_eq!(standing.reset_after, nothing.reset_after);
            let mut asked = counter.clone();
            asked.charge(now, cost);
            prop_assert_eq!((asked.state, asked.entries), (counter.state, counter.entries.clone()));
        }
    }

    #[test]
    fn a_new_counter_gives_its_capacity_at_once(stated in stated(), cost in 1_u64..70) {
        let standing = Counter::new(stated).look(NOON, cost);
        let capacity = stated.limit(NOON).capacity();
        prop_assert_eq!(standing.fits, cost <= stated.most());
        prop_assert_eq!(standing.delay.is_zero(), cost <= capacity || !standing.fits);
        let left = if standing.fits { capacity.saturating_sub(cost) } else { capacity };
        prop_assert_eq!(standing.remaining, left);
    }

    /// A charge that is given back in part leaves at least what would be in use if it had been smaller in the first place; given
    /// back at once it leaves exactly that.
    #[test]
    fn what_is_given_back_is_at_most_what_it_still_takes(
        stated in stated(), before in steps(10), between in steps(10), cost in 1_u64..12, back in 0_u64..12,
    ) {
        let (counter, now) = used(stated, &before);
        let cost = if counter.look(now, cost).fits { cost } else { 0 };
        let (mut whole, mut less) = (counter.clone(), counter);
        whole.charge(now, cost);
        let back = back.min(cost);
        less.charge(now, cost - back);
        let (call, charged, mut at) = (whole.calls, now, now);
        // The same traffic for both, and no more of it than is held against anybody.
        for step in between.iter().filter(|step| step.2 < 11) {
            at = after(at, &stated, *step);
            if whole.look(at, step.2).fits {
                whole.charge(at, step.2);
                less.charge(at, step.2);
            }
        }
        let untouched = whole.clone();
        whole.settle(call, charged, at, Adjustment::Return(back));
        if at == charged {
            prop_assert_eq!(whole.look(at, 0), less.look(at, 0));
        }
        for later in [Duration::ZERO, MICRO, stated.length() / 3, stated.length(), stated.length() * 2] {
            let at = at.plus(later);
            prop_assert!(whole.look(at, 0).remaining <= less.look(at, 0).remaining);
            prop_assert!(whole.look(at, 0).remaining >= untouched.look(at, 0).remaining);
        }
    }

    #[test]
    fn a_correction_of_nothing_changes_nothing(stated in stated(), steps in steps(20)) {
        let (mut counter, now) = used(stated, &steps);
        let mut new = Counter::new(stated);
        for adjustment in [Adjustment::Add(0), Adjustment::Return(0)] {
            counter.entries.prune(now);
            let before = counter.clone();
            counter.force(now, 0);
            counter.settle(counter.calls, now, now, adjustment);
            prop_assert_eq!((counter.state, &counter.entries), (before.state, &before.entries));
            new.settle(1, now, now, adjustment);
            prop_assert_eq!((new.state, new.entries.as_slice()), (None, [].as_slice()));
        }
        new.settle(1, now, now, Adjustment::Return(9));
        prop_assert_eq!((new.state, new.entries.as_slice()), (None, [].as_slice()));
    }

    #[test]
    fn more_than_the_capacity_can_be_added_and_then_nothing_fits_until_it_is_back(
        stated in stated(), steps in steps(20), units in 1_u64..100, cost in 1_u64..12,
    ) {
        let (mut counter, now) = used(stated, &steps);
        let before = counter.look(now, 0).remaining;
        counter.force(now, units);
        prop_assert_eq!(counter.look(now, 0).remaining, before.saturating_sub(units));
        if let Some(wait) = counter.look(now, cost).retry_after {
            prop_assert!(counter.look(now.plus(wait), cost).fits);
            prop_assert!(!counter.look(now.plus(wait).minus(MICRO), cost).fits);
        }
    }
}

#[test]
fn a_counter_is_as_small_as_the_guide_says() {
    assert_eq!((size_of::<State>(), size_of::<Entry>()), (16, 32));
}
