//! Limits that shrink while an upstream is slow.

use std::fs;
use std::thread;

use serde_json::{Value, json};

use crate::harness::{World, eventually};

const LIMIT: &str = "
[[limits]]
id = \"adaptive\"
key = [\"user\"]
routes = [\"any\"]
limit = 1000
window = \"1h\"
adaptive = { floor_percent = 10 }
";

/// What alice could use up at once of the adaptive limit.
fn limit(world: &World) -> String {
    let asked = json!({"subject": "user:alice", "route": "any"});
    let answer = world.admin("POST", &format!("/v1/limits/explain?tenant={}", world.acme), &asked);
    assert_eq!(answer.status(), 200, "{}", answer.json());
    answer.json()["limits"][0]["limit"].as_str().expect("a number").to_owned()
}

fn load(world: &World) -> Value {
    world.get("/v1/limits/stats?tenant=platform")["load"].clone()
}

#[test]
fn limits_shrink_while_an_upstream_is_slow_and_are_whole_again_when_it_answers() {
    let measured =
        "[ratelimit.load]\nlatency_ms = 100\nsmoothing = 0\n[ratelimit.hysteresis]\nhold_seconds = 0\n";
    let world = World::with("", &format!("{LIMIT}{measured}"));
    assert_eq!((limit(&world).as_str(), load(&world)), ("1000", json!(0)));
    thread::scope(|scope| {
        let slow = scope.spawn(|| world.ask("GET", "/any/hold"));
        eventually("the load is full", || (load(&world) == 1000).then_some(()));
        assert_eq!(limit(&world), "100");
        let answer = world.ask("GET", "/any/echo");
        assert_eq!((answer.status(), answer.field("x-ratelimit-limit")), (200, Some("100")));
        let metrics = world.admin("GET", "/metrics", &Value::Null);
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        assert!(metrics.lines().any(|line| line == "stanchion_ratelimit_load_ratio 1.0"), "{metrics}");
        world.upstream.release();
        assert_eq!(slow.join().expect("an answer").status(), 200);
    });
    eventually("the limit is whole again", || (limit(&world) == "1000").then_some(()));
    assert!(world.program.logged("adaptive limits follow another load").is_some());
}

#[test]
fn what_is_a_full_load_is_put_in_force_without_a_restart() {
    let world = World::with("", LIMIT);
    assert_eq!(limit(&world), "1000");
    let warned = world.program.logged("limits with `adaptive` do not shrink: `ratelimit.load` is not set");
    assert_eq!(warned.expect("a warning")["first"], "adaptive");
    thread::scope(|scope| {
        let path = world.program.site.path("stanchion.toml");
        let config = fs::read_to_string(&path).expect("reads");
        fs::write(&path, format!("{config}[ratelimit.load]\nlatency_ms = 60000\nin_flight = 1\n"))
            .expect("writes");
        world.program.reload();
        eventually("it is in force", || world.program.logged("the configuration was put in force"));
        let slow = scope.spawn(|| world.ask("GET", "/any/hold"));
        eventually("the limit has shrunk", || (limit(&world) == "100").then_some(()));
        world.upstream.release();
        assert_eq!(slow.join().expect("an answer").status(), 200);
    });
    let restart = world.program.logged("this section has changed and is in force after a restart only");
    assert_eq!(restart, None);
}
