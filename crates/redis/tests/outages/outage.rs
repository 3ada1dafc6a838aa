//! While a server does not answer, calls fail soon, and cost it nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stanchion_core::StoreErrorKind;
use stanchion_ratelimit::{Adjustment, Call, CallId, Charge, CounterStore as _, Settled, Settlement, Slot};
use stanchion_redis::{Config, RedisCounterStore};

use crate::server::Server;
use crate::{
    CAPACITY, assert_outage, each_kernel, eventually, is_resting, left, longest, patient, round, store, take,
    take_at_last,
};

const CALLERS: usize = 100;

/// Lets a hundred callers fail at once, and again, and once more; returns how many charges may have been taken all the same.
async fn a_hundred_fail(store: &Arc<RedisCounterStore>) -> u64 {
    let mut in_doubt = 0;
    for turn in 0..3 {
        let round = round(store, CALLERS).await;
        println!("round {turn}: the slowest of {CALLERS} took {:?}", round.longest);
        assert!(round.longest < longest(), "{:?}", round.longest);
        for result in round.results {
            let error = result.unwrap_err();
            assert_outage(&error);
            in_doubt += u64::from(error.kind() == StoreErrorKind::Timeout);
        }
    }
    assert!(is_resting(store));
    in_doubt
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_on_a_paused_server_fail_in_time_and_lose_nothing() {
    let server = Server::start(&[]);
    let store = store(&server.url());
    let left = take_at_last(&store).await;
    let connections = server.number("stats", "total_connections_received");

    server.pause();
    let in_doubt = a_hundred_fail(&store).await;
    server.resume();
    let began = Instant::now();
    let left_now = take_at_last(&store).await;
    println!("decisions are made again after {:?}", began.elapsed());
    assert!(!is_resting(&store));

    let made = server.number("stats", "total_connections_received") - connections;
    println!("{made} connections for {} calls", 3 * CALLERS);
    assert!(made <= 20, "{made} connections");
    let spent = left - left_now;
    // Those that waited while it came back, too, have charged at most one each.
    assert!((1..=1 + in_doubt + 10).contains(&spent), "{spent} spent, {in_doubt} in doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_without_a_connection_make_at_most_one_each_on_a_paused_server() {
    let server = Server::start(&[]);
    let connections = server.number("stats", "total_connections_received");
    let store = store(&server.url());
    server.pause();
    a_hundred_fail(&store).await;
    server.resume();
    take_at_last(&store).await;
    let made = server.number("stats", "total_connections_received") - connections;
    println!("{made} connections for {} calls", 3 * CALLERS);
    // Those of the first round, and a probe now and then: a breaker that is open makes none.
    assert!(made <= CALLERS as u64 + 20, "{made} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_on_a_killed_server_fail_in_time_and_its_heir_starts_over() {
    let mut server = Server::start(&[]);
    let store = store(&server.url());
    for _ in 0..200 {
        take_at_last(&store).await;
    }
    server.kill();
    a_hundred_fail(&store).await;
    server.start_again();
    let began = Instant::now();
    let left = take_at_last(&store).await;
    println!("decisions are made again after {:?}", began.elapsed());
    assert!(!is_resting(&store) && left > CAPACITY - 50, "{left} left");
    assert!(server.number("stats", "total_connections_received") < 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_to_write_is_spared_until_it_does_again() {
    let server = Server::start(&[]);
    let store = store(&server.url());
    let left = take_at_last(&store).await;
    let asked = server.number("commandstats", "cmdstat_evalsha");

    // Nobody listens there: it is the replica of a primary that is gone.
    let _: () = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    for _ in 0..2_000 {
        assert_outage(&take(&store).await.unwrap_err());
    }
    assert!(is_resting(&store));
    let asked = server.number("commandstats", "cmdstat_evalsha") - asked;
    println!("2,000 calls asked the server {asked} times");
    assert!((1..=30).contains(&asked), "asked {asked} times");

    let _: () = server.ask(&["REPLICAOF", "NO", "ONE"]);
    let left_now = take_at_last(&store).await;
    assert!(!is_resting(&store));
    assert!((1..10).contains(&(left - left_now)), "{left} were left, now {left_now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_rather_than_forgets() {
    let server = Server::start(&[]);
    let store = store(&server.url());
    let left = take_at_last(&store).await;
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    eventually("the server is full", async || {
        let error = take(&store).await.err()?;
        assert_outage(&error);
        (error.kind() == StoreErrorKind::Unavailable).then_some(())
    })
    .await;
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!((1..10).contains(&(left - take_at_last(&store).await)));
}

#[tokio::test]
async fn a_full_server_takes_nothing_and_still_lets_holds_and_leases_be_settled() {
    let server = Server::start(&[]);
    let store = patient(&server.url(), Config { failures: 1_000, ..Config::default() });
    let charges = each_kernel().map(|(key, limit)| Charge::new(key, limit, 2));
    let hold = Some(Duration::from_secs(60));
    let held = Call { id: CallId::new(1), hold, ..Call::new(&charges, None) };
    let at = store.decide(Slot::Edge, &held).await.unwrap().at();
    let lease = Call { id: CallId::new(2), ..Call::new(&charges[3..], None) };
    assert!(store.decide(Slot::Edge, &lease).await.unwrap().is_admitted());

    let before = left(&store).await;
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let fresh = charges.map(|charge| Charge { key: b"fresh", ..charge });
    for charge in charges.iter().chain(&fresh) {
        let of_one = Call { id: CallId::new(3), ..Call::new(std::slice::from_ref(charge), None) };
        let error = store.decide(Slot::Edge, &of_one).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{charge:?}");
    }
    for reversed in [false, true] {
        let mut charges = charges;
        if reversed {
            charges.reverse();
        }
        let call = Call { id: CallId::new(4), hold, ..Call::new(&charges, None) };
        let error = store.decide(Slot::Edge, &call).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    }
    assert_eq!(left(&store).await, before);

    let back = each_kernel().map(|(key, limit)| Settlement { key, limit, adjustment: Adjustment::Return(2) });
    let held = Settled { id: CallId::new(1), at, hold: true };
    assert!(store.settle(Slot::Edge, held, &back, None).await.unwrap());
    let lease = Settled { id: CallId::new(2), at, hold: false };
    assert!(store.settle(Slot::Edge, lease, &back[3..], None).await.unwrap());
    assert_eq!(left(&store).await, [CAPACITY; 4]);
}
