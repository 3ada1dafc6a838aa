//! What runs beside the requests: one leader at a time, and a feed that does not grow for ever.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use stanchion_core::{Author, Change, Revision, Scope, SystemScope, Timestamp};
use stanchion_postgres::{Database, Leadership, PgRbacStore, Url, testing};
use stanchion_rbac::{RbacChange, RbacStore, Role};
use stanchion_replica::ChangeFeed;
use tokio::sync::mpsc;
use tokio::task::yield_now;

const SYSTEM: SystemScope = SystemScope::new("test");
/// Nothing takes this long, but a busy machine may.
const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Works(&'static str),
    Lost(&'static str),
}

fn candidate(
    name: &'static str,
    url: &Url,
    tell: mpsc::UnboundedSender<Told>,
) -> tokio::task::JoinHandle<()> {
    let database = Database::new(url, testing::config());
    #[expect(clippy::disallowed_methods, reason = "a replica of the test")]
    tokio::spawn(async move {
        let lost = tell.clone();
        let work = || {
            let tell = tell.clone();
            async move {
                tell.send(Told::Works(name)).unwrap();
                std::future::pending().await
            }
        };
        let told = |leadership: Leadership<'_>| {
            if matches!(leadership, Leadership::Lost(_)) {
                lost.send(Told::Lost(name)).unwrap();
            }
        };
        database.lead("work", work, told).await;
    })
}

async fn next(told: &mut mpsc::UnboundedReceiver<Told>) -> Told {
    tokio::time::timeout(LONG, told.recv()).await.expect("in time").expect("is told")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_work_goes_on_elsewhere_when_its_connection_breaks() {
    let admin_url = testing::fresh_admin_url().await;
    let url = admin_url.with_login(testing::LOGIN);
    let (tell, mut told) = mpsc::unbounded_channel();
    let first = candidate("first", &url, tell.clone());
    assert_eq!(next(&mut told).await, Told::Works("first"));
    let second = candidate("second", &url, tell);

    let mut connection = testing::connect(&admin_url).await;
    let holder = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let ended: Vec<bool> = sqlx::query_scalar(holder).fetch_all(&mut connection).await.unwrap();
    assert_eq!(ended, [true], "one holds the lock");
    let news = [next(&mut told).await, next(&mut told).await];
    assert!(news.contains(&Told::Lost("first")), "{news:?}");
    assert!(news.iter().any(|news| matches!(news, Told::Works(_))), "{news:?}");
    first.abort();
    second.abort();
}

fn put(expected: u64, name: &str) -> Change<RbacChange> {
    Change {
        expected: Revision::from_number(expected),
        changes: vec![RbacChange::put(Role::new(name.parse().unwrap(), name.parse().unwrap()))],
        at: Timestamp::EPOCH,
        actor: Author::system("test").actor,
        events: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_that_was_away_for_too_long_starts_anew_and_no_other() {
    let admin_url = testing::fresh_admin_url().await;
    let database = Database::new(&admin_url.with_login(testing::LOGIN), testing::config());
    let store = Arc::new(PgRbacStore::new(database.clone()));
    let long_ago = store.changes(SYSTEM, None, 10).await.unwrap().cursor;
    store.apply(Scope::Platform, put(0, "a")).await.unwrap();
    store.apply(Scope::Platform, put(1, "b")).await.unwrap();
    let mut connection = testing::connect(&admin_url).await;
    all_older_have_ended(&mut connection).await;
    let lately = store.changes(SYSTEM, Some(&long_ago), 10).await.unwrap();
    assert_eq!(lately.entries.len(), 2);
    let age = "UPDATE stanchion.change SET written_at = now() - interval '2 hours'";
    sqlx::raw_sql(AssertSqlSafe(age.to_owned())).execute(&mut connection).await.unwrap();

    assert_eq!(database.sweep_feed(SYSTEM, Duration::from_secs(3600)).await.unwrap(), 2);
    store.apply(Scope::Platform, put(2, "c")).await.unwrap();
    assert_eq!(database.sweep_feed(SYSTEM, Duration::from_secs(3600)).await.unwrap(), 0);
    let page = store.changes(SYSTEM, Some(&lately.cursor), 10).await.unwrap();
    assert_eq!((page.reset, page.entries.len()), (false, 1));
    let page = store.changes(SYSTEM, Some(&long_ago), 10).await.unwrap();
    assert_eq!((page.reset, page.entries.len()), (true, 0));
}

/// Waits until no transaction is open that is as old as the changes. A cursor stands behind those that are open, and the feed is not cut
/// off before them: they may be another test's, since the transactions of all databases of a server are counted together.
async fn all_older_have_ended(connection: &mut PgConnection) {
    let ended = "SELECT bool_and(written_by < pg_snapshot_xmin(pg_current_snapshot())) FROM stanchion.change";
    while !sqlx::query_scalar::<_, bool>(ended).fetch_one(&mut *connection).await.unwrap() {
        yield_now().await;
    }
}

/// Another database's transaction, of all things, holds the end of the feed up; what it holds up is cut off once it has ended.
#[tokio::test]
async fn a_feed_is_not_cut_off_before_what_is_still_open_anywhere() {
    let (elsewhere, admin_url) = (testing::fresh_admin_url().await, testing::fresh_admin_url().await);
    let mut open = testing::connect(&elsewhere).await;
    testing::run(&mut open, "BEGIN").await;
    testing::run(&mut open, "SELECT pg_current_xact_id()").await;
    let database = Database::new(&admin_url.with_login(testing::LOGIN), testing::config());
    let store = PgRbacStore::new(database.clone());
    store.apply(Scope::Platform, put(0, "a")).await.unwrap();
    let mut connection = testing::connect(&admin_url).await;
    testing::run(&mut connection, "UPDATE stanchion.change SET written_at = now() - interval '2 hours'")
        .await;
    assert_eq!(database.sweep_feed(SYSTEM, Duration::from_secs(3600)).await.unwrap(), 0);
    testing::run(&mut open, "ROLLBACK").await;
    all_older_have_ended(&mut connection).await;
    assert_eq!(database.sweep_feed(SYSTEM, Duration::from_secs(3600)).await.unwrap(), 1);
}
