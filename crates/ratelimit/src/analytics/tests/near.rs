use std::num::NonZeroU64;

use super::*;
use crate::{Frame, Limit, Slot, Standing};

const MINUTE: Duration = Duration::from_secs(60);

fn standing(remaining: u64) -> Standing {
    Standing { fits: true, remaining, reset_after: MINUTE, retry_after: None, delay: Duration::ZERO }
}

#[test]
fn a_limit_is_near_when_so_much_of_it_is_in_use() {
    for (percent, capacity, free) in
        [(80, 10, 2), (85, 10, 1), (91, 10, 0), (100, 10, 0), (1, 10, 9), (80, u64::MAX, u64::MAX / 5)]
    {
        let near = NearLimit::new(percent, capacity);
        assert!(near.is_near(&standing(free)), "{percent} of {capacity}");
        assert!(!near.is_near(&standing(free + 1)), "{percent} of {capacity}");
    }
    assert_eq!(NearLimit::new(0, 10), NearLimit::new(1, 10));
    assert_eq!(NearLimit::new(200, 10), NearLimit::new(100, 10));
}

#[test]
fn a_counter_is_quiet_until_its_window_ends_or_for_the_length_of_one() {
    let every = Frame::Every(NonZeroU64::new(60_000_000).unwrap());
    let check = |limit: Option<Limit>, expected| {
        assert_eq!(NearLimit::quiet_until(&limit.unwrap(), MINUTE, at(70)), at(expected));
    };
    check(Limit::fixed_window(5, every), 120);
    check(Limit::sliding_window(5, every), 120);
    check(Limit::token_bucket(5, 5, 60), 130);
    check(Limit::concurrency(5, MINUTE), 130);
}

#[test]
fn a_counter_is_told_once_in_its_window() {
    let near = NearLimits::new(number(100));
    let first = |key: &[u8], until, now| near.is_first(Slot::Edge, key, at(until), at(now));
    assert!(first(b"a", 60, 10));
    assert!(!first(b"a", 60, 10) && !first(b"a", 60, 59));
    assert!(first(b"b", 60, 10), "another key");
    assert!(near.is_first(Slot::Platform, b"a", at(60), at(10)), "another slot");
    assert!(first(b"a", 120, 60), "another window");
    assert!(!first(b"a", 180, 119) && first(b"a", 180, 120));
}

#[test]
fn parts_of_a_second_count() {
    let near = NearLimits::new(number(100));
    let micros = Timestamp::from_micros;
    let first = |until, now| near.is_first(Slot::Edge, b"a", micros(until), micros(now));
    assert!(first(1_500_000, 1_000_000));
    assert!(!first(2_500_000, 1_499_999) && first(2_500_000, 1_500_000));
}

#[test]
fn many_counters_are_told_once_each_and_no_more_than_there_is_room_for() {
    let near = NearLimits::new(number(20_000));
    for _ in 0..3 {
        let told = (0..15_000_u32).filter(|key| near.is_first(Slot::Edge, &key.to_be_bytes(), at(60), at(1)));
        let _ = told.count();
    }
    let repeated = (0..15_000_u32).filter(|key| near.is_first(Slot::Edge, &key.to_be_bytes(), at(60), at(2)));
    assert_eq!((repeated.count(), near.untold()), (0, 0));

    let small = NearLimits::new(number(160));
    let told = |from: u32, until, now| {
        (from..from + 1_000)
            .filter(|key| small.is_first(Slot::Edge, &key.to_be_bytes(), at(until), at(now)))
            .count()
    };
    assert_eq!(told(0, 60, 1), 160, "ten in each of sixteen parts");
    assert_eq!(small.untold(), 840);
    assert_eq!(told(5_000, 60, 59), 0);
    assert_eq!(told(5_000, 120, 60), 160, "those whose window is over made room");
}

#[test]
fn of_many_threads_one_tells() {
    let near = NearLimits::new(number(1_000));
    let told = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..500_u32 {
                    if near.is_first(Slot::Edge, &key.to_be_bytes(), at(60), at(1)) {
                        told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(told.into_inner(), 500);
}
