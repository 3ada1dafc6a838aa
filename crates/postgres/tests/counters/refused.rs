//! Callers that are refused again and again.

use stanchion_postgres::PgCounterStore;
use stanchion_ratelimit::{Adjustment, CallId, Charge, CounterStore, Settled, Settlement};

use super::{PATIENT, call, count, database, decide, left, limits, run, tenant};

#[tokio::test]
async fn who_is_refused_again_waits_for_nobody_and_writes_nothing() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    for (key, limit) in limits(2) {
        let charges = [Charge::new(key, limit, 1), Charge::new(b"another", limits(9)[1].1, 1)];
        for number in 0..2 {
            assert!(store.decide(tenant(1), &call(&charges, number)).await.unwrap().is_admitted());
        }
        let first = decide(&store, tenant(1), &charges).await;
        run(&mut admin, "BEGIN; SELECT FROM stanchion.ratelimit_counter FOR UPDATE").await;
        let again = decide(&store, tenant(1), &charges).await;
        run(&mut admin, "ROLLBACK").await;
        assert!(!first.is_admitted() && !again.is_admitted());
        for (first, again) in first.standings().iter().zip(again.standings()) {
            assert_eq!((first.fits, first.remaining), (again.fits, again.remaining));
            assert!(again.retry_after <= first.retry_after, "{first:?} {again:?}");
        }
        store.reset(tenant(1), b"another").await.unwrap();
    }
}

#[tokio::test]
async fn what_comes_back_is_given_at_once_to_who_was_refused() {
    let (url, _admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    for (key, limit) in limits(2) {
        let charges = [Charge::new(key, limit, 2)];
        let taken = decide(&store, tenant(1), &charges).await;
        for _ in 0..3 {
            assert!(!decide(&store, tenant(1), &charges).await.is_admitted());
        }
        let of = Settled { id: CallId::new(1), at: taken.at(), hold: false };
        let back = [Settlement { key, limit, adjustment: Adjustment::Return(2) }];
        assert!(store.settle(tenant(1), of, &back, None).await.unwrap());
        assert!(decide(&store, tenant(1), &charges).await.is_admitted(), "{limit:?}");
        assert!(!decide(&store, tenant(1), &charges).await.is_admitted());
        store.reset(tenant(1), key).await.unwrap();
        assert!(decide(&store, tenant(1), &charges).await.is_admitted(), "{limit:?}");
        assert!(decide(&store, tenant(2), &charges).await.is_admitted(), "another tenant was not refused");
    }
}

/// What a refusal takes in any case is taken each time, however often it was refused before.
#[tokio::test]
async fn a_refusal_that_charges_does_so_every_time() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    for (key, limit) in limits(10) {
        let insistent = Charge { charge_denied: true, ..Charge::new(key, limit, 1) };
        let both = [insistent, Charge::new(b"narrow", limits(1)[1].1, 1)];
        for number in 0..10_u8 {
            let outcome = store.decide(tenant(1), &call(&both, number.into())).await.unwrap();
            assert_eq!(outcome.is_admitted(), number == 0);
            assert_eq!(left(&store, tenant(1), key, limit).await, 9 - u64::from(number), "{limit:?}");
        }
        store.reset(tenant(1), b"narrow").await.unwrap();
    }
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 10);
}
