//! What one replica takes away another no longer permits, within a second, whether or not it is told.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how long it took"
)]
#![expect(clippy::disallowed_methods, reason = "replicas of the test run beside it, and it measures")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stanchion_core::{
    Author, BoxFuture, Change, Clock as _, FeedEntry, IdGen as _, Revision, Scope, SeededRandom, SessionId,
    StoreError, SystemClock, SystemRandom, Timer, Timestamp,
};
use stanchion_postgres::{Database, PgRbacStore, testing};
use stanchion_rbac::{
    Assignment, CheckRequest, Config, Denial, Duty, Engine, Grant, Membership, RbacChange, RbacStore, Record,
    Role, Separation, Session,
};
use stanchion_replica::{ChangeFeed as _, Follow, Follower, FollowerConfig};
use tokio::task::{JoinSet, yield_now};

/// How long another replica may take to hear of a revocation.
const BOUND: Duration = Duration::from_secs(1);
/// How much longer on a machine that is busy with other tests.
const BUSY: Duration = Duration::from_secs(4);

const TURNS: usize = 5;

#[derive(Debug)]
struct RuntimeTimer;

impl Timer for RuntimeTimer {
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(deadline.since(SystemClock.now())))
    }
}

/// The keys that a follower was told of.
#[derive(Debug, Default)]
struct Heard(Mutex<BTreeSet<(u64, String)>>);

#[async_trait]
impl Follow for Heard {
    async fn changed(&self, entries: &[FeedEntry]) -> Result<(), StoreError> {
        let mut heard = self.0.lock().unwrap();
        for entry in entries {
            heard.extend(entry.keys.iter().map(|key| (entry.revision.number(), key.to_string())));
        }
        Ok(())
    }

    async fn reset(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Whether a replica listens for announcements, or only looks twice a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bus {
    Listens,
    Cut,
}

struct Replicas {
    writer: Engine,
    store: Arc<PgRbacStore>,
    other: Arc<Engine>,
    heard: Arc<Heard>,
    _running: JoinSet<()>,
}

fn engine(store: &Arc<PgRbacStore>) -> Engine {
    let ids = Arc::new(SystemRandom::default());
    Engine::new(Arc::clone(store) as _, Arc::new(SystemClock), ids, Config::default())
}

impl Replicas {
    async fn start(bus: Bus) -> Self {
        let url = testing::fresh_url().await;
        let databases = [(); 2].map(|()| Database::new(&url, testing::config()));
        let [store, there] = databases.clone().map(|database| Arc::new(PgRbacStore::new(database)));
        let (writer, other) = (engine(&store), Arc::new(engine(&there)));
        let heard = Arc::new(Heard::default());
        let mut running = JoinSet::new();
        let [_, database] = databases;
        if bus == Bus::Listens {
            running.spawn(database.clone().listen(|_| {}));
            // It says so once it listens.
            tokio::time::timeout(BUSY, there.arrived()).await.unwrap();
        }
        let separate = Arc::new(PgRbacStore::new(database));
        let followers = [(there, Arc::clone(&other) as Arc<dyn Follow>), (separate, Arc::clone(&heard) as _)];
        for (feed, target) in followers {
            let (clock, timer) = (Arc::new(SystemClock), Arc::new(RuntimeTimer));
            let mut follower = Follower::new(feed, target, clock, timer, FollowerConfig::default());
            follower.catch_up().await.unwrap();
            running.spawn(follower.run(|_| {}));
        }
        Self { writer, store, other, heard, _running: running }
    }

    async fn permits(&self) -> bool {
        let (subject, permission) = ("user:alice".parse().unwrap(), "document:read".parse().unwrap());
        self.other.check(&CheckRequest::new(scope(), &subject, &permission)).await.unwrap().allowed
    }

    /// Waits until the other replica answers so, and says how long that took.
    async fn until(&self, permits: bool) -> Duration {
        let since = Instant::now();
        while self.permits().await != permits {
            assert!(since.elapsed() < BOUND + BUSY, "the other replica never answers {permits}");
            yield_now().await;
        }
        since.elapsed()
    }
}

fn scope() -> Scope {
    Scope::Tenant(SeededRandom::new(1).tenant_id(Timestamp::EPOCH))
}

/// Says how long it took in the worst case, and holds that against the bound.
fn within_bound(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let (middle, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!("revocation_ms {what}: median {:.1}, worst {:.1}", ms(middle), ms(worst));
    assert!(middle < BOUND && worst < BOUND + BUSY, "{what}: {took:?}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

async fn what_is_taken_away_is_gone_elsewhere(bus: Bus) {
    let replicas = Replicas::start(bus).await;
    let (author, scope) = (Author::system("test"), scope());
    let reader = || Role::new("reader".parse().unwrap(), "Reader".parse().unwrap());
    let reading = || reader().with_permissions(["document:read".parse().unwrap()]);
    let held = || Assignment::new("user:alice".parse().unwrap(), "reader".parse().unwrap());
    let writer = &replicas.writer;
    writer.put_role(&author, scope, reading(), None).await.unwrap();
    let [mut revoked, mut edited, mut denied] = [const { Vec::new() }; 3];
    for _ in 0..TURNS {
        writer.assign(&author, scope, held()).await.unwrap();
        replicas.until(true).await;
        writer.revoke(&author, scope, &held().subject, &held().role).await.unwrap();
        revoked.push(replicas.until(false).await);

        writer.assign(&author, scope, held()).await.unwrap();
        replicas.until(true).await;
        writer.put_role(&author, scope, reader(), None).await.unwrap();
        edited.push(replicas.until(false).await);

        writer.put_role(&author, scope, reading(), None).await.unwrap();
        replicas.until(true).await;
        let denial = Denial::new(held().subject, "document:*".parse().unwrap());
        writer.deny(&author, scope, denial.clone()).await.unwrap();
        denied.push(replicas.until(false).await);
        writer.lift_denial(&author, scope, &denial.subject, &denial.permission).await.unwrap();
        replicas.until(true).await;
    }
    within_bound(&format!("{bus:?}, an assignment"), revoked);
    within_bound(&format!("{bus:?}, a role's permission"), edited);
    within_bound(&format!("{bus:?}, a denial"), denied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_is_gone_on_a_replica_that_listens() {
    what_is_taken_away_is_gone_elsewhere(Bus::Listens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_is_gone_on_a_replica_that_hears_nothing() {
    what_is_taken_away_is_gone_elsewhere(Bus::Cut).await;
}

/// One record of each kind, and what a change of it is called.
fn each_kind() -> Vec<(Record, String)> {
    let alice = || "user:alice".parse().unwrap();
    let subject = || "subject:user:alice".to_owned();
    let session = SessionId::from_uuid(SeededRandom::new(7).uuid(Timestamp::EPOCH));
    let apart = ["ask", "pay"].map(|role| role.parse().unwrap());
    let role = Role::new("reader".parse().unwrap(), "Reader".parse().unwrap());
    vec![
        (role.into(), "role:reader".to_owned()),
        (
            Assignment::new(alice(), "reader".parse().unwrap()).on("document/42".parse().unwrap()).into(),
            subject(),
        ),
        (Grant::new(alice(), "document:read".parse().unwrap()).into(), subject()),
        (Denial::new(alice(), "document:read".parse().unwrap()).into(), subject()),
        (Membership::new("group:devs".parse().unwrap(), alice()).into(), subject()),
        (
            Separation::new("payments".parse().unwrap(), "Payments".parse().unwrap(), Duty::Static, apart)
                .into(),
            "separation:payments".to_owned(),
        ),
        (Session::new(session, alice(), Timestamp::MAX).into(), format!("session:{session}")),
    ]
}

async fn a_change_of_every_kind_is_heard_of_elsewhere(bus: Bus) {
    let replicas = Replicas::start(bus).await;
    let mut revision = 0;
    for (record, key) in each_kind() {
        let mut took = Vec::new();
        for _ in 0..TURNS {
            for part in [RbacChange::Put(record.clone()), RbacChange::Delete(record.key())] {
                let change = Change {
                    expected: Revision::from_number(revision),
                    changes: vec![part],
                    at: SystemClock.now(),
                    actor: Author::system("test").actor,
                    events: Vec::new(),
                };
                revision = replicas.store.apply(scope(), change).await.unwrap().number();
                let (since, wanted) = (Instant::now(), (revision, key.clone()));
                while !replicas.heard.0.lock().unwrap().contains(&wanted) {
                    assert!(since.elapsed() < BOUND + BUSY, "{wanted:?} is never heard of");
                    yield_now().await;
                }
                took.push(since.elapsed());
            }
        }
        within_bound(&format!("{bus:?}, {:?}", record.kind()), took);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_every_kind_is_heard_of_by_a_replica_that_listens() {
    a_change_of_every_kind_is_heard_of_elsewhere(Bus::Listens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_every_kind_is_heard_of_by_a_replica_that_hears_nothing() {
    a_change_of_every_kind_is_heard_of_elsewhere(Bus::Cut).await;
}

/// An import that went record by record would take minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_assignments_are_imported_in_seconds() {
    const MANY: usize = 100_000;
    let store = PgRbacStore::new(Database::new(&testing::fresh_url().await, testing::config()));
    let role: stanchion_rbac::RoleId = "reader".parse().unwrap();
    let of = |number: usize| Assignment::new(format!("user:{number}").parse().unwrap(), role.clone());
    let change = Change {
        expected: Revision::ZERO,
        changes: (0..MANY).map(|number| RbacChange::put(of(number))).collect(),
        at: SystemClock.now(),
        actor: Author::system("test").actor,
        events: Vec::new(),
    };
    let since = Instant::now();
    store.apply(scope(), change).await.unwrap();
    println!("import_ms {:.0} for {MANY} assignments", ms(since.elapsed()));
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    let held = store.subject(scope(), &of(MANY - 1).subject).await.unwrap();
    assert_eq!(held.assignments.len(), 1);
}
