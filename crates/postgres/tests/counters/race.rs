//! Four replicas, each with connections of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stanchion_core::SystemScope;
use stanchion_postgres::{Database, PgCounterStore, testing};
use stanchion_ratelimit::{Adjustment, CallId, Charge, CounterStore, Limit, Settled, Settlement, Slot};
use tokio::task::JoinSet;

use super::{PATIENT, call, count, database, left, limits, run, tenant};

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

/// Some take, some give back, some reset and some sweep, and half of what is taken ends at once: in the end each counter holds what its
/// entries take, none of them is out of its sight, and nothing else is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_counter_holds_what_its_entries_take_whatever_is_reset_and_swept_meanwhile() {
    let (url, mut admin) = database().await;
    let replicas = replicas(&url);
    let (lease, brief) = (
        Limit::concurrency(20, Duration::from_secs(3_600)).unwrap(),
        Limit::sliding_log(20, Duration::from_millis(2)).unwrap(),
    );
    let mut callers = JoinSet::new();
    for caller in 0..REPLICAS * CALLERS {
        let store = Arc::clone(&replicas[caller % REPLICAS]);
        callers.spawn(async move {
            for number in 0..40_usize {
                let id = u128::try_from((caller << 32) | number).unwrap() + 1;
                let keys = [format!("lease {}", number % 3), format!("brief {}", number % 2)];
                let charges = [
                    Charge::new(keys[0].as_bytes(), lease, 1 + u64::from(id % 3 == 0)),
                    Charge { charge_denied: true, ..Charge::new(keys[1].as_bytes(), brief, 1) },
                ];
                let outcome = store.decide(tenant(3), &call(&charges, id)).await.unwrap();
                if outcome.is_admitted() && !number.is_multiple_of(5) {
                    let of = Settled { id: CallId::new(id), at: outcome.at(), hold: false };
                    let adjustment = Adjustment::Return(1);
                    let back = [Settlement { key: keys[0].as_bytes(), limit: lease, adjustment }];
                    assert!(store.settle(tenant(3), of, &back, None).await.unwrap());
                }
                if caller == 0 && number.is_multiple_of(4) {
                    store.reset(tenant(3), keys[number / 4 % 2].as_bytes()).await.unwrap();
                }
            }
        });
    }
    let records = Database::new(&url, testing::config());
    let wrong = "SELECT count(*) FROM stanchion.ratelimit_counter AS c
        LEFT JOIN LATERAL (
            SELECT coalesce(sum(e.amount), 0) AS held, min(e.until) AS first FROM stanchion.ratelimit_entry AS e
            WHERE (e.scope_id, e.edge, e.key) = (c.scope_id, c.edge, c.key)) AS e ON true
        WHERE c.held IS DISTINCT FROM e.held OR e.first <= c.at";
    loop {
        records.sweep_counters(SYSTEM).await.unwrap();
        let wrong: i64 = sqlx::query_scalar(wrong).fetch_one(&mut admin).await.unwrap();
        assert_eq!(wrong, 0);
        match callers.try_join_next() {
            Some(done) => done.unwrap(),
            None if callers.is_empty() => break,
            None => {}
        }
    }
    for key in ["lease 0", "lease 1", "lease 2"] {
        replicas[0].reset(tenant(3), key.as_bytes()).await.unwrap();
    }
    run(&mut admin, "UPDATE stanchion.ratelimit_counter SET fresh_at = 1").await;
    records.sweep_counters(SYSTEM).await.unwrap();
    assert_eq!(count(&mut admin, "ratelimit_entry").await, 0);
}
