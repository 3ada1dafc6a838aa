//! What is exported of the audit ledger: a file that proves itself to who has nothing but public keys.

use std::path::Path;

use serde_json::Value;

use crate::harness::{World, command, eventually};

/// Returns the verifier keys of a tenant's chains once they hold at least so many entries and each covers all of its own.
pub(crate) fn verifier_keys(world: &World, tenant: &str, entries: u64) -> Vec<String> {
    let covered = eventually("checkpoints cover what was recorded", || {
        let found = world.get(&format!("/v1/audit/checkpoints?tenant={tenant}"));
        let verified = world.get(&format!("/v1/audit/verification?tenant={tenant}"));
        let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).expect("a number");
        let sizes: Vec<u64> = list(&found["items"]).iter().map(|item| number(&item["size"])).collect();
        let heads: Vec<u64> =
            list(&verified["chains"]).iter().map(|chain| number(&chain["head"]["sequence"])).collect();
        (sizes == heads && sizes.iter().sum::<u64>() >= entries).then_some(found)
    });
    let key = |item: &Value| item["verifier_keys"][0].as_str().expect("a key").to_owned();
    list(&covered["items"]).iter().map(key).collect()
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

pub(crate) fn run(world: &World, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(["audit"]);
    let command = command.args(args).env("STANCHION_SERVER", format!("http://{}", world.program.admin));
    let output = command.env("STANCHION_KEY", &world.program.key).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Verifies a file offline: no server is told, and none could be reached.
pub(crate) fn verify(path: &Path, keys: &[String]) -> (Option<i32>, String) {
    let mut command = command(["audit", "verify"]);
    command.arg(path).env("STANCHION_SERVER", "http://127.0.0.1:1");
    for key in keys {
        command.arg("--verifier-key").arg(key);
    }
    let output = command.output().expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn an_export_is_verified_offline_and_what_was_done_to_it_is_told() {
    let world = World::on_postgres("");
    let globex = world.tenant("globex");
    world.user(&globex, "user:bob");
    for _ in 0..300 {
        assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    }
    let keys = verifier_keys(&world, &world.acme, 300);
    let (whole, some) = (world.program.site.path("whole.jsonl"), world.program.site.path("some.jsonl"));
    let path = |path: &Path| path.to_str().expect("text").to_owned();
    let (code, said, complaint) = run(&world, &["export", "--tenant", "acme", "--out", &path(&whole)]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{said}");
    let (code, said) = verify(&whole, &keys);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("proven: ") && said.contains("/standard: entries 1 to "), "{said}");
    let text = std::fs::read_to_string(&whole).expect("reads");
    assert!(text.lines().count() > 300);
    assert!(!text.contains(&globex), "nothing of another tenant");

    let args = ["export", "--tenant", "acme", "--action", "request.decided", "--out", &path(&some)];
    assert_eq!(run(&world, &args).0, Some(0));
    let (code, said) = verify(&some, &keys);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("that no other matches is not proven"), "{said}");

    let other = world.program.site.path("other.jsonl");
    let write = |text: &str| std::fs::write(&other, text).expect("writes");
    write(&text.replacen("user:alice", "user:alicf", 1));
    let (code, said) = verify(&other, &keys);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("entry ") && said.contains(&world.acme), "{said}");
    write(text.get(..text.len() / 2).expect("ASCII"));
    assert_eq!(verify(&other, &keys).0, Some(2));
    let gone = text.lines().enumerate().filter(|(line, _)| *line != 20);
    write(&gone.map(|(_, line)| format!("{line}\n")).collect::<String>());
    assert_eq!(verify(&other, &keys).0, Some(2));
    assert_eq!(verify(&whole, &verifier_keys(&world, &globex, 1)).0, Some(3));

    // Whose entries were read can see that they were.
    let target = format!("/v1/audit/events?tenant={}&action=audit.exported", world.acme);
    let told = eventually("the exports are recorded", || {
        let found = world.get(&target);
        (list(&found["items"]).len() == 2).then_some(found)
    });
    assert_eq!(told["items"][0]["event"]["details"]["query"]["action"], "request.decided");
    assert_eq!(told["items"][0]["event"]["outcome"], "success");
}

#[test]
fn an_export_for_people_says_that_it_proves_nothing() {
    let world = World::start();
    let recorded = format!("/v1/audit/events?tenant={}&action=request.decided", world.acme);
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    eventually("the request is recorded", || {
        (!list(&world.get(&recorded)["items"]).is_empty()).then_some(())
    });
    verifier_keys(&world, &world.acme, 1);
    let file = world.program.site.path("people.csv");
    let path = file.to_str().expect("text");
    let (code, said, _) = run(&world, &["export", "--tenant", "acme", "--format", "csv", "--out", path]);
    assert_eq!(code, Some(0));
    assert!(said.contains("proves nothing"), "{said}");
    let text = std::fs::read_to_string(&file).expect("reads");
    assert!(text.starts_with("chain,sequence,recorded_at,") && text.contains(",request.decided,"), "{text}");
    let (code, _, complaint) =
        run(&world, &["export", "--tenant", "acme", "--outcome", "x", "--out", "none"]);
    assert_eq!(code, Some(2), "{complaint}");
    assert!(!Path::new("none").exists());
}
