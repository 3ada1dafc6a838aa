//! Cases in which many ask at once. They need a runtime of four threads, which the macro gives them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::questions::{
    NOON, ask, bucket, call, charge, correct, each, left, peek, remaining, settle, tenant, window,
};
use crate::{Adjustment, Call, CallId, CounterStore, Settled};

pub(super) async fn a_race_admits_exactly_the_limit(store: Arc<dyn CounterStore>) {
    for limit in [bucket(1_000, 1, 86_400), window(1_000, 86_400)] {
        store.reset(tenant(21), b"k").await.expect("resets");
        let mut calls = JoinSet::new();
        for _ in 0..1_200 {
            let store = Arc::clone(&store);
            calls.spawn(async move {
                ask(&*store, tenant(21), &call(&[charge(b"k", limit, 1)], NOON)).await.is_admitted()
            });
        }
        let admitted = calls.join_all().await.into_iter().filter(|admitted| *admitted).count();
        assert_eq!(admitted, 1_000, "{limit:?}");
    }
}

pub(super) async fn a_race_over_two_counters_is_all_or_nothing(store: Arc<dyn CounterStore>) {
    let (high, low) = (bucket(1_000, 1, 86_400), window(700, 86_400));
    let mut calls = JoinSet::new();
    for number in 0..1_200 {
        let store = Arc::clone(&store);
        calls.spawn(async move {
            let mut charges = [charge(b"high", high, 1), charge(b"low", low, 1)];
            if number % 2 == 0 {
                charges.reverse();
            }
            ask(&*store, tenant(22), &call(&charges, NOON)).await.is_admitted()
        });
    }
    let admitted = calls.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 700);
    assert_eq!(left(&*store, tenant(22), b"high", high, NOON).await, 300);
    assert_eq!(left(&*store, tenant(22), b"low", low, NOON).await, 0);
}

pub(super) async fn a_call_is_never_seen_in_part(store: Arc<dyn CounterStore>) {
    let limit = window(10_000, 86_400);
    let mut tasks = JoinSet::new();
    for number in 0..250 {
        let writing = Arc::clone(&store);
        let write = async move {
            for _ in 0..5 {
                ask(&*writing, tenant(23), &call(&[charge(b"a", limit, 1), charge(b"b", limit, 1)], NOON))
                    .await;
            }
        };
        let store = Arc::clone(&store);
        let read = async move {
            for _ in 0..10 {
                let call = [charge(b"b", limit, 0), charge(b"a", limit, 0)];
                let look = peek(&*store, tenant(23), &call, NOON).await;
                assert!(remaining(&look).windows(2).all(|pair| pair.first() == pair.last()), "{look:?}");
            }
        };
        if number % 5 == 0 {
            tasks.spawn(read)
        } else {
            tasks.spawn(write)
        };
    }
    tasks.join_all().await;
    assert_eq!(left(&*store, tenant(23), b"a", limit, NOON).await, 9_000);
}

pub(super) async fn a_race_settles_a_hold_once(store: Arc<dyn CounterStore>) {
    for (key, limit) in each(&*store, 1_000) {
        let slot = tenant(32);
        let charges = [charge(key, limit, 900)];
        let reserve =
            Call { id: CallId::new(1), hold: Some(Duration::from_secs(60)), ..call(&charges, NOON) };
        assert!(ask(&*store, slot, &reserve).await.is_admitted());
        let mut calls = JoinSet::new();
        for _ in 0..64 {
            let store = Arc::clone(&store);
            calls.spawn(async move {
                let of = Settled { id: CallId::new(1), at: NOON, hold: true };
                settle(&*store, slot, of, &[correct(key, limit, Adjustment::Return(10))], NOON).await
            });
        }
        let settled = calls.join_all().await.into_iter().filter(|settled| *settled).count();
        assert_eq!((settled, left(&*store, slot, key, limit, NOON).await), (1, 110), "{limit:?}");
    }
}
