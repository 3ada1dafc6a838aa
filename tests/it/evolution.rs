//! Signing keys that evolve: the root is needed once, and verifies everything.

use std::time::Duration;

use stanchion_core::{Clock as _, SystemClock};

use crate::harness::{Program, Site, World, command, eventually};

#[test]
fn a_server_goes_on_without_the_root_and_who_holds_it_verifies_what_was_signed() {
    let since = SystemClock.now().minus(Duration::from_secs(90));
    let settings = format!(
        "[audit.checkpoint_keys]\n1 = \"file:pepper\"\n[audit.protection_keys]\n1 = \"file:pepper\"\n\
         [audit.evolve]\nstate = \"signing.state\"\nsince = \"{since}\"\nevery_seconds = 60\ngrace_seconds = 1\n"
    );
    let mut world = World::at(|routes| Site::on_postgres("", &format!("{routes}{settings}")));
    let rotated = |world: &World| {
        let found = world.get("/v1/audit/events?tenant=platform&action=audit.key_rotated");
        found["items"].as_array().filter(|items| !items.is_empty()).cloned()
    };
    let told = eventually("the step is recorded", || rotated(&world));
    let first = told.last().expect("a step");
    assert_eq!(first["event"]["details"]["from"], 1, "{first}");
    let site = world.program.site.clone();
    let state = || std::fs::read_to_string(site.path("signing.state")).expect("reads");
    eventually("the key before is destroyed", || (!state().contains("v1 1 1 ")).then_some(()));
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    world.program.terminate();
    assert!(world.program.ended().success());

    // The root leaves: the state alone leads on.
    let config = std::fs::read_to_string(site.path("stanchion.toml")).expect("reads");
    let without = config.replace("signing_keys = { 1 = \"file:ledger\" }", "");
    assert_ne!(config, without);
    std::fs::write(site.path("stanchion.toml"), without).expect("writes");
    std::fs::rename(site.path("ledger"), site.path("escrow")).expect("moves");
    world.program = Program::run(&site);
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    assert_eq!(world.get("/v1/audit/verification?tenant=platform")["intact"], true);
    let steps = rotated(&world).expect("steps");
    let from: Vec<_> = steps.iter().map(|step| step["event"]["details"]["from"].clone()).collect();
    assert_eq!(from.iter().filter(|from| **from == 1).count(), 1, "{from:?}");

    // Who holds the root verifies each signature.
    let server = format!("http://{}", world.program.admin);
    let checkpoints = world.get("/v1/audit/checkpoints?tenant=platform");
    let bundle = site.path("platform.jsonl");
    let mut export = command(["audit", "export", "--tenant", "platform", "--out"]);
    let export =
        export.arg(&bundle).env("STANCHION_SERVER", &server).env("STANCHION_KEY", &world.program.key);
    assert!(export.output().expect("runs").status.success());
    let verify = |keys: &str| {
        std::fs::write(site.path("keys.toml"), keys).expect("writes");
        let mut command = command(["audit", "verify"]);
        command.arg(&bundle).arg("--mac-keys").arg(site.path("keys.toml"));
        for item in checkpoints["items"].as_array().expect("a list") {
            command.arg("--verifier-key").arg(item["verifier_keys"][0].as_str().expect("a key"));
        }
        let output = command.output().expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = verify("evolves = true\n1 = \"file:escrow\"\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the signature of each entry is right"), "{said}");
    assert_eq!(verify("1 = \"file:escrow\"\n").0, Some(3));
    assert_eq!(verify("evolves = true\n1 = \"file:pepper\"\n").0, Some(1));
}
