//! `cargo xtask test`: every test of the workspace, against the real program.

use std::fs;
use std::process::Command;

use cargo_metadata::Message;
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};

use crate::cargo::{self, Workspace};
use crate::matrix::Matrix;
use crate::ports::Ports;
use crate::services::Services;
use crate::{Outcome, source};

pub(crate) fn run(workspace: &Workspace, args: &[String], harness: &[String]) -> Outcome {
    let sources = source::load(workspace.root())?;
    let program = build_program(workspace, false)?;
    let services = Services::for_tests(workspace)?;
    let mut report = Report::new(Ports::find(&sources));
    let mut tests = command(workspace, args, harness);
    tests.env("STANCHION_BIN", program).envs(services.variables.iter().map(|(name, value)| (name, value)));
    let outcome = cargo::stream(&mut tests, |line| report.read(line));

    let mut problems = report.problems();
    if args.is_empty() && harness.is_empty() {
        println!("\n{}", report.matrix);
        problems.extend(report.matrix.problems());
    } else {
        println!("\na narrowed run: the conformance matrix was not checked");
    }
    println!("{} passed, {} failed, {} ignored", report.passed, report.failed.len(), report.ignored.len());
    problems.extend(outcome.err());
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn command(workspace: &Workspace, args: &[String], harness: &[String]) -> Command {
    let mut command = workspace.cargo(["test", "--all-features", "--no-fail-fast"]);
    // `--workspace` would override a selection of packages.
    if !args.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package")) {
        command.arg("--workspace");
    }
    command.args(args);
    if !harness.is_empty() {
        command.arg("--").args(harness);
    }
    command
}

/// Builds the program as users build it and keeps it under a name of its own: the test build, with
/// all features, replaces cargo's copy.
pub(crate) fn build_program(workspace: &Workspace, release: bool) -> Result<Utf8PathBuf, String> {
    let args = ["build", "-p", "stanchion-server", "--bin", "stanchion"];
    let mut build = workspace.cargo(args.into_iter().chain(release.then_some("--release")));
    let mut built = None;
    cargo::capture(build.arg("--message-format=json-render-diagnostics"), |line| {
        if let Some(Ok(Message::CompilerArtifact(artifact))) = Message::parse_stream(line.as_bytes()).next()
            && artifact.target.name == "stanchion"
        {
            built = artifact.executable.or(built.take());
        }
    })?;
    let built = built.ok_or("cargo built no program named stanchion")?;
    let directory = workspace.metadata.target_directory.join("xtask");
    keep(&built, &directory).map_err(|error| format!("cannot keep {built} in {directory}: {error}"))
}

fn keep(built: &Utf8Path, directory: &Utf8Path) -> std::io::Result<Utf8PathBuf> {
    fs::create_dir_all(directory)?;
    let kept = directory.join(built.file_name().unwrap_or("stanchion"));
    if kept.exists() {
        fs::remove_file(&kept)?;
    }
    if fs::hard_link(built, &kept).is_err() {
        fs::copy(built, &kept)?;
    }
    Ok(kept)
}

/// What the output of a test run says.
#[derive(Debug)]
struct Report {
    passed: usize,
    failed: Vec<String>,
    ignored: Vec<String>,
    matrix: Matrix,
}

impl Report {
    fn new(ports: Ports) -> Self {
        Self { passed: 0, failed: Vec::new(), ignored: Vec::new(), matrix: Matrix::new(ports) }
    }

    /// Takes a line such as `test memory_role_store::lost_update ... ok`.
    fn read(&mut self, line: &str) {
        let Some((name, result)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        else {
            return;
        };
        let passed = result.starts_with("ok");
        if passed {
            self.passed += 1;
        } else if result.starts_with("ignored") {
            self.ignored.push(name.to_owned());
        } else {
            self.failed.push(name.to_owned());
        }
        self.matrix.record(name, passed);
    }

    fn problems(&self) -> Vec<String> {
        let failed = self.failed.iter().map(|name| format!("test failed: {name}"));
        let ignored = self.ignored.iter().map(|name| format!("test ignored: {name}; run it or delete it"));
        failed.chain(ignored).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn report(lines: &[&str]) -> Report {
        let text = "pub trait RoleStore {} impl RoleStore for MemoryRoleStore {}";
        let mut report = Report::new(Ports::find(&[Source::new("crates/rbac/src/store.rs", text)]));
        lines.iter().for_each(|line| report.read(line));
        report
    }

    #[test]
    fn reads_what_the_harness_prints() {
        let report = report(&[
            "running 5 tests",
            "test engine::tests::allows ... ok",
            "test engine::tests::panics - should panic ... ok",
            "test crates/rbac/src/lib.rs - (line 9) ... ok",
            "test engine::tests::denies ... FAILED",
            "test slow ... ignored, takes long",
            "test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
        ]);
        assert_eq!(report.passed, 3);
        assert_eq!(
            report.problems(),
            ["test failed: engine::tests::denies", "test ignored: slow; run it or delete it"]
        );
    }

    #[test]
    fn feeds_the_matrix() {
        let report = report(&["test memory_role_store::lost_update ... ok"]);
        assert_eq!(report.matrix.problems(), [""; 0]);
    }
}
