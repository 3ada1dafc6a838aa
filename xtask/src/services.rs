//! The servers that tests run against: Postgres, Redis, and a Redis Cluster of three nodes.
//!
//! `cargo xtask test` starts its own, on free ports of the loopback, and ends them with itself. `cargo xtask services up` leaves
//! them running for development.

mod find;
mod postgres;
mod process;
mod redis;
mod state;

use std::env;
use std::path::PathBuf;

use crate::Outcome;
use crate::cargo::{self, Workspace};
use process::Process;
use state::State;

/// Where tests look for a server, by the names of variables.
pub(crate) const POSTGRES: &str = "STANCHION_TEST_POSTGRES";
pub(crate) const REDIS: &str = "STANCHION_TEST_REDIS";
pub(crate) const REDIS_CLUSTER: &str = "STANCHION_TEST_REDIS_CLUSTER";
/// Where tests find programs for servers of their own, which they stop and kill.
pub(crate) const POSTGRES_BIN: &str = "STANCHION_TEST_POSTGRES_BIN";
pub(crate) const REDIS_BIN: &str = "STANCHION_TEST_REDIS_BIN";

/// Running servers. Those that were started here end when this is dropped.
#[derive(Debug)]
pub(crate) struct Services {
    /// What the tests' environment says of them.
    pub(crate) variables: Vec<(&'static str, String)>,
    processes: Vec<Process>,
    directory: Option<tempfile::TempDir>,
}

/// Whether servers end with the task that started them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Task,
    Beyond,
}

impl Services {
    /// Returns servers for a run of tests: those that the environment names, else those that were left up, else new ones.
    pub(crate) fn for_tests(workspace: &Workspace) -> Result<Self, String> {
        if let Some(state) = State::read(workspace).filter(State::is_alive) {
            return Ok(Self { variables: state.known(), processes: Vec::new(), directory: None });
        }
        let (services, elapsed) = cargo::timed(|| Self::start(Life::Task));
        let services = services?;
        println!("servers for the tests are up after {:.1} s", elapsed.as_secs_f64());
        Ok(services)
    }

    fn start(life: Life) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix("stanchion-services-").tempdir();
        let directory = directory.map_err(|error| format!("no directory for servers: {error}"))?;
        let path = directory.path().to_owned();
        let mut services = Self { variables: Vec::new(), processes: Vec::new(), directory: Some(directory) };
        process::open_to_all(&path)?;

        let binaries = find::postgres()?;
        match given(POSTGRES) {
            Some(url) => services.variables.push((POSTGRES, url)),
            None => {
                let (process, url) = postgres::start(&binaries, &path.join("postgres"), life)?;
                services.processes.push(process);
                services.variables.push((POSTGRES, url));
            }
        }
        services.variables.push((POSTGRES_BIN, text(&binaries)));

        let server = find::redis()?;
        match given(REDIS) {
            Some(url) => services.variables.push((REDIS, url)),
            None => {
                let (process, port) = redis::start(&server, &path.join("redis"), life)?;
                services.processes.push(process);
                services.variables.push((REDIS, redis::url(port)));
            }
        }
        match given(REDIS_CLUSTER) {
            Some(urls) => services.variables.push((REDIS_CLUSTER, urls)),
            None => {
                let (nodes, urls) = redis::start_cluster(&server, &path.join("cluster"), life)?;
                services.processes.extend(nodes);
                services.variables.push((REDIS_CLUSTER, urls));
            }
        }
        services.variables.push((REDIS_BIN, text(&server)));
        Ok(services)
    }

    /// Leaves the servers running, and returns where they are and who they are.
    fn leave(mut self) -> (Vec<u32>, Option<PathBuf>, Vec<(&'static str, String)>) {
        let pids = self.processes.drain(..).map(Process::leave).collect();
        let directory = self.directory.take().map(tempfile::TempDir::keep);
        (pids, directory, std::mem::take(&mut self.variables))
    }
}

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "servers that somebody brings along are named by the environment"
)]
fn given(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Starts servers for development, or finds that they are up, and prints what a shell has to know of them.
pub(crate) fn up(workspace: &Workspace) -> Outcome {
    let state = match State::read(workspace).filter(State::is_alive) {
        Some(state) => state,
        None => {
            let (pids, directory, variables) = Services::start(Life::Beyond)?.leave();
            let state = State::new(pids, directory, variables);
            state.write(workspace)?;
            state
        }
    };
    print!("{}", state.exports());
    Ok(())
}

/// Ends the servers that `up` has started.
pub(crate) fn down(workspace: &Workspace) -> Outcome {
    match State::read(workspace) {
        Some(state) => state.end(workspace),
        None => {
            println!("no servers are up");
            Ok(())
        }
    }
}
