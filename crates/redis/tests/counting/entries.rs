//! Logs and leases cost the same however many there are, and leave nothing behind.

use std::time::Duration;

use redis::Connection;
use stanchion_core::{SeededRandom, Timestamp};
use stanchion_ratelimit::{Adjustment, Call, CallId, Charge, CounterStore as _, Limit, Settled};

use crate::model::Model;
use crate::server::Server;
use crate::{connection, decide, id, prefix, settle, store, store_at, tenant};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

fn later(millis: u64) -> Timestamp {
    NOON.plus(Duration::from_millis(millis))
}

/// How many commands a server has run, and how many of them looked at members one by one.
fn commands(server: &Server) -> u64 {
    let said: String = server.ask(&["INFO", "commandstats"]);
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    said.lines().filter(|line| line.starts_with("cmdstat_z")).filter_map(calls).sum()
}

#[tokio::test]
async fn a_full_log_asks_no_more_of_the_server_than_a_short_one() {
    let server = Server::start(&[]);
    let store = store_at(&server.url(), &prefix());
    let mut spent = Vec::new();
    for (seed, capacity) in [(1, 10), (2, 5_000)] {
        let limit = Limit::sliding_log(capacity, Duration::from_secs(60)).unwrap();
        for number in 0..capacity {
            let outcome = decide(&store, tenant(seed), &[Charge::new(b"log", limit, 1)], later(number)).await;
            assert!(outcome.is_admitted());
        }
        let before = commands(&server);
        let refused =
            decide(&store, tenant(seed), &[Charge::new(b"log", limit, capacity)], later(capacity)).await;
        let last = later(capacity - 1).plus(Duration::from_secs(60)).since(later(capacity));
        assert_eq!(refused.standings()[0].retry_after, Some(last));
        let admitted = decide(&store, tenant(seed), &[Charge::new(b"log", limit, 1)], later(60_000)).await;
        assert_eq!((admitted.is_admitted(), admitted.standings()[0].remaining), (true, 0));
        spent.push(commands(&server) - before);
    }
    assert_eq!(spent[0], spent[1]);
    assert!(spent[0] <= 12, "{spent:?}");
}

#[tokio::test]
async fn charges_of_many_units_are_summed_waited_for_and_let_go_of() {
    let (store, slot, random) = (store(&prefix()), tenant(1), SeededRandom::new(3));
    let limit = Limit::sliding_log(10_000, Duration::from_secs(60)).unwrap();
    let mut model = Model::default();
    let mut step = async |cost: u64, now: Timestamp| {
        let (charges, id) = ([Charge::new(b"log".as_slice(), limit, cost)], id());
        let outcome = store.decide(slot, &Call { id, ..Call::new(&charges, Some(now)) }).await.unwrap();
        assert_eq!(outcome, model.decide(id, &charges, now), "{cost} at {now}");
        outcome.is_admitted()
    };
    let mut most = 0;
    for number in 0..2_500 {
        most = number;
        if !step(random.next_u64() % 5, later(10 * number)).await {
            break;
        }
    }
    assert!(most > 1_500, "{most}");
    // What has to end first is a part of a hundred, a hundred, several hundreds, all.
    for cost in [1, 2, 50, 100, 200, 201, 999, 5_000, 9_999, 10_000, 10_001] {
        step(cost, later(10 * most)).await;
    }
    // More than a thousand have ended at once, and then all.
    for (cost, at) in
        [(3, 75_000), (9_000, 75_001), (10, 76_000), (7, 200_000), (10_000, 200_001), (9_993, 200_002)]
    {
        step(cost, later(at)).await;
    }
}

#[tokio::test]
async fn what_is_given_back_leaves_nothing_behind() {
    let prefix = prefix();
    let (store, slot, mut connection) = (store(&prefix), tenant(1), connection());
    let limit = Limit::concurrency(100, Duration::from_secs(60)).unwrap();
    let take = async |cost: u64| {
        let (charges, id) = ([Charge::new(b"lease".as_slice(), limit, cost)], id());
        assert!(
            store.decide(slot, &Call { id, ..Call::new(&charges, Some(NOON)) }).await.unwrap().is_admitted()
        );
        id
    };
    let correct = async |id: CallId, adjustment, at| {
        let call = Settled { id, at: NOON, hold: false };
        assert!(settle(&store, slot, call, (b"lease", limit), adjustment, at).await);
    };
    let (one, seven, grows) = (take(1).await, take(7).await, take(1).await);
    correct(grows, Adjustment::Add(11), NOON).await;
    assert_eq!(left(&store, limit).await, 100 - 1 - 7 - 12);
    correct(seven, Adjustment::Return(6), NOON).await;
    correct(grows, Adjustment::Return(2), NOON).await;
    assert_eq!(left(&store, limit).await, 100 - 1 - 1 - 10);
    for lease in [one, seven, grows, grows] {
        correct(lease, Adjustment::Return(10), later(1)).await;
    }
    assert_eq!(keys(&mut connection, &prefix), 0);
    take(1).await;
    take(9).await;
    correct(one, Adjustment::Add(3), later(60_000)).await;
    assert_eq!(keys(&mut connection, &prefix), 1);
    correct(one, Adjustment::Return(3), later(60_000)).await;
    assert_eq!(keys(&mut connection, &prefix), 0, "what had ended went before");
}

/// A Cluster's client sends a command again when it does not know what became of it.
#[tokio::test]
async fn a_call_that_arrives_twice_keeps_one_lease() {
    let prefix = prefix();
    let (store, slot, mut connection) = (store(&prefix), tenant(1), connection());
    let limit = Limit::concurrency(100, Duration::from_secs(60)).unwrap();
    for units in [1, 7] {
        let (charges, id) = ([Charge::new(b"lease".as_slice(), limit, units)], id());
        let call = Call { id, ..Call::new(&charges, Some(NOON)) };
        for _ in 0..2 {
            assert!(store.decide(slot, &call).await.unwrap().is_admitted());
            assert_eq!(left(&store, limit).await, 100 - units);
        }
        let of = Settled { id, at: NOON, hold: false };
        settle(&store, slot, of, (b"lease", limit), Adjustment::Return(units), NOON).await;
        assert_eq!(keys(&mut connection, &prefix), 0);
    }
}

async fn left(store: &stanchion_redis::RedisCounterStore, limit: Limit) -> u64 {
    decide(store, tenant(1), &[Charge::new(b"lease", limit, 0)], NOON).await.standings()[0].remaining
}

fn keys(connection: &mut Connection, prefix: &str) -> usize {
    redis::cmd("KEYS").arg(format!("{prefix}:*")).query::<Vec<Vec<u8>>>(connection).unwrap().len()
}
