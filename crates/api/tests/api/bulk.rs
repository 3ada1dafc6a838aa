//! Records of access control by the thousand.

use http::Method;
use serde_json::{Value, json};
use stanchion_core::Scope;

use crate::world::{Answer, Ask, World};

async fn import(world: &World, query: &str, media_type: &str, text: impl Into<Vec<u8>>) -> Answer {
    let ask = Ask::new(Method::POST, format!("/v1/access/import?{query}")).by(&world.acme.admin);
    world.send(&ask.header("content-type", media_type).body(text)).await
}

async fn export(world: &mut World, query: &str) -> Answer {
    let admin = world.acme.admin.clone();
    world.record(&Ask::get(format!("/v1/access/export?{query}")).by(&admin)).await
}

fn counts(report: &Value) -> [&Value; 4] {
    ["rows", "written", "unchanged", "refused"].map(|name| &report[name])
}

const ROWS: &str = r#"{"role":{"id":"clerk","name":"Clerk","permissions":["bill:read"]}}
{"assignment":{"subject":"user:ada","role":"clerk"}}
{"assignment":{"subject":"user:bob","role":"ghost"}}
{"grant":{"subject":"user:cid","permission":"bill:read","until":1}}
{"membership":{"group":"group:staff","member":"user:cid"}}
"#;

#[tokio::test]
async fn what_is_imported_counts_and_what_is_wrong_is_told() {
    let mut world = World::new().await;
    let report = import(&world, "", "application/jsonl", ROWS).await.expect(200);
    assert_eq!(counts(&report), [&json!(5), &json!(3), &json!(0), &json!(2)]);
    let expected = json!([
        {"line": 3, "field": "role", "why": "there is no role `ghost`"},
        {"line": 4, "field": "grant.until", "why": report["bad"][1]["why"]},
    ]);
    assert_eq!(report["bad"], expected);
    assert!(report["bad"][1]["why"].as_str().unwrap().starts_with("unknown field `until`"));
    assert_eq!(report["stopped"], false);
    let asked = json!({"subject": "user:ada", "permission": "bill:read"});
    let decision = world.send(&Ask::post("/v1/access/check", asked).by(&world.acme.admin)).await.expect(200);
    assert_eq!(decision["allowed"], true);
    let again = import(&world, "", "application/x-ndjson", ROWS).await.expect(200);
    assert_eq!(counts(&again), [&json!(5), &json!(0), &json!(3), &json!(2)]);
    let acme = world.acme.scope();
    let events = world.events(acme, "access.imported").await;
    assert_eq!(events.len(), 1, "what changes nothing is no event");
    let of_ada = world.events(acme, "assignment.put").await;
    let is_ada =
        |event: &&stanchion_core::Event| event.targets.iter().any(|target| target.to_string() == "user/ada");
    assert_eq!(of_ada.iter().filter(is_ada).count(), 1);
}

#[tokio::test]
async fn what_is_exported_is_what_was_imported() {
    let mut world = World::new().await;
    import(&world, "", "application/jsonl", ROWS).await.expect(200);
    let answer = export(&mut world, "kinds=assignment,membership").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-type"]),
        (200, &"application/jsonl".parse().unwrap())
    );
    let lines: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_ada = lines.iter().find(|line| line["assignment"]["subject"] == "user:ada").unwrap();
    assert_eq!(of_ada["assignment"]["role"], "clerk");
    assert_eq!(lines[0], json!({"membership": {"group": "group:staff", "member": "user:cid"}}));
    let all = export(&mut world, "").await.text;
    assert!(all.lines().any(|line| line.starts_with(r#"{"role":{"id":"clerk""#)), "{all}");
    let again = import(&world, "", "application/jsonl", all).await.expect(200);
    assert_eq!((&again["written"], &again["refused"]), (&json!(0), &json!(0)));
    let csv = export(&mut world, "format=csv").await;
    assert_eq!(csv.headers["content-type"], "text/csv");
    assert!(csv.text.starts_with("subject,role,resource,not_before,expires_at,reason\r\n"));
    assert!(csv.text.contains("\r\nuser:ada,clerk,,,,\r\n"), "{}", csv.text);
    let again = import(&world, "", "text/csv", csv.text).await.expect(200);
    assert_eq!((&again["written"], &again["refused"]), (&json!(0), &json!(0)));
    let acme = world.acme.scope();
    let exported = world.events(acme, "access.exported").await;
    assert_eq!(exported.len(), 3);
    assert!(world.events(Scope::Platform, "access.exported").await.is_empty());
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_stop_ends_at_the_first() {
    let mut world = World::new().await;
    let report = import(&world, "mode=dry_run", "application/jsonl", ROWS).await.expect(200);
    assert_eq!(counts(&report), [&json!(5), &json!(3), &json!(0), &json!(2)]);
    let none = export(&mut world, "").await.text;
    assert!(!none.contains("clerk"));
    let report = import(&world, "bad_rows=stop", "application/jsonl", ROWS).await.expect(200);
    assert_eq!(
        (&report["stopped"], &report["written"], &report["bad"][0]["line"]),
        (&json!(true), &json!(2), &json!(3))
    );
    let some = export(&mut world, "").await.text;
    assert!(!some.contains("group:staff"));
}

#[tokio::test]
async fn what_has_expired_is_passed_over_and_counted() {
    let mut world = World::new().await;
    import(&world, "", "application/jsonl", ROWS).await.expect(200);
    let past = r#"{"assignment":{"subject":"user:old","role":"clerk","expires_at":"2020-01-01T00:00:00Z"}}
{"grant":{"subject":"user:old","permission":"bill:read","expires_at":"2020-01-01T00:00:00Z"}}
{"assignment":{"subject":"user:ada","role":"clerk","expires_at":"2020-01-01T00:00:00Z"}}"#;
    for query in ["mode=dry_run", ""] {
        let report = import(&world, query, "application/jsonl", past).await.expect(200);
        assert_eq!(counts(&report), [&json!(3), &json!(0), &json!(0), &json!(1)], "{report}");
        assert_eq!((&report["expired"], &report["bad"][0]["line"]), (&json!(2), &json!(3)));
    }
    assert!(!export(&mut world, "").await.text.contains("user:old"));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_as_a_whole() {
    let mut world = World::new().await;
    let other = import(&world, "", "text/plain", ROWS).await;
    other.problem(415, "unsupported_media_type");
    let detail = import(&world, "", "text/csv", "subject,pony\n").await.problem(400, "invalid_request");
    assert!(detail.starts_with("line 1: `pony` is no column"), "{detail}");
    for (query, says) in [
        ("mode=wet", "parameter `mode`"),
        ("bad_rows=ignore", "parameter `bad_rows`"),
        ("chunk=5", "`chunk`"),
    ] {
        let detail = import(&world, query, "application/jsonl", ROWS).await.problem(400, "invalid_request");
        assert!(detail.contains(says), "{detail}");
    }
    for (query, says) in [
        ("kinds=pony", "`pony` is none of role, assignment"),
        ("format=xml", "parameter `format`"),
        ("format=csv&kinds=role", "csv has no place for any but `assignment`"),
    ] {
        let detail = export(&mut world, query).await.problem(400, "invalid_request");
        assert!(detail.contains(says), "{detail}");
    }
    let large = vec![b'\n'; 16 * 1024 * 1024 + 1];
    let detail = import(&world, "", "application/jsonl", large).await.problem(413, "payload_too_large");
    assert_eq!(detail, "a body has at most 16777216 bytes");
    let most = vec![b'\n'; 2 * 1024 * 1024];
    assert_eq!(import(&world, "", "application/jsonl", most).await.expect(200)["rows"], 0);
}

#[tokio::test]
async fn import_and_export_have_permissions_of_their_own() {
    let world = World::new().await;
    world
        .role(
            world.acme.scope(),
            "clerk",
            &["role:write", "assignment:write", "role:read", "assignment:read"],
        )
        .await;
    let key = world.principal(world.acme.scope(), "user:ada", Some("clerk")).await;
    let ask = Ask::post("/v1/access/import", json!({"denial": {"subject": "user:x", "permission": "a:b"}}))
        .by(&key);
    world.send(&ask).await.problem(403, "forbidden");
    world.send(&Ask::get("/v1/access/export").by(&key)).await.problem(403, "forbidden");
}
