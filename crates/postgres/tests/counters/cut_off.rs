//! Callers that go away, replicas that stand still, connections that break.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use sqlx::PgConnection;
use stanchion_core::StoreErrorKind;
use stanchion_postgres::{CounterConfig, PgCounterStore, testing};
use stanchion_ratelimit::{Charge, CounterStore};
use tokio::task::{JoinSet, yield_now};

use super::{PATIENT, call, database, decide, left, limits, run, tenant};

/// Lets a future be polled so often, and then drops it.
struct Polls<F> {
    work: Pin<Box<F>>,
    left: u32,
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.work.as_mut().poll(context).map(Some)
    }
}

/// How many sessions of this database are in the middle of a transaction and wait for their client.
async fn inside(admin: &mut PgConnection) -> i64 {
    let inside = "SELECT count(*) FROM pg_stat_activity \
                  WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    sqlx::query_scalar(inside).fetch_one(admin).await.unwrap()
}

#[tokio::test]
async fn a_call_that_is_dropped_at_any_await_is_charged_whole_or_not_at_all() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, CounterConfig { max_connections: 2, ..PATIENT });
    let [(_, limit), .., (_, log)] = limits(1_000);
    let charges = [Charge::new(b"b", limit, 1), Charge::new(b"a", log, 1)];
    let (mut polls, mut charged) = (1, 0);
    loop {
        let question = call(&charges, 1);
        let work = Box::pin(store.decide(tenant(1), &question));
        let done = Polls { work, left: polls }.await;
        // Whoever comes next waits for what is on its way, and meets nobody's transaction.
        let next = decide(&store, tenant(1), &charges).await;
        let both: Vec<_> = next.standings().iter().map(|standing| 1_000 - standing.remaining).collect();
        assert_eq!(both[0], both[1], "after {polls} polls");
        assert!((charged + 1..=charged + 2).contains(&both[0]), "after {polls} polls");
        assert!(done.is_none() || both[0] == charged + 2, "what was answered is charged");
        charged = both[0];
        if let Some(done) = done {
            assert!(done.unwrap().is_admitted());
            break;
        }
        polls += 1;
    }
    assert!(polls > 1, "a decision waits for the database");
    while inside(&mut admin).await > 0 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_counter_that_is_not_to_be_had_is_unavailable_and_the_connection_stays() {
    let (url, mut admin) = database().await;
    let hasty = CounterConfig { max_connections: 2, operation_timeout_ms: 4_000, ..PATIENT };
    let store = PgCounterStore::new(&url, hasty);
    let [(key, limit), ..] = limits(3);
    let charges = [Charge::new(key, limit, 1)];
    decide(&store, tenant(1), &charges).await;
    let sessions = "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity \
                    WHERE datname = current_database() AND usename = 'stanchion_test_app'";
    let before: Vec<i32> = sqlx::query_scalar(sessions).fetch_one(&mut admin).await.unwrap();
    run(&mut admin, "BEGIN; SELECT FROM stanchion.ratelimit_counter FOR NO KEY UPDATE").await;
    let error = store.decide(tenant(1), &call(&charges, 1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert_eq!(left(&store, tenant(1), key, limit).await, 2, "a look waits for nobody");
    run(&mut admin, "ROLLBACK").await;
    decide(&store, tenant(1), &charges).await;
    assert_eq!(left(&store, tenant(1), key, limit).await, 1);
    let after: Vec<i32> = sqlx::query_scalar(sessions).fetch_one(&mut admin).await.unwrap();
    assert!(before.iter().all(|session| after.contains(session)), "{before:?} {after:?}");
}

#[tokio::test]
async fn a_replica_that_stands_still_holds_nobody_up_for_long() {
    let (url, mut admin) = database().await;
    let still = CounterConfig { max_connections: 2, operation_timeout_ms: 2_000, ..PATIENT };
    let still = PgCounterStore::new(&url, still);
    let other = PgCounterStore::new(&url, PATIENT);
    let [(key, limit), ..] = limits(3);
    let charges = [Charge::new(key, limit, 1)];
    decide(&other, tenant(1), &charges).await;
    let mut holder = testing::connect(&url.with_login(testing::admin_url().login())).await;
    run(&mut holder, "BEGIN; SELECT FROM stanchion.ratelimit_counter FOR NO KEY UPDATE").await;
    let question = call(&charges, 1);
    let mut first = pin!(still.decide(tenant(1), &question));
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut admin).await.unwrap() == 0 {
        let polled = poll_fn(|context| Poll::Ready(first.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "it has to wait");
    }
    // From here on nobody polls it, as if the machine it is on stood still: it has the counter, and does not know.
    run(&mut holder, "ROLLBACK").await;
    while inside(&mut admin).await == 0 {
        yield_now().await;
    }
    decide(&other, tenant(1), &charges).await;
    assert_eq!(left(&other, tenant(1), key, limit).await, 1);
    let kind = first.await.unwrap_err().kind();
    assert!(matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Timeout), "{kind:?}");
    assert_eq!(left(&other, tenant(1), key, limit).await, 1, "what it had begun came to nothing");
}

/// Connections end at any moment: what was answered is counted, what is `Unavailable` is not, and only of a `Timeout` nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_charge_that_was_answered_is_there_while_connections_break() {
    let (url, mut admin) = database().await;
    let limits = limits(100_000);
    let done = Arc::new(AtomicBool::new(false));
    let unknown = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for replica in 0..4_u128 {
        let store = PgCounterStore::new(&url, PATIENT);
        let (unknown, done) = (Arc::clone(&unknown), Arc::clone(&done));
        callers.spawn(async move {
            let (mut answered, mut number) = (0_u64, replica << 64);
            while answered < 100 || !done.load(Ordering::Relaxed) {
                number += 1;
                let charges = limits[..3].iter().map(|(key, limit)| Charge::new(key, *limit, 1));
                match store.decide(tenant(1), &call(&charges.collect::<Vec<_>>(), number)).await {
                    Ok(outcome) => answered += u64::from(outcome.is_admitted()),
                    Err(error) if error.kind() == StoreErrorKind::Timeout => {
                        unknown.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}"),
                }
            }
            answered
        });
    }
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND usename = 'stanchion_test_app'";
    let mut ended: i64 = 0;
    while ended < 60 {
        ended += sqlx::query_scalar::<_, i64>(cut).fetch_one(&mut admin).await.unwrap();
        yield_now().await;
    }
    done.store(true, Ordering::Relaxed);
    let answered: u64 = callers.join_all().await.into_iter().sum();
    let unknown = unknown.load(Ordering::Relaxed);
    let store = PgCounterStore::new(&url, PATIENT);
    for (key, limit) in &limits[..3] {
        let counted = 100_000 - left(&store, tenant(1), key, *limit).await;
        assert!((answered..=answered + unknown).contains(&counted), "{answered} {counted} {unknown}");
    }
}
