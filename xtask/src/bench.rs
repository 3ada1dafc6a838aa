//! `cargo xtask bench`: runs benchmarks and gathers their figures.
//!
//! A benchmark is a plain program (`harness = false`) that prints, per figure,
//! `BENCH area.figure value=… unit=… peer=… peer_value=… ratio=…`.

use std::process::Command;

use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{MetadataCommand, Package, Target, TargetKind};

use crate::cargo::{self, Workspace};
use crate::services::Services;
use crate::{Outcome, test};

/// Comparisons with peers, a workspace of its own.
const PEERS: &str = "tests/peers/Cargo.toml";

pub(crate) fn run(workspace: &Workspace, area: &str, quick: bool) -> Outcome {
    let mut commands = Vec::new();
    let mut needs_services = false;
    for (directory, package) in workspace.crates() {
        // An adapter's benchmark bears the name of the area it is about.
        let chosen = |bench: &&Target| area == "all" || area == directory || area == bench.name;
        let chosen: Vec<_> = benches(package).filter(chosen).collect();
        needs_services |=
            !chosen.is_empty() && package.metadata.pointer("/stanchion/services") == Some(&true.into());
        commands.extend(chosen.into_iter().map(|bench| of_crate(workspace, package, bench, quick)));
    }
    // Benchmarks of the program itself, as it is released, on the tests' servers.
    let whole = workspace
        .metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| package.name == "stanchion-tests");
    let of_program: Vec<_> =
        whole.flat_map(|package| benches(package).map(move |bench| (package, bench))).collect();
    let of_program = of_program.into_iter().filter(|(_, bench)| area == "all" || area == bench.name);
    let of_program: Vec<_> = of_program.collect();
    needs_services |= !of_program.is_empty();
    if !of_program.is_empty() {
        let program = test::build_program(workspace, true)?;
        commands.extend(of_program.iter().map(|(package, bench)| {
            let mut command = of_crate(workspace, package, bench, quick);
            command.env("STANCHION_BIN", &program);
            command
        }));
    }
    if !quick {
        commands.extend(of_peers(workspace, area)?);
    }
    if commands.is_empty() {
        let has_benches = |package| benches(package).next().is_some();
        let crates = workspace.crates().into_iter().filter(|(_, package)| has_benches(package));
        let areas = crates.map(|(directory, _)| directory).collect::<Vec<_>>().join(", ");
        return Err(format!("no benchmark for `{area}`; there is: {areas}"));
    }

    let services = needs_services.then(|| Services::for_tests(workspace)).transpose()?;
    let variables = services.as_ref().map_or(&[][..], |services| services.variables.as_slice());

    let mut figures = Vec::new();
    for mut command in commands {
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        figures.extend(figures_of(&mut command)?);
    }
    println!("\n{}", figures.join("\n"));
    Ok(())
}

fn figures_of(command: &mut Command) -> Result<Vec<String>, String> {
    let mut figures = Vec::new();
    cargo::stream(command, |line| figures.extend(line.starts_with("BENCH ").then(|| line.to_owned())))?;
    if figures.is_empty() {
        return Err("the benchmark printed no `BENCH` line".to_owned());
    }
    match figures.iter().find(|figure| !is_figure(figure)) {
        Some(bad) => Err(format!("not `BENCH area.figure value=<number> unit=<unit> …`: {bad}")),
        None => Ok(figures),
    }
}

fn is_figure(line: &str) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let named = words.next().is_some_and(|name| name.contains('.') && !name.contains('='));
    let fields: Vec<_> = words.filter_map(|word| word.split_once('=')).collect();
    let text = |key| fields.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let is_number = |value: &str| value.parse::<f64>().is_ok_and(f64::is_finite);
    let numbers = ["peer_value", "ratio"].into_iter().filter_map(text);
    named
        && text("unit").is_some()
        && text("value").is_some_and(is_number)
        && numbers.into_iter().all(is_number)
}

fn benches(package: &Package) -> impl Iterator<Item = &Target> {
    package.targets.iter().filter(|target| target.kind.contains(&TargetKind::Bench))
}

fn of_crate(workspace: &Workspace, package: &Package, bench: &Target, quick: bool) -> Command {
    let mut command = workspace.cargo(["bench", "--quiet", "-p", &package.name, "--bench", &bench.name]);
    if !bench.required_features.is_empty() {
        command.args(["--features", &bench.required_features.join(",")]);
    }
    if quick {
        command.args(["--", "--quick"]);
    }
    command
}

/// Runs the tests that compare answers, built as the benchmarks are, so that both share what takes long to build.
pub(crate) fn answer_as_peers(workspace: &Workspace) -> Outcome {
    let args = ["test", "--release", "--manifest-path", PEERS, "--tests", "--target-dir"];
    cargo::run(workspace.cargo(args).arg(directory_of_peers(workspace)))
}

fn directory_of_peers(workspace: &Workspace) -> Utf8PathBuf {
    workspace.metadata.target_directory.join("peers")
}

/// The comparisons of an area: the benchmarks that bear its name.
fn of_peers(workspace: &Workspace, area: &str) -> Result<Vec<Command>, String> {
    let manifest = workspace.root().join(PEERS);
    if !manifest.is_file() {
        return Ok(Vec::new());
    }
    let metadata =
        MetadataCommand::new().manifest_path(manifest).no_deps().exec().map_err(|error| error.to_string())?;
    let targets = metadata.packages.iter().flat_map(benches);
    let chosen = targets.filter(|bench| area == "all" || area == bench.name);
    let directory = directory_of_peers(workspace);
    let args = |bench: &Target| {
        let args = ["bench", "--quiet", "--manifest-path", PEERS, "--bench", &bench.name, "--target-dir"];
        let mut command = workspace.cargo(args);
        command.arg(&directory);
        command
    };
    Ok(chosen.map(args).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_a_name_a_number_and_a_unit() {
        let full = "BENCH rbac.check value=87.5 unit=ns peer=floor peer_value=60 ratio=1.46";
        assert!(is_figure(full));
        assert!(is_figure("BENCH gateway.added_p50 value=1e2 unit=us"));
        for bad in [
            "BENCH check value=1 unit=ns",
            "BENCH rbac.check unit=ns",
            "BENCH rbac.check value=fast unit=ns",
            "BENCH rbac.check value=NaN unit=ns",
            "BENCH rbac.check value=1",
            "BENCH rbac.check value=1 unit=ns ratio=",
        ] {
            assert!(!is_figure(bad), "{bad}");
        }
    }
}
