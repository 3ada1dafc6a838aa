//! What other programs report to the audit ledger: durable when it is answered, and once however often it is sent.

use serde_json::{Value, json};

use crate::harness::{Program, World, ask};

#[test]
fn a_reported_event_outlives_the_process_and_is_the_same_when_it_is_sent_again() {
    let mut world = World::on_postgres("");
    let role = json!({"name": "Reporter", "permissions": ["audit:write"]});
    assert_eq!(world.admin("PUT", "/v1/roles/reporter?tenant=platform", &role).status(), 201);
    let assignment = json!({"subject": "service:billing", "role": "reporter"});
    let target = format!("/v1/assignments?tenant={}", world.acme);
    assert_eq!(world.admin("POST", &target, &assignment).status(), 201);
    let key = world.key(&world.acme, "service:billing");
    let id = "0192f0c1-2345-7abc-8def-0123456789ab";
    let report = |world: &World, outcome: &str| {
        let body = json!({
            "id": id, "occurred_at": "2026-03-01T12:00:00Z", "action": "data.exported", "outcome": outcome,
            "on_behalf_of": "user:alice", "targets": ["report/42"], "details": {"rows": 12},
        });
        let fields = [("x-api-key", key.secret.as_str()), ("content-type", "application/json")];
        ask(world.program.admin, "POST", "/v1/audit/events", &fields, body.to_string().as_bytes())
    };
    let first = report(&world, "success");
    assert_eq!(first.status(), 201, "{}", first.json());
    let receipt: Value = first.json();
    assert_eq!(receipt["chain"], format!("{}/data_access", world.acme));
    world.program.kill_at_once();
    world.program = Program::run(&world.program.site.clone());
    let again = report(&world, "success");
    assert_eq!((again.status(), again.json()), (201, receipt.clone()));
    assert_eq!(report(&world, "denied").status(), 409);
    let found = world.get(&format!("/v1/audit/events?tenant={}&action=data.*", world.acme));
    let [entry] = found["items"].as_array().expect("a list").as_slice() else { panic!("{found}") };
    assert_eq!((&entry["hash"], &entry["sequence"]), (&receipt["hash"], &receipt["sequence"]));
    assert_eq!(entry["event"]["actor"]["subject"]["subject"], "service:billing");
    assert_eq!(entry["event"]["acted_as"], "user:alice");
    world.verified();
}
