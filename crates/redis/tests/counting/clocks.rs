//! By whose clock a decision is made, and what becomes of it when the clock is wrong.

use std::time::Duration;

use stanchion_core::{SeededRandom, Timestamp};
use stanchion_ratelimit::{Adjustment, Call, Charge, CounterStore as _, Edges, Frame, Limit, Settled};

use crate::model::{Model, charges, limits};
use crate::{decide, id, now, prefix, settle, store, tenant};

/// 2026-03-01T12:00:00Z.
const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

#[tokio::test]
async fn by_the_servers_clock_counters_count_as_the_pure_functions_do() {
    let (store, random, slot) = (store(&prefix()), SeededRandom::new(1), tenant(1));
    let mut model = Model::default();
    let mut refused = 0;
    for step in 0..4_000 {
        // Windows of ten seconds: the machine may be busy between this look at the clock and the server's.
        let around = Timestamp::from_micros(now().micros() / 10_000_000 * 10_000_000);
        let limits = limits(Duration::from_millis(20), around, [-10, 0, 10, 20]);
        let (charges, id) = (charges(&random, &limits), id());
        let outcome = store.decide(slot, &Call { id, ..Call::new(&charges, None) }).await.unwrap();
        assert_eq!(outcome, model.decide(id, &charges, outcome.at()), "step {step}: {charges:?}");
        refused += u32::from(!outcome.is_admitted());
    }
    assert!((400..3_600).contains(&refused), "{refused} refused");
}

#[tokio::test]
async fn a_clock_that_steps_back_gives_nothing_back() {
    let store = store(&prefix());
    let limits = limits(Duration::from_secs(5), NOON, [-600, 0, 10, 15]);
    for seed in 0..20 {
        let (random, slot) = (SeededRandom::new(seed), tenant(seed));
        let (mut model, mut now, mut taken) = (Model::default(), NOON, Vec::new());
        for step in 0..200 {
            // Two steps ahead and one back, some of them over several windows.
            let by = Duration::from_micros(
                random.next_u64() % if random.next_u64() % 16 == 0 { 20_000_000 } else { 600_000 },
            );
            now = if random.next_u64() % 3 == 0 { now.minus(by) } else { now.plus(by) };
            let context = format!("seed {seed}, step {step}");
            if random.next_u64() % 5 == 0 && !taken.is_empty() {
                let (id, at, key, limit) =
                    taken.swap_remove(usize::try_from(random.next_u64()).unwrap() % taken.len());
                let call = Settled { id, at, hold: false };
                assert!(
                    settle(&store, slot, call, (key, limit), Adjustment::Return(1), now).await,
                    "{context}"
                );
                model.settle((id, at), (key, limit), Adjustment::Return(1), now);
                continue;
            }
            let (charges, id) = (charges(&random, &limits), id());
            let outcome = store.decide(slot, &Call { id, ..Call::new(&charges, Some(now)) }).await.unwrap();
            assert_eq!(outcome, model.decide(id, &charges, now), "{context}: {charges:?}");
            if outcome.is_admitted() {
                taken.extend(charges.iter().map(|charge| (id, now, charge.key, charge.limit)));
            }
        }
    }
}

#[tokio::test]
async fn a_caller_whose_clock_is_ahead_or_behind_counts_in_the_servers_window() {
    const HALF: i64 = 1_800;
    let (store, slot) = (store(&prefix()), tenant(1));
    let middle = now().seconds();
    let edge = |number: i64| Timestamp::from_micros((middle - HALF + 2 * HALF * number) * 1_000_000);
    // The server's hour is the second that one of them looked up, the third, and the first.
    let callers =
        [-1, -2, 0].map(|first| Edges::new([0, 1, 2, 3].map(|number| edge(first + number))).unwrap());
    for callers in [callers, [callers[1], callers[2], callers[0]], [callers[2], callers[0], callers[1]]] {
        for (key, limit) in [
            (b"fixed", Limit::fixed_window as fn(u64, Frame) -> Option<Limit>),
            (b"slide", Limit::sliding_window),
        ] {
            store.reset(slot, key).await.unwrap();
            for (used, edges) in (1..).zip(callers) {
                let limit = limit(3, Frame::Calendar(edges)).unwrap();
                let outcome = decide(&store, slot, &[Charge::new(key, limit, 1)], None).await;
                assert_eq!((outcome.is_admitted(), outcome.standings()[0].remaining), (true, 3 - used));
            }
            for edges in callers {
                let limit = limit(3, Frame::Calendar(edges)).unwrap();
                let outcome = decide(&store, slot, &[Charge::new(key, limit, 1)], None).await;
                assert!(!outcome.is_admitted());
                if key == b"fixed" {
                    assert_eq!(outcome.at().plus(outcome.standings()[0].retry_after.unwrap()), edge(1));
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_charged_before_the_known_windows_is_not_given_back() {
    let (store, slot) = (store(&prefix()), tenant(1));
    let later = |seconds| NOON.plus(Duration::from_secs(seconds));
    let frame = Frame::Calendar(Edges::new([0, 10, 20, 30].map(later)).unwrap());
    for (key, limit) in [
        (b"fixed".as_slice(), Limit::fixed_window(5, frame).unwrap()),
        (b"sliding", Limit::sliding_window(5, frame).unwrap()),
    ] {
        let back = async |charged, now| {
            let call = Settled { id: id(), at: charged, hold: false };
            settle(&store, slot, call, (key, limit), Adjustment::Return(1), now).await;
            decide(&store, slot, &[Charge::new(key, limit, 0)], now).await.standings()[0].remaining
        };
        decide(&store, slot, &[Charge::new(key, limit, 3)], later(5)).await;
        assert_eq!(back(NOON.minus(Duration::from_secs(1)), later(6)).await, 2);
        assert_eq!(back(NOON, later(6)).await, 3);
    }
}

#[tokio::test]
async fn a_time_that_cannot_be_counted_exactly_is_refused() {
    let (store, slot) = (store(&prefix()), tenant(1));
    let limit = Limit::token_bucket(1, 1, 1).unwrap();
    for wrong in [Timestamp::from_micros(-1), Timestamp::MIN, Timestamp::MAX] {
        let error =
            store.decide(slot, &Call::new(&[Charge::new(b"k", limit, 1)], Some(wrong))).await.unwrap_err();
        assert_eq!(error.kind(), stanchion_core::StoreErrorKind::Unsupported, "{wrong}");
    }
    assert!(decide(&store, slot, &[Charge::new(b"k", limit, 1)], Timestamp::EPOCH).await.is_admitted());
}
