use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Ask, World};

fn create(world: &World, slug: &str) -> Ask {
    let body = json!({"slug": slug, "name": "Initech", "tier": "basic"});
    Ask::post("/v1/tenants", body).by(&world.root).header("idempotency-key", "k-1")
}

#[tokio::test]
async fn a_creation_is_done_once_and_answered_again() {
    let mut world = World::new().await;
    let first = world.send(&create(&world, "initech")).await;
    let tenant = first.expect(201);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = world.send(&create(&world, "initech")).await;
    assert_eq!(again.expect(201), tenant);
    for header in ["etag", "location", "content-type"] {
        assert_eq!(again.header(header), first.header(header));
    }
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(world.events(stanchion_core::Scope::Platform, "tenant.create").await.len(), 3);
    world.send(&create(&world, "other")).await.problem(409, "idempotency_key_reused");
    world.clock.advance(Duration::from_secs(24 * 3_600));
    world.send(&create(&world, "initech")).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_request_that_failed_may_be_sent_again() {
    let world = World::new().await;
    world.send(&create(&world, "acme")).await.problem(409, "conflict");
    world.send(&create(&world, "initech")).await.expect(201);
}

#[tokio::test]
async fn a_key_belongs_to_whoever_sent_it_and_to_the_tenant_it_was_for() {
    let world = World::new().await;
    let body = || json!({"subject": "user:bob", "role": "admin"});
    let assign = |target: &str, key: &str| Ask::post(target, body()).by(key).header("idempotency-key", "k-1");
    world.send(&assign("/v1/assignments", &world.acme.admin)).await.expect(201);
    world.send(&assign("/v1/assignments", &world.globex.admin)).await.expect(201);
    let in_acme = format!("/v1/assignments?tenant={}", world.acme.id);
    let in_globex = format!("/v1/assignments?tenant={}", world.globex.id);
    let first = world.send(&assign(&in_acme, &world.root)).await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    world.send(&assign(&in_globex, &world.root)).await.problem(409, "idempotency_key_reused");
    let denial = json!({"subject": "user:bob", "permission": "key:read"});
    let other = Ask::post("/v1/denials", denial).by(&world.acme.admin).header("idempotency-key", "k-1");
    world.send(&other).await.problem(409, "idempotency_key_reused");
}

#[tokio::test]
async fn a_secret_is_not_given_twice() {
    let world = World::new().await;
    let issue = Ask::post("/v1/keys", json!({"subject": "user:bob", "name": "bob"})).by(&world.acme.admin);
    let issue = issue.header("idempotency-key", "k-1");
    let key = world.send(&issue).await.expect(201);
    let again = world.send(&issue).await;
    let detail = again.problem(409, "conflict");
    assert!(detail.contains(key["id"].as_str().unwrap()), "{detail}");
    assert!(!again.text.contains(key["secret"].as_str().unwrap()));
    let keys = world.send(&Ask::get("/v1/keys").by(&world.acme.admin)).await.expect(200);
    assert_eq!(keys["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_repetition_is_authorized_like_any_request() {
    let world = World::new().await;
    let scope = world.acme.scope();
    let bob = world.principal(scope, "user:bob", Some("admin")).await;
    let assign = Ask::post("/v1/assignments", json!({"subject": "user:eve", "role": "admin"})).by(&bob);
    let assign = assign.header("idempotency-key", "k-1");
    world.send(&assign).await.expect(201);
    let denial = json!({"subject": "user:bob", "permission": "*:*"});
    world.send(&Ask::post("/v1/denials", denial).by(&world.acme.admin)).await.expect(201);
    world.send(&assign).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let world = World::new().await;
    let body = || json!({"subject": "user:bob", "role": "admin"});
    let long = "x".repeat(256);
    for bad in ["", long.as_str(), "two words"] {
        let ask = Ask::post("/v1/assignments", body()).by(&world.acme.admin).header("idempotency-key", bad);
        world.send(&ask).await.problem(400, "invalid_request");
    }
    let twice = Ask::post("/v1/assignments", body()).by(&world.acme.admin);
    let twice = twice.header("idempotency-key", "a").header("idempotency-key", "b");
    world.send(&twice).await.problem(400, "invalid_request");
    let _: Value = world.send(&Ask::post("/v1/assignments", body()).by(&world.acme.admin)).await.expect(201);
}
