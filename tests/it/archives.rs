//! Archives, retention and legal holds of a server: what is archived verifies offline, and what is held stays.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Client, World, command, eventually};

const ARCHIVE: &str = "[audit.archive]\ndirectory = \"archive\"\n\
                       [audit.retention]\nstandards = [\"pci_dss\"]\ninterval_seconds = 3600\n";

fn run(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let mut command = command(["audit"]);
    let command = command.args(args).env("STANCHION_SERVER", format!("http://{}", world.program.admin));
    let output = command.env("STANCHION_KEY", &world.program.key).output().expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Verifies an archive offline: no server is told, and none could be reached.
fn verify(directory: &Path, keys: &[String]) -> (Option<i32>, String) {
    let mut command = command(["audit", "verify"]);
    command.arg(directory).env("STANCHION_SERVER", "http://127.0.0.1:1");
    for key in keys {
        command.arg("--verifier-key").arg(key);
    }
    let output = command.output().expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn verifier_keys(world: &World) -> Vec<String> {
    let found = world.get(&format!("/v1/audit/checkpoints?tenant={}", world.acme));
    let items = found["items"].as_array().expect("a list");
    items.iter().map(|item| item["verifier_keys"][0].as_str().expect("a key").to_owned()).collect()
}

fn kept(world: &World) -> Value {
    let found = world.get(&format!("/v1/audit/retention?tenant={}", world.acme));
    let items = found["items"].as_array().expect("a list");
    let standard = format!("{}/standard", world.acme);
    items.iter().find(|item| item["chain"] == standard.as_str()).cloned().unwrap_or_default()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(directory).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_full_object_is_archived_and_verifies_offline_and_what_was_done_to_it_is_told() {
    let world = World::on_postgres(ARCHIVE);
    // An object has 4,096.
    let mut client = Client::connect(world.gateway());
    let fields = [("x-api-key", world.alice.secret.as_str())];
    for _ in 0..4_100 {
        assert_eq!(client.ask("GET", "/reports/echo", &fields, b"").status(), 200);
    }
    let head = |kept: &Value| kept["head"].as_str().and_then(|head| head.parse::<u64>().ok());
    eventually("all are recorded", || head(&kept(&world)).filter(|head| *head >= 4_100));
    let archived = eventually("an object is archived", || {
        let (code, said) = run(&world, &["archive"]);
        assert_eq!(code, Some(0), "{said}");
        Some(kept(&world)).filter(|kept| kept["archived"] == "4096")
    });
    assert_eq!((&archived["kept_days"], &archived["held"]), (&json!(366), &json!(false)));
    let (code, said) = run(&world, &["retention", "--tenant", "acme"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("4096"), "{said}");
    let target = format!("/v1/audit/events?tenant={}&action=audit.archived", world.acme);
    eventually("it is recorded", || {
        (world.get(&target)["items"][0]["event"]["details"]["last"] == 4_096).then_some(())
    });

    let directory = world.program.site.path("archive");
    let keys = verifier_keys(&world);
    let (code, said) = verify(&directory, &keys);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("proven: 4096 archived entries") && said.contains("entries 1 to 4096 of"),
        "{said}"
    );

    let copy = world.program.site.path("copy");
    let all = files(&directory);
    let copied = |path: &Path| copy.join(path.strip_prefix(&directory).expect("below"));
    for path in &all {
        fs::create_dir_all(copied(path).parent().expect("a parent")).expect("makes");
        fs::write(copied(path), fs::read(path).expect("reads")).expect("writes");
    }
    let object =
        all.iter().find(|path| path.extension().is_some_and(|kind| kind == "zst")).expect("an object");
    let bytes = fs::read(object).expect("reads");
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(copied(object), flipped).expect("writes");
    let (code, said) = verify(&copy, &keys);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(".jsonl.zst`"), "{said}");
    fs::write(copied(object), &bytes[..middle]).expect("writes");
    let (code, said) = verify(&copy, &keys);
    assert_eq!(code, Some(2), "{said}");
    fs::remove_file(copied(object)).expect("removes");
    let (code, said) = verify(&copy, &keys);
    assert!(code == Some(2) && said.contains("entry 1: it is missing"), "{said}");
    let other = World::start();
    assert_eq!(other.ask("GET", "/reports/echo").status(), 200);
    let keys =
        eventually("the other has keys", || Some(verifier_keys(&other)).filter(|keys| !keys.is_empty()));
    assert_eq!(verify(&directory, &keys).0, Some(3));
}

#[test]
fn a_hold_is_placed_and_lifted_by_the_platform_and_both_are_on_record() {
    let world = World::on_postgres(ARCHIVE);
    let scope = world.acme.clone();
    let (code, said) =
        run(&world, &["hold", "put", "--scope", &scope, "--reason", "Smith v. Acme", "--class", "standard"]);
    assert_eq!(code, Some(0), "{said}");
    let holds = || world.get(&format!("/v1/audit/holds?scope={scope}"))["items"].clone();
    let placed = holds();
    assert_eq!((&placed[0]["stands"], &placed[0]["reason"]), (&json!(true), &json!("Smith v. Acme")));
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    eventually("the chain is held", || (kept(&world)["held"] == true).then_some(()));
    let id = placed[0]["id"].as_str().expect("an id").to_owned();
    let (code, said) = run(&world, &["hold", "lift", &id, "--scope", &scope]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((&holds()[0]["stands"], holds().as_array().map(Vec::len)), (&json!(false), Some(1)));
    assert_eq!(kept(&world)["held"], false);
    for action in ["audit.hold_placed", "audit.hold_lifted"] {
        let told = world.get(&format!("/v1/audit/events?tenant=platform&action={action}"));
        assert_eq!(told["items"][0]["event"]["details"]["hold"], id.as_str(), "{action}");
    }
    // A tenant, with whatever rights of its own, does not come near.
    let boss = world.user(&world.acme, "user:boss");
    let body = json!({"scope": scope, "reason": "mine"}).to_string();
    let fields = [("x-api-key", boss.secret.as_str()), ("content-type", "application/json")];
    let refused =
        crate::harness::ask(world.program.admin, "POST", "/v1/audit/holds", &fields, body.as_bytes());
    assert_eq!(refused.status(), 403);
}
