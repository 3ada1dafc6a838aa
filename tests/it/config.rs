//! Configurations, good and broken, as an operator meets them.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use crate::harness::command;

const ROUTE: &str = "[[upstreams]]\nid = \"s\"\nendpoints = [\"http://127.0.0.1:9\"]\n\
                     [[routes]]\nid = \"r\"\npath = \"/\"\nupstream = \"s\"\n";

fn run(subcommand: &str, config: &str, variables: &[(&str, &str)]) -> (Output, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("stanchion.toml");
    fs::write(&path, config).expect("writes");
    let mut command = command([subcommand, "--config", "stanchion.toml"]);
    let output =
        command.current_dir(directory.path()).envs(variables.iter().copied()).output().expect("runs");
    let stderr = String::from_utf8(output.stderr.clone()).expect("text");
    (output, stderr)
}

#[test]
fn a_good_configuration_is_summed_up() {
    let (output, stderr) = run("check", ROUTE, &[]);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let stdout = String::from_utf8(output.stdout).expect("text");
    assert_eq!(stdout, "stanchion.toml: ok, 1 route, 1 upstream, 0 limits, 0 meters\n");
}

#[test]
fn every_problem_is_told_with_file_and_line() {
    let long = "x".repeat(300);
    for (added, line, names) in [
        ("[gateway]\nlisten = \"nowhere\"", 9, "listen"),
        ("[gateway]\nlissten = \"127.0.0.1:0\"", 9, "lissten"),
        ("[gateway]\nmax_headers = 0", 9, "max_headers"),
        ("[gateway]\nmax_headers = \"many\"", 9, "max_headers"),
        ("[gateway]\nrate_limit_headers = [\"draft10\", \"pull166\"]", 9, "the same fields"),
        ("[gateway]\nrate_limit_headers = [\"ietf\"]", 9, "`draft10`"),
        ("[ratelimit.load]\nlatency_ms = 0", 9, "latency_ms"),
        ("[ratelimit]\nnear_limit_percent = 101", 9, "near_limit_percent"),
        ("[gatewy]\n", 8, "gatewy"),
        ("[[routes]]\nid = \"r\"\npath = \"/x\"\nupstream = \"s\"", 9, "`r`"),
        ("[[routes]]\nid = \"q\"\npath = \"x\"\nupstream = \"s\"", 10, "path"),
        ("[[routes]]\nid = \"q\"\npath = \"/x\"\nupstream = \"none\"", 11, "none"),
        ("[[routes]]\nid = \"q\"\npath = \"/x\"\nupstream = \"s\"\nmeters = [{ meter = \"m\" }]", 12, "`m`"),
        ("[[upstreams]]\nid = \"t\"\nendpoints = [\"https://x\"]", 10, "https"),
        ("[[limits]]\nid = \"l\"\nkey = [\"tenant\"]\nlimit = 1\nwindow = \"1 minute\"", 12, "window"),
        ("[[limits]]\nid = \"l\"\nkey = [\"shoe\"]\nlimit = 1\nwindow = \"1m\"", 10, "shoe"),
        ("[identity.peppers]\n1 = \"hunter2\"", 9, "env:NAME"),
        ("[identity.peppers]\n1 = \"env:NOT_SET_ANYWHERE\"", 9, "NOT_SET_ANYWHERE"),
        ("[log]\nlevel = \"loud=very\"", 9, "level"),
        ("this is no TOML", 8, "TOML"),
        (&format!("[[upstreams]]\nid = \"{long}\"\nendpoints = []"), 9, "id"),
    ] {
        let config = format!("{ROUTE}{added}\n");
        for subcommand in ["check", "serve"] {
            let (output, stderr) = run(subcommand, &config, &[]);
            assert_eq!(output.status.code(), Some(2), "{subcommand} {added:?}: {stderr}");
            let place = format!("stanchion.toml:{line}");
            let told = stderr.lines().any(|told| told.contains(&place) && told.contains(names));
            assert!(told, "{subcommand} {added:?}: no line with {place} and {names}:\n{stderr}");
            assert!(!stderr.contains("hunter2") && !stderr.contains("panicked"), "{stderr}");
        }
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let config =
        format!("[gateway]\nmax_headers = 0\n[log]\nlevel = \"\"\n{ROUTE}\n[[limits]]\nid = \"l\"\n");
    let (output, stderr) = run("check", &config, &[]);
    assert_eq!(output.status.code(), Some(2));
    for line in [2, 4, 13] {
        assert!(stderr.contains(&format!("stanchion.toml:{line}")), "{line}: {stderr}");
    }
}

#[test]
fn a_variable_overrides_and_is_named_when_it_is_wrong() {
    let (output, stderr) = run("check", ROUTE, &[("STANCHION__ROUTES__0__TIMEOUT_MS", "soon")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("STANCHION__ROUTES__0__TIMEOUT_MS"), "{stderr}");
    let (output, stderr) = run(
        "check",
        &format!("{ROUTE}[gateway]\nmax_headers = 0\n"),
        &[("STANCHION__GATEWAY__MAX_HEADERS", "50")],
    );
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    for subcommand in ["check", "serve"] {
        let output = command([subcommand, "--config", "no/such/file.toml"]).output().expect("runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/file.toml"));
    }
}

#[test]
fn a_port_that_is_taken_is_said_so_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    for (section, other) in [("gateway", "admin"), ("admin", "gateway")] {
        let config =
            format!("{ROUTE}[{section}]\nlisten = \"{address}\"\n[{other}]\nlisten = \"127.0.0.1:0\"\n");
        let (output, stderr) = run("serve", &config, &[]);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        let variable = format!("STANCHION__{}__LISTEN", section.to_uppercase());
        assert!(stderr.contains(&address.to_string()) && stderr.contains(&variable), "{stderr}");
    }
}
