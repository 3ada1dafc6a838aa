//! The pages of the reference are what the program writes.

use std::path::{Path, PathBuf};
use std::process::Command;

use stanchion_server::config::{Config, Secrets};
use stanchion_server::{Environment, reference};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn is_current(command: &str, file: &str, written: &str) {
    let path = format!("docs/reference/{file}");
    let kept = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
    assert!(kept == written, "{path} is not current: run `cargo run -q -- {command} > {path}`");
}

#[test]
fn the_pages_are_current() {
    is_current("config reference", "config.md", &reference::config_page());
    is_current("config schema", "config.schema.json", &format!("{:#}\n", reference::config_schema()));
    is_current("errors", "errors.md", &reference::errors_page());
}

#[test]
fn the_command_writes_the_page() {
    let output = Command::new(env!("CARGO_BIN_EXE_stanchion")).arg("errors").output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), reference::errors_page());
}

#[test]
fn the_example_is_valid() {
    let path = root().join("crates/server/examples/stanchion.toml");
    let secret = "0123456789abcdef0123456789abcdef";
    let environment = [("STANCHION_PEPPER", secret), ("STANCHION_AUDIT_KEY", secret)].into_iter().collect();
    let config = Config::load(&path, &environment, Secrets::Required).unwrap();
    assert_eq!((config.routes.len(), config.limits.len(), config.metering.meters.len()), (3, 3, 2));
    let refused = Config::load(&path, &Environment::default(), Secrets::Required).unwrap_err();
    let lines: Vec<String> = refused.iter().map(|problem| problem.to_string()).collect();
    assert!(lines.iter().all(|line| line.contains("is not set")) && lines.len() == 2, "{lines:?}");
}
