use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use stanchion_core::{IdGen, ManualClock, SeededRandom};

use super::*;
use crate::{Adjustment, CallId, Limit};

fn store(capacity: usize) -> MemoryCounterStore {
    MemoryCounterStore::new(capacity, Arc::new(ManualClock::default()))
}

fn charge(key: &[u8]) -> Charge<'_> {
    let limit = Limit::token_bucket(2, 2, 1).unwrap();
    Charge::new(key, limit, 1)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn admit(store: &MemoryCounterStore, key: u32, now: Timestamp) -> Option<bool> {
    let key = key.to_be_bytes();
    store.charge(Slot::Edge, &Call::new(&[charge(&key)], Some(now))).ok().map(|outcome| outcome.is_admitted())
}

#[test]
fn counters_in_use_are_never_forgotten_for_new_ones() {
    let store = store(640);
    let admitted: Vec<u32> = (0..10_000).filter(|key| admit(&store, *key, at(0)) == Some(true)).collect();
    assert!((600..=640).contains(&admitted.len()), "the bound holds and is reached: {}", admitted.len());
    assert_eq!(store.len(), admitted.len());
    for key in admitted {
        assert_eq!(admit(&store, key, at(0)), Some(true), "the second token is still there");
        assert_eq!(admit(&store, key, at(0)), Some(false), "and no third");
    }
}

#[test]
fn counters_as_good_as_new_make_room() {
    let store = store(6_400);
    // A token is back after half a second, so a counter used once is new by then.
    for round in 0..20 {
        let now = at(i64::from(round) * 500);
        let refused = (0..3_000).filter(|key| admit(&store, round * 10_000 + key, now).is_none()).count();
        assert_eq!(refused, 0, "round {round}");
    }
    assert!(store.len() <= 6_400);
}

#[test]
fn keys_that_are_alike_spread_over_all_parts() {
    for _ in 0..300 {
        let store = store(640);
        let mut parts = [0; SHARDS];
        for key in 0..3_000_u32 {
            let key = key.to_be_bytes();
            parts[shard_of(SlotId::from(Slot::Edge).with(&key).hash(&store.hasher))] += 1;
        }
        // 47 on average; more than 100 come about by chance once in ten million runs.
        let most = parts.into_iter().max().unwrap();
        assert!(most <= 100, "{most} in one part");
    }
}

#[test]
fn a_full_store_admits_the_first_that_finds_a_counter_as_good_as_new() {
    // In every part one counter is used once, and so new after half a second, among 99 that are used twice.
    let store = store(6_400);
    let admitted: Vec<u32> = (0..20_000).filter(|key| admit(&store, *key, at(0)) == Some(true)).collect();
    assert_eq!(admitted.len(), 6_400);
    let used_twice =
        admitted.iter().filter(|key| *key % 100 != 0).filter(|key| admit(&store, **key, at(1)) == Some(true));
    let room = 6_400 - used_twice.count();
    let first = |now| (30_000..60_000).filter(|key| admit(&store, *key, now) == Some(true)).count();
    assert_eq!(first(at(499)), 0);
    assert_eq!(first(at(500)), room);
}

#[test]
fn memory_is_taken_back_before_more_is_taken() {
    let store = store(1_000_000);
    for round in 0..200 {
        for key in 0..1_000 {
            admit(&store, round * 1_000 + key, at(i64::from(round) * 500));
        }
    }
    assert!(store.len() < 20_000, "of 200,000 keys 1,000 are in use: {}", store.len());
}

#[test]
fn a_call_that_finds_no_room_for_one_counter_charges_none() {
    let store = store(64);
    let keys: Vec<[u8; 4]> = (0..4_000_u32).map(u32::to_be_bytes).collect();
    let limit = Limit::token_bucket(100, 1, 86_400).unwrap();
    let of = |key| Charge { limit, ..charge(key) };
    let known = b"known";
    store.charge(Slot::Edge, &Call::new(&[of(known)], Some(at(0)))).unwrap();
    let (mut admitted, mut full) = (1, 0);
    for pair in keys.chunks(2) {
        let call = [of(&pair[0]), of(known), of(&pair[1])];
        match store.charge(Slot::Edge, &Call::new(&call, Some(at(0)))) {
            Ok(outcome) => admitted += u64::from(outcome.is_admitted()),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                full += 1;
            }
        }
    }
    assert!(full > 1_900, "{full}");
    let look = store.charge(Slot::Edge, &Call::new(&[Charge { cost: 0, ..of(known) }], Some(at(0)))).unwrap();
    assert_eq!(look.standings()[0].remaining, 100 - admitted);
    assert!(store.len() <= 64);
}

#[test]
fn a_counter_of_the_call_makes_no_room_for_another_of_it() {
    // Room for one counter in each part: where both fall into one, the first is as good as new, but not gone.
    let mut full = 0;
    for number in 0..1_000_u32 {
        let (store, first, second) = (store(64), number.to_be_bytes(), (number + 1_000_000).to_be_bytes());
        store.charge(Slot::Edge, &Call::new(&[charge(&first)], Some(at(0)))).unwrap();
        let call = [charge(&first), charge(&second)];
        match store.charge(Slot::Edge, &Call::new(&call, Some(at(10_000)))) {
            Ok(outcome) => assert!(outcome.is_admitted()),
            Err(_) => full += 1,
        }
        let look = call.map(|charge| Charge { cost: 0, ..charge });
        let remaining: Vec<_> = store
            .charge(Slot::Edge, &Call::new(&look, Some(at(10_000))))
            .unwrap()
            .standings()
            .iter()
            .map(|one| one.remaining)
            .collect();
        assert!(remaining == [1, 1] || (remaining == [2, 2] && full > 0), "{number}: {remaining:?}");
    }
    assert!(full > 0, "no two keys fell into one part");
}

#[test]
fn a_settlement_that_finds_no_room_corrects_nothing_and_can_be_tried_again() {
    let store = store(64);
    let day = Limit::token_bucket(100, 1, 86_400).unwrap();
    let ask = |key: &[u8], cost, hold| {
        let charges = [Charge::new(key, day, cost)];
        let call = Call { id: CallId::new(1), hold, ..Call::new(&charges, Some(at(0))) };
        store.charge(Slot::Edge, &call).map(|outcome| outcome.standings()[0].remaining)
    };
    assert_eq!(ask(b"known", 1, Some(Duration::from_secs(60))).unwrap(), 99);
    // Fill every part, and take a counter that found no room, though not for the one that is held.
    let shard = |key: &[u8]| shard_of(SlotId::from(Slot::Edge).with(key).hash(&store.hasher));
    let keys: Vec<[u8; 4]> = (0..4_000_u32).map(u32::to_be_bytes).collect();
    let full: Vec<_> = keys.iter().filter(|key| ask(&key[..], 1, None).is_err()).collect();
    let unknown = full.iter().find(|key| shard(&key[..]) != shard(b"known")).unwrap();

    let add = |key| Settlement { key, limit: day, adjustment: Adjustment::Add(7) };
    let call = Settled { id: CallId::new(1), at: at(0), hold: true };
    let settle = || store.settle_all(Slot::Edge, call, &[add(b"known"), add(&unknown[..])], at(1));
    assert_eq!(settle().map_err(|error| error.kind()), Err(StoreErrorKind::Unavailable));
    assert_eq!((ask(b"known", 0, None).unwrap(), ask(&unknown[..], 0, None).unwrap()), (99, 100));
    for key in &keys {
        store.reset(Slot::Edge, key).now_or_never().unwrap().unwrap();
    }
    assert!(settle().unwrap());
    assert_eq!((ask(b"known", 0, None).unwrap(), ask(&unknown[..], 0, None).unwrap()), (92, 93));
    assert!(!settle().unwrap(), "once");
}

#[test]
fn a_refused_call_leaves_no_counter_behind() {
    let store = store(1_000);
    let now = at(0);
    admit(&store, 1, now);
    admit(&store, 1, now);
    let known = 1_u32.to_be_bytes();
    for key in 2..100_u32 {
        let key = key.to_be_bytes();
        assert!(
            !store
                .charge(Slot::Edge, &Call::new(&[charge(&key), charge(&known)], Some(now)))
                .unwrap()
                .is_admitted()
        );
    }
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn a_store_without_a_time_asks_its_clock() {
    let clock = Arc::new(ManualClock::default());
    let store = MemoryCounterStore::new(64, clock.clone());
    let admitted =
        async || store.decide(Slot::Edge, &Call::new(&[charge(b"k")], None)).await.unwrap().is_admitted();
    assert!(admitted().await && admitted().await && !admitted().await);
    clock.advance(Duration::from_millis(500));
    assert!(admitted().await && !admitted().await);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However small the store, what it answers is right: it may refuse to answer, but never forgets what is in use.
    #[test]
    fn a_small_store_is_as_exact_as_a_large_one(seed in any::<u64>()) {
        let random = SeededRandom::new(seed);
        let below = |bound: u64| random.next_u64() % bound;
        let (small, large) = (store(64), store(100_000));
        let tenants = [(); 3].map(|()| Slot::Tenant(random.tenant_id(Timestamp::EPOCH)));
        let (mut now, mut full) = (0, 0);
        for _ in 0..1_000 {
            now += i64::try_from(below(20)).unwrap();
            let slot = tenants[usize::try_from(below(3)).unwrap()];
            let first = below(100);
            let keys = [first, first + 100 + below(100), first + 300].map(|key| format!("a rather long key number {key}"));
            let charges = keys.each_ref().map(|key| charge(key.as_bytes()));
            match small.charge(slot, &Call::new(&charges, Some(at(now)))) {
                Ok(outcome) => prop_assert_eq!(outcome, large.charge(slot, &Call::new(&charges, Some(at(now)))).unwrap()),
                Err(error) => {
                    prop_assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                    full += 1;
                }
            }
        }
        prop_assert!((1..900).contains(&full), "both ends were seen: {full}");
    }
}
