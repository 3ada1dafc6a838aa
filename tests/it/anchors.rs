//! Checkpoints outside the database: what shows that its owner took back more than the database can tell of.

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
