//! Who may do what, through the program: its commands, its configuration, and Postgres behind it.

use serde_json::{Value, json};

use crate::harness::{World, ask, command};

fn run(world: &World, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(args);
    let command = command.env("STANCHION_SERVER", format!("http://{}", world.program.admin));
    let output = command.env("STANCHION_KEY", &world.program.key).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs a command on acme, and takes what it writes provided that it ends so.
#[track_caller]
fn acme(world: &World, code: i32, line: &str) -> String {
    let args: Vec<&str> = line.split(' ').chain(["--tenant", "acme"]).collect();
    let (ended, said, complaint) = run(world, &args);
    assert_eq!((ended, complaint.as_str()), (Some(code), ""), "{line}: {said}");
    said
}

#[test]
fn commands_write_try_and_ask() {
    let world = World::with("", "[rbac.decisions]\nrecent = 10\n");
    let file = world.program.site.path("editor.json");
    let role = json!({
        "name": "Editor", "permissions": ["report:write:own"], "includes": ["viewer"], "max_holders": 2,
        "constraints": [{"rule": "equals", "attribute": "region", "value": "eu"}], "revision": "7",
    });
    std::fs::write(&file, role.to_string()).expect("writes");
    let put = format!("role put editor --file {} --ceiling team --metadata owner=sales", file.display());
    let written: Value =
        serde_json::from_str(&acme(&world, 0, &format!("{put} --output json"))).expect("JSON");
    for (field, expected) in [
        ("permissions", json!(["report:write:own"])),
        ("ceiling", json!("team")),
        ("max_holders", json!(2)),
        ("metadata", json!({"owner": "sales"})),
        ("constraints", role["constraints"].clone()),
    ] {
        assert_eq!(written[field], expected, "{field}");
    }
    // What is only tried gives nobody anything.
    let tried = acme(&world, 0, "assign create user:bob editor --dry-run");
    assert!(tried.starts_with("GAINS") && tried.contains("report:write:own"), "{tried}");
    let refused = acme(&world, 1, "access check user:bob report:read");
    assert!(refused.starts_with("denied: unknown_subject"), "{refused}");
    acme(&world, 0, "assign create user:bob viewer --resource folder/7");
    acme(&world, 0, "access check user:bob report:read --resource report/1 --inside folder/7");
    acme(&world, 1, "access check user:bob report:read --resource report/1 --inside folder/8");
    let why = acme(&world, 1, "access explain user:bob report:read");
    assert!(why.contains("missing: role viewer"), "{why}");
    let who = acme(&world, 0, "access who-can report:read");
    assert!(who.contains("user:alice  viewer") && !who.contains("user:bob"), "{who}");
    let attempts = acme(&world, 0, "access attempts --subject user:bob --outcome denied");
    assert_eq!(attempts.lines().count(), 1 + 2, "{attempts}");
    let validated = acme(&world, 1, "permission validate role:raed");
    assert!(validated.contains("did you mean `read`?"), "{validated}");
    let (code, said, _) = run(&world, &["access", "stats"]);
    assert!(code == Some(0) && said.contains("permitted_per_million"), "{said}");
}

#[test]
fn an_emergency_grant_waits_for_a_second_person_and_nobody_gives_what_they_lack() {
    let world = World::on_postgres("[rbac.emergency]\nsecond_approver = true\nmax_minutes = 5\n");
    let scoped = |path: &str| format!("{path}tenant={}", world.acme);
    let everything = json!({"name": "Everything", "permissions": ["*:*"]});
    assert_eq!(world.admin("PUT", &scoped("/v1/roles/everything?"), &everything).status(), 201);
    let boss = json!({"subject": "user:boss", "role": "everything"});
    assert_eq!(world.admin("POST", &scoped("/v1/assignments?"), &boss).status(), 201);
    let boss = world.key(&world.acme, "user:boss").secret;
    let clerk = json!({"name": "Clerk", "permissions": ["assignment:write", "report:read"]});
    assert_eq!(world.admin("PUT", &scoped("/v1/roles/clerk?"), &clerk).status(), 201);
    let clerk = json!({"subject": "user:clerk", "role": "clerk"});
    assert_eq!(world.admin("POST", &scoped("/v1/assignments?"), &clerk).status(), 201);
    let clerk = world.key(&world.acme, "user:clerk").secret;
    let by = |key: &str, path: &str, body: &Value| {
        let fields = [("x-api-key", key), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(world.program.admin, "POST", path, &fields, body.as_bytes())
    };
    let may_write = || world.ask("POST", "/writes/echo").status();
    assert_eq!(may_write(), 403);
    let grant = json!({
        "subject": "user:alice", "permission": "report:write", "emergency": true, "reason": "the editor is ill",
    });
    assert_eq!(by(&clerk, "/v1/grants", &grant).status(), 403, "a clerk may not write reports");
    let granted = by(&boss, "/v1/grants", &grant);
    assert_eq!((granted.status(), &granted.json()["emergency"]), (201, &json!("awaited")));
    assert_eq!(may_write(), 403);
    let approval = "/v1/grants/approval?subject=user:alice&permission=report:write";
    assert_eq!(by(&boss, approval, &Value::Null).status(), 403, "whoever made it is no second person");
    let approve = ["grant", "approve", "user:alice", "report:write", "--tenant", "acme"];
    let (code, said, complaint) = run(&world, &approve);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{said}");
    assert_eq!(may_write(), 200);
}
