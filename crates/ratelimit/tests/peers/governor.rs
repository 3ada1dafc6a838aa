//! The `governor` crate: the generic cell rate algorithm, one cell or several, with the time until the next.
//!
//! It counts in nanoseconds and rounds its intervals to them. The rates here have intervals of whole microseconds, so that both have to
//! be equal.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use proptest::prelude::*;
use stanchion_core::Timestamp;
use stanchion_ratelimit::{Limit, State};

/// 2026-03-01T12:00:00Z.
const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

/// Both, under clocks that go together.
struct Pair {
    governor: RateLimiter<
        governor::state::NotKeyed,
        governor::state::InMemoryState,
        FakeRelativeClock,
        governor::middleware::NoOpMiddleware<<FakeRelativeClock as Clock>::Instant>,
    >,
    clock: FakeRelativeClock,
    limit: Limit,
    state: Option<State>,
    now: Timestamp,
}

/// Whether so many cells are admitted; else how long until they would be, if ever.
type Answer = Result<(), Option<Duration>>;

impl Pair {
    /// `limit` cells in each window, of which `burst` may come at once.
    fn new(limit: u32, burst: u32, window_seconds: u64) -> Self {
        let (cells, most) = (NonZeroU32::new(limit).unwrap(), NonZeroU32::new(burst).unwrap());
        let clock = FakeRelativeClock::default();
        let interval = Duration::from_secs(window_seconds) / cells.get();
        assert_eq!(
            interval * limit,
            Duration::from_secs(window_seconds),
            "not a whole number of nanoseconds"
        );
        let quota = Quota::with_period(interval).unwrap().allow_burst(most);
        let governor = RateLimiter::direct_with_clock(quota, clock.clone());
        let limit = Limit::gcra(limit.into(), burst.into(), window_seconds).unwrap();
        Self { governor, clock, limit, state: None, now: NOON }
    }

    fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.now = self.now.plus(by);
    }

    fn theirs(&self, cells: u32) -> Answer {
        match self.governor.check_n(NonZeroU32::new(cells).unwrap()) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(Some(not_until.wait_time_from(self.clock.now()))),
            Err(_) => Err(None),
        }
    }

    fn ours(&mut self, cells: u32) -> Answer {
        let (after, standing) = self.limit.charge(self.state, self.now, cells.into());
        if standing.fits {
            self.state = Some(after);
            Ok(())
        } else {
            Err(standing.retry_after)
        }
    }
}

#[test]
fn a_quota_of_its_documentation_is_ours() {
    // "50 cells per second, with a burst of 50."
    let mut pair = Pair::new(50, 50, 1);
    for _ in 0..50 {
        assert_eq!((pair.theirs(1), pair.ours(1)), (Ok(()), Ok(())));
    }
    let wait = Err(Some(Duration::from_millis(20)));
    assert_eq!((pair.theirs(1), pair.ours(1)), (wait, wait));
    assert_eq!((pair.theirs(51), pair.ours(51)), (Err(None), Err(None)));
}

proptest! {
    #[test]
    fn both_admit_the_same_and_name_the_same_wait(
        limit in prop::sample::select(vec![1_u32, 2, 4, 5, 8, 10, 16, 25, 40, 64, 100, 125, 1_000, 50_000, 1_000_000]),
        burst in 1_u32..20,
        steps in prop::collection::vec((prop_oneof![0_u64..2_500, Just(0)], 0_u64..3, 1_u32..6), 1..200),
    ) {
        let mut pair = Pair::new(limit, burst, 1);
        for (thousandths, micros, cells) in steps {
            pair.advance(Duration::from_micros(1_000 * thousandths / u64::from(limit) + micros));
            let (theirs, ours) = (pair.theirs(cells), pair.ours(cells));
            prop_assert_eq!(theirs, ours, "{} at {}", cells, pair.now);
        }
    }

    /// Windows of more than a second are counted in ticks of as many microseconds as they have seconds: what comes at a tick's start
    /// is treated alike.
    #[test]
    fn both_do_so_over_longer_windows(
        (limit, window) in prop::sample::select(vec![(1_u32, 60_u64), (2, 60), (5, 60), (100, 60), (1_000, 60), (4, 3_600), (500, 86_400)]),
        burst in 1_u32..20,
        steps in prop::collection::vec((prop_oneof![0_u64..2_500, Just(0)], 1_u32..6), 1..200),
    ) {
        let mut pair = Pair::new(limit, burst, window);
        for (thousandths, cells) in steps {
            pair.advance(Duration::from_micros(1_000 * thousandths / u64::from(limit) * window));
            let (theirs, ours) = (pair.theirs(cells), pair.ours(cells));
            prop_assert_eq!(theirs, ours, "{} at {}", cells, pair.now);
        }
    }
}
