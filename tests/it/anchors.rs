//! Checkpoints outside the database: what shows that its owner took back more than the database can tell of.

use std::path::Path;

use crate::export::{list, run, verifier_keys};
use crate::harness::{PostgresServer, Program, Site, World, command, eventually};

const ANCHORS: &str = "
[audit.anchors]
files = [\"anchors.jsonl\"]
directories = [\"anchored\"]

[audit.anchors.publish]
interval_seconds = 1
";

/// Somebody who owns the database cuts the platform's log off, together with its head, its tree, its checkpoint and what searches look
/// at. What is left is intact in itself.
#[test]
fn an_end_that_was_cut_off_with_all_that_tells_of_it_is_missed_by_an_anchor() {
    let server = PostgresServer::start();
    let mut world = World::at(|routes| {
        Site::on_own_postgres(&server, "backend = \"postgres\"", &format!("{routes}{ANCHORS}"))
    });
    let anchored = world.program.site.path("anchors.jsonl");
    eventually("a checkpoint is anchored", || {
        std::fs::metadata(&anchored).ok().filter(|file| file.len() > 0)
    });
    world.program.terminate();
    assert!(world.program.ended().success());
    let lines = std::fs::read_to_string(&anchored).expect("reads");
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON");
    assert!(last["size"].as_u64().expect("a number") > 3, "the stop is anchored, too: {last}");
    server.unpack_entries();
    server.run(
        "DELETE FROM stanchion.audit_entry WHERE class = 1 AND seq > 3 AND scope_id = '00000000-0000-0000-0000-000000000000';
         UPDATE stanchion.audit_head AS h SET seq = e.seq, link = e.link, recorded_at = e.recorded_at
         FROM stanchion.audit_entry AS e
         WHERE e.scope_id = h.scope_id AND e.class = h.class AND e.class = 1 AND e.seq = 3
           AND e.scope_id = '00000000-0000-0000-0000-000000000000';
         DELETE FROM stanchion.audit_checkpoint WHERE class = 1 AND scope_id = '00000000-0000-0000-0000-000000000000';
         DELETE FROM stanchion.audit_tile WHERE class = 1 AND scope_id = '00000000-0000-0000-0000-000000000000';
         DELETE FROM stanchion.audit_id WHERE class = 1 AND seq > 3 AND scope_id = '00000000-0000-0000-0000-000000000000';
         DELETE FROM stanchion.audit_search WHERE class = 1 AND seq > 3 AND scope_id = '00000000-0000-0000-0000-000000000000';
         UPDATE stanchion.audit_cursor SET seq = 3 WHERE class = 1 AND seq > 3 AND scope_id = '00000000-0000-0000-0000-000000000000';",
    );
    // Offline, whatever the database says of itself: the store, or an export that was made of it.
    let config = world.program.site.path("stanchion.toml");
    let mut command = command(["audit", "verify", "--store"]);
    let offline = command
        .arg(&config)
        .args(["--tenant", "platform", "--anchors"])
        .arg(&anchored)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&offline.stdout).into_owned();
    assert_eq!(offline.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&offline.stderr));
    assert!(
        said.contains("/platform/security: absent: ") || said.contains("/platform/security: rolled back: "),
        "{said}"
    );
    world.program = Program::run(&world.program.site.clone());
    let told = eventually("the conflict is recorded", || {
        let found = world.get("/v1/audit/events?tenant=platform&action=audit.anchor_conflict");
        found["items"].as_array()?.first().cloned()
    });
    assert_eq!(told["event"]["severity"], "critical");
    let found = world.get("/v1/audit/verification?tenant=platform");
    assert_eq!(found["intact"], false, "{found}");
    assert_eq!(found["first_break"]["detail"], "it is not what was anchored elsewhere");
}

/// Verifies offline with what was published: code and words.
fn compared(world: &World, what: &[&Path], keys: &[String], anchors: &Path) -> (Option<i32>, String) {
    let mut command = command(["audit", "verify"]);
    if what.is_empty() {
        command.arg("--store").arg(world.program.site.path("stanchion.toml"));
    }
    command.args(what).arg("--anchors").arg(anchors);
    for key in keys {
        command.arg("--verifier-key").arg(key);
    }
    let output = command.output().expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Somebody who owns the database and the keys takes a tenant's log away, and has the server sign for another one. What the database and the
/// keys say of it is right, and nobody published it; the platform's log, which tells its checkpoints, was.
#[test]
fn a_tenant_s_log_that_was_signed_anew_or_taken_away_is_missed_by_the_platform_s_anchor() {
    let server = PostgresServer::start();
    let told_soon = "[audit.checkpoints]\nrecord_seconds = 1\n";
    let mut world = World::at(|routes| {
        let rest = format!("{routes}{ANCHORS}{told_soon}");
        Site::on_own_postgres(&server, "backend = \"postgres\"", &rest)
    });
    let ask = |world: &World, count: u64| {
        for _ in 0..count {
            assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
        }
        verifier_keys(world, &world.acme, count)
    };
    let keys_of = |world: &World, tenant: &str| -> Vec<String> {
        let found = world.get(&format!("/v1/audit/checkpoints?tenant={tenant}"));
        let key = |item: &serde_json::Value| item["verifier_keys"][0].as_str().expect("a key").to_owned();
        list(&found["items"]).iter().map(key).collect()
    };
    ask(&world, 6);
    // Exports are recorded as well, in chains that there were none of before.
    let keys = |world: &World| [keys_of(world, &world.acme), keys_of(world, "platform")].concat();
    let at = |name: &str| world.program.site.path(name);
    let (published, anchors) = (at("anchors.jsonl"), at("kept.jsonl"));
    let (platform, acme) = (at("platform.jsonl"), at("acme.jsonl"));
    let export = |world: &World, tenant: &str, out: &Path| {
        let out = out.to_str().expect("text");
        let (code, said, complaint) = run(world, &["export", "--tenant", tenant, "--out", out]);
        assert_eq!(code, Some(0), "{said}{complaint}");
    };
    let as_told = format!("{}/standard: as ", world.acme);
    let said = eventually("what the platform tells of acme is anchored", || {
        std::fs::copy(&published, &anchors).ok().filter(|bytes| *bytes > 0)?;
        export(&world, "platform", &platform);
        export(&world, "acme", &acme);
        let (code, said) = compared(&world, &[&acme, &platform], &keys(&world), &anchors);
        assert!(matches!(code, Some(0 | 2)), "{code:?}: {said}");
        (code == Some(0) && said.contains(&as_told)).then_some(said)
    });
    assert!(said.contains("the platform's log, as far as it was published, tells of "), "{said}");
    let alone = compared(&world, &[&acme], &keys(&world), &anchors);
    assert_eq!(alone.0, Some(2), "nothing was published of it: {}", alone.1);
    let (code, said) = compared(&world, &[], &[], &anchors);
    assert!(code == Some(0) && said.contains(&as_told), "{said}");

    let gone = |world: &World| {
        let tables = [
            "audit_entry",
            "audit_head",
            "audit_checkpoint",
            "audit_tile",
            "audit_id",
            "audit_search",
            "audit_cursor",
        ];
        let delete =
            |table| format!("DELETE FROM stanchion.{table} WHERE class = 3 AND scope_id = '{}';", world.acme);
        server.run(&tables.map(delete).concat());
    };
    world.program.terminate();
    assert!(world.program.ended().success());
    gone(&world);
    let (code, said) = compared(&world, &[], &[], &anchors);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("{}/standard: absent: ", world.acme)), "{said}");
    assert!(said.contains("published in entry ") && said.contains("kept.jsonl, line "), "{said}");

    world.program = Program::run(&world.program.site.clone());
    ask(&world, 12);
    let (code, said) = compared(&world, &[], &[], &anchors);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("{}/standard: forked: ", world.acme)), "{said}");
    export(&world, "acme", &acme);
    let (code, said) = compared(&world, &[&acme, &platform], &keys(&world), &anchors);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(": forked: ") && said.contains("proven: "), "it is intact in itself: {said}");
}
