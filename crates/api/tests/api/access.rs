use serde_json::json;
use stanchion_core::{Authorization, Outcome, Scope};

use crate::world::{Ask, PEER, World, system};

#[tokio::test]
async fn nobody_is_let_in_without_a_key_that_is_good() {
    let world = World::new().await;
    let ask = Ask::get("/v1/keys");
    let answer = world.send(&ask).await;
    assert!(answer.problem(401, "unauthenticated").contains("authorization: Bearer"));
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"stanchion\"");
    let mut other = world.acme.admin.clone();
    other.pop();
    for bad in ["", "x", &other, &format!("{other}!")] {
        let detail = world.send(&ask.clone().by(bad)).await.problem(401, "unauthenticated");
        assert_eq!(detail, "", "why a key is rejected is nobody's business: {bad}");
    }
    world.send(&ask.clone().header("authorization", "Basic eDp5")).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn either_field_carries_the_key_and_two_different_ones_are_refused() {
    let world = World::new().await;
    let ask = Ask::get("/v1/keys").header("x-api-key", &world.acme.admin);
    world.send(&ask).await.expect(200);
    world.send(&ask.clone().by(&world.acme.admin)).await.expect(200);
    world.send(&ask.by(&world.globex.admin)).await.problem(400, "request_rejected");
}

#[tokio::test]
async fn a_permission_is_needed_and_its_lack_is_recorded() {
    let mut world = World::new().await;
    let acme = world.acme.scope();
    world.role(acme, "reader", &["key:read"]).await;
    let key = world.principal(acme, "user:bob", Some("reader")).await;
    world.send(&Ask::get("/v1/keys").by(&key)).await.expect(200);
    let answer = world.send(&Ask::get("/v1/roles?x=y").by(&key)).await;
    assert_eq!(answer.problem(403, "forbidden"), "`user:bob` lacks the permission `role:read`");
    let denied = world.events(acme, "operation.denied").await;
    let [event] = denied.as_slice() else { panic!("{denied:?}") };
    assert_eq!(event.actor.to_string(), "user:bob");
    assert_eq!(event.targets[0].to_string(), "operation/list_roles");
    assert_eq!((event.outcome, event.reason.as_ref().unwrap().as_str()), (Outcome::Denied, "forbidden"));
    assert_eq!(event.correlation.request.unwrap().to_string(), answer.header("x-request-id"));
    assert_eq!(event.source.ip, Some(PEER));
    let details = serde_json::to_value(&event.details).unwrap();
    let expected =
        json!({"method": "GET", "path": "/v1/roles", "why": "no_matching_role", "permission": "role:read"});
    assert_eq!(details, expected);
    assert_eq!(event.authorization, [Authorization::denied("role:read")]);
}

#[tokio::test]
async fn a_key_that_was_revoked_is_rejected_at_once() {
    let world = World::new().await;
    let key = world.principal(world.acme.scope(), "user:bob", Some("admin")).await;
    let keys = world.send(&Ask::get("/v1/keys").by(&key)).await.expect(200);
    let id = keys["items"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    world.send(&Ask::delete(format!("/v1/keys/{id}")).by(&key)).await.expect(204);
    world.send(&Ask::get("/v1/keys").by(&key)).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn callers_that_nobody_knows_are_summarised_in_the_ledger_of_the_platform() {
    let mut world = World::new().await;
    for _ in 0..3 {
        world.send(&Ask::get("/v1/keys").by("x")).await.problem(401, "unauthenticated");
    }
    world.send(&Ask::get("/v1/keys")).await.problem(401, "unauthenticated");
    world.pipeline.flush_summaries();
    let events = world.events(Scope::Platform, "request.rejected").await;
    let mut told: Vec<_> = events
        .iter()
        .map(|event| {
            let detail = |name: &str| serde_json::to_value(event.details.get(name)).unwrap();
            assert_eq!(event.source.ip, Some(PEER));
            (detail("why"), detail("requests"))
        })
        .collect();
    told.sort_by_key(|(why, _)| why.to_string());
    assert_eq!(told, [(json!("malformed"), json!(3)), (json!("no_credential"), json!(1))]);
}

#[tokio::test]
async fn a_suspended_tenant_administers_nothing() {
    let mut world = World::new().await;
    let (id, scope) = (world.acme.id, world.acme.scope());
    world.engines.tenancy.suspend(&system(), id, "unpaid").await.unwrap();
    world.send(&Ask::get("/v1/keys").by(&world.acme.admin)).await.problem(403, "tenant_inactive");
    assert_eq!(world.events(scope, "operation.denied").await.len(), 1);
    world.send(&Ask::get(format!("/v1/keys?tenant={id}")).by(&world.root)).await.expect(200);
}

#[tokio::test]
async fn the_platform_names_the_tenant_it_works_on() {
    let world = World::new().await;
    let get = |target: String| Ask::get(target).by(&world.root);
    let detail = world.send(&get("/v1/keys".into())).await.problem(400, "invalid_request");
    assert!(detail.contains("`platform` for the platform itself"), "{detail}");
    let keys = world.send(&get(format!("/v1/keys?tenant={}", world.acme.id))).await.expect(200);
    assert_eq!(keys["items"][0]["tenant"], world.acme.id.to_string());
    let keys = world.send(&get("/v1/keys?tenant=platform".into())).await.expect(200);
    assert_eq!(keys["items"][0]["tenant"], "platform");
    world.send(&get("/v1/keys?tenant=acme".into())).await.problem(400, "invalid_request");
    let nobody = "0192f0c1-2345-7abc-8def-0123456789ab";
    let detail = world.send(&get(format!("/v1/keys?tenant={nobody}"))).await.problem(404, "not_found");
    assert_eq!(detail, format!("there is no tenant {nobody}"));
    world.send(&get("/v1/tenants?tenant=platform".into())).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_platform_principal_may_do_in_a_tenant_only_what_the_platform_lets_it() {
    let world = World::new().await;
    world.role(Scope::Platform, "auditor", &["audit:read", "tenant:read"]).await;
    let key = world.principal(Scope::Platform, "user:eve", Some("auditor")).await;
    // What a tenant grants to somebody of the same name is of no use on the platform.
    world.principal(world.acme.scope(), "user:eve", Some("admin")).await;
    let target = |what: &str| format!("/v1/{what}?tenant={}", world.acme.id);
    world.send(&Ask::get(target("audit/events")).by(&key)).await.expect(200);
    world.send(&Ask::get(target("keys")).by(&key)).await.problem(403, "forbidden");
    world.send(&Ask::get("/v1/tenants").by(&key)).await.expect(200);
    let nobody = "0192f0c1-2345-7abc-8def-0123456789ab";
    world.send(&Ask::get(format!("/v1/keys?tenant={nobody}")).by(&key)).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_tenant_grants_itself_nothing_beyond_itself() {
    let world = World::new().await;
    let admin = &world.acme.admin;
    let everything = json!({"name": "Everything", "permissions": ["*:*:platform"]});
    world.send(&Ask::put("/v1/roles/everything", everything).by(admin)).await.problem(400, "invalid_request");
    // A role of the platform, held in a tenant, counts there and nowhere else.
    let assign = json!({"subject": "user:bob", "role": "admin"});
    world.send(&Ask::post("/v1/assignments", assign).by(admin)).await.expect(201);
    let key = json!({"subject": "user:bob", "name": "bob"});
    let key = world.send(&Ask::post("/v1/keys", key).by(admin)).await.expect(201);
    let bob = key["secret"].as_str().unwrap();
    world.send(&Ask::get("/v1/keys").by(bob)).await.expect(200);
    for target in ["/v1/tenants", "/v1/routes", "/v1/keys?tenant=platform", "/v1/roles?tenant=platform"] {
        world.send(&Ask::get(target).by(bob)).await.problem(403, "forbidden");
    }
}
