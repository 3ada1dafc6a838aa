use serde_json::json;
use stanchion_core::Scope;

use crate::world::{Ask, NOW, World};

#[tokio::test]
async fn a_tenant_is_created_read_listed_and_changed() {
    let mut world = World::new().await;
    let new = json!({"slug": "initech", "name": "Initech", "tier": "basic"});
    let answer = world.send(&Ask::post("/v1/tenants", new).by(&world.root)).await;
    let tenant = answer.expect(201);
    let location = answer.header("location").to_owned();
    assert_eq!(location, format!("/v1/tenants/{}", tenant["id"].as_str().unwrap()));
    assert_eq!(answer.header("etag"), "\"3\"");
    assert_eq!(answer.header("cache-control"), "no-store");
    let expected = json!({
        "id": tenant["id"], "slug": "initech", "name": "Initech", "status": "active", "tier": "basic", "revision": "3",
        "created_at": "2026-11-22T12:00:00.000000Z", "updated_at": "2026-11-22T12:00:00.000000Z",
    });
    assert_eq!(tenant, expected);
    let read = world.send(&Ask::get(&location).by(&world.root)).await;
    assert_eq!(read.expect(200), expected);
    let list = world.send(&Ask::get("/v1/tenants").by(&world.root)).await.expect(200);
    let slugs: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|tenant| tenant["slug"].as_str().unwrap()).collect();
    assert_eq!((slugs, &list["next_page"]), (vec!["acme", "globex", "initech"], &json!(null)));
    let patch = Ask::patch(&location, json!({"tier": "premium"})).by(&world.root).header("if-match", "\"3\"");
    let patched = world.send(&patch).await;
    let body = patched.expect(200);
    assert_eq!((&body["tier"], &body["name"]), (&json!("premium"), &json!("Initech")));
    assert_eq!(patched.header("etag"), "\"4\"");
    let events = world.events(Scope::Platform, "tenant.update").await;
    assert_eq!(events[0].actor.to_string(), "user:root");
    assert_eq!(events[0].correlation.request.unwrap().to_string(), patched.header("x-request-id"));
    assert_eq!(events[0].occurred_at.to_string(), NOW.replace('Z', ".000000Z"));
}

#[tokio::test]
async fn a_change_takes_the_revision_that_was_read() {
    let world = World::new().await;
    let target = format!("/v1/tenants/{}", world.acme.id);
    let etag = world.send(&Ask::get(&target).by(&world.root)).await.header("etag").to_owned();
    let patch = |tag: Option<&str>| {
        let ask = Ask::patch(&target, json!({"name": "Acme Inc."})).by(&world.root);
        tag.map_or(ask.clone(), |tag| ask.header("if-match", tag))
    };
    world.send(&patch(None)).await.problem(428, "precondition_required");
    for stale in ["\"99\"", "\"0\"", "\"x\"", &format!("W/{etag}"), "1"] {
        world.send(&patch(Some(stale))).await.problem(412, "precondition_failed");
    }
    for unclear in ["*", "\"1\", \"2\""] {
        world.send(&patch(Some(unclear))).await.problem(400, "invalid_request");
    }
    world.send(&patch(Some(&etag))).await.expect(200);
    world
        .send(&Ask::patch(&target, json!({"name": "Other"})).by(&world.root).header("if-match", &etag))
        .await
        .problem(412, "precondition_failed");
}

#[tokio::test]
async fn a_tenant_is_suspended_and_resumed_with_a_reason() {
    let mut world = World::new().await;
    let target = |step: &str| format!("/v1/tenants/{}/{step}", world.acme.id);
    let reason = || json!({"reason": "the invoice of March is open"});
    let (suspend, resume) = (Ask::post(target("suspend"), reason()), Ask::post(target("resume"), reason()));
    let (suspend, resume) = (suspend.by(&world.root), resume.by(&world.root));
    assert_eq!(world.send(&suspend).await.expect(200)["status"], "suspended");
    world.send(&Ask::get("/v1/keys").by(&world.acme.admin)).await.problem(403, "tenant_inactive");
    let detail = world.send(&suspend).await.problem(409, "conflict");
    assert_eq!(detail, "a tenant that is suspended cannot be taken through `suspend`");
    assert_eq!(world.send(&resume).await.expect(200)["status"], "active");
    world.send(&Ask::get("/v1/keys").by(&world.acme.admin)).await.expect(200);
    let events = world.events(Scope::Platform, "tenant.suspend").await;
    let reason = events[0].details.get("reason").unwrap();
    assert_eq!(*reason, "the invoice of March is open".into());
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_is_wrong() {
    let world = World::new().await;
    let post = |body| Ask::post("/v1/tenants", body).by(&world.root);
    let taken = json!({"slug": "acme", "name": "Acme", "tier": "basic"});
    let detail = world.send(&post(taken)).await.problem(409, "conflict");
    assert_eq!(detail, "the slug `acme` belongs to another tenant");
    for (body, expected) in [
        (json!({"slug": "Acme", "name": "x", "tier": "basic"}), "field `slug`: `Acme` is not a name"),
        (json!({"slug": "x", "name": "", "tier": "basic"}), "field `name`: `` is not a display name"),
        (json!({"slug": "x", "name": "x"}), "missing field `tier`"),
        (json!({"slug": "x", "name": "x", "teir": "basic"}), "field `teir`: unknown field `teir`"),
        (json!([1]), "invalid type: integer `1`, expected"),
    ] {
        let detail = world.send(&post(body)).await.problem(400, "invalid_request");
        assert!(detail.starts_with(expected) || detail.contains(expected), "{detail}");
    }
    world.send(&Ask::get("/v1/tenants/x").by(&world.root)).await.problem(400, "invalid_request");
    let nobody = "/v1/tenants/0192f0c1-2345-7abc-8def-0123456789ab";
    world.send(&Ask::get(nobody).by(&world.root)).await.problem(404, "not_found");
    world
        .send(&Ask::post(format!("{nobody}/suspend"), json!({"reason": "x"})).by(&world.root))
        .await
        .problem(404, "not_found");
}
