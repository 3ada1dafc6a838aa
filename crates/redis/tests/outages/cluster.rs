//! A node of a Cluster is gone: the tenants of the others are not.

use stanchion_core::{IdGen as _, SeededRandom, Timestamp};
use stanchion_ratelimit::Slot;
use stanchion_redis::{Config, RedisCounterStore, Topology};

use crate::server::Server;
use crate::{assert_outage, charge, eventually, longest, timed};

const SLOTS: u16 = 16_384;
const NODES: usize = 3;

/// Nodes that share the slots, and answer for theirs whatever becomes of the others.
async fn cluster() -> Vec<Server> {
    let settings = ["cluster-enabled yes", "cluster-require-full-coverage no", "cluster-node-timeout 2000"];
    let nodes: Vec<Server> = (0..NODES).map(|_| Server::start(&settings)).collect();
    for (number, node) in nodes.iter().enumerate() {
        let own = (0..SLOTS).filter(|slot| node_of(*slot) == number).map(|slot| slot.to_string());
        let words: Vec<String> = ["CLUSTER", "ADDSLOTS"].map(str::to_owned).into_iter().chain(own).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let _: () = node.ask(&words);
        let _: () = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        let _: () = node.ask(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port().to_string()]);
    }
    eventually("the nodes have joined", async || {
        let knows_all = |node: &Server| {
            let said: String = node.ask(&["CLUSTER", "INFO"]);
            ["cluster_slots_ok:16384", "cluster_size:3"].iter().all(|fact| said.contains(fact))
        };
        nodes.iter().all(knows_all).then_some(())
    })
    .await;
    nodes
}

fn node_of(slot: u16) -> usize {
    usize::from(slot) * NODES / usize::from(SLOTS)
}

/// A tenant whose counters are on a node.
fn tenant_on(number: usize, node: &Server) -> Slot {
    let random = SeededRandom::new(7);
    let mut tenants = std::iter::repeat_with(|| Slot::Tenant(random.tenant_id(Timestamp::EPOCH)));
    let is_there = |slot: &Slot| node_of(node.ask(&["CLUSTER", "KEYSLOT", &slot.to_string()])) == number;
    tenants.find(is_there).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenants_of_other_nodes_go_on_while_one_is_down() {
    let mut nodes = cluster().await;
    let urls: Vec<String> = nodes.iter().map(Server::url).collect();
    let config = Config { topology: Topology::Cluster, ..Config::default() };
    let store = RedisCounterStore::new(&urls.join(","), config).unwrap();
    let tenants = [0, 1, 2].map(|number| tenant_on(number, &nodes[number]));
    let answered = async |slot| {
        eventually("a decision is made", async || charge(&store, slot, 1).await.ok()).await;
    };
    for tenant in tenants {
        answered(tenant).await;
    }
    nodes[2].kill();
    for _ in 0..20 {
        let (result, elapsed) = timed(charge(&store, tenants[2], 1)).await;
        assert_outage(&result.unwrap_err());
        assert!(elapsed < longest(), "{elapsed:?}");
        answered(tenants[0]).await;
        answered(tenants[1]).await;
    }
    nodes[2].start_again();
    answered(tenants[2]).await;
}
