//! How the audit ledger leaves the server: as events of OCSF, as pages with proofs, as tiles, as files that are made beside, and straight from the store.

use std::path::Path;

use serde_json::{Value, json};

use crate::export::{list, run, verifier_keys, verify};
use crate::harness::{PostgresServer, Program, Site, World, ask, command, eventually};

fn written(world: &World, args: &[&str], name: &str) -> String {
    let path = world.program.site.path(name);
    let out = path.to_str().expect("text");
    let (code, said, complaint) = run(world, &[args, &["--tenant", "acme", "--out", out]].concat());
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{said}");
    std::fs::read_to_string(&path).unwrap_or_default()
}

fn asked(world: &World, count: u64) -> Vec<String> {
    for _ in 0..count {
        assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    }
    verifier_keys(world, &world.acme, count)
}

/// What is done to a file, and how verifying it then ends.
type Deed<'a> = (&'a str, Box<dyn Fn(&str) -> String>, i32);

#[test]
fn events_of_ocsf_are_verified_offline_and_what_was_done_to_them_is_told() {
    let world = World::on_postgres("");
    let keys = asked(&world, 30);
    let text = written(&world, &["export", "--format", "ocsf"], "events.jsonl");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of_class = |class: u64| events.iter().filter(|event| event["class_uid"] == class).count();
    assert!(of_class(6003) >= 30 && of_class(3004) >= 1 && of_class(3005) >= 1, "{text}");
    let is_ours = |event: &Value| event["metadata"]["version"] == "1.8.0" && event["time"].is_i64();
    assert!(events.iter().all(is_ours));
    let file = world.program.site.path("events.jsonl");
    let (code, said) = verify(&file, &keys);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("proven: ") && said.contains("all of them"), "{said}");
    let deeds: [Deed<'_>; 5] = [
        (
            "tells another actor",
            Box::new(|text| text.replacen("\"uid\":\"alice\"", "\"uid\":\"mallory\"", 1)),
            1,
        ),
        ("has another event", Box::new(|text| text.replacen("user:alice", "user:alicf", 1)), 1),
        ("is cut off", Box::new(|text| text.get(..text.len() / 2).expect("ASCII").to_owned()), 2),
        (
            "lacks a line",
            Box::new(|text| {
                let kept = text.lines().enumerate().filter(|(line, _)| *line != 20);
                kept.map(|(_, line)| format!("{line}\n")).collect()
            }),
            2,
        ),
        ("is none", Box::new(|_| "{\"activity_id\":1}\n".to_owned()), 2),
    ];
    let other = world.program.site.path("other.jsonl");
    for (what, deed, expected) in &deeds {
        std::fs::write(&other, deed(&text)).expect("writes");
        let (code, said) = verify(&other, &keys);
        assert_eq!(code, Some(*expected), "{what}: {said}");
    }
    let stranger = World::start();
    assert_eq!(verify(&file, &asked(&stranger, 1)).0, Some(3));
}

#[test]
fn the_signatures_of_entries_are_checked_with_the_ledger_s_secrets() {
    let world = World::on_postgres("");
    let keys = asked(&world, 3);
    let at = |name: &str| world.program.site.path(name);
    let text = written(&world, &["export"], "acme.jsonl");
    let with = |file: &str, secret: &str| {
        std::fs::write(at("mac-keys"), secret).expect("writes");
        let mut command = command(["audit", "verify"]);
        command.arg(at(file)).arg("--mac-keys").arg(at("mac-keys"));
        for key in &keys {
            command.arg("--verifier-key").arg(key);
        }
        let output = command.output().expect("runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = with("acme.jsonl", "1 = \"file:ledger\"");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the signature of each entry is right"), "{said}");
    std::fs::write(at("other"), "o".repeat(32)).expect("writes");
    let (code, said) = with("acme.jsonl", "1 = \"file:other\"");
    assert!(code == Some(1) && said.contains("its signature is wrong"), "{said}");
    let (code, said) = with("acme.jsonl", "2 = \"file:ledger\"");
    assert!(code == Some(3) && said.contains("the key of epoch 1 is not known"), "{said}");
    for bad in ["1 = \"file:nowhere\"", "", "secret"] {
        assert_eq!(with("acme.jsonl", bad).0, Some(2), "{bad}");
    }
    // A signature that was altered is found with the secrets alone: no public key speaks of it.
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    let place = lines.iter().position(|line| line.starts_with("{\"entry\"")).expect("an entry");
    let at_mac = lines[place].find("\"mac\":\"").expect("a signature") + 7;
    let digit = if lines[place].as_bytes()[at_mac] == b'0' { "1" } else { "0" };
    lines[place].replace_range(at_mac..=at_mac, digit);
    std::fs::write(at("altered.jsonl"), lines.concat()).expect("writes");
    assert_eq!(with("altered.jsonl", "1 = \"file:ledger\"").0, Some(1));
}

#[test]
fn a_page_is_verified_offline_with_the_proofs_on_it() {
    let world = World::on_postgres("");
    let keys = asked(&world, 5);
    let args = ["query", "--tenant", "acme", "--action", "request.decided", "--limit", "3", "--proofs"];
    // An answer is recorded twice where its end came later, so the newest record may be newer than the checkpoint.
    let page = eventually("the page is covered", || {
        let (code, page, complaint) = run(&world, &args);
        assert_eq!(code, Some(0), "{complaint}");
        let page: Value = serde_json::from_str(&page).expect("JSON");
        list(&page["items"]).iter().all(|item| item["proof"].is_string()).then_some(page)
    });
    assert_eq!(list(&page["items"]).len(), 3);
    let file = world.program.site.path("page.json");
    let check = |page: &Value, keys: &[String]| {
        std::fs::write(&file, page.to_string()).expect("writes");
        verify(&file, keys)
    };
    let (code, said) = check(&page, &keys);
    assert!(code == Some(0) && said.starts_with("proven: 3 entries"), "{said}");
    let altered = |alter: &dyn Fn(&mut Value)| {
        let mut page = page.clone();
        alter(&mut page);
        check(&page, &keys)
    };
    let (code, said) = altered(&|page| page["items"][1]["event"]["outcome"] = json!("denied"));
    assert!(code == Some(1) && said.contains("item 2, entry "), "{said}");
    let (code, said) = altered(&|page| page["items"][0]["sequence"] = json!("1"));
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = altered(&|page| page["items"][0]["proof"] = Value::Null);
    assert!(code == Some(1) && said.contains("covers it, and it has no proof"), "{said}");
    let (code, said) = altered(&|page| {
        page["items"][0]["proof"] = Value::Null;
        page["checkpoints"] = json!([]);
    });
    assert!(code == Some(2) && said.contains("1 of 3 entries are newer"), "{said}");
    assert_eq!(altered(&|page| page["items"] = Value::Null).0, Some(2));
    let stranger = World::start();
    assert_eq!(check(&page, &asked(&stranger, 1)).0, Some(3));
}

#[test]
fn a_log_is_fetched_as_tiles_and_verified_offline() {
    let world = World::on_postgres("");
    let keys = asked(&world, 300);
    written(&world, &["export", "--format", "tiles"], "logs");
    let logs = world.program.site.path("logs");
    let (code, said) = verify(&logs, &keys);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("proven: the log ").count(), keys.len(), "{said}");
    assert!(said.contains("/standard\n  entries 1 to "), "{said}");
    let standard = logs.join("standard");
    let (code, said) = verify(&standard, &keys);
    assert!(code == Some(0) && said.matches("proven").count() == 1, "{said}");
    let file = |name: &str| standard.join(name);
    let with = |name: &str, alter: &dyn Fn(&Path)| {
        let before = std::fs::read(file(name)).expect("reads");
        alter(&file(name));
        let found = verify(&standard, &keys);
        std::fs::write(file(name), before).expect("writes");
        found
    };
    let flip = |place: usize| {
        move |path: &Path| {
            let mut bytes = std::fs::read(path).expect("reads");
            bytes[place] ^= 1;
            std::fs::write(path, bytes).expect("writes");
        }
    };
    let (code, said) = with("tile/0/000", &flip(40));
    assert!(code == Some(1) && said.contains("entry 2\n"), "{said}");
    assert_eq!(with("tile/entries/000", &flip(300)).0, Some(1));
    assert_eq!(with("checkpoint", &flip(60)).0, Some(1));
    let remove = |path: &Path| std::fs::remove_file(path).expect("removes");
    let (code, said) = with("tile/0/000", &remove);
    assert!(code == Some(2) && said.contains("`tile/0/000` is missing"), "{said}");
    let (code, said) = with("tile/entries/000", &remove);
    assert!(code == Some(0) && said.contains("of those before only the hashes are here"), "{said}");
    assert_eq!(with("checkpoint", &remove).0, Some(2));
    let stranger = World::start();
    assert_eq!(verify(&standard, &asked(&stranger, 1)).0, Some(3));
    let mac_keys = command(["audit", "verify"])
        .arg(&standard)
        .args(["--verifier-key", &keys[0], "--mac-keys"])
        .arg(world.program.site.path("ledger"))
        .output()
        .expect("runs");
    assert_eq!(mac_keys.status.code(), Some(2), "there are no signatures of entries in a log");
}

#[test]
fn the_chains_of_a_store_are_verified_without_a_server() {
    let server = PostgresServer::start();
    let mut world = World::at(|routes| Site::on_own_postgres(&server, "backend = \"postgres\"", &routes));
    asked(&world, 6);
    world.program.terminate();
    assert!(world.program.ended().success());
    let config = world.program.site.path("stanchion.toml");
    let verify = |args: &[&str]| {
        let mut command = command(["audit", "verify", "--store"]);
        let output = command.arg(&config).args(args).output().expect("runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = verify(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("intact: platform/security: entries 1 to "), "{said}");
    assert!(said.contains(&format!("intact: {}/standard: entries 1 to ", world.acme)), "{said}");
    let (code, said) = verify(&["--tenant", "acme"]);
    assert!(code == Some(0) && !said.contains("platform"), "{said}");
    assert_eq!(verify(&["--tenant", "nobody"]).0, Some(1));

    let key = world.program.site.path("ledger");
    std::fs::write(world.program.site.path("second"), "m".repeat(32)).expect("writes");
    let text = std::fs::read_to_string(&config).expect("reads");
    std::fs::write(&config, text.replace("{ 1 = \"file:ledger\" }", "{ 2 = \"file:second\" }"))
        .expect("writes");
    // Checkpoints are signed with the same secrets here, so that none of the keys that are left has signed the chain's.
    let (code, said) = verify(&["--tenant", "acme"]);
    assert!(matches!(code, Some(1 | 3)) && said.contains("broken: "), "{said}");
    std::fs::write(&config, text).expect("writes");
    assert!(key.exists());

    server.unpack_entries();
    server.run(
        "UPDATE stanchion.audit_entry SET mac = decode(repeat('00', 32), 'hex') WHERE class = 3 AND seq = 4
         AND scope_id <> '00000000-0000-0000-0000-000000000000';",
    );
    let (code, said) = verify(&[]);
    assert_eq!(code, Some(1), "{said}");
    let broken = format!("broken: {}/standard is broken at entry 4: its signature is wrong", world.acme);
    assert!(said.contains(&broken), "{said}");
    assert!(said.contains("intact: platform/security"), "the others are told too: {said}");
}

#[test]
fn reported_events_are_checked_by_the_schema_of_their_action() {
    let directory = tempfile::tempdir().expect("a directory");
    let schema = |name: &str, least: u64| {
        let file = directory.path().join(name);
        let amount = json!({"type": "integer", "minimum": least});
        let details = json!({"type": "object", "required": ["amount"], "properties": {"amount": amount}});
        let schema = json!({"properties": {"targets": {"minItems": 1}, "details": details}});
        std::fs::write(&file, schema.to_string()).expect("writes");
        file.display().to_string()
    };
    let (first, second) = (schema("1.json", 0), schema("2.json", 10));
    let world = World::with(
        "",
        &format!(
            "[audit]\nunknown_actions = \"refuse\"\n[[audit.actions]]\naction = \"invoice.approved\"\n\
             category = \"billing\"\ntitle = \"An invoice was approved\"\n\
             schemas = [{{ version = 1, file = \"{first}\" }}, {{ version = 2, file = \"{second}\" }}]\n"
        ),
    );
    let report = |body: Value| {
        let mut event = json!({"action": "invoice.approved", "outcome": "success", "targets": ["invoice/7"]});
        let fields = event.as_object_mut().expect("an object");
        fields.extend(body.as_object().expect("an object").clone());
        let answer = world.admin("POST", &format!("/v1/audit/events?tenant={}", world.acme), &event);
        (answer.status(), answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(report(json!({"details": {"amount": 12}})).0, 201);
    let (status, detail) = report(json!({"details": {"amount": 7}}));
    assert_eq!(status, 400);
    assert!(detail.starts_with("field `details.amount`: 7 is less than the minimum of 10"), "{detail}");
    assert_eq!(report(json!({"details": {"amount": 7}, "schema_version": 1})).0, 201);
    let (status, detail) = report(json!({"details": {"amount": 12}, "targets": []}));
    assert!(status == 400 && detail.contains("field `targets`"), "{detail}");
    let (status, detail) = report(json!({"schema_version": 3}));
    assert!(status == 400 && detail.contains("there is 1, 2"), "{detail}");
    let (status, detail) = report(json!({"details": {"amount": 12, "schema_version": 1}}));
    assert!(status == 400 && detail.contains("details.schema_version"), "{detail}");
    let (status, detail) = report(json!({"action": "invoice.paid", "category": "billing"}));
    assert!(status == 400 && detail.contains("no known action"), "{detail}");

    let found = world.get(&format!("/v1/audit/events?tenant={}&action=invoice.*", world.acme));
    let versions: Vec<&Value> =
        list(&found["items"]).iter().map(|entry| &entry["event"]["details"]["schema_version"]).collect();
    assert_eq!(versions, [&json!(1), &json!(2)]);
    let (code, said, _) = run(&world, &["actions", "--tenant", "acme", "--output", "json"]);
    assert_eq!(code, Some(0));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let known = list(&said["items"]).iter().find(|known| known["action"] == "invoice.approved");
    let known = known.expect("the action");
    assert_eq!((&known["class"], &known["origin"]), (&json!("standard"), &json!("reported")));
    assert_eq!(known["schemas"][1]["schema"]["properties"]["details"]["properties"]["amount"]["minimum"], 10);
    // Others may report nothing that has no name in the registry either.
    let denied = ask(world.program.admin, "GET", "/v1/audit/actions", &[], b"");
    assert_eq!(denied.status(), 401);
}

#[test]
fn an_export_is_made_into_a_file_and_what_became_of_it_is_told_after_a_restart() {
    let mut world = World::on_postgres("[audit.exports]\ndirectory = \"exports\"\nper_tenant = 2\n");
    let keys = asked(&world, 300);
    let globex = world.tenant("globex");
    let exports = format!("/v1/audit/exports?tenant={}", world.acme);
    let start = |world: &World| {
        let answer = world.admin("POST", &format!("{exports}&format=ocsf"), &Value::Null);
        assert_eq!(answer.status(), 202, "{}", answer.json());
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let at = |id: &str| format!("/v1/audit/exports/{id}?tenant={}", world.acme);
    let id = start(&world);
    let done = eventually("the export is made", || {
        let job = world.get(&at(&id));
        assert_ne!(job["state"], "failed", "{job}");
        (job["state"] == "done").then_some(job)
    });
    assert_eq!(done["total"], done["entries"]);
    assert!(done["entries"].as_str().and_then(|text| text.parse::<u64>().ok()).expect("a number") >= 300);
    let content = format!("/v1/audit/exports/{id}/content?tenant={}", world.acme);
    let file = world.admin("GET", &content, &Value::Null);
    assert_eq!(
        (file.status(), file.body.len().to_string()),
        (200, done["bytes"].as_str().expect("text").to_owned())
    );
    let path = world.program.site.path("made.jsonl");
    std::fs::write(&path, &file.body).expect("writes");
    let (code, said) = verify(&path, &keys);
    assert_eq!(code, Some(0), "{said}");
    // Not another tenant's, and not more than may be.
    let theirs = world.admin("GET", &format!("/v1/audit/exports/{id}?tenant={globex}"), &Value::Null);
    assert_eq!(theirs.status(), 404);
    let second = start(&world);
    let third = world.admin("POST", &exports, &Value::Null);
    assert_eq!(third.status(), 409, "{}", third.json());
    assert_eq!(world.admin("DELETE", &at(&second), &Value::Null).status(), 204);
    assert_eq!(world.admin("GET", &at(&second), &Value::Null).status(), 404);

    // As if it had been killed in the middle: what it has kept of the second says so.
    let kept = world.program.site.path("exports").join(format!("{id}.json"));
    let mut record: Value = serde_json::from_slice(&std::fs::read(&kept).expect("reads")).expect("JSON");
    world.program.kill_at_once();
    world.program.ended();
    record["id"] = json!(second);
    record["state"] = json!("running");
    record["ended_at"] = Value::Null;
    std::fs::write(kept.with_file_name(format!("{second}.json")), record.to_string()).expect("writes");
    std::fs::write(kept.with_file_name(format!("{second}.partial")), "{").expect("writes");
    world.program = Program::run(&world.program.site.clone());
    let failed = world.get(&at(&second));
    assert_eq!(
        (&failed["state"], failed["reason"].as_str().expect("text").contains("its process ended")),
        (&json!("failed"), true)
    );
    assert!(!kept.with_file_name(format!("{second}.partial")).exists());
    assert_eq!(world.get(&at(&id))["state"], "done");
    assert_eq!(world.admin("GET", &content, &Value::Null).body, file.body);
    assert_eq!(world.admin("DELETE", &at(&second), &Value::Null).status(), 204);

    // The exports themselves are recorded, in a chain that there was none of before.
    let keys = verifier_keys(&world, &world.acme, 300);
    let text = written(&world, &["export", "--job"], "by-job.jsonl");
    assert!(
        text.starts_with("{\"manifest\"")
            && verify(&world.program.site.path("by-job.jsonl"), &keys).0 == Some(0)
    );
    let left = list(&world.get(&exports)["items"]).len();
    assert_eq!(left, 1, "the command has removed its own");
}
