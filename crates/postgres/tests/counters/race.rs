//! Four replicas, each with connections of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stanchion_core::SystemScope;
use stanchion_postgres::{Database, PgCounterStore, testing};
use stanchion_ratelimit::{Charge, CounterStore, Limit, Slot};
use tokio::task::JoinSet;

use super::{PATIENT, call, count, database, left, limits, tenant};

const SYSTEM: SystemScope = SystemScope::new("test");
const REPLICAS: usize = 4;
const CALLERS: usize = 5;

fn replicas(url: &stanchion_postgres::Url) -> Vec<Arc<PgCounterStore>> {
    (0..REPLICAS).map(|_| Arc::new(PgCounterStore::new(url, PATIENT))).collect()
}

/// Lets every replica ask in five tasks, each so many times, and returns how many calls were admitted.
async fn race(
    replicas: &[Arc<PgCounterStore>],
    slot: Slot,
    each: usize,
    ask: impl Fn(usize) -> Vec<(Vec<u8>, Limit)> + Clone + Send + Sync + 'static,
) -> usize {
    let mut callers = JoinSet::new();
    for caller in 0..REPLICAS * CALLERS {
        let store = Arc::clone(&replicas[caller % REPLICAS]);
        let ask = ask.clone();
        callers.spawn(async move {
            let mut admitted = 0;
            for number in 0..each {
                let number = caller * each + number;
                let keys = ask(number);
                let charges: Vec<_> = keys.iter().map(|(key, limit)| Charge::new(key, *limit, 1)).collect();
                let id = u128::try_from(number).unwrap() + 1;
                let outcome = store.decide(slot, &call(&charges, id)).await.unwrap();
                admitted += usize::from(outcome.is_admitted());
            }
            admitted
        });
    }
    callers.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_the_limit_is_admitted_under_every_kernel() {
    let (url, _admin) = database().await;
    let replicas = replicas(&url);
    for (key, limit) in limits(1_000) {
        let admitted = race(&replicas, tenant(1), 60, move |_| vec![(key.to_vec(), limit)]).await;
        assert_eq!(admitted, 1_000, "{limit:?}");
        assert_eq!(left(&replicas[0], tenant(1), key, limit).await, 0, "{limit:?}");
    }
}

/// Everybody asks for eight counters, half of the callers in the opposite order, while others make counters, forget them, and sweep:
/// nobody waits in a circle, and the least limit is given exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opposite_orders_never_lock_each_other_out() {
    let (url, mut admin) = database().await;
    let replicas = replicas(&url);
    let done = Arc::new(AtomicBool::new(false));
    let mut others = JoinSet::new();
    let (store, stop) = (Arc::clone(&replicas[0]), Arc::clone(&done));
    let records = Database::new(&url, testing::config());
    others.spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            for key in [b"0", b"4"] {
                store.reset(tenant(2), key).await.unwrap();
            }
            records.sweep_counters(SYSTEM).await.unwrap();
        }
    });
    let ask = |number: usize| {
        let mut keys: Vec<(Vec<u8>, Limit)> = Vec::new();
        for digit in 0..8_u8 {
            let capacity = if digit == 5 { 400 } else { 5_000 };
            let (_, limit) = limits(capacity)[usize::from(digit) % 4];
            keys.push((vec![b'0' + digit], limit));
        }
        // A counter that is not there yet, which stands somewhere among the others.
        let new = format!("{}-{number}", number % 8).into_bytes();
        keys.push((new, limits(2)[number % 4].1));
        if number.is_multiple_of(2) {
            keys.reverse();
        }
        keys
    };
    assert_eq!(race(&replicas, tenant(2), 25, ask).await, 400);
    done.store(true, Ordering::Relaxed);
    others.join_all().await;
    for (key, limit) in [(b"1", limits(5_000)[1].1), (b"7", limits(5_000)[3].1)] {
        assert_eq!(left(&replicas[1], tenant(2), key, limit).await, 4_600, "{limit:?}");
    }
    // The 400 new ones of the calls that were admitted, and those of the eight that were not reset since the last of them.
    let rows = count(&mut admin, "ratelimit_counter").await;
    assert!((406..=408).contains(&rows), "what is refused leaves no row behind: {rows}");
}
