use serde_json::json;

use crate::world::{Ask, World};

#[tokio::test]
async fn a_process_is_alive_before_it_is_ready_and_while_it_drains() {
    let world = World::new().await;
    let ready = Ask::get("/readyz");
    assert_eq!(world.send(&Ask::get("/healthz")).await.expect(200), json!({"status": "alive"}));
    let parts = json!([{"name": "roles", "ready": true, "detail": null}]);
    let report = |ready: bool, phase: &str| json!({"ready": ready, "phase": phase, "parts": parts});
    assert_eq!(world.send(&ready).await.expect(503), report(false, "starting"));
    world.readiness.serve();
    assert_eq!(world.send(&ready).await.expect(200), report(true, "serving"));
    world.readiness.drain();
    assert_eq!(world.send(&ready).await.expect(503), report(false, "draining"));
    assert_eq!(world.send(&Ask::get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn what_was_counted_is_told_to_prometheus() {
    let mut world = World::new().await;
    world.send(&Ask::get("/v1/keys")).await.problem(401, "unauthenticated");
    world.send(&Ask::get("/v1/keys").by("x")).await.problem(401, "unauthenticated");
    world.send(&Ask::get("/v1/keys").by(&world.acme.admin)).await.expect(200);
    world.send(&Ask::get("/v1/tenants").by(&world.acme.admin)).await.problem(403, "forbidden");
    world.settle().await;
    let answer = world.send(&Ask::get("/metrics")).await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    insta::assert_snapshot!("metrics", answer.text);
}

#[tokio::test]
async fn the_page_for_people_needs_nothing_from_elsewhere() {
    let world = World::new().await;
    let answer = world.send(&Ask::get("/docs")).await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    for foreign in ["http://", "https://", "src=", "@import", "innerHTML"] {
        assert!(!answer.text.contains(foreign), "{foreign}");
    }
}

#[tokio::test]
async fn a_head_is_answered_like_a_get_without_its_body() {
    let world = World::new().await;
    let answer = world.send(&Ask::new(http::Method::HEAD, "/healthz")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
}
