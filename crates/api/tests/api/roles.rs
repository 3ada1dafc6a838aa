use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Ask, World};

fn editor() -> Value {
    json!({"name": "Editor", "description": "Edits.", "permissions": ["document:write"], "includes": ["viewer"]})
}

async fn with_viewer() -> World {
    let world = World::new().await;
    world.role(world.acme.scope(), "viewer", &["document:read"]).await;
    world
}

#[tokio::test]
async fn a_role_is_created_replaced_and_deleted_under_its_entity_tag() {
    let world = with_viewer().await;
    let admin = &world.acme.admin;
    let put = |body: Value| Ask::put("/v1/roles/editor", body).by(admin);
    let created = world.send(&put(editor())).await;
    let role = created.expect(201);
    assert_eq!(role["permissions"], json!(["document:write"]));
    assert_eq!(
        (&role["includes"], &role["active"], &role["system"]),
        (&json!(["viewer"]), &json!(true), &json!(false))
    );
    let etag = created.header("etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", role["revision"].as_str().unwrap()));

    world.send(&put(editor())).await.problem(428, "precondition_required");
    world.send(&put(editor()).header("if-none-match", "*")).await.problem(412, "precondition_failed");
    world.send(&put(editor()).header("if-match", "\"99\"")).await.problem(412, "precondition_failed");
    let both = put(editor()).header("if-match", &etag).header("if-none-match", "*");
    world.send(&both).await.problem(400, "invalid_request");
    let replaced = world.send(&put(json!({"name": "Editor in chief"})).header("if-match", &etag)).await;
    assert_eq!(replaced.expect(200)["permissions"], json!([]), "a replacement is whole");

    let read = world.send(&Ask::get("/v1/roles/editor").by(admin)).await;
    assert_eq!(read.header("etag"), replaced.header("etag"));
    let delete = Ask::delete("/v1/roles/editor").by(admin);
    world.send(&delete.clone().header("if-match", &etag)).await.problem(412, "precondition_failed");
    world.send(&delete.clone().header("if-match", read.header("etag"))).await.expect(204);
    world.send(&delete).await.problem(404, "not_found");
    world.send(&Ask::get("/v1/roles/editor").by(admin)).await.problem(404, "not_found");
    let absent = Ask::put("/v1/roles/editor", editor()).by(admin).header("if-match", &etag);
    world.send(&absent).await.problem(412, "precondition_failed");
    world.send(&put(editor()).header("if-none-match", "*")).await.expect(201);
}

#[tokio::test]
async fn a_role_that_cannot_be_is_refused_with_what_is_wrong() {
    let world = with_viewer().await;
    let admin = &world.acme.admin;
    let put = |id: &str, body: Value| Ask::put(format!("/v1/roles/{id}"), body).by(admin);
    for (id, body, expected) in [
        ("x", json!({"name": "X", "permissions": ["document"]}), "field `permissions[0]`:"),
        ("x", json!({"name": "X", "includes": ["nobody"]}), "field `includes`: role `x` includes `nobody`"),
        ("x", json!({"name": "X", "includes": ["x"]}), "field `includes`: role `x` would include itself"),
        ("X", json!({"name": "X"}), "`X` is not a role id"),
        ("x", json!({"name": "X", "system": true}), "field `system`: unknown field"),
    ] {
        let detail = world.send(&put(id, body)).await.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{detail}");
    }
    let detail = world.send(&put("admin", json!({"name": "Admin"}))).await.problem(409, "conflict");
    assert!(detail.starts_with("`admin` is a role of the platform"), "{detail}");
    world.send(&put("editor", editor())).await.expect(201);
    let detail = world.send(&Ask::delete("/v1/roles/viewer").by(admin)).await.problem(409, "conflict");
    assert_eq!(detail, "role `viewer` is in use: included by editor");
}

#[tokio::test]
async fn a_role_is_assigned_listed_and_revoked() {
    let mut world = with_viewer().await;
    let admin = world.acme.admin.clone();
    let assign = |body| Ask::post("/v1/assignments", body).by(&admin);
    let body = json!({"subject": "user:bob", "role": "viewer", "expires_at": "2026-12-01T00:00:00Z", "reason": "on loan"});
    let assignment = world.send(&assign(body)).await.expect(201);
    assert_eq!(assignment["granted_by"], "user:admin");
    assert_eq!(assignment["expires_at"], "2026-12-01T00:00:00.000000Z");
    world.clock.advance(Duration::from_secs(1));
    let again = world.send(&assign(json!({"subject": "user:bob", "role": "viewer"}))).await.expect(200);
    assert_eq!((&again["expires_at"], &again["created_at"]), (&json!(null), &assignment["created_at"]));

    let subjects = |query: &str| {
        let (world, ask) = (&world, Ask::get(format!("/v1/assignments{query}")).by(&admin));
        async move {
            let list = world.send(&ask).await.expect(200);
            let items = list["items"].as_array().unwrap().clone();
            items
                .iter()
                .map(|item| format!("{} {}", item["subject"], item["role"]).replace('"', ""))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(subjects("").await, ["user:admin admin", "user:bob viewer"]);
    assert_eq!(subjects("?subject=user:bob").await, ["user:bob viewer"]);
    assert_eq!(subjects("?role=admin").await, ["user:admin admin"]);

    let revoke = |query: &str| Ask::delete(format!("/v1/assignments?{query}")).by(&admin);
    world.send(&revoke("subject=user:bob&role=viewer")).await.expect(204);
    let detail = world.send(&revoke("subject=user:bob&role=viewer")).await.problem(404, "not_found");
    assert_eq!(detail, "`user:bob` does not hold `viewer`");
    let detail = world.send(&revoke("subject=user:bob")).await.problem(400, "invalid_request");
    assert_eq!(detail, "missing field `role`");
    let scope = world.acme.scope();
    assert_eq!(world.events(scope, "assignment.revoke").await[0].actor.to_string(), "user:admin");

    for (body, expected) in [
        (json!({"subject": "user:bob", "role": "nobody"}), "field `role`: there is no role `nobody`"),
        (
            json!({"subject": "user:bob", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}),
            "the assignment would never count",
        ),
    ] {
        let detail = world.send(&assign(body)).await.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{detail}");
    }
}

#[tokio::test]
async fn a_denial_stands_above_every_role_until_it_is_lifted() {
    let world = with_viewer().await;
    let admin = &world.acme.admin;
    let scope = world.acme.scope();
    let bob = world.principal(scope, "user:bob", Some("admin")).await;
    world.send(&Ask::get("/v1/keys").by(&bob)).await.expect(200);
    let body = json!({"subject": "user:bob", "permission": "key:*", "reason": "under inquiry"});
    let denial = world.send(&Ask::post("/v1/denials", body).by(admin)).await.expect(201);
    assert_eq!(denial["permission"], "key:*");
    world.send(&Ask::get("/v1/keys").by(&bob)).await.problem(403, "forbidden");
    let list = world.send(&Ask::get("/v1/denials?subject=user:bob").by(admin)).await.expect(200);
    assert_eq!(list["items"][0]["reason"], "under inquiry");
    let lift = Ask::delete("/v1/denials?subject=user:bob&permission=key:*").by(admin);
    world.send(&lift).await.expect(204);
    world.send(&lift).await.problem(404, "not_found");
    world.send(&Ask::get("/v1/keys").by(&bob)).await.expect(200);
}
