//! What people read of the command line.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

fn stanchion(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stanchion"));
    command.args(arguments).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const COMMANDS: &[&[&str]] = &[
    &[],
    &["quickstart"],
    &["serve"],
    &["check"],
    &["config"],
    &["config", "schema"],
    &["config", "reference"],
    &["errors"],
    &["tenant"],
    &["tenant", "list"],
    &["tenant", "show"],
    &["tenant", "create"],
    &["tenant", "update"],
    &["tenant", "suspend"],
    &["tenant", "resume"],
    &["key"],
    &["key", "list"],
    &["key", "show"],
    &["key", "create"],
    &["key", "rotate"],
    &["key", "revoke"],
    &["role"],
    &["role", "list"],
    &["role", "show"],
    &["role", "put"],
    &["role", "delete"],
    &["role", "presets"],
    &["role", "apply"],
    &["assign"],
    &["assign", "list"],
    &["assign", "create"],
    &["assign", "delete"],
    &["grant"],
    &["grant", "list"],
    &["grant", "put"],
    &["grant", "approve"],
    &["grant", "revoke"],
    &["deny"],
    &["deny", "list"],
    &["deny", "put"],
    &["deny", "lift"],
    &["group"],
    &["group", "list"],
    &["group", "add"],
    &["group", "remove"],
    &["separation"],
    &["separation", "list"],
    &["separation", "show"],
    &["separation", "put"],
    &["separation", "delete"],
    &["session"],
    &["session", "list"],
    &["session", "create"],
    &["session", "show"],
    &["session", "activate"],
    &["session", "drop"],
    &["session", "end"],
    &["permission"],
    &["permission", "list"],
    &["permission", "show"],
    &["permission", "validate"],
    &["access"],
    &["access", "check"],
    &["access", "explain"],
    &["access", "who-can"],
    &["access", "what-can"],
    &["access", "plan"],
    &["access", "preview"],
    &["access", "export"],
    &["access", "import"],
    &["access", "attempts"],
    &["access", "stats"],
    &["limit"],
    &["limit", "list"],
    &["limit", "show"],
    &["limit", "put"],
    &["limit", "delete"],
    &["usage"],
    &["usage", "show"],
    &["audit"],
    &["audit", "query"],
    &["audit", "tail"],
    &["audit", "actions"],
    &["audit", "export"],
    &["audit", "verify"],
];

#[test]
fn help_is_golden() {
    let mut all = String::new();
    for command in COMMANDS {
        let output = stanchion(&[*command, &["--help"]].concat());
        assert!(output.status.success());
        all.push_str(&format!(
            "$ stanchion {}\n{}\n",
            [*command, &["--help"]].concat().join(" "),
            text(&output.stdout)
        ));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn every_help_has_an_example_and_fits_a_terminal() {
    for command in COMMANDS {
        let help = text(&stanchion(&[*command, &["--help"]].concat()).stdout);
        assert!(help.contains("Example"), "{command:?}");
        let long = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{command:?}");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_explained_line_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stanchion.toml");
    std::fs::write(&path, "[gateway]\nlisten = \"here\"\n[gatway]\n").unwrap();
    let output = stanchion(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr).replace(path.to_str().unwrap(), "stanchion.toml");
    insta::assert_snapshot!(said, @r"
    stanchion: stanchion.toml has 2 problems
      stanchion.toml:2: `gateway.listen`: an address and a port are expected, such as 127.0.0.1:8080
      stanchion.toml:3: unknown key `gatway`; did you mean `gateway`?
    ");
}

#[test]
fn a_configuration_that_is_right_takes_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stanchion.toml");
    std::fs::write(&path, "[gateway]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let output = stanchion(&["check", "--config", path.to_str().unwrap()]);
    let said = text(&output.stdout).replace(path.to_str().unwrap(), "stanchion.toml");
    assert_eq!(said, "stanchion.toml: ok, 0 routes, 0 upstreams, 0 limits, 0 meters\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_cannot_be_is_told_with_its_exit_code() {
    let cases: [(&[&str], i32, &str); 5] = [
        (&["serve", "--config", "nowhere.toml"], 2, "nowhere.toml: cannot be read"),
        (
            &["serve", "--config", "x", "--storage", "sqlite"],
            2,
            "[possible values: memory, postgres, postgres+redis]",
        ),
        (&["key", "list"], 2, "the variable `STANCHION_KEY` is not set"),
        (&["key", "list", "--server", "https://example.com"], 2, "only http is spoken here"),
        (&["quickstart", "--port", "65535"], 2, "choose at most --port 65534"),
    ];
    for (arguments, code, said) in cases {
        let output = stanchion(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    let output = stanchion(&["key", "list", "--key", "stn_live_hunter2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!text(&output.stderr).contains("hunter2"), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    // Port 1 of the loopback is nobody's.
    let mut command = Command::new(env!("CARGO_BIN_EXE_stanchion"));
    command
        .args(["key", "list", "--server", "http://127.0.0.1:1"])
        .env_clear()
        .env("STANCHION_KEY", "stn_live_x");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).starts_with("stanchion: http://127.0.0.1:1 cannot be reached\n"));
}

#[test]
fn the_quickstart_keeps_its_promises_in_eighty_columns() {
    let output = stanchion(&["quickstart", "--once"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("✓ ")).count(), 7, "{said}");
    assert!(said.ends_with("\n7 of 7 promises kept\n"), "{said}");
    let long = said.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None);
    assert!(!said.contains('\u{1b}'), "no colour where nobody looks");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = stanchion(&["quickstart", "--port", &port]);
    assert_eq!(output.status.code(), Some(2));
    let said = format!(
        "stanchion: port {port} is taken\n  choose another with --port; the admin API has the one above it\n"
    );
    assert_eq!(text(&output.stderr), said);
}
