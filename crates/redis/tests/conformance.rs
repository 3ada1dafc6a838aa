//! The counters pass the suite that every adapter passes, on one server and on a Cluster.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests are told by their environment where the servers are")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use stanchion_ratelimit::CounterStore;
use stanchion_redis::{Config, RedisCounterStore, Topology};

/// The server is shared by all cases, the keys are each one's own.
fn store(variable: &str, topology: Topology) -> Arc<dyn CounterStore> {
    static CASES: AtomicU64 = AtomicU64::new(0);
    let urls = std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: run through `cargo xtask test`, or `eval \"$(cargo xtask services up)\"`"
        )
    });
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_micros();
    let prefix = format!("test:{since}:{}:{}", std::process::id(), CASES.fetch_add(1, Ordering::Relaxed));
    // A busy machine is no reason to fail.
    let config = Config {
        topology,
        prefix,
        connect_timeout_ms: 20_000,
        response_timeout_ms: 20_000,
        ..Config::default()
    };
    Arc::new(RedisCounterStore::new(&urls, config).expect("fits"))
}

async fn single() -> Arc<dyn CounterStore> {
    store("STANCHION_TEST_REDIS", Topology::Single)
}

async fn cluster() -> Arc<dyn CounterStore> {
    store("STANCHION_TEST_REDIS_CLUSTER", Topology::Cluster)
}

stanchion_ratelimit::counter_store_conformance!(mod redis_counter_store, single());
stanchion_ratelimit::counter_store_conformance!(mod redis_cluster_counter_store, cluster());
