//! Grants, groups, separations, sessions, and roles with all that they may say.

use serde_json::{Value, json};

use crate::world::{Ask, World};

async fn with_roles() -> World {
    let world = World::new().await;
    world.role(world.acme.scope(), "viewer", &["document:read"]).await;
    world.role(world.acme.scope(), "clerk", &["payment:ask"]).await;
    world.role(world.acme.scope(), "approver", &["payment:approve"]).await;
    world
}

async fn asked(world: &World, question: Value) -> Value {
    world.send(&Ask::post("/v1/access/check", question).by(&world.acme.admin)).await.expect(200)
}

#[tokio::test]
async fn a_grant_over_a_denial_is_refused_unless_the_denial_is_to_be_lifted() {
    let world = with_roles().await;
    let post = |path: &str, body| Ask::post(path.to_owned(), body).by(&world.acme.admin);
    let denial = json!({"subject": "user:bob", "permission": "document:*"});
    world.send(&post("/v1/denials", denial)).await.expect(201);
    let grant = json!({"subject": "user:bob", "permission": "document:read"});
    let detail = world.send(&post("/v1/grants", grant.clone())).await.problem(409, "conflict");
    assert!(detail.starts_with("user:bob is denied `document:*`"), "{detail}");
    let mut lifting = grant;
    lifting["lift_denial"] = json!(true);
    world.send(&post("/v1/grants", lifting)).await.expect(201);
    let decision = asked(&world, json!({"subject": "user:bob", "permission": "document:read"})).await;
    assert_eq!(decision["allowed"], true, "{decision}");
    let one = "/v1/grants?subject=user:bob&permission=document:read";
    world.send(&Ask::delete(one).by(&world.acme.admin)).await.expect(204);
    world.send(&Ask::delete(one).by(&world.acme.admin)).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_grant_in_an_emergency_needs_a_reason_and_ends() {
    let world = with_roles().await;
    let post = |body| Ask::post("/v1/grants", body).by(&world.acme.admin);
    let grant = json!({"subject": "user:bob", "permission": "payment:approve", "emergency": true});
    let detail = world.send(&post(grant.clone())).await.problem(400, "invalid_request");
    assert!(detail.starts_with("field `reason`:"), "{detail}");
    let mut grant = grant;
    grant["reason"] = json!("the approver is ill");
    let granted = world.send(&post(grant)).await.expect(201);
    assert_eq!(granted["emergency"], "not_needed");
    assert!(granted["expires_at"].is_string(), "{granted}");
}

#[tokio::test]
async fn members_have_what_their_group_has() {
    let world = with_roles().await;
    let post = |path: &str, body| Ask::post(path.to_owned(), body).by(&world.acme.admin);
    world
        .send(&post("/v1/assignments", json!({"subject": "group:support", "role": "viewer"})))
        .await
        .expect(201);
    world
        .send(&post("/v1/memberships", json!({"group": "group:support", "member": "user:bob"})))
        .await
        .expect(201);
    let question = || json!({"subject": "user:bob", "permission": "document:read"});
    assert_eq!(asked(&world, question()).await["allowed"], true);
    let listed =
        world.send(&Ask::get("/v1/memberships?member=user:bob").by(&world.acme.admin)).await.expect(200);
    assert_eq!(listed["items"][0]["group"], "group:support");
    let one = "/v1/memberships?group=group:support&member=user:bob";
    world.send(&Ask::delete(one).by(&world.acme.admin)).await.expect(204);
    assert_eq!(asked(&world, question()).await["allowed"], false);
    let nested = json!({"group": "group:support", "member": "group:all"});
    world.send(&post("/v1/memberships", nested)).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn separated_roles_do_not_come_together() {
    let world = with_roles().await;
    let admin = &world.acme.admin;
    let separation = json!({"name": "Payments", "duty": "static", "roles": ["clerk", "approver"]});
    world.send(&Ask::put("/v1/separations/payments", separation).by(admin)).await.expect(201);
    let assign =
        |role: &str| Ask::post("/v1/assignments", json!({"subject": "user:bob", "role": role})).by(admin);
    world.send(&assign("clerk")).await.expect(201);
    let detail = world.send(&assign("approver")).await.problem(409, "conflict");
    assert!(detail.contains("payments") && detail.contains("user:bob"), "{detail}");
    world.send(&Ask::delete("/v1/separations/payments").by(admin)).await.expect(204);
    world.send(&assign("approver")).await.expect(201);
}

#[tokio::test]
async fn in_a_session_only_active_roles_count() {
    let world = with_roles().await;
    let admin = &world.acme.admin;
    for role in ["clerk", "approver"] {
        let body = json!({"subject": "user:bob", "role": role});
        world.send(&Ask::post("/v1/assignments", body).by(admin)).await.expect(201);
    }
    let separation = json!({"name": "Payments", "duty": "dynamic", "roles": ["clerk", "approver"]});
    world.send(&Ask::put("/v1/separations/payments", separation).by(admin)).await.expect(201);
    let session = json!({"subject": "user:bob", "roles": ["clerk"]});
    let session = world.send(&Ask::post("/v1/sessions", session).by(admin)).await.expect(201);
    let id = session["id"].as_str().unwrap().to_owned();
    let question = |permission: &str| json!({"subject": "user:bob", "permission": permission, "session": id});
    assert_eq!(asked(&world, question("payment:ask")).await["allowed"], true);
    assert_eq!(asked(&world, question("payment:approve")).await["allowed"], false);
    let activate =
        |role: &str| Ask::post(format!("/v1/sessions/{id}/roles"), json!({"role": role})).by(admin);
    world.send(&activate("approver")).await.problem(409, "conflict");
    world.send(&activate("viewer")).await.problem(409, "conflict");
    world.send(&Ask::delete(format!("/v1/sessions/{id}/roles?role=clerk")).by(admin)).await.expect(200);
    world.send(&activate("approver")).await.expect(200);
    assert_eq!(asked(&world, question("payment:approve")).await["allowed"], true);
    world.send(&Ask::delete(format!("/v1/sessions/{id}")).by(admin)).await.expect(204);
    assert_eq!(asked(&world, question("payment:approve")).await["allowed"], false);
}

#[tokio::test]
async fn a_question_about_a_resource_is_answered_by_what_is_known_of_it() {
    let world = with_roles().await;
    let admin = &world.acme.admin;
    let author = json!({
        "name": "Author", "permissions": ["document:*:own"], "metadata": {"team": "docs"},
        "constraints": [{"resource": "document", "rule": "equals", "attribute": "region", "value": "eu"}],
    });
    let role = world
        .send(&Ask::put("/v1/roles/author", author).by(admin).header("if-none-match", "*"))
        .await
        .expect(201);
    assert_eq!(role["metadata"]["team"], "docs");
    let body = json!({"subject": "user:bob", "role": "author"});
    world.send(&Ask::post("/v1/assignments", body).by(admin)).await.expect(201);
    let question =
        |resource: Value| json!({"subject": "user:bob", "permission": "document:read", "resource": resource});
    let own = json!({"type": "document", "id": "1", "owner": "user:bob", "attributes": {"region": "eu"}});
    assert_eq!(asked(&world, question(own.clone())).await["allowed"], true);
    for (field, value) in
        [("owner", json!("user:carol")), ("attributes", json!({"region": "us"})), ("attributes", json!({}))]
    {
        let mut other = own.clone();
        other[field] = value;
        let decision = asked(&world, question(other)).await;
        assert_eq!(decision["allowed"], false, "{decision}");
    }
    assert_eq!(
        asked(&world, json!({"subject": "user:bob", "permission": "document:read"})).await["allowed"],
        false
    );
    let misspelt = json!({"name": "X", "constraints": [{"rule": "owner_only", "resurce": "document"}]});
    let put = Ask::put("/v1/roles/x", misspelt).by(admin).header("if-none-match", "*");
    world.send(&put).await.problem(400, "invalid_request");
}
