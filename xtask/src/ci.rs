//! `cargo xtask ci`: what a change must pass, in the order that fails soonest.

use std::time::Duration;

use cargo_metadata::{Package, TargetKind};

use crate::cargo::{self, Workspace};
use crate::{Outcome, test, tidy};

type Step = (&'static str, fn(&Workspace) -> Outcome);

const STEPS: [Step; 6] = [
    ("fmt", fmt),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("test", all_tests),
    ("doc", doc),
    ("alone", alone),
];

pub(crate) fn run(workspace: &Workspace) -> Outcome {
    let done = run_steps(&STEPS, workspace)?;
    println!("\n== ci passed ==");
    for (name, elapsed) in done {
        println!("{name:<8} {:>7.1} s", elapsed.as_secs_f64());
    }
    Ok(())
}

fn run_steps(steps: &[Step], workspace: &Workspace) -> Result<Vec<(&'static str, Duration)>, String> {
    let mut done = Vec::new();
    for &(name, step) in steps {
        println!("\n== {name} ==");
        let (outcome, elapsed) = cargo::timed(|| step(workspace));
        let seconds = elapsed.as_secs_f64();
        outcome.map_err(|reason| format!("{reason}\n\n== ci stopped at {name} after {seconds:.1} s =="))?;
        println!("== {name}: ok, {seconds:.1} s ==");
        done.push((name, elapsed));
    }
    Ok(done)
}

fn fmt(workspace: &Workspace) -> Outcome {
    cargo::run(&mut workspace.cargo(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Outcome {
    let args =
        ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    cargo::run(&mut workspace.cargo(args))
}

fn all_tests(workspace: &Workspace) -> Outcome {
    test::run(workspace, &[], &[])
}

fn doc(workspace: &Workspace) -> Outcome {
    let args = ["doc", "--quiet", "--workspace", "--no-deps", "--all-features"];
    cargo::run(workspace.cargo(args).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Checks each library by itself, so that no feature leans on what another crate switched on.
fn alone(workspace: &Workspace) -> Outcome {
    for (_, package) in workspace.crates() {
        if cargo::has_target(package, &TargetKind::Lib) {
            for features in selections(package) {
                let mut check =
                    workspace.cargo(["check", "--quiet", "-p", &package.name, "--no-default-features"]);
                cargo::run(check.args(features))?;
            }
        }
    }
    Ok(())
}

/// No feature, then each feature singly; `default` is the sum of others.
fn selections(package: &Package) -> Vec<Vec<String>> {
    let singly = package.features.keys().filter(|feature| *feature != "default");
    let singly = singly.map(|feature| vec!["--features".to_owned(), feature.clone()]);
    [Vec::new()].into_iter().chain(singly).collect()
}
