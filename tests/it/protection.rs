//! Protected values end to end, on Postgres: closed in the database, opened by who may, erased for good, and green throughout.

use serde_json::{Value, json};

use crate::harness::{Program, World, ask, eventually};

const EMAIL: &str = "alice.liddell@example.org";

fn role(world: &World, tenant: &str, permissions: &[&str]) -> String {
    let role = json!({"name": "Officer", "permissions": permissions});
    assert_eq!(world.admin("PUT", &format!("/v1/roles/officer?tenant={tenant}"), &role).status(), 201);
    let assignment = json!({"subject": "user:officer", "role": "officer"});
    assert_eq!(world.admin("POST", &format!("/v1/assignments?tenant={tenant}"), &assignment).status(), 201);
    world.key(tenant, "user:officer").secret
}

fn send(program: &Program, method: &str, target: &str, key: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut fields = vec![("x-api-key", key)];
    if !text.is_empty() {
        fields.push(("content-type", "application/json"));
    }
    let answer = ask(program.admin, method, target, &fields, text.as_bytes());
    (answer.status(), if answer.body.is_empty() { Value::Null } else { answer.json() })
}

#[test]
fn what_is_protected_is_read_by_few_and_erased_for_good() {
    let mut world = World::on_postgres("");
    let all = ["audit:read", "audit:write", "audit:unseal", "audit:erase", "audit:except"];
    let acme = world.acme.clone();
    let officer = role(&world, &acme, &all);
    let globex = world.tenant("globex");
    let theirs = role(&world, &globex, &all);
    let report = json!({
        "action": "data.exported", "outcome": "success", "on_behalf_of": "user:alice",
        "details": {"email": EMAIL, "rows": 12}, "source": {"ip": "203.0.113.99"},
        "protect": [
            {"field": "details.email", "subject": "user:alice", "searchable": true},
            {"field": "source.ip", "subject": "user:alice"},
        ],
    });
    let (status, receipt) = send(&world.program, "POST", "/v1/audit/events", &officer, &report);
    assert_eq!(status, 201, "{receipt}");
    let list = "/v1/audit/events?action=data.exported";
    let (_, closed) = send(&world.program, "GET", list, &officer, &Value::Null);
    assert!(!closed.to_string().contains("liddell") && !closed.to_string().contains("203.0.113"), "{closed}");
    assert_eq!(closed["items"][0]["hash"], receipt["hash"]);
    let unsealed = format!("{list}&unseal=true");
    // Another process, which has nothing in memory, opens it as well.
    world.program.kill_at_once();
    world.program = Program::run(&world.program.site.clone());
    let (_, open) = send(&world.program, "GET", &unsealed, &officer, &Value::Null);
    assert_eq!(open["items"][0]["event"]["details"]["email"], EMAIL, "{open}");
    assert_eq!(open["items"][0]["event"]["details"]["source_ip"], "203.0.113.99");

    let search = json!({"field": "details.email", "value": EMAIL});
    let (_, found) = send(&world.program, "POST", "/v1/audit/search", &officer, &search);
    assert_eq!(found["items"][0]["hash"], receipt["hash"], "{found}");

    // A hostile tenant finds, opens and erases nothing but its own.
    let (_, nothing) = send(&world.program, "POST", "/v1/audit/search", &theirs, &search);
    assert_eq!(nothing["items"], json!([]));
    let erase = json!({"subject": "user:alice", "reason": "request 7"});
    let (status, harmless) = send(&world.program, "POST", "/v1/audit/erasures", &theirs, &erase);
    assert_eq!((status, &harmless["destroyed"]), (201, &json!([])), "{harmless}");
    for target in [format!("{unsealed}&tenant={acme}"), format!("/v1/audit/exceptions?tenant={acme}")] {
        assert_eq!(send(&world.program, "GET", &target, &theirs, &Value::Null).0, 403, "{target}");
    }
    let (status, _) =
        send(&world.program, "POST", &format!("/v1/audit/erasures?tenant={acme}"), &theirs, &erase);
    assert_eq!(status, 403);
    let (_, open) = send(&world.program, "GET", &unsealed, &officer, &Value::Null);
    assert_eq!(open["items"][0]["event"]["details"]["email"], EMAIL);

    let (status, erased) = send(&world.program, "POST", "/v1/audit/erasures", &officer, &erase);
    assert_eq!((status, &erased["outcome"]), (201, &json!("complete")), "{erased}");
    assert_eq!(erased["destroyed"].as_array().expect("a list").len(), 1);
    let (_, gone) = send(&world.program, "GET", &unsealed, &officer, &Value::Null);
    assert_eq!(gone["items"][0]["event"]["details"]["email"]["absent"], "erased", "{gone}");
    assert_eq!(gone["items"][0]["hash"], receipt["hash"]);
    let (_, nothing) = send(&world.program, "POST", "/v1/audit/search", &officer, &search);
    assert_eq!(nothing["items"], json!([]));
    let id = erased["id"].as_str().expect("an id");
    let proven = eventually("the erasure is covered by a checkpoint", || {
        let target = format!("/v1/audit/proofs/inclusion?event={id}");
        let (status, proof) = send(&world.program, "GET", &target, &officer, &Value::Null);
        (status == 200).then_some(proof)
    });
    assert!(proven["proof"].is_string(), "{proven}");
    world.verified();
}
