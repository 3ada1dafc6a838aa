use std::time::Duration;

use sqlx::PgConnection;
use stanchion_core::SystemScope;
use stanchion_postgres::{CounterConfig, Database, PgCounterStore, testing};
use stanchion_ratelimit::{Call, CallId, Charge, CounterStore, Settled, Slot};
use tokio::task::yield_now;

use super::{PATIENT, call, count, database, decide, left, limits, run, tenant};

const SYSTEM: SystemScope = SystemScope::new("test");

#[tokio::test]
async fn a_refused_call_leaves_no_row_behind() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    let [_, (_, window), ..] = limits(3);
    decide(&store, tenant(1), &[Charge::new(b"known", window, 3)]).await;
    for (key, limit) in limits(3) {
        let refused = [Charge::new(key, limit, 1), Charge::new(b"known", window, 1)];
        assert!(!decide(&store, tenant(1), &refused).await.is_admitted());
        assert!(!decide(&store, tenant(1), &[Charge::new(key, limit, 4)]).await.is_admitted());
        assert!(decide(&store, tenant(1), &[Charge::new(key, limit, 0)]).await.is_admitted());
        store.peek(tenant(1), &call(&refused, 1)).await.unwrap();
    }
    assert_eq!(count(&mut admin, "ratelimit_counter").await, 1);
    store.reset(tenant(1), b"known").await.unwrap();
    assert_eq!(count(&mut admin, "ratelimit_counter").await, 0);
}

#[tokio::test]
async fn what_is_as_good_as_new_is_removed_and_nothing_else() {
    let (url, mut admin) = database().await;
    let records = Database::new(&url, testing::config());
    let store = PgCounterStore::new(&url, PATIENT);
    for slot in [Slot::Edge, Slot::Platform, tenant(1)] {
        for (key, limit) in limits(3) {
            decide(&store, slot, &[Charge::new(key, limit, 2)]).await;
        }
    }
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 0, "all of it is in use");
    run(&mut admin, "UPDATE stanchion.ratelimit_counter SET fresh_at = 1 WHERE edge").await;
    // The entry of the log goes with it.
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 4 + 1);
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 2);
    for (key, limit) in limits(3) {
        assert_eq!(left(&store, Slot::Edge, key, limit).await, 3);
        assert_eq!(left(&store, Slot::Platform, key, limit).await, 1);
        assert_eq!(left(&store, tenant(1), key, limit).await, 1);
    }
}

#[tokio::test]
async fn what_somebody_has_is_neither_removed_nor_waited_for() {
    let (url, mut admin) = database().await;
    let records = Database::new(&url, testing::config());
    let store = PgCounterStore::new(&url, PATIENT);
    for (key, limit) in limits(3) {
        decide(&store, tenant(1), &[Charge::new(key, limit, 1)]).await;
    }
    run(&mut admin, "UPDATE stanchion.ratelimit_counter SET fresh_at = 1").await;
    run(&mut admin, "BEGIN; SELECT FROM stanchion.ratelimit_counter WHERE key = 'window' FOR NO KEY UPDATE")
        .await;
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 3 + 1);
    run(&mut admin, "ROLLBACK").await;
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 1);
}

/// Whatever else the table holds, and though plans are made while it is empty.
#[tokio::test]
async fn a_decision_reads_its_own_counters_only() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, CounterConfig { max_connections: 2, ..PATIENT });
    let all = limits(100);
    let charges = all.map(|(key, limit)| Charge::new(key, limit, 1));
    decide(&store, Slot::Edge, &charges).await;
    fill(&mut admin).await;
    for _ in 0..20 {
        decide(&store, Slot::Edge, &charges).await;
        assert_eq!(left(&store, Slot::Edge, b"none", all[1].1).await, 100);
    }
    // What a session has read is known once it has ended.
    store.close().await;
    let read =
        "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'ratelimit_counter'";
    let read = loop {
        let read: (i64, i64) = sqlx::query_as(read).fetch_one(&mut admin).await.unwrap();
        if read.1 >= 4 * 20 {
            break read;
        }
        yield_now().await;
    };
    // Each of the four twice, to take and to write it, and that of the log to look into it.
    assert!(read.0 + read.1 <= 2 * 4 * 21 + 21, "{read:?}");
}

/// Fills the table with 15,000 counters, of which a third is as good as new.
async fn fill(admin: &mut PgConnection) {
    let fill = "INSERT INTO stanchion.ratelimit_counter (scope_id, edge, key, at, used, fresh_at)
        SELECT '00000000-0000-0000-0000-000000000000', true, convert_to('key ' || number, 'UTF8'), 1, 1,
               CASE WHEN number % 3 = 0 THEN 1 ELSE 9223372036854775807 END
        FROM generate_series(1, 15000) AS number";
    run(admin, fill).await;
}

/// More than fits into one batch of pages, in a table of which most is in use.
#[tokio::test]
async fn every_page_is_swept() {
    let (url, mut admin) = database().await;
    let records = Database::new(&url, testing::config());
    fill(&mut admin).await;
    let pages =
        "SELECT pg_relation_size('stanchion.ratelimit_counter') / current_setting('block_size')::bigint";
    let pages: i64 = sqlx::query_scalar(pages).fetch_one(&mut admin).await.unwrap();
    assert!(pages > 3 * 64, "{pages}");
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 5_000);
    assert_eq!(count(&mut admin, "ratelimit_counter").await, 10_000);
}

#[tokio::test]
async fn a_hold_that_has_ended_is_removed() {
    let (url, mut admin) = database().await;
    let records = Database::new(&url, testing::config());
    let store = PgCounterStore::new(&url, PATIENT);
    let [(key, limit), ..] = limits(3);
    let charges = [Charge::new(key, limit, 1)];
    for number in [1, 2] {
        let held = Call { hold: Some(Duration::from_secs(3_600)), ..call(&charges, number) };
        assert!(store.decide(tenant(1), &held).await.unwrap().is_admitted());
    }
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 0);
    let aged =
        "UPDATE stanchion.ratelimit_hold SET ends_at = 1 WHERE id = '00000000-0000-0000-0000-000000000001'";
    run(&mut admin, aged).await;
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 1);
    let settle = async |number: u128| {
        let of = Settled { id: CallId::new(number), at: stanchion_core::Timestamp::EPOCH, hold: true };
        store.settle(tenant(1), of, &[], None).await.unwrap()
    };
    assert!(!settle(1).await && settle(2).await && !settle(2).await);
    assert_eq!(count(&mut admin, "ratelimit_hold").await, 0);
}
