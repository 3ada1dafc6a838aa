//! Several threads at a time, which the comparisons with peers measure too.

use std::hint::black_box;
use std::sync::{Arc, Barrier};

use rustix::time::{ClockId, Timespec, clock_gettime};
use stanchion_core::SystemClock;
use stanchion_ratelimit::{Call, Charge, CounterStore, Limit, MemoryCounterStore, Slot};

use crate::measure::Comparison;
use crate::workload::{DAY, KEYS, tenant, users, write_name};

/// So much in a day that nobody uses it up, not even where all ask for the same key.
pub(crate) const PLENTY: u32 = 1_000_000_000;

/// Measures 1, 2 and 4 threads over many keys, and over one that all of them want. Each side does the requests of one thread: a number
/// of users, one after the other.
pub(crate) fn compare_threads(
    turns: usize,
    peer: &str,
    ours: impl Fn(&[usize]) + Sync,
    theirs: impl Fn(&[usize]) + Sync,
) {
    for (name, keys) in [("threads", KEYS), ("threads_one_key", 1)] {
        let order = users(keys);
        ours(&order);
        theirs(&order);
        for threads in [1, 2, 4] {
            let pair = |_| (turn(threads, &order, &ours), turn(threads, &order, &theirs));
            let pairs: Vec<(Turn, Turn)> = (0..=turns).map(pair).skip(1).collect();
            let compare = |of: fn(&Turn) -> f64, best: fn(f64, f64) -> f64| {
                let mut ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| of(ours) / of(theirs)).collect();
                ratios.sort_by(f64::total_cmp);
                Comparison {
                    ours: pairs.iter().map(|(ours, _)| of(ours)).reduce(best).unwrap(),
                    theirs: pairs.iter().map(|(_, theirs)| of(theirs)).reduce(best).unwrap(),
                    ratio: ratios[turns / 2],
                }
            };
            let line = |figure: &str, unit: &str, Comparison { ours, theirs, ratio }: Comparison| {
                println!(
                    "BENCH ratelimit.{figure} value={ours:.1} unit={unit} peer={peer} peer_value={theirs:.1} ratio={ratio:.3}"
                );
            };
            line(&format!("{name}_{threads}"), "ns", compare(|turn| turn.nanos, f64::min));
            let rate = compare(|turn| turn.per_second, f64::max);
            line(&format!("{name}_{threads}_rate"), "decisions/s", rate);
        }
    }
}

/// What a turn came to: CPU of all threads for each decision, and decisions of all threads in a second.
struct Turn {
    nanos: f64,
    per_second: f64,
}

fn turn(threads: usize, order: &[usize], work: &(impl Fn(&[usize]) + Sync)) -> Turn {
    let start = Barrier::new(threads + 1);
    let of_thread = |number: usize| {
        // Each thread begins elsewhere, so that they do not go hand in hand.
        let (before, rest) = order.split_at(number * order.len() / threads);
        start.wait();
        let began = clock_gettime(ClockId::ThreadCPUTime);
        work(rest);
        work(before);
        nanos_since(began, ClockId::ThreadCPUTime)
    };
    let of_thread = &of_thread;
    let (nanos, elapsed) = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|number| scope.spawn(move || of_thread(number))).collect();
        let began = clock_gettime(ClockId::Monotonic);
        start.wait();
        let nanos: f64 = all.into_iter().map(|thread| thread.join().unwrap()).sum();
        (nanos, nanos_since(began, ClockId::Monotonic))
    });
    let made = (threads * order.len()) as f64;
    Turn { nanos: nanos / made, per_second: made / (elapsed / 1e9) }
}

fn nanos_since(before: Timespec, clock: ClockId) -> f64 {
    let after = clock_gettime(clock);
    ((after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec)) as f64
}

/// One rule's counter for each user, by the store's own clock.
pub(crate) fn counters() -> impl Fn(&[usize]) + Sync {
    let store = MemoryCounterStore::new(4 * KEYS, Arc::new(SystemClock));
    let limit = Limit::token_bucket(PLENTY.into(), PLENTY.into(), DAY).unwrap();
    let slot = Slot::Tenant(tenant());
    move |users| {
        let mut key = *b"\x03u\x0buser-000000";
        for user in users {
            write_name(*user, &mut key);
            let charge = [Charge::new(black_box(&key), limit, 1)];
            assert!(store.try_decide(slot, &Call::new(&charge, None)).unwrap().unwrap().is_admitted());
        }
    }
}
