//! How counters count among processes, by the server's clock, and until they expire.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by their environment where the servers are, and look at its clock"
)]

mod clocks;
mod entries;
#[path = "../outages/eventually.rs"]
#[expect(dead_code, reason = "it has what another suite needs")]
mod eventually;
mod expiry;
mod model;
mod processes;
#[path = "../outages/server.rs"]
#[expect(dead_code, reason = "it has what another suite needs")]
mod server;

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Client, Connection};
use stanchion_core::{IdGen as _, SeededRandom, Timestamp};
use stanchion_ratelimit::{
    Adjustment, Call, CallId, Charge, CounterStore as _, Frame, Limit, Outcome, Settled, Settlement, Slot,
};
use stanchion_redis::{Config, RedisCounterStore};

fn url() -> String {
    std::env::var("STANCHION_TEST_REDIS").unwrap_or_else(|_| {
        panic!("STANCHION_TEST_REDIS is not set: run through `cargo xtask test`, or `eval \"$(cargo xtask services up)\"`")
    })
}

/// The server is shared by all tests, the keys are each one's own.
fn prefix() -> String {
    static TESTS: AtomicU64 = AtomicU64::new(0);
    let number = TESTS.fetch_add(1, Ordering::Relaxed);
    format!("count:{}:{}:{number}", now().micros(), std::process::id())
}

/// Counters that wait as long as a busy machine takes.
fn store(prefix: &str) -> RedisCounterStore {
    store_at(&url(), prefix)
}

fn store_at(url: &str, prefix: &str) -> RedisCounterStore {
    let (connect_timeout_ms, response_timeout_ms) = (20_000, 20_000);
    let config =
        Config { prefix: prefix.to_owned(), connect_timeout_ms, response_timeout_ms, ..Config::default() };
    RedisCounterStore::new(url, config).unwrap()
}

/// A look at the keys themselves.
fn connection() -> Connection {
    Client::open(url()).unwrap().get_connection().unwrap()
}

/// The server is on this machine, so this is its clock too.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

fn tenant(seed: u64) -> Slot {
    Slot::Tenant(SeededRandom::new(seed).tenant_id(Timestamp::EPOCH))
}

fn every(length: Duration) -> Frame {
    Frame::Every(NonZeroU64::new(u64::try_from(length.as_micros()).unwrap()).unwrap())
}

/// A limit of each kind that gives so much at once, and nothing back for years.
fn slow(capacity: u64) -> Vec<(&'static [u8], Limit)> {
    const DECADE: Duration = Duration::from_secs(10 * 365 * 86_400);
    vec![
        (b"bucket", Limit::token_bucket(capacity, 1, DECADE.as_secs()).unwrap()),
        (b"spaced", Limit::gcra(1, capacity, DECADE.as_secs()).unwrap()),
        (b"queue", Limit::leaky_queue(capacity - 1, 1, DECADE.as_secs() / 100).unwrap()),
        (b"window", Limit::fixed_window(capacity, every(DECADE)).unwrap()),
        (b"sliding", Limit::sliding_window(capacity, every(DECADE)).unwrap()),
        (b"log", Limit::sliding_log(capacity, DECADE).unwrap()),
        (b"lease", Limit::concurrency(capacity, DECADE).unwrap()),
    ]
}

/// A name that no other call has, in whichever process.
fn id() -> CallId {
    static CALLS: AtomicU64 = AtomicU64::new(1);
    let process = u128::from(std::process::id());
    CallId::new(process << 64 | u128::from(CALLS.fetch_add(1, Ordering::Relaxed)))
}

async fn decide(
    store: &RedisCounterStore,
    slot: Slot,
    charges: &[Charge<'_>],
    now: impl Into<Option<Timestamp>>,
) -> Outcome {
    let call = Call { id: id(), ..Call::new(charges, now.into()) };
    store.decide(slot, &call).await.unwrap()
}

async fn settle(
    store: &RedisCounterStore,
    slot: Slot,
    call: Settled,
    (key, limit): (&[u8], Limit),
    adjustment: Adjustment,
    now: impl Into<Option<Timestamp>>,
) -> bool {
    store.settle(slot, call, &[Settlement { key, limit, adjustment }], now.into()).await.unwrap()
}
