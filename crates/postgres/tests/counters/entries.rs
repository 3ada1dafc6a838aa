//! Logs and leases: what a decision reads of them, and what is left of them.

use std::time::Duration;

use sqlx::PgConnection;
use stanchion_core::{SystemScope, Timestamp};
use stanchion_postgres::{CounterConfig, Database, PgCounterStore, testing};
use stanchion_ratelimit::{
    Adjustment, Call, CallId, Charge, CounterStore, EntryLimit, Limit, Outcome, Settled, Settlement,
};
use tokio::task::yield_now;

use super::{PATIENT, count, database, run, tenant};

const SYSTEM: SystemScope = SystemScope::new("test");
const KEY: &[u8] = b"log";

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_772_366_400_000_000 + seconds * 1_000_000)
}

fn log(capacity: u64, seconds: u64) -> Limit {
    Limit::sliding_log(capacity, Duration::from_secs(seconds)).unwrap()
}

async fn take(
    store: &PgCounterStore,
    limit: Limit,
    (number, cost): (u128, u64),
    now: impl Into<Option<Timestamp>>,
) -> Outcome {
    let charges = [Charge::new(KEY, limit, cost)];
    let call = Call { id: CallId::new(number), ..Call::new(&charges, now.into()) };
    store.decide(tenant(1), &call).await.unwrap()
}

async fn give(store: &PgCounterStore, limit: Limit, number: u128, now: impl Into<Option<Timestamp>>) {
    correct(store, limit, number, &[Adjustment::Return(u64::MAX)], now).await;
}

async fn correct(
    store: &PgCounterStore,
    limit: Limit,
    number: u128,
    adjustments: &[Adjustment],
    now: impl Into<Option<Timestamp>>,
) {
    let of = Settled { id: CallId::new(number), at: at(0), hold: false };
    let settle = |adjustment: &Adjustment| Settlement { key: KEY, limit, adjustment: *adjustment };
    let corrections: Vec<_> = adjustments.iter().map(settle).collect();
    assert!(store.settle(tenant(1), of, &corrections, now.into()).await.unwrap());
}

/// How many entries this test's sessions have read, once the store has ended them and at least so many are known of.
async fn read(admin: &mut PgConnection, store: PgCounterStore, at_least: i64) -> i64 {
    store.close().await;
    let read =
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'ratelimit_entry'";
    loop {
        let read: i64 = sqlx::query_scalar(read).fetch_one(&mut *admin).await.unwrap();
        if read >= at_least {
            return read;
        }
        yield_now().await;
    }
}

/// Fills the log with so many entries, and another with as many, after plans were made while it was empty.
async fn fill(admin: &mut PgConnection, entries: u32) {
    let fill = format!(
        "INSERT INTO stanchion.ratelimit_entry (scope_id, edge, key, until, id, amount)
        SELECT scope_id, edge, log, 4000000000000000 + number, ('00000000-0000-0000-0001-' || lpad(number::text, 12, '0'))::uuid, 1
        FROM stanchion.ratelimit_counter CROSS JOIN generate_series(1, {entries}) AS number
        CROSS JOIN LATERAL (VALUES (key), (key || 'another'::bytea)) AS logs (log);
        UPDATE stanchion.ratelimit_counter SET held = held + {entries}, fresh_at = 4000000000010000"
    );
    for statement in fill.split(';') {
        run(admin, statement).await;
    }
}

#[tokio::test]
async fn a_full_log_is_not_read_to_refuse() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, CounterConfig { max_connections: 2, ..PATIENT });
    let limit = log(EntryLimit::MAX, 3_600);
    assert!(take(&store, limit, (1, 1), None).await.is_admitted());
    give(&store, limit, 1, None).await;
    fill(&mut admin, 10_000).await;
    for number in 2..22 {
        let refused = take(&store, limit, (number, 2), None).await;
        assert!(!refused.is_admitted());
        let wait = refused.standings()[0].retry_after.unwrap();
        assert_eq!(refused.at().plus(wait), Timestamp::from_micros(4_000_000_000_000_002));
        assert_eq!(refused.at().plus(refused.standings()[0].reset_after).micros(), 4_000_000_000_010_000);
    }
    // Each reads the last entry, the first two, of which the second makes room, and the one after them.
    let read = read(&mut admin, store, 20 * 4).await;
    assert!(read <= 20 * 4 + 10, "{read}");
}

#[tokio::test]
async fn a_lease_is_taken_and_given_back_without_a_look_at_the_others() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, CounterConfig { max_connections: 2, ..PATIENT });
    let limit = log(EntryLimit::MAX, 3_600);
    take(&store, limit, (1, 1), None).await;
    give(&store, limit, 1, None).await;
    fill(&mut admin, 9_999).await;
    for number in 2..22 {
        let taken = take(&store, limit, (number, 1), None).await;
        assert!(taken.is_admitted() && taken.standings()[0].remaining == 0);
        give(&store, limit, number, None).await;
    }
    // The last one each time, and what was taken to find and to remove it.
    let read = read(&mut admin, store, 20 * 4).await;
    assert!(read <= 20 * 4 + 20, "{read}");
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 2 * 9_999);
}

#[tokio::test]
async fn what_has_ended_is_let_go_of_by_whoever_comes_next() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    let limit = log(100, 10);
    for number in 0..30_u32 {
        let taken = take(&store, limit, (number.into(), 10), at(number.into())).await;
        assert!(taken.is_admitted(), "{number}");
    }
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 10);
    // Who is refused writes nothing for a few, but does not look past many for ever.
    let ended = take(&store, limit, (30, 101), at(31)).await;
    assert_eq!((ended.is_admitted(), ended.standings()[0].remaining), (false, 20));
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 10);
    for number in 100..200 {
        assert!(take(&store, limit, (number, 1), at(100)).await.is_admitted());
    }
    assert_eq!(take(&store, limit, (200, 101), at(110)).await.standings()[0].remaining, 100);
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 0);
    let again = take(&store, limit, (201, 100), at(110)).await;
    assert!(again.is_admitted() && again.standings()[0].reset_after == Duration::from_secs(10));
}

/// What a clock that has stepped back has charged ends before what has been looked at; it is found and let go of all the same.
#[tokio::test]
async fn a_charge_by_a_clock_that_is_behind_is_not_held_for_ever() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    let limit = log(3, 10);
    take(&store, limit, (1, 1), at(100)).await;
    take(&store, limit, (2, 1), at(200)).await;
    let behind = take(&store, limit, (3, 1), at(150)).await;
    assert_eq!((behind.is_admitted(), behind.standings()[0].remaining), (true, 1));
    let later = take(&store, limit, (4, 3), at(300)).await;
    assert_eq!((later.is_admitted(), later.standings()[0].remaining), (true, 0));
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 1);
}

#[tokio::test]
async fn what_a_reset_leaves_behind_counts_for_nothing() {
    let (url, mut admin) = database().await;
    let records = Database::new(&url, testing::config());
    let store = PgCounterStore::new(&url, PATIENT);
    let limit = log(3, 3_600);
    take(&store, limit, (1, 3), None).await;
    store.reset(tenant(1), KEY).await.unwrap();
    give(&store, limit, 1, None).await;
    assert_eq!(count(&mut admin, "ratelimit_counter").await, 0, "nothing is left to be given back");
    let taken = take(&store, limit, (2, 1), None).await;
    assert_eq!((taken.is_admitted(), taken.standings()[0].remaining), (true, 2));
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 1);
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 0, "it is in use");
    store.reset(tenant(1), KEY).await.unwrap();
    assert_eq!(records.sweep_counters(SYSTEM).await.unwrap(), 1);
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 0);
}

#[tokio::test]
async fn more_than_a_number_holds_is_added_and_given_back() {
    let (url, _admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    let limit = log(10, 3_600);
    take(&store, limit, (1, 1), at(0)).await;
    take(&store, limit, (2, 2), at(1)).await;
    correct(&store, limit, 1, &[Adjustment::Add(u64::MAX), Adjustment::Add(u64::MAX)], at(2)).await;
    correct(&store, limit, 3, &[Adjustment::Add(u64::MAX)], at(2)).await;
    let refused = take(&store, limit, (4, 1), at(2)).await;
    assert_eq!(refused.standings()[0].retry_after, Some(Duration::from_secs(3_600)));
    correct(&store, limit, 1, &[Adjustment::Return(u64::MAX - 3), Adjustment::Return(2)], at(2)).await;
    give(&store, limit, 3, at(2)).await;
    // One unit of the first call is left, and the two of the second.
    let taken = take(&store, limit, (5, 1), at(2)).await;
    assert_eq!((taken.is_admitted(), taken.standings()[0].remaining), (true, 10 - 1 - 2 - 1));
}

/// Calls that have no name are charged all the same, also at the same moment.
#[tokio::test]
async fn calls_without_a_name_do_not_take_each_others_place() {
    let (url, _admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    let limit = log(3, 10);
    for remaining in [2, 1, 0] {
        let taken = take(&store, limit, (0, 1), at(0)).await;
        assert_eq!((taken.is_admitted(), taken.standings()[0].remaining), (true, remaining));
    }
    assert!(!take(&store, limit, (0, 1), at(9)).await.is_admitted());
    assert!(take(&store, limit, (0, 3), at(10)).await.is_admitted());
}
