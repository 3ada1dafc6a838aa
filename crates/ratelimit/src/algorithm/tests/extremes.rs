//! The largest numbers, the smallest, and the ends of time.

use super::*;

/// The instants at which sums leave what a clock can show.
fn edges_of_time() -> Vec<Timestamp> {
    let near = |at: Timestamp| [at.minus(MICRO), at, at.plus(MICRO)];
    let far = [
        Timestamp::MIN,
        Timestamp::EPOCH,
        NOON,
        Timestamp::MAX.minus(Duration::from_secs(60)),
        Timestamp::MAX,
    ];
    far.into_iter().flat_map(near).collect()
}

#[test]
fn the_largest_and_smallest_numbers_stay_within_what_is_counted() {
    const CENTURY: u64 = 3_155_760_000;
    let century = Duration::from_secs(CENTURY);
    let all = [
        Limit::token_bucket(Level::MAX, Level::MAX, 1),
        Limit::token_bucket(Level::MAX, 1, CENTURY),
        Limit::token_bucket(1, 1, CENTURY),
        Limit::token_bucket(1, Level::MAX, CENTURY),
        Limit::gcra(Level::MAX, Level::MAX, 1),
        Limit::leaky_queue(7_199_253, 1, CENTURY),
        Limit::leaky_queue(9_007_199_252, 1, CENTURY),
        Level::new(Level::MAX, 1, CENTURY).map(|level| Limit::Level(level.with_delay(Duration::MAX))),
        Level::new(1, Level::MAX, 1).map(|level| Limit::Level(level.with_delay(Duration::MAX))),
        Limit::fixed_window(FixedWindow::MAX, every(1)),
        Limit::fixed_window(1, every(u64::MAX)),
        Limit::fixed_window(FixedWindow::MAX, every(u64::try_from(i64::MAX).unwrap())),
        Limit::sliding_window(SlidingWindow::MAX, every(1_000_000)),
        Limit::sliding_window(SlidingWindow::MAX, every(CENTURY * 1_000_000)),
        Limit::sliding_window(1, every(u64::MAX / 1_000_000 * 1_000_000)),
        Limit::sliding_log(EntryLimit::MAX, MICRO),
        Limit::sliding_log(EntryLimit::MAX, century),
        Limit::concurrency(1, century),
    ];
    for limit in all.map(Option::unwrap) {
        for first in edges_of_time() {
            for second in edges_of_time() {
                for cost in [0, 1, limit.capacity(), limit.capacity() + 1, u64::MAX] {
                    let mut counter = Counter::of(limit);
                    counter.charge(first, cost);
                    counter.force(second, cost);
                    counter.charge(second, cost);
                    counter.settle(counter.calls, first, second, Adjustment::Return(cost));
                    let standing = counter.look(second, 1);
                    assert!(standing.remaining <= limit.capacity(), "{limit:?} {first} {second} {cost}");
                }
            }
        }
    }
}

#[test]
fn what_was_used_counts_also_where_a_window_ends_after_the_last_instant() {
    let last = Timestamp::MAX.minus(Duration::from_secs(20));
    let minute = every(60_000_000);
    let limits = [
        Limit::token_bucket(2, 1, 60),
        Limit::fixed_window(2, minute),
        Limit::sliding_window(2, minute),
        Limit::fixed_window(2, every(u64::MAX)),
        Limit::sliding_window(2, every(u64::MAX / 1_000_000 * 1_000_000)),
        Limit::sliding_log(2, Duration::from_secs(60)),
    ];
    for limit in limits.map(Option::unwrap) {
        let mut counter = Counter::of(limit);
        assert!(counter.charge(last, 1).fits && counter.charge(last.plus(MICRO), 1).fits);
        let third = counter.charge(last.plus(MICRO), 1);
        assert_eq!((third.fits, third.remaining), (false, 0), "{limit:?}");
        counter.settle(2, last.plus(MICRO), last.plus(MICRO), Adjustment::Return(1));
        assert_eq!(counter.look(last.plus(MICRO), 0).remaining, 1, "{limit:?}");
    }
}

#[test]
fn a_part_is_rounded_down_but_never_to_nothing_nor_above_the_whole() {
    let minute = every(60_000_000);
    let of = |capacity: u64| {
        [
            Limit::token_bucket(capacity, 60, 60),
            Limit::fixed_window(capacity, minute),
            Limit::sliding_window(capacity, minute),
            Limit::sliding_log(capacity, Duration::from_secs(60)),
        ]
        .map(Option::unwrap)
    };
    let most = [Level::MAX, FixedWindow::MAX, SlidingWindow::MAX, EntryLimit::MAX];
    for (numerator, denominator, of_ten) in
        [(1, 4, 2), (1, 100, 1), (0, 1, 1), (3, 2, 10), (1, 0, 10), (1, 1, 10), (2, 3, 6)]
    {
        for limit in of(10) {
            assert_eq!(limit.part(numerator, denominator).capacity(), of_ten, "{numerator}/{denominator}");
        }
    }
    for (limit, most) in of(1).into_iter().zip(most) {
        assert_eq!(limit.share(0), limit);
        assert_eq!(limit.part(u32::MAX, u32::MAX), limit);
        assert!(most > 1);
    }
    let queue = Limit::leaky_queue(8, 60, 60).unwrap();
    assert_eq!(queue.share(4), Limit::leaky_queue(2, 15, 60).unwrap());
    assert_eq!(Limit::leaky_queue(0, 60, 60).unwrap().share(4), Limit::leaky_queue(0, 15, 60).unwrap());
}
