//! What a server has lost is made good, or said.

use std::sync::Arc;
use std::time::Duration;

use stanchion_core::StoreErrorKind;
use stanchion_ratelimit::{Adjustment, Call, CallId, Charge, CounterStore as _, Settled, Settlement, Slot};
use stanchion_redis::{CheckError, Config, RedisCounterStore};
use tokio::task::JoinSet;

use crate::server::Server;
use crate::{CAPACITY, each_kernel, left, patient, take};

#[tokio::test]
async fn a_restart_between_two_calls_costs_at_most_one() {
    let mut server = Server::start(&[]);
    let store = patient(&server.url(), Config::default());
    assert_eq!(take(&store).await.unwrap(), CAPACITY - 1);
    server.kill();
    server.start_again();
    let left = match take(&store).await {
        Err(error) => {
            assert!(error.is_retryable(), "{error:?}");
            take(&store).await.unwrap()
        }
        Ok(left) => left,
    };
    assert_eq!(left, CAPACITY - 1, "limits start over");
}

#[tokio::test]
async fn a_flush_starts_limits_over_and_fails_nobody() {
    let server = Server::start(&[]);
    let store = patient(&server.url(), Config::default());
    for used in 1..=3 {
        assert_eq!(take(&store).await.unwrap(), CAPACITY - used);
    }
    let _: () = server.ask(&["FLUSHALL"]);
    assert_eq!(take(&store).await.unwrap(), CAPACITY - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_are_flushed_while_many_count_cost_no_charge_and_no_error() {
    let server = Server::start(&[]);
    let store = patient(&server.url(), Config::default());
    let mut counted = 0;
    for turn in 0..20 {
        let mut calls = JoinSet::new();
        for number in 0..32 {
            let (store, id) = (Arc::clone(&store), CallId::new(100 * turn + number + 1));
            calls.spawn(async move { take_two_and_give_one_back(&store, id).await });
        }
        // Between the decisions and the settlements, as far as chance has it.
        let flush = async { server.ask::<()>(&["SCRIPT", "FLUSH"]) };
        let (calls, ()) = tokio::join!(calls.join_all(), flush);
        counted += calls.len() as u64;
    }
    assert_eq!(left(&store).await, [CAPACITY - counted; 4]);
}

/// Takes two under each kernel with a hold, and settles for one.
async fn take_two_and_give_one_back(store: &RedisCounterStore, id: CallId) {
    let charges = each_kernel().map(|(key, limit)| Charge::new(key, limit, 2));
    let hold = Some(Duration::from_secs(60));
    let call = Call { id, hold, ..Call::new(&charges, None) };
    let outcome = store.decide(Slot::Edge, &call).await.unwrap();
    assert!(outcome.is_admitted());
    let adjustment = Adjustment::Return(1);
    let corrections = each_kernel().map(|(key, limit)| Settlement { key, limit, adjustment });
    let call = Settled { id, at: outcome.at(), hold: true };
    assert!(store.settle(Slot::Edge, call, &corrections, None).await.unwrap());
}

/// How many callers there are where a server has no room for all of them.
const CROWD: u64 = 3_000;

/// Counts each caller once under each kernel, many at a time, and returns how many are left under each.
async fn count_each(store: &Arc<RedisCounterStore>, turn: u64) -> Vec<u64> {
    let mut calls = JoinSet::new();
    for first in 0..32 {
        let store = Arc::clone(store);
        calls.spawn(async move {
            let mut left = Vec::new();
            for caller in (first..CROWD).step_by(32) {
                let limits =
                    each_kernel().map(|(key, limit)| (format!("{caller}/{}", key.escape_ascii()), limit));
                let charges = limits.each_ref().map(|(key, limit)| Charge::new(key.as_bytes(), *limit, 1));
                let id = CallId::new((turn * CROWD + caller + 1).into());
                let outcome =
                    store.decide(Slot::Edge, &Call { id, ..Call::new(&charges, None) }).await.unwrap();
                assert!(outcome.is_admitted() && outcome.standings().iter().all(|standing| standing.fits));
                left.extend(outcome.standings().iter().map(|standing| standing.remaining));
            }
            left
        });
    }
    calls.join_all().await.concat()
}

/// No server starts to be counted on that evicts; but it may be told to while it runs.
#[tokio::test(flavor = "multi_thread")]
async fn counters_that_are_evicted_in_mid_run_begin_anew_and_fail_nobody() {
    let server = Server::start(&[]);
    let store = patient(&server.url(), Config::default());
    store.check().await.unwrap();
    let room = server.number("memory", "used_memory") + 1_000_000;
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory", &room.to_string()]);
    let refused = store.check().await;
    assert!(matches!(refused, Err(CheckError::Evicts(_))), "{refused:?}");

    let first = count_each(&store, 0).await;
    assert!(first.iter().all(|left| *left == CAPACITY - 1), "each caller came once");
    let second = count_each(&store, 1).await;
    let kept = second.iter().filter(|left| **left == CAPACITY - 2).count();
    let anew = second.iter().filter(|left| **left == CAPACITY - 1).count();
    assert_eq!(kept + anew, second.len(), "a counter is there whole, or not at all");
    assert!(kept > 0 && anew > 0 && server.number("stats", "evicted_keys") > 0, "{kept} kept, {anew} anew");

    // Told not to any more, it forgets nothing and refuses what there is no room for.
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let evicted = server.number("stats", "evicted_keys");
    assert_eq!(take(&store).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(server.number("stats", "evicted_keys"), evicted);
}
