//! The ledger in Postgres keeps its promises while its connections are cut and writers race.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use stanchion_audit::{Config, Draft, Error, Ledger, Sequencer, Shard, Verdict, Writers};
use stanchion_core::{
    Actor, BoxFuture, Category, Clock, Event, IdGen as _, KeyRing, Scope, Secret, SeededRandom, SystemClock,
    SystemRandom, Timer, Timestamp,
};
use stanchion_postgres::{Database, PgLedgerStore, TenantTx, testing};
use tokio::task::JoinSet;

/// So often is one batch cut off, and then let through: on a busy machine who cuts is faster than who commits, and none ever would be.
const IN_A_ROW: usize = 3;

const CONFIG: Config = Config {
    capacity: 65_536,
    share: 16_384,
    batch: 1_000,
    linger_ms: 2,
    retry_min_ms: 1,
    retry_max_ms: 20,
    commit_timeout_ms: 1_000,
    writers: Writers::Shared,
    shards: 1,
};

/// Timers of the runtime: what waits here waits for a database.
#[derive(Debug)]
struct RealTimer;

impl Timer for RealTimer {
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let wait = deadline.since(SystemClock.now());
        Box::pin(tokio::time::sleep(wait))
    }
}

/// A ledger whose sequencer runs, as one replica has it.
fn replica(database: Database, tasks: &mut JoinSet<()>) -> Ledger {
    let config = Config { writers: Writers::Shared, ..CONFIG };
    let (ledger, sequencer) = ledger(database, config);
    tasks.spawn(async move { sequencer.run().await.unwrap() });
    ledger
}

fn ledger(database: Database, config: Config) -> (Ledger, Sequencer) {
    let keys = KeyRing::new([(1, Secret::new([7; 32]))]).unwrap();
    Ledger::new(
        Arc::new(PgLedgerStore::new(database)),
        keys,
        Arc::new(SystemClock),
        Arc::new(RealTimer),
        Arc::new(SystemRandom::default()),
        config,
    )
}

fn tenant(number: u64) -> Scope {
    Scope::Tenant(SeededRandom::new(number).tenant_id(Timestamp::EPOCH))
}

fn event(scope: Scope) -> Event {
    let now = SystemClock.now();
    let id = SystemRandom::default().event_id(now);
    Event::new(id, now, scope, Actor::Anonymous, "test.happened", Category::Access)
}

/// Appends from many tasks at once, and returns the events that were acknowledged, with their numbers.
async fn append(ledger: &Ledger, scopes: &[Scope], each: usize) -> Vec<(Scope, Event, u64)> {
    let mut writers = JoinSet::new();
    for scope in scopes.iter().copied().cycle().take(scopes.len() * 8) {
        let ledger = ledger.clone();
        writers.spawn(async move {
            let mut written = Vec::new();
            for _ in 0..each {
                let event = event(scope);
                let receipt = ledger.append(scope, Draft::Event(event.clone())).await.unwrap();
                written.push((scope, event, receipt.seq));
            }
            written
        });
    }
    writers.join_all().await.into_iter().flatten().collect()
}

/// Every acknowledged event is there once under the number it was told, and every chain is whole and holds nothing else.
async fn is_whole(ledger: &Ledger, scopes: &[Scope], written: &[(Scope, Event, u64)]) {
    for (scope, event, seq) in written {
        let entry = ledger.get(*scope, event.id).await.unwrap().unwrap();
        assert_eq!((entry.seq, &entry.event), (*seq, event));
    }
    for scope in scopes {
        let of_scope = written.iter().filter(|(of, ..)| of == scope);
        let numbers: BTreeSet<u64> = of_scope.map(|(_, _, seq)| *seq).collect();
        let count = u64::try_from(numbers.len()).unwrap();
        assert_eq!(numbers, (1..=count).collect(), "dense, and each number once");
        let verified = ledger.verify(*scope).await.unwrap();
        for (chain, verdict) in verified.chains {
            let Verdict::Intact { head, .. } = verdict else { panic!("{chain}: {verdict:?}") };
            assert_eq!(head.seq, count, "{chain} holds nothing that nobody was told of");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_write_the_same_chains_without_a_gap_or_a_double() {
    let (url, mut tasks) = (testing::fresh_url().await, JoinSet::new());
    let database = || Database::new(&url, testing::config());
    let (one, other) = (replica(database(), &mut tasks), replica(database(), &mut tasks));
    let scopes = [tenant(1), tenant(2), Scope::Platform];
    let (mut written, more) = tokio::join!(append(&one, &scopes, 25), append(&other, &scopes, 25));
    written.extend(more);
    is_whole(&one, &scopes, &written).await;
    one.close();
    other.close();
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_are_cut_at_any_moment_lose_and_double_nothing() {
    let (url, mut tasks) = (testing::fresh_admin_url().await, JoinSet::new());
    let mut admin = testing::connect(&url).await;
    let ledger = replica(Database::new(&url.with_login(testing::LOGIN), testing::config()), &mut tasks);
    let scopes = [tenant(1), tenant(2), Scope::Platform];
    let (is_over, cut_off) = (AtomicBool::new(false), AtomicUsize::new(0));
    let cutting = async {
        let mut cuts = 0;
        while !is_over.load(Ordering::Relaxed) {
            let committed = ledger.stats().committed;
            let is_stuck = || ledger.stats().committed == committed && !is_over.load(Ordering::Relaxed);
            let most = cuts + IN_A_ROW;
            while cuts < most && is_stuck() {
                cuts += cut(&mut admin).await;
            }
            cut_off.store(cuts, Ordering::Relaxed);
            while is_stuck() {
                RealTimer.sleep_until(SystemClock.now().plus(Duration::from_millis(1))).await;
            }
        }
    };
    // A commit is one short statement: on a busy machine many are over before they are cut.
    let writing = async {
        let mut written = append(&ledger, &scopes, 25).await;
        for _ in 0..40 {
            if cut_off.load(Ordering::Relaxed) > 10 {
                break;
            }
            written.extend(append(&ledger, &scopes, 25).await);
        }
        is_over.store(true, Ordering::Relaxed);
        written
    };
    let (written, ()) = tokio::join!(writing, cutting);
    let cuts = cut_off.into_inner();
    assert!(cuts > 10, "only {cuts} connections were cut");
    is_whole(&ledger, &scopes, &written).await;
    ledger.close();
    tasks.join_all().await;
}

/// Ends whatever the server's login is doing in this database, in the middle of it.
async fn cut(admin: &mut PgConnection) -> usize {
    let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND usename = $1 AND state <> 'idle'";
    let ended: Vec<bool> = sqlx::query_scalar(all).bind(testing::LOGIN).fetch_all(admin).await.unwrap();
    ended.len()
}

/// The connection that commits works across tenants, so nobody may borrow it.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_that_commits_is_lent_to_nobody() {
    let (url, mut tasks) = (testing::fresh_admin_url().await, JoinSet::new());
    let mut admin = testing::connect(&url).await;
    let alone = stanchion_postgres::Config { max_connections: 1, ..testing::config() };
    let database = Database::new(&url.with_login(testing::LOGIN), alone);
    let ledger = replica(database.clone(), &mut tasks);
    let scope = tenant(1);
    let append = async || ledger.append(scope, Draft::Event(event(scope))).await.unwrap();
    append().await;
    let named = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = $1
                 AND application_name LIKE 'stanchion: %' AND state = 'idle'";
    let commits = async |admin: &mut PgConnection| -> Vec<i32> {
        sqlx::query_scalar(named).bind(testing::LOGIN).fetch_all(admin).await.unwrap()
    };
    let [commit] = commits(&mut admin).await[..] else { panic!("not one") };
    // While the whole pool is lent, and to somebody who is to see one scope.
    for _ in 0..20 {
        let mut tx = TenantTx::begin_read(&database, scope).await.unwrap();
        let borrowed = sqlx::query_as("SELECT pg_backend_pid(), current_user::text");
        let borrowed: (i32, String) = borrowed.fetch_one(tx.connection().unwrap()).await.unwrap();
        assert_ne!(borrowed.0, commit);
        assert_eq!(borrowed.1, "stanchion_tenant");
        append().await;
        tx.commit().await.unwrap();
        assert_eq!(commits(&mut admin).await, [commit], "it is one, and stays it");
    }
    let all = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1";
    let all: i64 = sqlx::query_scalar(all).bind(testing::LOGIN).fetch_one(&mut admin).await.unwrap();
    assert_eq!(all, 2, "that of the pool, and this");
    ledger.close();
    tasks.join_all().await;
}

/// Two servers claim one shard: the later has it, the earlier stops there and goes on in the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_another_writer_takes_is_lost_alone_and_forks_nowhere() {
    let url = testing::fresh_url().await;
    let config = Config { writers: Writers::Exclusive, shards: 2, ..CONFIG };
    let database = || Database::new(&url, testing::config());
    let scope_in = |index| (1..).map(tenant).find(|scope| Shard::of(*scope, 2).index() == index).unwrap();
    let (taken, kept) = (scope_in(0), scope_in(1));

    let mut tasks = JoinSet::new();
    let (first, sequencer) = ledger(database(), config);
    for one in sequencer.split() {
        tasks.spawn(one.run());
    }
    let append = async |ledger: &Ledger, scope| {
        ledger.append(scope, Draft::Event(event(scope))).await.map(|at| at.seq)
    };
    assert_eq!(append(&first, taken).await.unwrap(), 1);
    assert_eq!(append(&first, kept).await.unwrap(), 1);

    let (second, sequencer) = ledger(database(), config);
    let mut of_second = sequencer.split();
    tasks.spawn(of_second.remove(0).run());
    assert_eq!(append(&second, taken).await.unwrap(), 2);
    assert!(matches!(append(&first, taken).await, Err(Error::Fenced)));
    assert!(matches!(append(&first, taken).await, Err(Error::Closed)), "it is over there");
    assert_eq!(append(&second, taken).await.unwrap(), 3);
    assert_eq!(append(&first, kept).await.unwrap(), 2);
    for (scope, entries) in [(taken, 3), (kept, 2)] {
        let found = second.verify(scope).await.unwrap();
        let [(_, Verdict::Intact { entries: seen, .. })] = found.chains[..] else { panic!("{found:?}") };
        assert_eq!(seen, entries);
    }

    let (third, sequencer) = ledger(database(), Config { shards: 3, ..config });
    assert!(matches!(sequencer.run().await, Err(Error::Store(_))), "shards are settled");
    assert!(matches!(append(&third, taken).await, Err(Error::Closed)));
    first.close();
    second.close();
    drop(of_second);
    let ends = tasks.join_all().await;
    assert_eq!(ends.iter().filter(|end| matches!(end, Err(Error::Fenced))).count(), 1);
}
