//! What was taken away on one replica is gone on the others, whatever becomes of the news of it.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{PostgresServer, Program, Site, World, ask, elapsed, eventually};

/// How long another replica may take to hear of a revocation.
const BOUND: Duration = Duration::from_secs(1);
/// How much longer on a machine that is busy with other tests.
const BUSY: Duration = Duration::from_secs(2);

const TURNS: usize = 5;

/// What one of a replica's four followers says of each look that failed.
const IN_VAIN: &str = r#""message":"changes cannot be followed","follower":"keys""#;

/// Two replicas on a database of their own, with the usual patience.
struct Replicas {
    server: PostgresServer,
    world: World,
    other: Program,
}

impl Replicas {
    fn start() -> Self {
        let server = PostgresServer::start();
        let world = World::at(|routes| Site::on_own_postgres(&server, "backend = \"postgres\"", &routes));
        let other = Program::run(&world.program.site);
        Self { server, world, other }
    }

    /// Waits until the other replica has looked in vain so often, twice a second.
    fn looks_in_vain(&self, times: usize) {
        let looks = || self.other.log().iter().filter(|line| line.contains(IN_VAIN)).count();
        let before = looks();
        eventually("it looks for changes in vain", || (looks() >= before + times).then_some(()));
    }

    fn asks_the_other(&self, key: &str) -> u16 {
        ask(self.other.gateway, "GET", "/reports/echo", &[("x-api-key", key)], b"").status()
    }

    /// Waits until a key is refused on the other replica, and says how long that took.
    fn until_it_is_gone(&self, key: &str) -> Duration {
        elapsed(|| eventually("it is gone there", || (self.asks_the_other(key) == 401).then_some(()))).1
    }

    /// Takes a key away on one replica, which answers for it at once.
    fn revoke(&self, id: &str, secret: &str) {
        let target = format!("/v1/keys/{id}?tenant={}", self.world.acme);
        // The database may be on its way back.
        eventually("it is revoked", || {
            let status = self.world.admin("DELETE", &target, &Value::Null).status();
            assert!([204, 404, 503].contains(&status), "{status}");
            (status != 503).then_some(())
        });
        let fields = [("x-api-key", secret)];
        assert_eq!(ask(self.world.gateway(), "GET", "/reports/echo", &fields, b"").status(), 401);
    }
}

/// Says how long it took in the worst case, and holds that against the bound.
fn within_bound(what: &str, mut took: Vec<Duration>) {
    took.sort();
    eprintln!("{what}: a revocation held elsewhere after {took:?}");
    let (middle, worst) = (took.get(took.len() / 2), took.last());
    assert!(middle.is_some_and(|took| *took < BOUND), "{what}: {took:?}");
    assert!(worst.is_some_and(|took| *took < BOUND + BUSY), "{what}: {took:?}");
}

#[test]
fn no_revocation_is_missed_when_no_announcement_arrives() {
    let mut replicas = Replicas::start();
    let keys: Vec<_> =
        (0..TURNS).map(|turn| replicas.world.user(&replicas.world.acme, &format!("user:{turn}"))).collect();
    for key in &keys {
        eventually("it is known there", || (replicas.asks_the_other(&key.secret) == 200).then_some(()));
    }
    // The connections stay open, and nothing comes over them.
    let listening = replicas.server.silence();
    assert_eq!(listening, 2, "one for each replica");
    let took = keys.iter().map(|key| {
        replicas.revoke(&key.id, &key.secret);
        replicas.until_it_is_gone(&key.secret)
    });
    within_bound("without announcements", took.collect());
}

#[test]
fn no_revocation_is_missed_when_postgres_restarts() {
    let mut replicas = Replicas::start();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let [first, second] = ["first", "second"].map(|which| {
            let key = replicas.world.user(&replicas.world.acme, &format!("user:{which}-{turn}"));
            eventually("it is known there", || (replicas.asks_the_other(&key.secret) == 200).then_some(()));
            key
        });
        // One is revoked just before everything breaks off, one as soon as it can be. Some times it is gone for long.
        replicas.revoke(&first.id, &first.secret);
        replicas.server.down();
        replicas.looks_in_vain(2 * turn);
        replicas.server.up();
        before.push(replicas.until_it_is_gone(&first.secret));
        replicas.revoke(&second.id, &second.secret);
        after.push(replicas.until_it_is_gone(&second.secret));
    }
    within_bound("before a restart", before);
    within_bound("after a restart", after);
}
