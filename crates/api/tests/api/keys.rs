use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Ask, World};

async fn issue(world: &World, body: Value) -> Value {
    world.send(&Ask::post("/v1/keys", body).by(&world.acme.admin)).await.expect(201)
}

#[tokio::test]
async fn a_key_is_issued_with_its_secret_and_shown_without_it_ever_after() {
    let mut world = World::new().await;
    let body = json!({
        "subject": "service:etl", "name": "nightly", "environment": "test", "expires_at": "2027-01-01T01:00:00+01:00",
        "cidrs": ["192.0.2.0/24"],
    });
    let answer = world.send(&Ask::post("/v1/keys", body).by(&world.acme.admin)).await;
    let issued = answer.expect(201);
    let secret = issued["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("stn_test_"), "{secret}");
    let target = answer.header("location").to_owned();
    let read = world.send(&Ask::get(&target).by(&world.acme.admin)).await;
    let key = read.expect(200);
    let expected = json!({
        "id": issued["id"], "tenant": world.acme.id.to_string(), "subject": "service:etl", "name": "nightly",
        "environment": "test", "prefix": issued["prefix"], "generation": 1, "status": "active", "revoked_at": null,
        "expires_at": "2027-01-01T00:00:00.000000Z", "cidrs": ["192.0.2.0/24"], "former": null,
        "revision": "2", "created_at": "2026-11-22T12:00:00.000000Z", "updated_at": "2026-11-22T12:00:00.000000Z",
    });
    assert_eq!(key, expected);
    assert!(secret.starts_with(key["prefix"].as_str().unwrap()));
    assert_eq!(read.header("etag"), "\"2\"");
    let list = world.send(&Ask::get("/v1/keys").by(&world.acme.admin)).await;
    assert!(!list.text.contains(&secret) && list.text.contains("nightly"));
    let scope = world.acme.scope();
    let events = world.events(scope, "key.issue").await;
    assert_eq!(events.last().unwrap().actor.to_string(), "user:admin");
    assert!(!serde_json::to_string(&events).unwrap().contains(&secret));
    // It works, and for nobody's permissions but its subject's.
    world.send(&Ask::get("/v1/keys").by(&secret)).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_rotated_secret_has_its_grace_and_no_more() {
    let world = World::new().await;
    let issued = issue(&world, json!({"subject": "user:admin", "name": "second"})).await;
    let (id, old) = (issued["id"].as_str().unwrap(), issued["secret"].as_str().unwrap());
    let rotate =
        Ask::post(format!("/v1/keys/{id}/rotate"), json!({"grace_seconds": 10})).by(&world.acme.admin);
    let rotated = world.send(&rotate).await.expect(200);
    let new = rotated["secret"].as_str().unwrap();
    assert_eq!((&rotated["generation"], &rotated["id"]), (&json!(2), &json!(id)));
    assert_eq!(rotated["former"]["not_after"], "2026-11-22T12:00:10.000000Z");
    let list = Ask::get("/v1/keys");
    world.send(&list.clone().by(old)).await.expect(200);
    world.send(&list.clone().by(new)).await.expect(200);
    assert!(world.send(&rotate).await.problem(409, "conflict").contains("works until 2026-11-22T12:00:10"));
    world.clock.advance(Duration::from_secs(10));
    world.send(&list.clone().by(old)).await.problem(401, "unauthenticated");
    world.send(&list.by(new)).await.expect(200);
}

#[tokio::test]
async fn a_revoked_key_stays_on_record_and_is_not_rotated() {
    let world = World::new().await;
    let issued = issue(&world, json!({"subject": "user:admin", "name": "second"})).await;
    let target = format!("/v1/keys/{}", issued["id"].as_str().unwrap());
    world.send(&Ask::delete(&target).by(&world.acme.admin)).await.expect(204);
    world.send(&Ask::delete(&target).by(&world.acme.admin)).await.expect(204);
    let key = world.send(&Ask::get(&target).by(&world.acme.admin)).await.expect(200);
    assert_eq!(
        (&key["status"], &key["revoked_at"]),
        (&json!("revoked"), &json!("2026-11-22T12:00:00.000000Z"))
    );
    let rotate = Ask::post(format!("{target}/rotate"), json!({"grace_seconds": 0})).by(&world.acme.admin);
    world.send(&rotate).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused_with_what_is_wrong() {
    let world = World::new().await;
    for (body, expected) in [
        (json!({"subject": "alice", "name": "x"}), "field `subject`: `alice` is not a subject"),
        (
            json!({"subject": "user:a", "name": "x", "expires_at": "2026-11-22T12:00:00Z"}),
            "field `expires_at`: a new key must",
        ),
        (
            json!({"subject": "user:a", "name": "x", "expires_at": "tomorrow"}),
            "field `expires_at`: `tomorrow` is not an RFC 3339",
        ),
        (json!({"subject": "user:a", "name": "x", "environment": "Live!"}), "field `environment`:"),
        (json!({"subject": "user:a", "name": "x", "cidrs": ["10.0.0.1"]}), "field `cidrs[0]`:"),
        (json!({"subject": "user:a", "name": "x", "tenant": "platform"}), "field `tenant`: unknown field"),
    ] {
        let answer = world.send(&Ask::post("/v1/keys", body).by(&world.acme.admin)).await;
        let detail = answer.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{detail}");
    }
    let nobody = "/v1/keys/0192f0c1-2345-7abc-8def-0123456789ab";
    world.send(&Ask::get(nobody).by(&world.acme.admin)).await.problem(404, "not_found");
    world.send(&Ask::delete(nobody).by(&world.acme.admin)).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_key_bound_to_networks_is_accepted_from_there_alone() {
    let world = World::new().await;
    for (network, status) in [("192.0.2.0/24", 200), ("198.51.100.0/24", 401)] {
        let body = json!({"subject": "user:admin", "name": "bound", "cidrs": [network]});
        let secret = issue(&world, body).await["secret"].as_str().unwrap().to_owned();
        assert_eq!(world.send(&Ask::get("/v1/keys").by(&secret)).await.status, status, "{network}");
    }
}
