//! Development tasks of the workspace, run as `cargo xtask <task>`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task speaks to the person who runs it")]

mod bench;
mod cargo;
mod ci;
mod matrix;
mod ports;
mod services;
mod source;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cargo::Workspace;

/// What a task ends with: the reason is one or more lines for the reader.
type Outcome = Result<(), String>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Development tasks of the workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs everything a change must pass: fmt, tidy, clippy, test, doc, each crate alone
    Ci,
    /// Runs all tests of the workspace and checks the conformance matrix
    ///
    /// With arguments the run is narrowed and the matrix is not checked.
    Test {
        /// What `cargo test` takes: a filter, `-p <package>`, `--test <name>`
        #[arg(allow_hyphen_values = true, num_args = 0..)]
        args: Vec<String>,
        /// What the test harness takes
        #[arg(last = true)]
        harness: Vec<String>,
    },
    /// Starts or ends the servers that tests run against, for development
    ///
    /// `eval "$(cargo xtask services up)"` tells the shell where they are.
    #[command(subcommand)]
    Services(ServicesTask),
    /// Checks layers, manifests, sources, conformance suites and documents
    Tidy,
    /// Puts the same questions to us and to peers, in a workspace of their own that takes minutes to build
    Peers,
    /// Runs the benchmarks of an area and ends with one `BENCH` line per figure
    Bench {
        /// A crate with benchmarks, by its directory (`ratelimit`), or `all`
        area: String,
        /// Compares with floors only and keeps repetitions few
        #[arg(long)]
        quick: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ServicesTask {
    /// Starts Postgres, Redis and a Redis Cluster, if they are not up, and prints where they are
    Up,
    /// Ends them
    Down,
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let outcome = Workspace::load().and_then(|workspace| match task {
        Task::Ci => ci::run(&workspace),
        Task::Test { args, harness } => test::run(&workspace, &args, &harness),
        Task::Services(ServicesTask::Up) => services::up(&workspace),
        Task::Services(ServicesTask::Down) => services::down(&workspace),
        Task::Tidy => tidy::run(&workspace),
        Task::Peers => bench::answer_as_peers(&workspace),
        Task::Bench { area, quick } => bench::run(&workspace, &area, quick),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
