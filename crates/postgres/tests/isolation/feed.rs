//! No follower misses a change, whatever order changes are committed in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{FeedCursor, FeedEntry, Scope, SystemScope};
use stanchion_postgres::{PgRbacStore, TenantTx};
use stanchion_rbac::RbacStore;
use stanchion_replica::ChangeFeed;
use tokio::task::JoinSet;

use super::{change, database, run, tenant};

const SYSTEM: SystemScope = SystemScope::new("test");
/// Nothing takes this long, but a busy machine may.
const LONG: Duration = Duration::from_secs(60);

async fn next(store: &PgRbacStore, cursor: &mut Option<FeedCursor>, limit: usize) -> Vec<FeedEntry> {
    let page = store.changes(SYSTEM, cursor.as_ref(), limit).await.unwrap();
    assert_eq!(page.reset, cursor.is_none());
    *cursor = Some(page.cursor);
    page.entries
}

fn scopes(entries: &[FeedEntry]) -> Vec<Scope> {
    entries.iter().map(|entry| entry.scope).collect()
}

#[tokio::test]
async fn a_change_that_began_first_and_was_committed_last_is_seen() {
    let (database, _admin) = database().await;
    let store = PgRbacStore::new(database.clone());
    let mut cursor = None;
    next(&store, &mut cursor, 10).await;
    let mut first = TenantTx::begin(&database, tenant(1)).await.unwrap();
    PgRbacStore::apply_on(&mut first, &change(0, "first")).await.unwrap();
    let mut second = TenantTx::begin(&database, tenant(2)).await.unwrap();
    PgRbacStore::apply_on(&mut second, &change(0, "second")).await.unwrap();
    second.commit().await.unwrap();
    // The one that stays open holds nobody up.
    assert_eq!(scopes(&next(&store, &mut cursor, 10).await), [tenant(2)]);
    store.apply(tenant(3), change(0, "third")).await.unwrap();
    assert_eq!(scopes(&next(&store, &mut cursor, 10).await), [tenant(3)]);
    first.commit().await.unwrap();
    assert_eq!(scopes(&next(&store, &mut cursor, 10).await), [tenant(1)]);
    assert_eq!(next(&store, &mut cursor, 10).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_and_a_follower_of_short_pages() {
    const EACH: u64 = 25;
    let (database, _admin) = database().await;
    let store = Arc::new(PgRbacStore::new(database));
    let mut cursor = None;
    next(&store, &mut cursor, 3).await;
    let mut writers = JoinSet::new();
    for number in 1..=8 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for revision in 0..EACH {
                store.apply(tenant(number), change(revision, "role")).await.unwrap();
            }
        });
    }
    let mut seen: BTreeMap<Scope, Vec<u64>> = BTreeMap::new();
    let mut is_over = false;
    loop {
        let entries = next(&store, &mut cursor, 3).await;
        for entry in &entries {
            seen.entry(entry.scope).or_default().push(entry.revision.number());
        }
        if entries.is_empty() {
            if is_over {
                break;
            }
            is_over = writers.is_empty();
            if let Some(ended) = writers.join_next().await {
                ended.unwrap();
            }
        }
    }
    let all: Vec<u64> = (1..=EACH).collect();
    assert_eq!(seen.len(), 8);
    assert!(seen.values().all(|revisions| *revisions == all), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_listener_is_woken_and_one_whose_bus_is_cut_still_sees_everything() {
    let (database, mut admin) = database().await;
    let store = PgRbacStore::new(database.clone());
    let mut cursor = None;
    next(&store, &mut cursor, 10).await;
    #[expect(clippy::disallowed_methods, reason = "a replica of the test")]
    let bus = tokio::spawn(database.clone().listen(|_| {}));
    // The bus says so once it listens.
    tokio::time::timeout(LONG, store.arrived()).await.unwrap();
    store.apply(tenant(1), change(0, "a")).await.unwrap();
    tokio::time::timeout(LONG, store.arrived()).await.unwrap();
    assert_eq!(scopes(&next(&store, &mut cursor, 10).await), [tenant(1)]);

    run(
        &mut admin,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' \
                     AND datname = current_database()",
    )
    .await;
    store.apply(tenant(2), change(0, "b")).await.unwrap();
    // Cut off, everybody is woken, since anything may have been missed.
    tokio::time::timeout(LONG, store.arrived()).await.unwrap();
    assert_eq!(scopes(&next(&store, &mut cursor, 10).await), [tenant(2)]);
    bus.abort();
}

#[tokio::test]
async fn a_cursor_of_another_history_starts_anew() {
    let (database, _admin) = database().await;
    let store = PgRbacStore::new(database);
    for text in ["00000001/9000000000:9000000000:", "0000FFFF/5:5:"] {
        let page = store.changes(SYSTEM, Some(&FeedCursor::new(text)), 10).await.unwrap();
        assert!(page.reset && page.entries.is_empty(), "{text}");
    }
}
