//! What is on record of limits.

use serde_json::{Value, json};

use crate::harness::{World, eventually};

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
