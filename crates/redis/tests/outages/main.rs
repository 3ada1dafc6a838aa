//! What becomes of decisions when servers are killed, paused, emptied, full, or give way to others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how long it took"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by their environment where the programs are, and measure"
)]

mod cluster;
mod eventually;
mod failover;
mod outage;
mod recovery;
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use stanchion_core::{StoreError, StoreErrorKind};
use stanchion_ratelimit::{Call, Charge, CounterStore as _, Frame, Limit, Outcome, Slot};
use stanchion_redis::{Config, RedisCounterStore};
use tokio::task::JoinSet;

use eventually::eventually;

/// A day's worth: none of it comes back within a test.
const CAPACITY: u64 = 10_000;

/// The limits of the defaults, and as much again as a busy machine may take to get round to a caller.
fn longest() -> Duration {
    let config = Config::default();
    Duration::from_millis(u64::from(config.connect_timeout_ms + config.response_timeout_ms))
        + Duration::from_secs(2)
}

/// Counters as they are by default.
fn store(url: &str) -> Arc<RedisCounterStore> {
    Arc::new(RedisCounterStore::new(url, Config::default()).unwrap())
}

/// Counters that wait as long as it takes, where it is not the time that is looked at.
fn patient(url: &str, config: Config) -> Arc<RedisCounterStore> {
    let config = Config { connect_timeout_ms: 30_000, response_timeout_ms: 30_000, ..config };
    Arc::new(RedisCounterStore::new(url, config).unwrap())
}

async fn charge(store: &RedisCounterStore, slot: Slot, cost: u64) -> Result<Outcome, StoreError> {
    let limit = Limit::token_bucket(CAPACITY, CAPACITY, 86_400).unwrap();
    store.decide(slot, &Call::new(&[Charge::new(b"caller", limit, cost)], None)).await
}

/// A limit under each kernel, of which nothing comes back within a test.
fn each_kernel() -> [(&'static [u8], Limit); 4] {
    const DECADE: Duration = Duration::from_secs(10 * 365 * 86_400);
    let frame = Frame::Every(u64::try_from(DECADE.as_micros()).unwrap().try_into().unwrap());
    [
        (b"bucket", Limit::token_bucket(CAPACITY, 1, DECADE.as_secs()).unwrap()),
        (b"window", Limit::fixed_window(CAPACITY, frame).unwrap()),
        (b"sliding", Limit::sliding_window(CAPACITY, frame).unwrap()),
        (b"lease", Limit::concurrency(CAPACITY, DECADE).unwrap()),
    ]
}

/// Looks how many are left under each kernel.
async fn left(store: &RedisCounterStore) -> Vec<u64> {
    let charges = each_kernel().map(|(key, limit)| Charge::new(key, limit, 0));
    let outcome = store.peek(Slot::Edge, &Call::new(&charges, None)).await.unwrap();
    outcome.standings().iter().map(|standing| standing.remaining).collect()
}

/// Takes one, and returns how many are left.
async fn take(store: &RedisCounterStore) -> Result<u64, StoreError> {
    let outcome = charge(store, Slot::Edge, 1).await?;
    assert!(outcome.is_admitted(), "the limit is far off");
    Ok(outcome.standings()[0].remaining)
}

/// Calls until it succeeds, and returns how many are left.
async fn take_at_last(store: &RedisCounterStore) -> u64 {
    eventually("a decision is made", async || take(store).await.ok()).await
}

fn assert_outage(error: &StoreError) {
    let outages = [StoreErrorKind::Unavailable, StoreErrorKind::Timeout];
    assert!(outages.contains(&error.kind()) && error.is_retryable(), "{error:?}");
}

async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (call.await, began.elapsed())
}

fn is_resting(store: &RedisCounterStore) -> bool {
    format!("{store:?}").contains("open: true")
}

/// What many callers at once got.
struct Round {
    results: Vec<Result<u64, StoreError>>,
    longest: Duration,
}

async fn round(store: &Arc<RedisCounterStore>, callers: usize) -> Round {
    let mut calls = JoinSet::new();
    for _ in 0..callers {
        let store = store.clone();
        calls.spawn(async move { timed(take(&store)).await });
    }
    let (results, times): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().unzip();
    Round { results, longest: times.into_iter().max().unwrap_or_default() }
}
