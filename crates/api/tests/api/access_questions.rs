//! Who may do what, why, and what a change would do to that.

use serde_json::{Value, json};
use stanchion_core::Scope;

use crate::world::{Ask, World};

async fn with_roles() -> World {
    let world = World::new().await;
    let scope = world.acme.scope();
    world.role(scope, "viewer", &["document:read"]).await;
    world.role(scope, "approver", &["payment:approve"]).await;
    let editor = json!({"name": "Editor", "permissions": ["document:write"], "includes": ["viewer"]});
    world.send(&Ask::put("/v1/roles/editor", editor).by(&world.acme.admin)).await.expect(201);
    world
}

async fn asked(world: &World, what: &str, question: Value) -> Value {
    world.send(&Ask::post(format!("/v1/access/{what}"), question).by(&world.acme.admin)).await.expect(200)
}

async fn assign(world: &World, body: Value) {
    world.send(&Ask::post("/v1/assignments", body).by(&world.acme.admin)).await.expect(201);
}

#[tokio::test]
async fn a_check_says_whether_and_why() {
    let world = with_roles().await;
    let until = "2026-12-01T00:00:00.000000Z";
    assign(&world, json!({"subject": "user:bob", "role": "editor", "expires_at": until})).await;
    let question = |permission: &str| json!({"subject": "user:bob", "permission": permission});
    let decision = asked(&world, "check", question("document:read")).await;
    let expected = json!({
        "allowed": true, "reason": "granted", "role": "editor", "constraints": [], "missing_attribute": null,
        "valid_until": until, "revision": decision["revision"],
    });
    assert_eq!(decision, expected);
    let decision = asked(&world, "check", question("document:delete")).await;
    assert_eq!((&decision["allowed"], &decision["reason"]), (&json!(false), &json!("no_matching_role")));
    assert_eq!(asked(&world, "check", question("document:*")).await["reason"], "permission_not_exact");
    // Somebody of the same name elsewhere is somebody else.
    let elsewhere = Ask::post("/v1/access/check", question("document:read")).by(&world.globex.admin);
    assert_eq!(world.send(&elsewhere).await.expect(200)["reason"], "unknown_subject");
}

#[tokio::test]
async fn many_questions_are_answered_in_their_order() {
    let world = with_roles().await;
    assign(&world, json!({"subject": "user:bob", "role": "viewer", "resource": "folder/7"})).await;
    let on = |folder: &str| {
        let resource = json!({"type": "document", "id": "42", "parent": {"type": "folder", "id": folder}});
        json!({"subject": "user:bob", "permission": "document:read", "resource": resource})
    };
    let questions = json!([on("7"), on("8"), {"subject": "user:admin", "permission": "a:b"}, on("7")]);
    let answer = asked(&world, "check", questions).await;
    let allowed: Vec<&Value> =
        answer["items"].as_array().unwrap().iter().map(|one| &one["allowed"]).collect();
    assert_eq!(allowed, [true, false, true, true]);
    assert_eq!(answer["items"][1]["reason"], "other_resource");
    assert_eq!(asked(&world, "check", json!([])).await, json!({"items": []}));
    for (questions, expected) in [
        (json!(vec![on("7"); 1_001]), "at most 1000 questions at once"),
        (json!([on("7"), {"subject": "user:bob", "permission": "document"}]), "field `[1].permission`:"),
        (json!({"subject": "user:bob", "permision": "a:b"}), "field `permision`: unknown field"),
        (json!("document:read"), "invalid type: string"),
    ] {
        let ask = Ask::post("/v1/access/check", questions).by(&world.acme.admin);
        let detail = world.send(&ask).await.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{detail}");
    }
}

#[tokio::test]
async fn what_is_refused_to_a_service_that_asks_is_on_record() {
    let mut world = with_roles().await;
    let scope = world.acme.scope();
    world.role(scope, "gate", &["access:check"]).await;
    let gate = world.principal(scope, "service:gate", Some("gate")).await;
    let question = |permission: &str| json!({"subject": "user:bob", "permission": permission, "resource": {"type": "document", "id": "42"}});
    let ask = |what: &str, permission: &str| {
        Ask::post(format!("/v1/access/{what}"), question(permission)).by(&gate)
    };
    world.send(&ask("check", "document:read")).await.expect(200);
    assign(&world, json!({"subject": "user:bob", "role": "viewer"})).await;
    world.send(&ask("check", "document:read")).await.expect(200);
    // Why is for administrators.
    world.send(&ask("explain", "document:read")).await.problem(403, "forbidden");
    let events = world.events(scope, "access.denied").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].actor.to_string(), "service:gate");
    let targets: Vec<String> = events[0].targets.iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["user/bob", "document/42"]);
    assert_eq!(events[0].reason.as_ref().map(stanchion_core::Text::as_str), Some("unknown_subject"));
    assert!(world.events(scope, "access.permitted").await.is_empty(), "none, unless it is wanted");
}

#[tokio::test]
async fn an_explanation_shows_the_way_and_what_is_missing() {
    let world = with_roles().await;
    assign(&world, json!({"subject": "user:bob", "role": "editor"})).await;
    let question = |permission: &str| json!({"subject": "user:bob", "permission": permission});
    let found = asked(&world, "explain", question("document:read")).await;
    assert_eq!((&found["path"], &found["matched"]), (&json!(["editor", "viewer"]), &json!("document:read")));
    assert_eq!(found["missing"], Value::Null);
    let found = asked(&world, "explain", question("payment:approve")).await;
    assert_eq!(found["candidates"], json!(["admin", "approver"]));
    assert_eq!(found["missing"], json!({"what": "role", "name": "admin"}));
    let denial = json!({"subject": "user:bob", "permission": "document:*"});
    world.send(&Ask::post("/v1/denials", denial).by(&world.acme.admin)).await.expect(201);
    let found = asked(&world, "explain", question("document:read")).await;
    assert_eq!(found["missing"], json!({"what": "lifted_denial", "name": "document:*"}));
}

#[tokio::test]
async fn who_can_finds_those_of_roles_groups_and_grants() {
    let world = with_roles().await;
    let admin = &world.acme.admin;
    assign(&world, json!({"subject": "user:bob", "role": "editor"})).await;
    assign(&world, json!({"subject": "group:support", "role": "viewer"})).await;
    let post = |path: &str, body| Ask::post(path.to_owned(), body).by(admin);
    let member = json!({"group": "group:support", "member": "user:carol"});
    world.send(&post("/v1/memberships", member)).await.expect(201);
    let grant = json!({"subject": "service:etl", "permission": "document:read", "reason": "nightly"});
    world.send(&post("/v1/grants", grant)).await.expect(201);
    let found = asked(&world, "who-can", json!({"permission": "document:read"})).await;
    let who: Vec<(&str, &Value)> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["subject"].as_str().unwrap(), &item["role"]))
        .collect();
    let (admin, editor, viewer) = (json!("admin"), json!("editor"), json!("viewer"));
    let expected = [
        ("service:etl", &Value::Null),
        ("user:admin", &admin),
        ("user:bob", &editor),
        ("user:carol", &viewer),
    ];
    let mut sorted = who.clone();
    sorted.sort_by_key(|(subject, _)| *subject);
    assert_eq!((sorted.as_slice(), &found["complete"]), (&expected[..], &json!(true)));
    let found = asked(&world, "who-can", json!({"permission": "document:read", "most": 3})).await;
    assert_eq!((&found["complete"], &found["next"]), (&json!(false), &json!("user:bob")));
    let rest = json!({"permission": "document:read", "most": 3, "after": found["next"]});
    let found = asked(&world, "who-can", rest).await;
    assert_eq!((&found["complete"], &found["next"]), (&json!(true), &Value::Null));
    assert_eq!(
        (found["items"].as_array().unwrap().len(), &found["items"][0]["subject"]),
        (1, &json!("user:carol"))
    );
    for question in [json!({"permission": "document:*"}), json!({"permission": "a:b", "most": 0})] {
        world.send(&post("/v1/access/who-can", question)).await.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn what_can_lists_what_is_held_and_what_that_is_on_a_resource() {
    let world = with_roles().await;
    assign(&world, json!({"subject": "user:bob", "role": "editor", "resource": "document/42"})).await;
    let denial = json!({"subject": "user:bob", "permission": "payment:*"});
    world.send(&Ask::post("/v1/denials", denial).by(&world.acme.admin)).await.expect(201);
    let found = asked(&world, "what-can", json!({"subject": "user:bob"})).await;
    let permitted: Vec<&Value> =
        found["permitted"].as_array().unwrap().iter().map(|one| &one["permission"]).collect();
    assert_eq!(permitted, ["document:read", "document:write"]);
    assert_eq!(found["permitted"][0]["resource"], "document/42");
    assert_eq!(found["denied"], json!([{"permission": "payment:*", "resource": null}]));
    assert_eq!(found["on_resource"], Value::Null);
    let on = |id: &str| json!({"subject": "user:bob", "resource": {"type": "document", "id": id}});
    let found = asked(&world, "what-can", on("42")).await;
    let names: Vec<&Value> =
        found["on_resource"].as_array().unwrap().iter().map(|one| &one["permission"]).collect();
    assert_eq!(names, ["document:read", "document:write"]);
    assert_eq!(asked(&world, "what-can", on("43")).await["on_resource"], json!([]));
    // By wildcards a subject has what is known.
    let question = json!({"subject": "user:admin", "resource": {"type": "role"}});
    let found = asked(&world, "what-can", question).await;
    let names: Vec<&Value> =
        found["on_resource"].as_array().unwrap().iter().map(|one| &one["permission"]).collect();
    assert_eq!(names, ["role:grant", "role:read", "role:write"]);
}

#[tokio::test]
async fn a_plan_is_all_none_or_a_filter() {
    let world = with_roles().await;
    assign(&world, json!({"subject": "user:bob", "role": "viewer", "resource": "folder/7"})).await;
    let role = json!({
        "name": "Own", "permissions": ["report:read:own"],
        "constraints": [{"rule": "equals", "attribute": "owner", "value": "x"}],
    });
    world.send(&Ask::put("/v1/roles/own", role).by(&world.acme.admin)).await.expect(201);
    assign(&world, json!({"subject": "user:bob", "role": "own"})).await;
    let plan = async |subject: &str, permission: &str| {
        asked(&world, "plan", json!({"subject": subject, "permission": permission})).await
    };
    assert_eq!(plan("user:admin", "document:read").await["filter"], "always");
    assert_eq!(plan("user:nobody", "document:read").await["filter"], "never");
    let found = plan("user:bob", "document:read").await;
    assert_eq!((&found["filter"], &found["type"]), (&json!("when"), &json!("document")));
    assert_eq!(found["when"], json!({"within": "folder/7"}));
    // The owner of a resource is another thing than an attribute of that name.
    let all = plan("user:bob", "report:read").await["when"]["all"].clone();
    let all: Vec<String> = all.as_array().unwrap().iter().map(ToString::to_string).collect();
    assert!(all.contains(&json!({"is": {"field": "owner", "value": "user:bob"}}).to_string()), "{all:?}");
    assert!(all.contains(&json!({"is": {"field": "attributes.owner", "value": "x"}}).to_string()), "{all:?}");
    let ask = json!({"subject": "user:bob", "permission": "document:*"});
    let ask = Ask::post("/v1/access/plan", ask).by(&world.acme.admin);
    world.send(&ask).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_preview_shows_what_changes_would_do_and_does_nothing() {
    let mut world = with_roles().await;
    assign(&world, json!({"subject": "user:bob", "role": "viewer"})).await;
    let before = world.send(&Ask::get("/v1/assignments").by(&world.acme.admin)).await.text;
    let preview = async |changes: Value| asked(&world, "preview", json!({ "changes": changes })).await;
    let names = |side: &Value| {
        let item = |one: &Value| format!("{} {}", one["subject"], one["permission"]).replace('"', "");
        side.as_array().unwrap().iter().map(item).collect::<Vec<String>>()
    };
    let found = preview(json!([{"assign": {"subject": "user:carol", "role": "editor"}}])).await;
    assert_eq!(names(&found["gained"]), ["user:carol document:read", "user:carol document:write"]);
    assert_eq!((&found["lost"], &found["complete"]), (&json!([]), &json!(true)));
    let found = preview(json!([{"revoke": {"subject": "user:bob", "role": "viewer"}}])).await;
    assert_eq!(names(&found["lost"]), ["user:bob document:read"]);
    let role = json!({"name": "Viewer", "permissions": ["document:read", "document:print"]});
    let found = preview(json!([{"put_role": {"id": "viewer", "role": role}}])).await;
    assert_eq!(names(&found["gained"]), ["user:bob document:print"]);
    let found = preview(json!([
        {"add_member": {"group": "group:support", "member": "user:carol"}},
        {"grant": {"subject": "group:support", "permission": "payment:approve"}},
        {"deny": {"subject": "user:bob", "permission": "document:*"}},
    ]))
    .await;
    assert_eq!(names(&found["gained"]), ["user:carol payment:approve"]);
    assert_eq!(names(&found["lost"]), ["user:bob document:read"]);
    for (changes, expected) in [
        (json!([]), "field `changes`: name 1 to 1000 changes"),
        (json!([{"asign": {}}]), "field `changes[0]"),
        (json!([{"apply_preset": {"name": "back-ofice"}}]), "field `changes[0]`: there is no preset"),
        (
            json!([{"grant": {"subject": "user:bob", "permission": "a:b", "lift_denial": true}}]),
            "field `changes[0]`: say `lift_denial` as a change of its own",
        ),
    ] {
        let ask = Ask::post("/v1/access/preview", json!({ "changes": changes })).by(&world.acme.admin);
        let detail = world.send(&ask).await.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{detail}");
    }
    assert_eq!(world.send(&Ask::get("/v1/assignments").by(&world.acme.admin)).await.text, before);
    let scope = world.acme.scope();
    assert_eq!(world.events(scope, "denial.put").await.len(), 0);
}

#[tokio::test]
async fn a_preset_is_applied_once_and_never_over_other_roles_unseen() {
    let mut world = World::new().await;
    let admin = world.acme.admin.clone();
    let listed = world.send(&Ask::get("/v1/access/presets").by(&admin)).await.expect(200);
    let listed = listed["items"].as_array().unwrap();
    let names: Vec<&Value> = listed.iter().map(|preset| &preset["name"]).collect();
    assert_eq!(names, ["ai-platform", "back-office", "metadata-service", "security-operations"]);
    let roles = listed[1]["roles"].as_array().unwrap().len();
    let apply = |body: Value| Ask::post("/v1/access/presets", body).by(&admin);
    // The platform has a role `admin` already; a tenant cannot have another.
    let detail = world.send(&apply(json!({"name": "back-office"}))).await.problem(409, "conflict");
    assert!(
        detail.starts_with(
            "a role of that name is one of the platform: `admin`; apply the preset with a prefix"
        ),
        "{detail}"
    );
    for prefix in ["Shop-", "-"] {
        let detail = world
            .send(&apply(json!({"name": "back-office", "prefix": prefix})))
            .await
            .problem(400, "invalid_request");
        assert!(detail.starts_with("field `prefix`"), "{detail}");
    }
    let shop = |dry_run: bool| apply(json!({"name": "back-office", "prefix": "shop-", "dry_run": dry_run}));
    let of_acme = async |world: &World| {
        let found = world.send(&Ask::get("/v1/roles?limit=1000").by(&admin)).await.expect(200);
        let ids =
            found["items"].as_array().unwrap().iter().map(|role| role["id"].as_str().unwrap().to_owned());
        ids.filter(|id| id.starts_with("shop-")).collect::<Vec<_>>()
    };
    let tried = world.send(&shop(true)).await.expect(200);
    assert_eq!((&tried["dry_run"], of_acme(&world).await.len()), (&json!(true), 0));
    let applied = world.send(&shop(false)).await.expect(200);
    assert_eq!((&applied["dry_run"], &applied["written"]), (&json!(false), &tried["written"]));
    assert_eq!(of_acme(&world).await.len(), roles);
    let gains = json!({"changes": [{"apply_preset": {"name": "back-office", "prefix": "x-"}}, {"assign": {"subject": "user:new", "role": "x-admin"}}]});
    let shown = world.send(&Ask::post("/v1/access/preview", gains).by(&admin)).await.expect(200);
    assert!(shown["gained"].as_array().unwrap().iter().any(|one| one["subject"] == "user:new"), "{shown}");
    world.send(&apply(json!({"name": "back-ofice"}))).await.problem(400, "invalid_request");
    let root = |body: Value| Ask::post("/v1/access/presets?tenant=platform", body).by(&world.root);
    let accountant = json!({"name": "Mine", "permissions": ["a:b"]});
    let put = Ask::put("/v1/roles/accountant?tenant=platform", accountant).by(&world.root);
    world.send(&put).await.expect(201);
    let detail = world.send(&root(json!({"name": "back-office"}))).await.problem(409, "conflict");
    assert!(detail.contains("`accountant`"), "{detail}");
    let before = world.send(&Ask::get("/v1/roles?tenant=platform").by(&world.root)).await.expect(200);
    assert_eq!(before["items"].as_array().unwrap().len(), 2, "nothing was written");
    // The preset's own `admin` is another than the one by which root is an administrator.
    let replace = || root(json!({"name": "back-office", "replace": true}));
    let detail = world.send(&replace()).await.problem(409, "conflict");
    assert!(detail.starts_with("user:root is the last administrator"), "{detail}");
    world.role(Scope::Platform, "root", &["*:*"]).await;
    world.principal(Scope::Platform, "user:root", Some("root")).await;
    // Nor may it take the administration of a tenant away, where somebody has it by a role of the platform.
    let detail = world.send(&replace()).await.problem(409, "conflict");
    assert!(
        detail.starts_with("in tenant ") && detail.contains("user:admin is the last administrator"),
        "{detail}"
    );
    for scope in [world.acme.scope(), world.globex.scope()] {
        world.role(scope, "boss", &["*:*"]).await;
        world.principal(scope, "user:boss", Some("boss")).await;
    }
    let applied = world.send(&replace()).await.expect(200);
    let done = |part: &str| applied[part].as_array().unwrap().len();
    assert_eq!(done("written") + done("unchanged"), roles, "{applied}");
    let again = world.send(&root(json!({"name": "back-office"}))).await.expect(200);
    assert_eq!((&again["written"], again["unchanged"].as_array().unwrap().len()), (&json!([]), roles));
    let events = world.events(Scope::Platform, "role.put").await;
    assert!(events.iter().filter(|event| event.actor.to_string() == "user:root").count() > roles);
}

#[tokio::test]
async fn attempts_are_remembered_by_subject_and_outcome_and_are_the_tenants_own() {
    let world = with_roles().await;
    assign(&world, json!({"subject": "user:bob", "role": "viewer"})).await;
    for permission in ["document:read", "document:write", "payment:approve"] {
        asked(&world, "check", json!({"subject": "user:bob", "permission": permission})).await;
    }
    let get = |query: &str, key: &str| Ask::get(format!("/v1/access/attempts?{query}")).by(key);
    let found = world.send(&get("subject=user:bob&outcome=denied", &world.acme.admin)).await.expect(200);
    let tried: Vec<&Value> =
        found["items"].as_array().unwrap().iter().map(|one| &one["permission"]).collect();
    assert_eq!(tried, ["payment:approve", "document:write"]);
    assert_eq!(found["remembered"], 100);
    let found = world.send(&get("subject=user:bob&limit=1", &world.acme.admin)).await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let found = world.send(&get("subject=user:bob", &world.globex.admin)).await.expect(200);
    assert_eq!(found["items"], json!([]));
    for query in ["outcome=maybe", "limit=0", "limit=1001", "subject=bob"] {
        world.send(&get(query, &world.acme.admin)).await.problem(400, "invalid_request");
    }
    // What all tenants together do is none of a tenant's business.
    let statistics = |key: &str| Ask::get("/v1/access/statistics").by(key);
    world.send(&statistics(&world.acme.admin)).await.problem(403, "forbidden");
    let counted = world.send(&statistics(&world.root)).await.expect(200);
    let number = |name: &str| counted[name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(number("checks") > number("permitted") && number("permitted") > 3, "{counted}");
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let world = with_roles().await;
    let scope = world.acme.scope();
    world.role(scope, "clerk", &["assignment:write", "role:write", "document:read"]).await;
    let clerk = world.principal(scope, "user:clerk", Some("clerk")).await;
    let give =
        |role: &str, to: &str| Ask::post("/v1/assignments", json!({"subject": to, "role": role})).by(&clerk);
    world.send(&give("viewer", "user:bob")).await.expect(201);
    let detail = world.send(&give("approver", "user:bob")).await.problem(403, "forbidden");
    assert!(detail.contains("payment:approve"), "{detail}");
    world.send(&give("admin", "user:clerk")).await.problem(403, "forbidden");
    let wider = json!({"name": "Clerk", "permissions": ["*:*"]});
    let tag = world.send(&Ask::get("/v1/roles/clerk").by(&clerk)).await;
    let world_admin = &world.acme.admin;
    let tag =
        if tag.status == 200 { tag } else { world.send(&Ask::get("/v1/roles/clerk").by(world_admin)).await };
    let put = Ask::put("/v1/roles/clerk", wider).by(&clerk).header("if-match", tag.header("etag"));
    world.send(&put).await.problem(403, "forbidden");
}
