use http::Method;
use serde_json::{Value, json};
use stanchion_core::Scope;

use crate::world::{Ask, World};

/// What to send to each operation, so that nothing but the scope can be wrong with it. `B` stands for the other tenant's key id.
fn request(operation: &str) -> (&'static str, Value) {
    match operation {
        "create_tenant" => ("", json!({"slug": "evil", "name": "Evil", "tier": "basic"})),
        "update_tenant" => ("", json!({"name": "Evil"})),
        "suspend_tenant" | "resume_tenant" => ("", json!({"reason": "spite"})),
        "issue_key" => ("", json!({"subject": "user:admin", "name": "evil"})),
        "rotate_key" => ("", json!({"grace_seconds": 0})),
        "put_role" => ("", json!({"name": "Evil", "permissions": ["*:*"]})),
        "assign_role" => ("", json!({"subject": "user:evil", "role": "admin"})),
        "revoke_role" => ("subject=user:admin&role=admin", Value::Null),
        "deny_permission" => ("", json!({"subject": "user:admin", "permission": "*:*"})),
        "lift_denial" => ("subject=user:mallory&permission=key:read", Value::Null),
        "check_access" | "explain_access" | "plan_access" => {
            ("", json!({"subject": "user:admin", "permission": "key:read"}))
        }
        "who_can" => ("", json!({"permission": "key:read"})),
        "what_can" => ("", json!({"subject": "user:mallory"})),
        "preview_access" => ("", json!({"changes": [{"delete_role": {"id": "secret-role"}}]})),
        "apply_role_preset" => ("", json!({"name": "back-office"})),
        "validate_permissions" => ("", json!({"permissions": ["key:read"]})),
        "put_limit" => ("", json!({"key": ["tenant"], "limit": 1, "window": "1d"})),
        "reset_limits" => ("", json!({"limit": "secret-limit"})),
        "put_limit_override" => {
            ("", json!({"limit_id": "secret-user-limit", "identifiers": "user:mallory", "limit": 1_000_000}))
        }
        "delete_limit_override" => ("limit_id=secret-user-limit&identifiers=user:mallory", Value::Null),
        "put_quarantine" => ("", json!({"identifiers": "user:admin", "seconds": 60})),
        "lift_quarantine" => ("identifiers=user:mallory", Value::Null),
        "explain_limits" => ("", json!({"subject": "user:admin"})),
        "record_usage" => {
            let event = json!({
                "specversion": "1.0", "id": "evil", "source": "evil", "type": "api.calls", "time": crate::world::NOW,
            });
            ("", event)
        }
        "report_audit_event" => ("", json!({"action": "data.read", "outcome": "success"})),
        "search_audit_events" => ("", json!({"field": "details.email", "value": "mallory@example.org"})),
        "erase_audit_subject" => ("", json!({"subject": "user:mallory", "reason": "spite"})),
        "put_audit_exception" => {
            let until = "2030-01-01T00:00:00Z";
            let basis = "legal_claims";
            (
                "",
                json!({"id": "evil", "subject": "user:admin", "basis": basis, "until": until, "reason": "spite"}),
            )
        }
        "lift_audit_exception" => ("id=claim", Value::Null),
        "list_audit_holds" => ("scope=platform", Value::Null),
        "place_audit_hold" => ("", json!({"scope": "platform", "reason": "spite"})),
        "lift_audit_hold" => ("scope=platform&id=0192f0c1-2345-7abc-8def-0123456789ab", Value::Null),
        "grant_permission" => ("", json!({"subject": "user:evil", "permission": "report:read"})),
        "revoke_grant" | "approve_grant" => ("subject=user:admin&permission=report:read", Value::Null),
        "add_member" => ("", json!({"group": "group:evil", "member": "user:evil"})),
        "remove_member" => ("group=group:evil&member=user:evil", Value::Null),
        "put_separation" => ("", json!({"name": "Evil", "duty": "static", "roles": ["admin", "viewer"]})),
        "import_access" => ("", json!({"assignment": {"subject": "user:evil", "role": "admin"}})),
        "create_session" => ("", json!({"subject": "user:admin"})),
        "list_sessions" => ("subject=user:admin", Value::Null),
        "activate_role" => ("", json!({"role": "admin"})),
        "drop_role" => ("role=admin", Value::Null),
        "get_usage" => ("period=2026-11", Value::Null),
        "prove_audit_event" => ("event=0192f0c1-2345-7abc-8def-0123456789ab", Value::Null),
        "prove_audit_growth" => ("class=security&from=1", Value::Null),
        "list_tenants"
        | "get_tenant"
        | "list_keys"
        | "get_key"
        | "revoke_key"
        | "list_roles"
        | "list_role_presets"
        | "list_permissions"
        | "get_resource_permissions"
        | "list_access_attempts"
        | "get_access_statistics"
        | "get_role"
        | "delete_role"
        | "list_assignments"
        | "list_denials"
        | "list_grants"
        | "list_memberships"
        | "list_separations"
        | "get_separation"
        | "delete_separation"
        | "get_session"
        | "delete_session"
        | "list_limits"
        | "get_limit"
        | "delete_limit"
        | "list_limit_violations"
        | "get_limit_stats"
        | "list_limit_overrides"
        | "list_quarantines"
        | "list_routes"
        | "list_audit_events"
        | "list_audit_events_of_all"
        | "list_audit_actions"
        | "list_audit_exports"
        | "start_audit_export"
        | "get_audit_export"
        | "get_audit_erasure"
        | "delete_audit_export"
        | "read_audit_export"
        | "follow_audit_events"
        | "read_audit_retention"
        | "apply_audit_retention"
        | "list_audit_checkpoints"
        | "list_audit_exceptions"
        | "export_audit"
        | "export_access"
        | "read_audit_log"
        | "verify_audit" => ("", Value::Null),
        other => panic!("say how `{other}` is tried on another tenant"),
    }
}

fn ask(method: &str, path: &str, query: &str, body: &Value, operation: &str) -> Ask {
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let ask = Ask::new(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), target);
    let ask = if operation == "update_tenant" { ask.header("if-match", "\"1\"") } else { ask };
    match body {
        Value::Null => ask,
        body if operation == "record_usage" => {
            ask.header("content-type", "application/cloudevents+json").body(body.to_string())
        }
        body => ask.json(body.clone()),
    }
}

/// Everything that belongs to a tenant, as the platform sees it.
async fn belongings(world: &World) -> Vec<String> {
    let tenant = world.globex.id;
    let mut seen = Vec::new();
    for what in [
        "keys",
        "roles",
        "assignments",
        "denials",
        "grants",
        "memberships",
        "separations",
        "limits",
        "limits/overrides",
        "limits/quarantines",
        "audit/exceptions",
    ] {
        seen.push(world.send(&Ask::get(format!("/v1/{what}?tenant={tenant}")).by(&world.root)).await.text);
    }
    for target in ["/v1/tenants".to_owned(), format!("/v1/usage?tenant={tenant}&period=2026-11")] {
        seen.push(world.send(&Ask::get(target).by(&world.root)).await.text);
    }
    seen
}

/// Gives the other tenant one of everything and returns the id that an operation's path takes there.
async fn furnish(world: &World) -> impl Fn(&str) -> String + use<> {
    let admin = &world.globex.admin;
    let role = json!({"name": "Secret", "permissions": ["secret:read"]});
    world.send(&Ask::put("/v1/roles/secret-role", role).by(admin)).await.expect(201);
    let limit = json!({"key": ["tenant"], "limit": "10", "window": "1m"});
    world.send(&Ask::put("/v1/limits/secret-limit", limit).by(admin)).await.expect(201);
    world.role(world.acme.scope(), "viewer", &["report:read"]).await;
    let limit = json!({"key": ["user"], "limit": "10", "window": "1m"});
    world.send(&Ask::put("/v1/limits/secret-user-limit", limit).by(admin)).await.expect(201);
    let other = json!({"limit_id": "secret-user-limit", "identifiers": "user:mallory", "limit": "5"});
    world.send(&Ask::post("/v1/limits/overrides", other).by(admin)).await.expect(201);
    let out = json!({"identifiers": "user:mallory", "seconds": 600});
    world.send(&Ask::post("/v1/limits/quarantines", out).by(admin)).await.expect(201);
    let denial = json!({"subject": "user:mallory", "permission": "key:read"});
    world.send(&Ask::post("/v1/denials", denial).by(admin)).await.expect(201);
    let grant = json!({"subject": "user:mallory", "permission": "secret:read"});
    world.send(&Ask::post("/v1/grants", grant).by(admin)).await.expect(201);
    let member = json!({"group": "group:secret", "member": "user:mallory"});
    world.send(&Ask::post("/v1/memberships", member).by(admin)).await.expect(201);
    let apart = json!({"name": "Secret", "duty": "dynamic", "roles": ["secret-role", "admin"]});
    world.send(&Ask::put("/v1/separations/secret-separation", apart).by(admin)).await.expect(201);
    let session = Ask::post("/v1/sessions", json!({"subject": "user:mallory"})).by(admin);
    let session = world.send(&session).await.expect(201)["id"].as_str().unwrap().to_owned();
    let claim = json!({
        "id": "claim", "subject": "user:mallory", "basis": "legal_claims", "until": "2030-01-01T00:00:00Z", "reason": "secret",
    });
    world.send(&Ask::post("/v1/audit/exceptions", claim).by(admin)).await.expect(201);
    let keys = world.send(&Ask::get("/v1/keys").by(admin)).await.expect(200);
    let (key, tenant) = (keys["items"][0]["id"].as_str().unwrap().to_owned(), world.globex.id.to_string());
    move |path| match path.split('/').nth(2).unwrap() {
        "tenants" => tenant.clone(),
        "keys" => key.clone(),
        "roles" => "secret-role".to_owned(),
        "permissions" => "secret".to_owned(),
        "separations" => "secret-separation".to_owned(),
        "sessions" => session.clone(),
        "limits" => "secret-limit".to_owned(),
        "audit" if path.contains("/exports/") || path.contains("/erasures/") => {
            "0192f0c1-2345-7abc-8def-0123456789ab".to_owned()
        }
        "audit" => "security/checkpoint".to_owned(),
        other => panic!("say which id `{other}` takes"),
    }
}

/// Goes through every guarded operation of the document: method, path and id.
async fn operations(world: &World) -> Vec<(String, String, String)> {
    let document = world.send(&Ask::get("/openapi.json")).await.expect(200);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("x-permission").is_some() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                found.push((method.clone(), path.clone(), id));
            }
        }
    }
    assert!(found.len() > 25, "{}", found.len());
    found
}

/// Whether an operation works on the tenant that `?tenant=` names.
fn is_scoped(operation: &str) -> bool {
    let platform = [
        "create_tenant",
        "list_tenants",
        "update_tenant",
        "suspend_tenant",
        "resume_tenant",
        "list_routes",
        "get_access_statistics",
    ];
    !platform.contains(&operation) && operation != "get_tenant"
}

#[tokio::test]
async fn an_administrator_of_one_tenant_reaches_nothing_of_another_or_of_the_platform() {
    let mut world = World::new().await;
    let id_in = furnish(&world).await;
    let before = belongings(&world).await;
    let mut denied = 0;
    for (method, path, operation) in operations(&world).await {
        let (query, body) = request(&operation);
        let path = path.replace("{id}", &if path.contains("{id}") { id_in(&path) } else { String::new() });
        let targets = if is_scoped(&operation) {
            let named = [
                world.globex.id.to_string(),
                "platform".to_owned(),
                "0192f0c1-2345-7abc-8def-0123456789ab".to_owned(),
                "globex".to_owned(),
            ];
            named.map(|tenant| format!("{query}&tenant={tenant}")).to_vec()
        } else {
            vec![query.to_owned()]
        };
        for query in targets {
            let answer =
                world.send(&ask(&method, &path, &query, &body, &operation).by(&world.acme.admin)).await;
            // The same whether the tenant exists or not, and whether the thing does.
            let detail = answer.problem(403, "forbidden");
            let known =
                ["the credential belongs to another tenant", "this is for administrators of the platform"];
            assert!(known.contains(&detail.as_str()), "{operation} {query}: {detail}");
            denied += 1;
        }
    }
    assert_eq!(belongings(&world).await, before);
    let acme = world.acme.scope();
    assert_eq!(world.events(acme, "operation.denied").await.len(), denied);
    let (globex, platform) = (world.globex.scope(), Scope::Platform);
    assert!(world.events(globex, "operation.denied").await.is_empty());
    assert!(world.events(platform, "operation.denied").await.is_empty());
}

#[tokio::test]
async fn what_another_tenant_has_looks_as_if_it_were_not_there() {
    let world = World::new().await;
    let id_in = furnish(&world).await;
    let before = belongings(&world).await;
    for (method, path, operation) in operations(&world).await {
        if !path.contains("{id}") || !is_scoped(&operation) {
            continue;
        }
        let (query, body) = request(&operation);
        let nothing = match path.split('/').nth(2).unwrap() {
            "keys" | "sessions" => "0192f0c1-2345-7abc-8def-0123456789ab",
            "audit" if path.contains("/exports/") || path.contains("/erasures/") => {
                "0192f0c1-2345-7abc-8def-0123456789ac"
            }
            "audit" => "data_access/checkpoint",
            _ => "nothing-here",
        };
        let send = |id: String| {
            let ask =
                ask(&method, &path.replace("{id}", &id), query, &body, &operation).by(&world.acme.admin);
            let world = &world;
            async move {
                let answer = world.send(&ask).await;
                let detail = answer.json()["detail"].as_str().map(|detail| detail.replace(&id, "ID"));
                (answer.status, detail.map(|detail| detail.replace("data_access", "security")))
            }
        };
        let (theirs, nobodys) = (send(id_in(&path)).await, send(nothing.to_owned()).await);
        assert_eq!(theirs, nobodys, "{operation}");
        let expected = if method == "put" { 201 } else { 404 };
        assert_eq!(theirs.0, expected, "{operation}");
    }
    assert_eq!(belongings(&world).await, before);
}

#[tokio::test]
async fn a_tenant_reads_its_own_record_and_no_other() {
    let world = World::new().await;
    let get = |id: String| Ask::get(format!("/v1/tenants/{id}")).by(&world.acme.admin);
    let own = world.send(&get(world.acme.id.to_string())).await.expect(200);
    assert_eq!(own["slug"], "acme");
    for other in [world.globex.id.to_string(), "0192f0c1-2345-7abc-8def-0123456789ab".into(), "x".into()] {
        world.send(&get(other)).await.problem(403, "forbidden");
    }
}
