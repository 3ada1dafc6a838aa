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
        (json!({"key": ["ip"], "limit": 1, "window": "1mo"}), "field `window`: a bucket refills steadily"),
        (
            json!({"key": ["ip"], "limit": 1, "window": "1m", "action": "throttle"}),
            "field `action`: `throttle` is not available",
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
async fn the_routes_in_force_are_shown_to_the_platform() {
    let world = World::new().await;
    let routes = world.send(&Ask::get("/v1/routes").by(&world.root)).await.expect(200);
    let expected = json!({
        "id": "reports", "labels": [], "hosts": [], "path": "/reports", "match": "prefix", "methods": [],
        "upstream": "reports", "access": "authenticated", "permission": "report:read",
        "meters": [{"meter": "api.calls", "count": "requests"}], "audit": "all", "ack": "accepted",
        "max_body_bytes": "10485760", "timeout_ms": "30000",
    });
    assert_eq!(routes["items"], json!([expected]));
}
