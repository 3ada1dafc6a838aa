use std::time::Duration;

use proptest::prelude::*;
use stanchion_core::Timestamp;

use super::*;
use crate::Adjustment;
use crate::algorithm::tests::{Counter, NOON};

#[test]
fn a_lease_is_free_again_when_its_work_has_ended_or_its_time() {
    let mut leases = Counter::of(Limit::concurrency(2, Duration::from_secs(30)).unwrap());
    let later = |seconds| NOON.plus(Duration::from_secs(seconds));
    assert!(leases.charge(NOON, 1).fits && leases.charge(later(1), 1).fits);
    let refused = leases.charge(later(2), 1);
    assert_eq!((refused.fits, refused.retry_after), (false, Some(Duration::from_secs(28))));
    leases.settle(2, later(1), later(5), Adjustment::Return(1));
    assert_eq!(leases.look(later(5), 0).remaining, 1);
    assert_eq!(leases.look(later(30), 0).remaining, 2);
}

proptest! {
    /// Work that is given back when it ends, and some that never is: at no instant is more of it going on than may.
    #[test]
    fn at_no_instant_is_more_in_use_than_the_capacity(
        capacity in 1_u64..8, ttl in 1_u64..1_000,
        steps in prop::collection::vec((0_u64..200, 1_u64..4, prop::option::of(0_u64..1_500)), 1..100),
    ) {
        let ttl = Duration::from_micros(ttl);
        let mut leases = Counter::of(Limit::concurrency(capacity, ttl).unwrap());
        let mut now = NOON;
        // When each began, when it ends, and how much it takes.
        let mut work: Vec<(Timestamp, Timestamp, u64)> = Vec::new();
        let mut due: Vec<(Timestamp, u128, Timestamp, u64)> = Vec::new();
        for (number, (step, cost, lasts)) in (1_u128..).zip(steps) {
            now = now.plus(Duration::from_micros(step));
            due.sort_unstable();
            while due.first().is_some_and(|(end, ..)| *end <= now) {
                let (end, call, began, cost) = due.remove(0);
                leases.settle(call, began, end, Adjustment::Return(cost));
            }
            let running = |at: Timestamp| -> u64 {
                work.iter().filter(|(began, end, _)| *began <= at && at < *end).map(|(.., cost)| cost).sum()
            };
            let fits = leases.charge(now, cost).fits;
            prop_assert_eq!(fits, running(now) + cost <= capacity);
            if fits {
                let lasts = lasts.map(Duration::from_micros).filter(|lasts| *lasts < ttl);
                work.push((now, now.plus(lasts.unwrap_or(ttl)), cost));
                due.extend(lasts.map(|lasts| (now.plus(lasts), number, now, cost)));
            }
        }
        for (began, ..) in &work {
            let running = work.iter().filter(|(other, end, _)| other <= began && began < end);
            prop_assert!(running.map(|(.., cost)| cost).sum::<u64>() <= capacity);
        }
    }
}
