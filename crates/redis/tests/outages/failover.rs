//! A replica is promoted: callers find it by themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stanchion_redis::{Config, RedisCounterStore, Topology};

use crate::server::Server;
use crate::{eventually, longest, round, take_at_last};

/// A primary, its replica, and a Sentinel that knows both.
struct Group {
    primary: Server,
    replica: Server,
    sentinel: Server,
}

impl Group {
    async fn start() -> Self {
        let primary = Server::start(&[]);
        let replica = Server::start(&[&format!("replicaof 127.0.0.1 {}", primary.port())]);
        let up =
            async || replica.ask::<String>(&["INFO", "replication"]).contains("link_status:up").then_some(());
        eventually("the replica follows", up).await;
        let sentinel = Server::sentinel(&primary);
        let known = async || {
            let said: String = sentinel.ask(&["INFO", "sentinel"]);
            said.contains("status=ok").then_some(())?;
            said.contains("slaves=1").then_some(())
        };
        eventually("the Sentinel knows the replica", known).await;
        Self { primary, replica, sentinel }
    }

    fn store(&self) -> Arc<RedisCounterStore> {
        let config = Config { topology: Topology::Sentinel, primary: "main".to_owned(), ..Config::default() };
        Arc::new(RedisCounterStore::new(&self.sentinel.url(), config).unwrap())
    }

    /// Counts a little, and waits until the replica has it.
    async fn count(&self, store: &RedisCounterStore) -> u64 {
        for _ in 0..99 {
            take_at_last(store).await;
        }
        let left = take_at_last(store).await;
        eventually("the replica has it", async || {
            let offset = |server: &Server, name| server.number("replication", name);
            let written = offset(&self.primary, "master_repl_offset");
            (offset(&self.replica, "slave_repl_offset") >= written).then_some(())
        })
        .await;
        left
    }

    /// Calls in tens until the promoted replica decides, and returns how many are left.
    async fn take_from_the_promoted(&self, store: &Arc<RedisCounterStore>) -> u64 {
        let began = Instant::now();
        let mut slowest = Duration::ZERO;
        let left = eventually("the promoted replica decides", async || {
            // A Sentinel cuts all connections of a server whose part it changes, this one too.
            let said = self.replica.try_ask::<String>(&["INFO", "replication"]);
            let is_promoted = said.is_ok_and(|said| said.contains("role:master"));
            let round = round(store, 10).await;
            slowest = slowest.max(round.longest);
            round.results.into_iter().filter_map(Result::ok).min().filter(|_| is_promoted)
        })
        .await;
        println!(
            "the promoted replica decides after {:?}, the slowest call took {slowest:?}",
            began.elapsed()
        );
        assert!(slowest < longest(), "{slowest:?}");
        left
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_followed_by_its_replica_with_what_it_had() {
    let mut group = Group::start().await;
    let store = group.store();
    let left = group.count(&store).await;
    group.primary.kill();
    let left_now = group.take_from_the_promoted(&store).await;
    assert!(left_now < left, "{left} were left, now {left_now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_primary_is_followed_by_its_replica_with_what_it_had() {
    let group = Group::start().await;
    let store = group.store();
    let left = group.count(&store).await;
    group.primary.pause();
    let left_now = group.take_from_the_promoted(&store).await;
    assert!(left_now < left, "{left} were left, now {left_now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_gives_way_is_left_for_the_promoted_one() {
    let group = Group::start().await;
    let store = group.store();
    let left = group.count(&store).await;
    let asked = async || group.sentinel.try_ask::<()>(&["SENTINEL", "FAILOVER", "main"]).ok();
    eventually("the Sentinel finds the replica fit", asked).await;
    let left_now = group.take_from_the_promoted(&store).await;
    assert!(left_now < left, "{left} were left, now {left_now}");
}
