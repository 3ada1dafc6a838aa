//! What is on record of limits.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Message, Site, World, command, eventually, fresh_database};
use base64::Engine as _;

fn events(world: &World, action: &str) -> Vec<Value> {
    let found = world.get(&format!("/v1/audit/events?tenant={}&action={action}", world.acme));
    let entries = found["items"].as_array().expect("a list").iter();
    entries.map(|entry| entry["event"].clone()).collect()
}

#[test]
fn a_flood_of_refusals_is_one_event_in_the_tenants_ledger() {
    let world = World::start();
    for _ in 0..3 {
        assert_eq!(world.ask("GET", "/limited/echo").status(), 200);
    }
    for _ in 0..50 {
        assert_eq!(world.ask("GET", "/limited/echo").status(), 429);
    }
    let exceeded = eventually("it is on record", || {
        Some(events(&world, "limit.exceeded")).filter(|all| !all.is_empty())
    });
    let [event] = exceeded.as_slice() else { panic!("one event: {exceeded:?}") };
    assert_eq!(event["targets"], json!(["limit/three"]));
    assert_eq!((&event["outcome"], &event["details"]["action"]), (&json!("denied"), &json!("block")));
    let number = |event: &Value| event["details"]["times"].as_u64().expect("a number");
    assert!((1..=50).contains(&number(event)), "{event}");
    let near = eventually("it came near", || events(&world, "limit.near").pop());
    assert_eq!((&near["details"]["used"], number(&near)), (&json!(3), 1));
    let stats = world.get(&format!("/v1/limits/stats?tenant={}", world.acme));
    assert!(stats["limits"].is_array(), "{stats}");
}

#[test]
fn a_limit_that_replicas_take_in_chunks_says_by_how_much_they_may_exceed_it() {
    let limit = "
[[limits]]
id = \"in-chunks\"
key = [\"user\"]
routes = [\"any\"]
limit = 6000
window = \"1m\"
lease = { chunk = 10 }
[ratelimit]
replicas = 3
";
    let storage = "backend = \"postgres\"\ncounters = \"postgres\"";
    let world =
        World::at(|routes| Site::on_database(&fresh_database(), storage, "", &format!("{routes}{limit}")));
    let asked = json!({"subject": "user:alice", "route": "any"});
    let answer = world.admin("POST", &format!("/v1/limits/explain?tenant={}", world.acme), &asked).json();
    let states = answer["limits"].as_array().expect("a list");
    // Three chunks of ten, which is less than the 500 that drain while a lease lasts.
    let overshoots: Vec<_> = states.iter().map(|state| (&state["limit_id"], &state["overshoot"])).collect();
    assert_eq!(overshoots, [(&json!("in-chunks"), &json!("30"))]);
    let server = format!("http://{}", world.program.admin);
    let key = format!("file:{}", world.program.site.path("key").display());
    let args = ["limit", "explain", "--subject", "user:alice", "--route", "any", "--tenant", &world.acme];
    let args = args.into_iter().chain(["--server", &server, "--key", &key]);
    let output = command(args).output().expect("runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        stdout.ends_with("in-chunks: with its lease, up to 30 more by all replicas together\n"),
        "{stdout}"
    );
    assert!(stdout.lines().all(|line| line.len() <= 80), "{stdout}");
}

/// What alice is told of limits with an answer.
fn told(answer: &Message) -> [Option<&str>; 4] {
    ["x-ratelimit-limit", "ratelimit", "ratelimit-policy", "retry-after"].map(|name| answer.field(name))
}

#[test]
fn answers_tell_of_limits_as_the_configuration_says_and_a_reload_changes_it() {
    let headers = "rate_limit_headers = [\"pull166\"]\nrate_limit_partition_keys = true";
    let world = World::with(headers, "");
    let caller = format!("tenant:{} user:alice", world.acme);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&caller);
    for (status, left) in [(200, 2), (200, 1), (200, 0), (429, 0)] {
        let answer = world.ask("GET", "/limited/echo");
        assert_eq!(answer.status(), status);
        let [legacy, limits, policies, _] = told(&answer);
        assert_eq!(legacy, None);
        let (limits, policies) = (limits.expect("RateLimit"), policies.expect("RateLimit-Policy"));
        assert!(limits.starts_with(&format!("\"three\";a={left};w=")), "{limits}");
        assert!(limits.ends_with(&format!(";pk=:{encoded}:;c=1")), "{limits}");
        assert_eq!(policies, format!("\"three\";q=3;w=3600;pk=:{encoded}:"));
    }
    let path = world.program.site.path("stanchion.toml");
    let config = fs::read_to_string(&path).expect("reads");
    fs::write(&path, config.replace(headers, "rate_limit_headers = []")).expect("writes");
    world.program.reload();
    eventually("it is in force", || {
        let answer = world.ask("GET", "/limited/echo");
        let [legacy, limits, policies, wait] = told(&answer);
        assert!(wait.is_some(), "a refusal always says when to come back");
        [legacy, limits, policies].iter().all(Option::is_none).then_some(())
    });
    assert_eq!(world.program.logged("this section has changed and is in force after a restart only"), None);
}
