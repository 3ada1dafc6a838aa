use serde_json::{Value, json};

use crate::world::{Ask, World};

#[tokio::test]
async fn a_limit_is_created_read_replaced_and_deleted() {
    let mut world = World::new().await;
    let admin = world.acme.admin.clone();
    let put = |body: Value| Ask::put("/v1/limits/burst", body).by(&admin);
    let body = json!({"key": ["user", "tenant"], "limit": "9007199254740991", "window": "1d", "algorithm": "fixed_window", "zone": "Europe/Berlin"});
    let created = world.send(&put(body)).await;
    let limit = created.expect(201);
    let expected = json!({
        "id": "burst", "name": null, "key": ["tenant", "user"], "routes": [], "labels": [], "limit": "9007199254740991",
        "window": "1d", "zone": "Europe/Berlin", "burst": "0", "algorithm": "fixed_window", "action": "block", "priority": 0,
        "conditions": [], "max_delay_ms": 1000, "quarantine_seconds": 3600, "ladder": [], "ladder_window": "1h",
        "reset_on_success": false, "charge_denied": false, "lease": null, "adaptive": null,
        "enabled": true, "shadow": false, "on_missing_identifier": "skip", "on_backend_failure": "closed",
        "revision": "1", "created_at": "2026-11-22T12:00:00.000000Z", "updated_at": "2026-11-22T12:00:00.000000Z",
    });
    assert_eq!(limit, expected);
    let read = world.send(&Ask::get("/v1/limits/burst").by(&admin)).await;
    assert_eq!((read.expect(200), read.header("etag")), (expected, "\"1\""));
    world
        .send(&put(json!({"key": ["tenant"], "limit": 1, "window": "1m"})))
        .await
        .problem(428, "precondition_required");
    let replace = put(json!({"key": ["tenant"], "limit": 1, "window": "1m"})).header("if-match", "\"1\"");
    assert_eq!(world.send(&replace).await.expect(200)["limit"], "1");
    world.send(&replace).await.problem(412, "precondition_failed");
    let list = world.send(&Ask::get("/v1/limits").by(&admin)).await.expect(200);
    assert_eq!(list["items"][0]["id"], "burst");
    let delete = Ask::delete("/v1/limits/burst").by(&admin);
    world.send(&delete.clone().header("if-match", "\"1\"")).await.problem(412, "precondition_failed");
    world.send(&delete).await.expect(204);
    world.send(&delete).await.problem(404, "not_found");
    world.send(&Ask::get("/v1/limits/burst").by(&admin)).await.problem(404, "not_found");
    let scope = world.acme.scope();
    assert_eq!(world.events(scope, "limit.*").await.len(), 3);
}

#[tokio::test]
async fn a_limit_that_cannot_be_is_refused_with_what_is_wrong() {
    let world = World::new().await;
    for (body, expected) in [
        (json!({"key": [], "limit": 1, "window": "1m"}), "field `key`: a key has a dimension"),
        (
            json!({"key": ["tennant"], "limit": 1, "window": "1m"}),
            "field `key[0]`: unknown variant `tennant`",
        ),
        (json!({"key": ["ip"], "limit": 0, "window": "1m"}), "field `limit`: use at least 1"),
        (
            json!({"key": ["ip"], "limit": -1, "window": "1m"}),
            "field `limit`: invalid type: integer `-1`, expected a whole number",
        ),
        (
            json!({"key": ["ip"], "limit": 1, "window": "1 minute"}),
            "field `window`: `1 minute` is not a window",
        ),
        (json!({"key": ["ip"], "limit": 1, "window": "1mo"}), "field `window`: months are not equally long"),
        (
            json!({"key": ["ip"], "limit": 1, "window": "1m", "action": "throttle", "algorithm": "sliding_log"}),
            "field `action`: `throttle` needs an algorithm that drains steadily",
        ),
        (
            json!({"key": ["ip"], "limit": 1, "window": "1m", "conditions": [{"attribute": "method"}]}),
            "field `conditions`: number 1: it asks nothing",
        ),
        (
            json!({"key": ["ip"], "limit": 1, "window": "1m", "conditions": [{"attribute": "method", "equals": 7}]}),
            "field `conditions[0].equals`: invalid type: integer `7`",
        ),
        (json!({"key": ["ip"], "limit": 1, "window": "1m", "zone": "Mars"}), "field `zone`:"),
        (json!({"key": ["ip"], "limit": 1, "windw": "1m"}), "field `windw`: unknown field `windw`"),
    ] {
        let answer = world.send(&Ask::put("/v1/limits/x", body).by(&world.acme.admin)).await;
        let detail = answer.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{detail}");
    }
    let body = json!({"key": ["tennant"], "limit": 1, "window": "1m"});
    let detail = world
        .send(&Ask::put("/v1/limits/x", body).by(&world.acme.admin))
        .await
        .problem(400, "invalid_request");
    assert!(detail.ends_with("did you mean `tenant`?"), "{detail}");
}

#[tokio::test]
async fn a_caller_is_given_another_limit_and_its_own_back() {
    let mut world = World::new().await;
    let admin = world.acme.admin.clone();
    let limit = json!({"key": ["user"], "limit": 10, "window": "1m"});
    world.send(&Ask::put("/v1/limits/calls", limit).by(&admin)).await.expect(201);
    let other = json!({"limit_id": "calls", "identifiers": "user:alice", "limit": 50, "expires_at": "2026-11-23T00:00:00Z", "reason": "launch"});
    let put = Ask::post("/v1/limits/overrides", other).by(&admin);
    let created = world.send(&put).await.expect(201);
    assert_eq!(created["limit"], "50");
    world.clock.advance(std::time::Duration::from_secs(1));
    let more = json!({"limit_id": "calls", "identifiers": "user:alice", "limit": 60});
    world.send(&Ask::post("/v1/limits/overrides", more).by(&admin)).await.expect(200);
    world.send(&put).await.expect(200);
    let asked =
        |user: &str| Ask::post("/v1/limits/explain", json!({"subject": format!("user:{user}")})).by(&admin);
    let alice = world.send(&asked("alice")).await.expect(200);
    assert_eq!((&alice["admitted"], &alice["limits"][0]["limit"]), (&json!(true), &json!("50")));
    assert_eq!(world.send(&asked("bob")).await.expect(200)["limits"][0]["limit"], "10");
    let list = world.send(&Ask::get("/v1/limits/overrides").by(&admin)).await.expect(200);
    assert_eq!(list["items"][0]["identifiers"], "user:alice");
    let gone = Ask::delete("/v1/limits/overrides?limit_id=calls&identifiers=user:alice").by(&admin);
    world.send(&gone).await.expect(204);
    world.send(&gone).await.problem(404, "not_found");
    let wrong = json!({"limit_id": "calls", "identifiers": "ip:10.0.0.1", "limit": 50});
    let answer = world.send(&Ask::post("/v1/limits/overrides", wrong).by(&admin)).await;
    let detail = answer.problem(400, "invalid_request");
    assert_eq!(detail, "field `identifiers`: rule `calls` counts by user: name one of each");
    let scope = world.acme.scope();
    let told = world.events(scope, "limit.override").await;
    let changes = |event: &stanchion_core::Event| serde_json::to_string(&event.changes).unwrap();
    assert_eq!(
        told.iter()
            .filter(|event| changes(event)
                .contains(r#"{"field":"limit","before":{"value":50},"after":{"value":60}}"#))
            .count(),
        1
    );
    assert_eq!(told.len(), 3);
}

#[tokio::test]
async fn a_caller_is_shut_out_and_let_in_again() {
    let world = World::new().await;
    let admin = &world.acme.admin;
    let out = json!({"identifiers": "user:alice", "seconds": 600, "reason": "scraping"});
    world.send(&Ask::post("/v1/limits/quarantines", out).by(admin)).await.expect(201);
    let asked = Ask::post("/v1/limits/explain", json!({"subject": "user:alice"})).by(admin);
    let shut = world.send(&asked).await.expect(200);
    let expected = json!({
        "admitted": false, "delay_ms": "0", "action": "quarantine", "reason": "quarantined", "limit_id": null,
        "retry_after_ms": "600000", "limits": [],
    });
    assert_eq!(shut, expected);
    let list = world.send(&Ask::get("/v1/limits/quarantines").by(admin)).await.expect(200);
    assert_eq!(
        (&list["items"][0]["until"], &list["items"][0]["reason"]),
        (&json!("2026-11-22T12:10:00.000000Z"), &json!("scraping"))
    );
    let lift = Ask::delete("/v1/limits/quarantines?identifiers=user:alice").by(admin);
    world.send(&lift).await.expect(204);
    world.send(&lift).await.problem(404, "not_found");
    assert_eq!(world.send(&asked).await.expect(200)["admitted"], true);
    for (body, expected) in [
        (
            json!({"identifiers": "alice", "seconds": 1}),
            "field `identifiers`: `alice` is no kind of identifier",
        ),
        (json!({"identifiers": "user:a", "seconds": 0}), "field `seconds`: use 1 to 31536000"),
    ] {
        let answer = world.send(&Ask::post("/v1/limits/quarantines", body).by(admin)).await;
        let detail = answer.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{detail}");
    }
}

#[tokio::test]
async fn what_limits_have_done_is_told_to_whom_it_concerns() {
    let world = World::new().await;
    let admin = &world.acme.admin;
    let limit = json!({"key": ["user"], "limit": 1, "window": "1h"});
    world.send(&Ask::put("/v1/limits/calls", limit).by(admin)).await.expect(201);
    let alice = stanchion_core::SubjectRef::user("alice").unwrap();
    let request = stanchion_ratelimit::Request {
        tenant: Some(world.acme.id),
        subject: Some(&alice),
        ..Default::default()
    };
    for _ in 0..3 {
        world.engines.ratelimit.decide(&request).await.unwrap();
    }
    let list =
        world.send(&Ask::get("/v1/limits/violations?identifier=user:alice").by(admin)).await.expect(200);
    let expected = json!({
        "at": "2026-11-22T12:00:00.000000Z", "limit_id": "calls", "scope": world.acme.id, "identifiers": "user:alice",
        "action": "block", "cost": "1", "used": "1", "limit": "1", "shadow": false,
    });
    assert_eq!(list["items"], json!([expected, expected]));
    let stats = world.send(&Ask::get("/v1/limits/stats").by(admin)).await.expect(200);
    assert_eq!(
        (&stats["limits"][0]["admitted"], &stats["limits"][0]["exceeded"]),
        (&json!("1"), &json!("2"))
    );
    assert_eq!(
        (&stats["offenders"][0]["identifiers"], &stats["offenders"][0]["violations"]),
        (&json!("user:alice"), &json!("2"))
    );
    for target in ["/v1/limits/violations", "/v1/limits/stats"] {
        let others = world.send(&Ask::get(target).by(&world.globex.admin)).await;
        others.expect(200);
        assert!(!others.text.contains("alice") && !others.text.contains("calls"), "{}", others.text);
    }
}

#[tokio::test]
async fn counters_begin_anew_by_limit_by_caller_or_all() {
    let world = World::new().await;
    let admin = &world.acme.admin;
    let limit = json!({"key": ["user"], "limit": 10, "window": "1m"});
    world.send(&Ask::put("/v1/limits/calls", limit).by(admin)).await.expect(201);
    for body in [json!({"limit": "calls"}), json!({"identifiers": "user:alice"}), json!({"all": true})] {
        world.send(&Ask::post("/v1/limits/reset", body).by(admin)).await.expect(204);
    }
    for body in [json!({}), json!({"limit": "calls", "all": true})] {
        let answer = world.send(&Ask::post("/v1/limits/reset", body).by(admin)).await;
        assert!(answer.problem(400, "invalid_request").starts_with("say which counters"));
    }
    world
        .send(&Ask::post("/v1/limits/reset", json!({"limit": "none"})).by(admin))
        .await
        .problem(404, "not_found");
    let limit = json!({"key": ["user"], "limit": 10, "window": "1m"});
    let answer = world.send(&Ask::put("/v1/limits/stats", limit).by(admin)).await;
    answer.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn the_routes_in_force_are_shown_to_the_platform() {
    let world = World::new().await;
    let routes = world.send(&Ask::get("/v1/routes").by(&world.root)).await.expect(200);
    let expected = json!({
        "id": "reports", "labels": [], "hosts": [], "path": "/reports", "match": "prefix", "methods": [],
        "upstream": "reports", "access": "authenticated", "permission": "report:read", "resource": null,
        "meters": [{"meter": "api.calls", "count": "requests"}], "audit": "all", "ack": "accepted",
        "max_body_bytes": "10485760", "timeout_ms": "30000",
    });
    assert_eq!(routes["items"], json!([expected]));
}
