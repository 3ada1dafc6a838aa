//! What threads do to each other, under every schedule of their locks.

use std::sync::Mutex;

use shuttle::thread;
use stanchion_core::ManualClock;

use super::*;
use crate::memory::lock::{under_every_schedule, under_random_schedules};
use crate::{Adjustment, CallId};

const NOW: Timestamp = Timestamp::EPOCH;

/// A store, and names of counters in different parts of it. The same in each schedule, or a checker cannot tell schedules apart.
#[derive(Clone)]
struct Places {
    hasher: DefaultHashBuilder,
    keys: Vec<Vec<u8>>,
}

impl Places {
    fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let shard = |key: &[u8]| shard_of(SlotId::from(Slot::Edge).with(key).hash(&hasher));
        for number in 0..1_000_u32 {
            let key = number.to_be_bytes().to_vec();
            if keys.len() < 3 && keys.iter().all(|other| shard(other) != shard(&key)) {
                keys.push(key);
            }
        }
        Self { hasher, keys }
    }

    fn store(&self) -> Arc<MemoryCounterStore> {
        let mut store = MemoryCounterStore::new(640, Arc::new(ManualClock::default()));
        store.hasher = self.hasher.clone();
        Arc::new(store)
    }
}

fn window(capacity: u64) -> Limit {
    let minute = std::num::NonZeroU64::new(60_000_000).unwrap();
    Limit::fixed_window(capacity, crate::Frame::Every(minute)).unwrap()
}

fn lease(capacity: u64) -> Limit {
    Limit::concurrency(capacity, Duration::from_secs(60)).unwrap()
}

/// Charges one unit of each counter.
fn take(store: &MemoryCounterStore, id: u128, keys: &[(&[u8], Limit)], hold: bool) -> bool {
    let charges: Vec<Charge<'_>> = keys.iter().map(|(key, limit)| Charge::new(key, *limit, 1)).collect();
    let hold = hold.then_some(Duration::from_secs(5));
    let call = Call { charges: &charges, id: CallId::new(id), hold, now: Some(NOW) };
    store.charge(Slot::Edge, &call).unwrap().is_admitted()
}

fn settle(
    store: &MemoryCounterStore,
    id: u128,
    hold: bool,
    corrections: &[(&[u8], Limit, Adjustment)],
) -> bool {
    let call = Settled { id: CallId::new(id), at: NOW, hold };
    let corrections: Vec<Settlement<'_>> = corrections
        .iter()
        .map(|(key, limit, adjustment)| Settlement { key, limit: *limit, adjustment: *adjustment })
        .collect();
    store.try_settle(Slot::Edge, call, &corrections, Some(NOW)).unwrap().unwrap()
}

/// How much is left of each counter, in one look.
fn left(store: &MemoryCounterStore, keys: &[(&[u8], Limit)]) -> Vec<u64> {
    let charges: Vec<Charge<'_>> = keys.iter().map(|(key, limit)| Charge::new(key, *limit, 0)).collect();
    let outcome = store.charge(Slot::Edge, &Call::new(&charges, Some(NOW))).unwrap();
    outcome.standings().iter().map(|standing| standing.remaining).collect()
}

#[test]
fn two_calls_over_two_counters_in_opposite_order_never_wait_for_each_other() {
    let places = Places::new();
    under_every_schedule(move || {
        let store = places.store();
        let both = |order: [usize; 2]| {
            let (store, keys) = (Arc::clone(&store), order.map(|at| places.keys[at].clone()));
            thread::spawn(move || take(&store, 0, &keys.each_ref().map(|key| (&**key, window(1))), false))
        };
        let calls = [both([0, 1]), both([1, 0])];
        let admitted = calls.map(|call| call.join().unwrap());
        assert_eq!(admitted.iter().filter(|admitted| **admitted).count(), 1);
    });
}

#[test]
fn a_call_is_charged_as_a_whole_or_not_at_all() {
    let places = Places::new();
    under_every_schedule(move || {
        let store = places.store();
        // Only one of them finds a unit of the narrow counter, which is the last for one and the first for the other.
        let keys = [0, 1].map(|at| places.keys[at].clone());
        let [wide, narrow] = keys.each_ref().map(|key| &**key);
        let other = thread::spawn({
            let (store, keys) = (Arc::clone(&store), keys.clone());
            move || take(&store, 0, &[(&keys[0], window(5)), (&keys[1], window(1))], false)
        });
        let admitted = take(&store, 0, &[(narrow, window(1)), (wide, window(5))], false);
        assert_ne!(admitted, other.join().unwrap());
        assert_eq!(left(&store, &[(wide, window(5)), (narrow, window(1))]), [4, 0]);
    });
}

#[test]
fn a_call_is_never_seen_in_part() {
    for limit in [window(5), lease(5)] {
        let places = Places::new();
        under_every_schedule(move || {
            let store = places.store();
            let keys = [0, 1].map(|at| places.keys[at].clone());
            let call = thread::spawn({
                let (store, keys) = (Arc::clone(&store), keys.clone());
                move || take(&store, 1, &keys.each_ref().map(|key| (&**key, limit)), false)
            });
            let seen = left(&store, &[(&keys[1], limit), (&keys[0], limit)]);
            assert!(seen == [5, 5] || seen == [4, 4], "{seen:?}");
            assert!(call.join().unwrap());
        });
    }
}

#[test]
fn three_threads_get_what_there_is_and_not_one_more() {
    for limit in [window(2), lease(2)] {
        let places = Places::new();
        under_every_schedule(move || {
            let (store, key) = (places.store(), places.keys[0].clone());
            let others = [1, 2].map(|id| {
                let (store, key) = (Arc::clone(&store), key.clone());
                thread::spawn(move || take(&store, id, &[(&key, limit)], false))
            });
            let mut admitted = usize::from(take(&store, 3, &[(&key, limit)], false));
            for other in others {
                admitted += usize::from(other.join().unwrap());
            }
            assert_eq!(admitted, 2);
        });
    }
}

#[test]
fn a_hold_is_settled_once() {
    for limit in [window(10), lease(10)] {
        let places = Places::new();
        under_every_schedule(move || {
            let store = places.store();
            let key = places.keys[0].clone();
            assert!(take(&store, 7, &[(&key, limit)], true));
            let settled = [(); 2].map(|()| {
                let (store, key) = (Arc::clone(&store), key.clone());
                thread::spawn(move || settle(&store, 7, true, &[(&key, limit, Adjustment::Add(2))]))
            });
            let settled = settled.map(|thread| thread.join().unwrap());
            assert_eq!(settled.iter().filter(|settled| **settled).count(), 1);
            assert_eq!(left(&store, &[(&key, limit)]), [7]);
        });
    }
}

#[test]
fn a_settlement_is_never_seen_in_part() {
    for (hold, limit) in [(true, window(10)), (false, window(10)), (false, lease(10))] {
        let places = Places::new();
        under_every_schedule(move || {
            let store = places.store();
            let keys = [0, 1].map(|at| places.keys[at].clone());
            let pair = keys.each_ref().map(|key| (&**key, limit));
            assert!(take(&store, 7, &pair, hold));
            let settling = thread::spawn({
                let (store, keys) = (Arc::clone(&store), keys.clone());
                move || {
                    settle(&store, 7, hold, &keys.each_ref().map(|key| (&**key, limit, Adjustment::Add(2))))
                }
            });
            let seen = left(&store, &[pair[1], pair[0]]);
            assert!(seen == [9, 9] || seen == [7, 7], "{seen:?}");
            assert!(settling.join().unwrap());
            assert_eq!(left(&store, &pair), [7, 7]);
        });
    }
}

/// Too many schedules to see them all: four threads that hold, settle, charge, reset and look.
#[test]
fn whatever_four_threads_do_the_sums_are_right() {
    let places = Places::new();
    under_random_schedules(500, move || {
        let store = places.store();
        let keys: Arc<[Vec<u8>]> = places.keys.clone().into();
        let charged = Arc::new(Mutex::new(0_u64));
        let threads = [0_u128, 1, 2, 3].map(|thread| {
            let (store, keys, charged) = (Arc::clone(&store), Arc::clone(&keys), Arc::clone(&charged));
            thread::spawn(move || {
                for round in 0..3 {
                    let id = thread * 10 + round;
                    let (first, second) = if thread % 2 == 0 { (0, 1) } else { (1, 0) };
                    let pair = [(&*keys[first], window(8)), (&*keys[second], window(8))];
                    let lease = (&*keys[2], lease(2));
                    if take(&store, id, &[pair[0], pair[1], lease], true) {
                        let back = Adjustment::Return(u64::from(round == 1));
                        let corrections = [
                            (pair[0].0, pair[0].1, back),
                            (pair[1].0, pair[1].1, back),
                            (lease.0, lease.1, Adjustment::Return(1)),
                        ];
                        assert!(settle(&store, id, true, &corrections));
                        assert!(!settle(&store, id, true, &corrections), "once");
                        *charged.lock().unwrap() += 1 - u64::from(round == 1);
                    }
                    let seen = left(&store, &[pair[1], pair[0]]);
                    assert_eq!(seen[0], seen[1]);
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let used = *charged.lock().unwrap();
        let all = [(&*keys[0], window(8)), (&*keys[1], window(8)), (&*keys[2], lease(2))];
        assert_eq!(left(&store, &all), [8 - used, 8 - used, 2]);
    });
}
