use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::process::send;
use super::{POSTGRES, POSTGRES_BIN, REDIS, REDIS_BIN, REDIS_CLUSTER};
use crate::Outcome;
use crate::cargo::Workspace;

const VARIABLES: [&str; 5] = [POSTGRES, POSTGRES_BIN, REDIS, REDIS_CLUSTER, REDIS_BIN];

/// What `services up` leaves in the target directory, so that `test` and `down` find the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pids: Vec<u32>,
    directory: PathBuf,
    variables: Vec<(String, String)>,
}

impl State {
    pub(super) fn new(
        pids: Vec<u32>,
        directory: Option<PathBuf>,
        variables: Vec<(&'static str, String)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { pids, directory: directory.unwrap_or_default(), variables }
    }

    fn path(workspace: &Workspace) -> PathBuf {
        workspace.metadata.target_directory.join("xtask/services").into_std_path_buf()
    }

    pub(super) fn read(workspace: &Workspace) -> Option<Self> {
        Self::parse(&fs::read_to_string(Self::path(workspace)).ok()?)
    }

    pub(super) fn write(&self, workspace: &Workspace) -> Outcome {
        let path = Self::path(workspace);
        let written =
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, self.text()));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn text(&self) -> String {
        let mut text = format!("directory {}\n", self.directory.display());
        for pid in &self.pids {
            let _ = writeln!(text, "pid {pid}");
        }
        for (name, value) in &self.variables {
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut state = Self::default();
        for line in text.lines() {
            let (name, value) = line.split_once(' ')?;
            match name {
                "directory" => state.directory = value.into(),
                "pid" => state.pids.push(value.parse().ok()?),
                _ => state.variables.push((name.to_owned(), value.to_owned())),
            }
        }
        Some(state)
    }

    /// Tells whether all of them still run; a number may have been given to another program meanwhile.
    pub(super) fn is_alive(&self) -> bool {
        !self.pids.is_empty() && self.pids.iter().all(|pid| self.is_ours(*pid))
    }

    fn is_ours(&self, pid: u32) -> bool {
        let directory = self.directory.to_string_lossy().into_owned();
        let started_with = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Redis writes its own title, and is known by where it works.
        let works_in = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        String::from_utf8_lossy(&started_with).contains(&directory) || works_in.starts_with(&self.directory)
    }

    pub(super) fn known(&self) -> Vec<(&'static str, String)> {
        let value =
            |name: &str| self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        VARIABLES.into_iter().filter_map(|name| Some((name, value(name)?.clone()))).collect()
    }

    /// What a shell is to be told.
    pub(super) fn exports(&self) -> String {
        self.variables.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect()
    }

    pub(super) fn end(&self, workspace: &Workspace) -> Outcome {
        let ours: Vec<u32> = self.pids.iter().copied().filter(|pid| self.is_ours(*pid)).collect();
        // Postgres stops at once on QUIT, Redis on TERM; each ignores nothing else in between.
        for pid in &ours {
            let title = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            send(*pid, if title.starts_with("postgres") { Signal::QUIT } else { Signal::TERM });
        }
        for _ in 0..1_000 {
            if !ours.iter().any(|pid| self.is_ours(*pid)) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let stubborn: Vec<u32> = ours.iter().copied().filter(|pid| self.is_ours(*pid)).collect();
        if !stubborn.is_empty() {
            return Err(format!("these servers do not end: {stubborn:?}"));
        }
        if self
            .directory
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("stanchion-services-"))
        {
            let _ = fs::remove_dir_all(&self.directory);
        }
        let path = Self::path(workspace);
        fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{} servers ended", ours.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_tells_a_shell() {
        let variables = vec![(REDIS, "redis://127.0.0.1:7001".to_owned())];
        let state = State::new(vec![7, 8], Some("/tmp/x y".into()), variables);
        assert_eq!(State::parse(&state.text()), Some(state.clone()));
        assert_eq!(state.exports(), "export STANCHION_TEST_REDIS='redis://127.0.0.1:7001'\n");
        assert_eq!(State::parse("pid seven\n"), None);
    }

    #[test]
    fn a_number_that_another_program_has_is_not_ours() {
        let state =
            State::new(vec![std::process::id()], Some("/nowhere/stanchion-services-x".into()), Vec::new());
        assert!(!state.is_alive());
        assert!(!State::default().is_alive());
    }
}
