//! What the audit ledger proves to others: offline, over the death of a process, and against whoever can write to the database.

use serde_json::Value;
use stanchion_audit::tree::verify_consistency;
use stanchion_audit::{TreeHead, VerifierKey};

use crate::harness::{PostgresServer, Program, Site, World, command, eventually};

/// Returns the latest checkpoint of acme's chain of decisions that covers at least so many entries, opened, and its key.
fn checkpoint(world: &World, size: u64) -> (TreeHead, VerifierKey) {
    eventually("a checkpoint covers what was recorded", || {
        let found = world.get(&format!("/v1/audit/checkpoints?tenant={}", world.acme));
        let items = found["items"].as_array().expect("a list");
        let is_standard =
            |item: &&Value| item["chain"].as_str().is_some_and(|chain| chain.ends_with("/standard"));
        let item = items.iter().find(is_standard)?;
        let key: VerifierKey = item["verifier_keys"][0].as_str()?.parse().expect("a verifier key");
        let note = item["note"].as_str().expect("a note");
        let head = TreeHead::open(note, std::slice::from_ref(&key)).expect("a note that its key signed");
        (head.size >= size).then_some((head, key))
    })
}

fn ask_for_reports(world: &World, count: usize) {
    for _ in 0..count {
        assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    }
}

#[test]
fn an_event_is_proven_offline_and_an_altered_proof_is_not() {
    let world = World::start();
    ask_for_reports(&world, 3);
    let (_, key) = checkpoint(&world, 3);
    let events = world.get(&format!("/v1/audit/events?tenant={}&action=request.decided&limit=1", world.acme));
    let event = events["items"][0]["event"]["id"].as_str().expect("an id").to_owned();
    let server = format!("http://{}", world.program.admin);
    let run = |args: &[&str]| {
        let mut command = command(args);
        let output =
            command.env("STANCHION_SERVER", &server).env("STANCHION_KEY", &world.program.key).output();
        let output = output.expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    // An answer is recorded twice where its end came later, so the newest record may be newer than the checkpoint.
    let proof = eventually("the event is covered", || {
        let (code, proof, _) = run(&["audit", "prove", &event, "--tenant", "acme"]);
        (code == Some(0)).then_some(proof)
    });
    let at = |name: &str| world.program.site.path(name);
    std::fs::write(at("good"), &proof).expect("writes");
    std::fs::write(at("altered"), proof.replacen("extra ey", "extra ez", 1)).expect("writes");
    std::fs::write(at("none"), "nothing").expect("writes");
    let verify = |name: &str, key: &str| {
        let mut command = command(["audit", "verify"]);
        let output = command.arg(at(name)).arg("--verifier-key").arg(key).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = verify("good", &key.to_string());
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("proven: request.decided success by user:alice at ") && said.contains(&event),
        "{said}"
    );
    assert_eq!(verify("altered", &key.to_string()).0, Some(1));
    assert_eq!(verify("none", &key.to_string()).0, Some(2));
    let stranger = World::start();
    ask_for_reports(&stranger, 1);
    let (_, other) = checkpoint(&stranger, 1);
    assert_eq!(verify("good", &other.to_string()).0, Some(3));
}

#[test]
fn a_log_is_proven_to_have_only_grown_although_its_process_was_killed() {
    let mut world = World::on_postgres("");
    ask_for_reports(&world, 5);
    let (mut known, key) = checkpoint(&world, 5);
    for _ in 0..3 {
        ask_for_reports(&world, 5);
        world.program.kill_at_once();
        world.program = Program::run(&world.program.site.clone());
        ask_for_reports(&world, 1);
        let (head, same_key) = checkpoint(&world, known.size + 1);
        assert_eq!(same_key, key);
        let proof = world.get(&format!(
            "/v1/audit/proofs/consistency?tenant={}&class=standard&from={}",
            world.acme, known.size
        ));
        let note = proof["checkpoint"]["note"].as_str().expect("a note");
        let now = TreeHead::open(note, std::slice::from_ref(&key)).expect("a note that its key signed");
        assert!(now.size >= head.size);
        let hashes = proof["hashes"].as_array().expect("a list").iter();
        let hashes: Vec<_> =
            hashes.map(|hash| hash.as_str().expect("text").parse().expect("a hash")).collect();
        assert_eq!(verify_consistency((known.size, &known.root), (now.size, &now.root), &hashes), Ok(()));
        known = now;
    }
    world.verified();
}

/// Somebody who owns the database cuts a chain's end off, together with its head: entries that remain still verify.
#[test]
fn an_end_that_was_cut_off_with_its_head_is_missed() {
    let server = PostgresServer::start();
    let mut world = World::at(|routes| Site::on_own_postgres(&server, "backend = \"postgres\"", &routes));
    ask_for_reports(&world, 6);
    checkpoint(&world, 6);
    world.program.terminate();
    assert!(world.program.ended().success());
    server.unpack_entries();
    server.run(
        "DELETE FROM stanchion.audit_entry WHERE class = 3 AND seq > 3 AND scope_id <> '00000000-0000-0000-0000-000000000000';
         UPDATE stanchion.audit_head AS h SET seq = e.seq, link = e.link, recorded_at = e.recorded_at
         FROM stanchion.audit_entry AS e
         WHERE e.scope_id = h.scope_id AND e.class = h.class AND e.class = 3 AND e.seq = 3
           AND e.scope_id <> '00000000-0000-0000-0000-000000000000';",
    );
    world.program = Program::run(&world.program.site.clone());
    let (signed_for, _) = checkpoint(&world, 6);
    let found = world.get(&format!("/v1/audit/verification?tenant={}", world.acme));
    assert_eq!(found["intact"], false, "{found}");
    assert_eq!(found["first_break"]["sequence"], "4");
    assert_eq!(found["first_break"]["detail"], "it is missing");
    // It is told without anybody asking, as soon as the chain is added to, and nothing is signed over it.
    ask_for_reports(&world, 1);
    let told = eventually("the break is recorded", || {
        let target = format!("/v1/audit/events?tenant={}&action=audit.chain_broken", world.acme);
        world.get(&target)["items"].as_array()?.first().cloned()
    });
    assert_eq!(told["event"]["severity"], "critical");
    assert_eq!(told["event"]["details"]["class"], "standard");
    assert_eq!(checkpoint(&world, 1).0, signed_for);
}
