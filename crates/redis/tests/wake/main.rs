//! Replicas that share a store are woken through Redis, and look by themselves while it is gone.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how long it took"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by their environment where the programs are, run replicas, and measure"
)]

#[path = "../outages/eventually.rs"]
#[expect(dead_code, reason = "other tests wait for more")]
mod eventually;
#[path = "../outages/server.rs"]
#[expect(dead_code, reason = "other tests do more with a server")]
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use stanchion_core::{Author, BoxFuture, Clock as _, Scope, SystemClock, SystemRandom, Timer, Timestamp};
use stanchion_rbac::conformance::{Intercept, Intercepted};
use stanchion_rbac::{Assignment, CheckRequest, Config as RbacConfig, Engine, MemoryRbacStore, Role};
use stanchion_redis::{Config, Topology, Wake, WakingRbacStore};
use stanchion_replica::{ChangeFeed as _, Follower, FollowerConfig};
use tokio::task::{JoinSet, yield_now};

use server::Server;

/// How long another replica may take to hear of a revocation.
const BOUND: Duration = Duration::from_secs(1);
/// How much longer on a machine that is busy with other tests.
const BUSY: Duration = Duration::from_secs(10);
/// How often a follower looks that is to hear by Redis alone.
const NEVER: Duration = Duration::from_secs(86_400);

const TURNS: usize = 5;

#[derive(Debug)]
struct RuntimeTimer;

impl Timer for RuntimeTimer {
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(deadline.since(SystemClock.now())))
    }
}

/// Nothing comes between: a store behind it tells nobody by itself.
#[derive(Debug)]
struct Mute;

impl Intercept for Mute {}

struct Replicas {
    writer: Arc<Engine>,
    other: Arc<Engine>,
    _running: JoinSet<()>,
}

impl Replicas {
    /// Starts two replicas, each with connections of its own, that look at the store so often by themselves.
    async fn start(urls: &str, topology: Topology, interval: Duration) -> Self {
        let mut running = JoinSet::new();
        let shared = Arc::new(Intercepted::new(Arc::new(MemoryRbacStore::new(None)), Mute));
        let prefix = format!("test:{}:{}", std::process::id(), SystemClock.now().micros());
        let config = Config {
            topology,
            prefix,
            connect_timeout_ms: 2_000,
            response_timeout_ms: 2_000,
            ..Config::default()
        };
        let mut replicas = Vec::new();
        for _ in 0..2 {
            let wake = Wake::new(urls, &config).unwrap();
            let store = Arc::new(WakingRbacStore::new(Arc::clone(&shared) as _, wake.clone()));
            running.spawn(wake.run(|_| {}));
            // Everybody is woken once it listens.
            tokio::time::timeout(BUSY, store.arrived()).await.unwrap();
            let ids = Arc::new(SystemRandom::default());
            let config = RbacConfig { max_stale_seconds: 3_600, ..RbacConfig::default() };
            let engine = Arc::new(Engine::new(Arc::clone(&store) as _, Arc::new(SystemClock), ids, config));
            let follows = FollowerConfig { interval, ..FollowerConfig::default() };
            let (clock, timer) = (Arc::new(SystemClock), Arc::new(RuntimeTimer));
            let mut follower =
                Follower::new(Arc::clone(&store) as _, Arc::clone(&engine) as _, clock, timer, follows);
            follower.catch_up().await.unwrap();
            running.spawn(follower.run(|_| {}));
            replicas.push(engine);
        }
        let [writer, other] = <[_; 2]>::try_from(replicas).unwrap();
        let reader = Role::new("reader".parse().unwrap(), "Reader".parse().unwrap());
        let reader = reader.with_permissions(["document:read".parse().unwrap()]);
        writer.put_role(&Author::system("test"), Scope::Platform, reader, None).await.unwrap();
        Self { writer, other, _running: running }
    }

    /// Waits until the other replica answers so, and says how long that took.
    async fn until(&self, permits: bool) -> Duration {
        let (subject, permission) = (alice().subject, "document:read".parse().unwrap());
        let request = CheckRequest::new(Scope::Platform, &subject, &permission);
        let since = Instant::now();
        while self.other.check(&request).await.unwrap().allowed != permits {
            assert!(since.elapsed() < BOUND + BUSY, "the other replica never answers {permits}");
            yield_now().await;
        }
        since.elapsed()
    }

    /// Gives alice a role and takes it away again, and says how long the other replica took to hear of the second.
    async fn revocation(&self) -> Duration {
        let author = Author::system("test");
        self.writer.assign(&author, Scope::Platform, alice()).await.unwrap();
        self.until(true).await;
        let Assignment { subject, role, .. } = alice();
        self.writer.revoke(&author, Scope::Platform, &subject, &role).await.unwrap();
        self.until(false).await
    }

    async fn revocations(&self, what: &str) {
        let mut took = Vec::new();
        for _ in 0..TURNS {
            took.push(self.revocation().await);
        }
        took.sort();
        let middle = took.get(took.len() / 2).copied().unwrap();
        println!("revocation_ms {what}: {took:?}");
        assert!(middle < BOUND, "{what}: {took:?}");
    }
}

fn alice() -> Assignment {
    Assignment::new("user:alice".parse().unwrap(), "reader".parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_looks_is_woken_through_redis() {
    let server = Server::start(&[]);
    let replicas = Replicas::start(&server.url(), Topology::Single, NEVER).await;
    replicas.revocations("by Redis").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_looks_is_woken_through_a_cluster() {
    let urls = std::env::var("STANCHION_TEST_REDIS_CLUSTER")
        .unwrap_or_else(|_| panic!("STANCHION_TEST_REDIS_CLUSTER is not set"));
    let replicas = Replicas::start(&urls, Topology::Cluster, NEVER).await;
    replicas.revocations("by a Cluster").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_gone_replicas_look_by_themselves() {
    let mut server = Server::start(&[]);
    let often = FollowerConfig::default().interval;
    let replicas = Replicas::start(&server.url(), Topology::Single, often).await;
    replicas.revocations("before Redis is cut off").await;
    server.pause();
    replicas.revocations("while Redis says nothing").await;
    server.resume();
    server.kill();
    replicas.revocations("without Redis").await;
    server.start_again();
    replicas.revocations("with Redis again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_looks_is_woken_again_when_redis_is_back() {
    let mut server = Server::start(&[]);
    let replicas = Replicas::start(&server.url(), Topology::Single, NEVER).await;
    replicas.revocation().await;
    server.kill();
    server.start_again();
    replicas.revocations("with Redis again, and by it alone").await;
}
