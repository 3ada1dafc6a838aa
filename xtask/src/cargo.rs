//! The workspace as cargo describes it, and child processes.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

use crate::Outcome;

/// The workspace the command was started in.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) metadata: Metadata,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self, String> {
        let metadata = MetadataCommand::new().exec().map_err(|error| error.to_string())?;
        Ok(Self { metadata })
    }

    pub(crate) fn root(&self) -> &Utf8Path {
        &self.metadata.workspace_root
    }

    /// The packages under `crates/`, each with its directory name, in order.
    pub(crate) fn crates(&self) -> Vec<(&str, &Package)> {
        let mut crates: Vec<_> = self
            .metadata
            .workspace_packages()
            .into_iter()
            .filter_map(|package| {
                let directory = package.manifest_path.strip_prefix(self.root()).ok()?.parent()?;
                Some((directory.strip_prefix("crates").ok()?.as_str(), package))
            })
            .collect();
        crates.sort_by_key(|(directory, _)| *directory);
        crates
    }

    /// A cargo command at the workspace root, without the variables that `cargo run` gave this
    /// program: build scripts that watch them would rebuild.
    pub(crate) fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("cargo");
        command.args(args).current_dir(self.root()).stdin(Stdio::null());
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(name);
            }
        }
        if in_ci() {
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    }
}

pub(crate) fn has_target(package: &Package, kind: &TargetKind) -> bool {
    package.targets.iter().any(|target| target.kind.contains(kind))
}

/// Runs a command to its end; its output is the user's.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let line = announce(command);
    let status = command.status().map_err(|error| format!("`{line}` did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})")) }
}

/// Runs a command to its end, passing every line of its standard output on and showing it to `on_line`.
pub(crate) fn stream(command: &mut Command, mut on_line: impl FnMut(&str)) -> Outcome {
    capture(command, |line| {
        on_line(line);
        println!("{line}");
    })
}

/// Runs a command to its end and shows every line of its standard output to `on_line` alone.
pub(crate) fn capture(command: &mut Command, mut on_line: impl FnMut(&str)) -> Outcome {
    let line = announce(command);
    let broken = |error: io::Error| format!("`{line}` did not run: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(broken)?;
    if let Some(output) = child.stdout.take() {
        for bytes in BufReader::new(output).split(b'\n') {
            on_line(&String::from_utf8_lossy(&bytes.map_err(broken)?));
        }
    }
    let status = child.wait().map_err(broken)?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})")) }
}

fn announce(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    println!("$ {line}");
    // The child writes to the same terminal: what was said before must be there before.
    let _ = io::stdout().flush();
    line
}

/// Whether this is a continuous-integration machine.
#[expect(clippy::disallowed_methods, reason = "`CI` is how such machines say so")]
fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Runs `work` and says how long it took.
#[expect(clippy::disallowed_methods, reason = "tells a person how long a step took")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
