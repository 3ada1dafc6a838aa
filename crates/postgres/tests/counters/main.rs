//! Counters that replicas share: exact while they race, whatever is cut off, and gone when they are as good as new.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod cut_off;
mod entries;
mod joined;
mod processes;
mod race;
mod refused;
mod rows;

use std::num::NonZeroU64;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use stanchion_core::{IdGen as _, SeededRandom, Timestamp};
use stanchion_postgres::{CounterConfig, PgCounterStore, Url, testing};
use stanchion_ratelimit::{Call, CallId, Charge, CounterStore, EntryLimit, Frame, Limit, Outcome, Slot};

const CENTURY: u64 = 3_155_760_000;

/// A busy machine is no reason to fail.
const PATIENT: CounterConfig =
    CounterConfig { max_connections: 6, acquire_timeout_ms: 30_000, operation_timeout_ms: 60_000 };

/// A fresh database, and an administrator's connection to it.
async fn database() -> (Url, PgConnection) {
    let admin = testing::fresh_admin_url().await;
    (admin.with_login(testing::LOGIN), testing::connect(&admin).await)
}

fn tenant(number: u64) -> Slot {
    Slot::Tenant(SeededRandom::new(number).tenant_id(Timestamp::EPOCH))
}

/// One limit of each kernel, of which nothing comes back while a test runs.
fn limits(capacity: u64) -> [(&'static [u8], Limit); 4] {
    let frame = Frame::Every(NonZeroU64::new(CENTURY * 1_000_000).unwrap());
    [
        (b"level", Limit::token_bucket(capacity, 1, CENTURY).unwrap()),
        (b"window", Limit::fixed_window(capacity, frame).unwrap()),
        (b"sliding", Limit::sliding_window(capacity, frame).unwrap()),
        (
            b"entries",
            Limit::sliding_log(capacity.min(EntryLimit::MAX), Duration::from_secs(CENTURY)).unwrap(),
        ),
    ]
}

/// Asks by the database's clock.
fn call<'a>(charges: &'a [Charge<'a>], number: u128) -> Call<'a> {
    Call { id: CallId::new(number), ..Call::new(charges, None) }
}

async fn decide(store: &PgCounterStore, slot: Slot, charges: &[Charge<'_>]) -> Outcome {
    store.decide(slot, &call(charges, 1)).await.unwrap()
}

async fn left(store: &PgCounterStore, slot: Slot, key: &[u8], limit: Limit) -> u64 {
    let charges = [Charge::new(key, limit, 0)];
    let outcome = store.peek(slot, &Call::new(&charges, None)).await.unwrap();
    outcome.standings().first().unwrap().remaining
}

async fn count(admin: &mut PgConnection, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM stanchion.{table}");
    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(admin).await.unwrap()
}

async fn run(admin: &mut PgConnection, statements: &str) {
    testing::run(admin, statements).await;
}
