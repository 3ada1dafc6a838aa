//! Cases of what is corrected or given back after the decision.

use std::sync::Arc;
use std::time::Duration;

use super::questions::{
    NOON, ask, call, charge, correct, decide, each, has, later, left, peek, remaining, retries, settle,
    tenant,
};
use crate::{Adjustment, Call, CallId, CounterStore, Kernel, Limit, Settled};

pub(super) async fn leases_end_when_they_are_given_back_or_time_out(store: Arc<dyn CounterStore>) {
    if !has(&*store, Kernel::Entries) {
        return;
    }
    let limit = Limit::concurrency(2, Duration::from_secs(30)).expect("leases");
    let lease = |number: u128, at| Call { id: CallId::new(number), ..call(&[], at) };
    let charges = [charge(b"k", limit, 1)];
    let take = async |number, at| {
        ask(&*store, tenant(26), &Call { charges: &charges, ..lease(number, at) }).await.is_admitted()
    };
    let give = async |number, at| {
        let of = Settled { id: CallId::new(number), at: NOON, hold: false };
        settle(&*store, tenant(26), of, &[correct(b"k", limit, Adjustment::Return(1))], at).await
    };
    assert!(take(1, NOON).await && take(2, later(1)).await && !take(3, later(2)).await);
    give(3, later(2)).await;
    assert!(!take(3, later(3)).await, "who has no lease gives none back");
    give(1, later(4)).await;
    assert!(take(3, later(4)).await && !take(4, later(4)).await);
    give(1, later(5)).await;
    assert!(!take(4, later(5)).await, "a lease is given back once");
    assert!(take(4, later(31)).await, "the second has timed out");
    assert!(!take(5, later(31)).await);
}

pub(super) async fn a_queue_gives_each_its_turn(store: Arc<dyn CounterStore>) {
    if !has(&*store, Kernel::Level) {
        return;
    }
    // One a second, and two may wait.
    let limit = Limit::leaky_queue(2, 60, 60).expect("a queue");
    for seconds in [0, 1, 2] {
        let outcome = decide(&*store, tenant(27), &[charge(b"k", limit, 1)], NOON).await;
        let standing = outcome.standings().first().expect("one");
        assert_eq!((standing.fits, standing.delay.as_secs()), (true, seconds), "{standing:?}");
    }
    let refused = decide(&*store, tenant(27), &[charge(b"k", limit, 1)], NOON).await;
    assert!(!refused.is_admitted());
    let of = Settled { id: CallId::new(0), at: NOON, hold: false };
    settle(&*store, tenant(27), of, &[correct(b"k", limit, Adjustment::Return(1))], NOON).await;
    assert!(decide(&*store, tenant(27), &[charge(b"k", limit, 1)], NOON).await.is_admitted());
}

pub(super) async fn corrections_add_and_give_back(store: Arc<dyn CounterStore>) {
    for (key, limit) in each(&*store, 10) {
        let charges = [charge(key, limit, 6)];
        let first = Call { id: CallId::new(1), ..call(&charges, NOON) };
        assert!(ask(&*store, tenant(29), &first).await.is_admitted());
        let of = Settled { id: first.id, at: NOON, hold: false };
        let correct = async |adjustment, at| {
            settle(&*store, tenant(29), of, &[correct(key, limit, adjustment)], at).await
        };
        assert!(correct(Adjustment::Return(2), NOON).await);
        assert_eq!(left(&*store, tenant(29), key, limit, NOON).await, 6);
        assert!(correct(Adjustment::Add(5), NOON).await);
        assert_eq!(left(&*store, tenant(29), key, limit, NOON).await, 1);
        // Two minutes on nothing of it is left to be given back, and what others have used since stays used.
        decide(&*store, tenant(29), &[charge(key, limit, 3)], later(120)).await;
        correct(Adjustment::Return(9), later(120)).await;
        assert_eq!(left(&*store, tenant(29), key, limit, later(120)).await, 7, "{limit:?}");
    }
}

pub(super) async fn a_correction_may_exceed_the_limit(store: Arc<dyn CounterStore>) {
    for (key, limit) in each(&*store, 10) {
        let charges = [charge(key, limit, 1)];
        let first = Call { id: CallId::new(1), ..call(&charges, NOON) };
        ask(&*store, tenant(30), &first).await;
        let of = Settled { id: first.id, at: NOON, hold: false };
        settle(&*store, tenant(30), of, &[correct(key, limit, Adjustment::Add(13))], NOON).await;
        let refused = decide(&*store, tenant(30), &[charge(key, limit, 1)], NOON).await;
        assert_eq!((refused.is_admitted(), remaining(&refused)), (false, vec![0]));
        let wait = retries(&refused).first().copied().flatten().expect("a time");
        let early = NOON.plus(wait).minus(Duration::from_micros(1));
        assert!(!peek(&*store, tenant(30), &[charge(key, limit, 1)], early).await.is_admitted());
        assert!(peek(&*store, tenant(30), &[charge(key, limit, 1)], NOON.plus(wait)).await.is_admitted());
    }
}

pub(super) async fn a_hold_is_settled_once(store: Arc<dyn CounterStore>) {
    for (key, limit) in each(&*store, 10) {
        let charges = [charge(key, limit, 6)];
        let hold = Some(Duration::from_secs(5));
        let reserve = |number: u128| Call { id: CallId::new(number), hold, ..call(&charges, NOON) };
        assert!(ask(&*store, tenant(31), &reserve(1)).await.is_admitted());
        assert!(!ask(&*store, tenant(31), &reserve(2)).await.is_admitted());
        let back = async |number, at| {
            let of = Settled { id: CallId::new(number), at: NOON, hold: true };
            settle(&*store, tenant(31), of, &[correct(key, limit, Adjustment::Return(4))], at).await
        };
        assert!(!back(2, NOON).await, "what was refused is not held");
        assert!(back(1, later(1)).await);
        assert!(!back(1, later(1)).await, "once");
        assert!(left(&*store, tenant(31), key, limit, later(1)).await >= 8);
        store.reset(tenant(31), key).await.expect("resets");
        assert!(ask(&*store, tenant(31), &reserve(3)).await.is_admitted());
        assert!(!back(3, later(5)).await, "the hold is over");
        assert!(left(&*store, tenant(31), key, limit, later(5)).await <= 5);
        store.reset(tenant(31), key).await.expect("resets");
    }
}
