use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The runtime of every measured process: the same for the floor and for us.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
}

/// A measured process: this program in another role. It ends with its owner.
pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) address: String,
    pub(crate) key: String,
}

impl Child {
    /// Starts a role, which says `ADDRESS KEY` on its first line once it listens.
    pub(crate) fn start(role: &str, upstream: &str) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut process = Command::new(program)
            .args(["--role", role, upstream])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the role starts");
        let stdout = process.stdout.take().expect("its output is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let (address, key) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        Self { process, address: address.to_owned(), key: key.to_owned() }
    }

    /// Runs a load and returns the CPU time the process spent on each of its requests, in microseconds.
    pub(crate) fn micros_per_request(&self, load: impl FnOnce() -> crate::load::Outcome) -> f64 {
        let before = self.cpu_micros();
        let outcome = load();
        (self.cpu_micros() - before) / outcome.requests
    }

    /// User and system time of all threads, from field 14 and 15 of `/proc/PID/stat`, in ticks of 10 ms.
    fn cpu_micros(&self) -> f64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("the process lives");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks = |field: usize| fields[field].parse::<f64>().expect("a number of ticks");
        (ticks(11) + ticks(12)) * 10_000.0
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The process may have ended by itself; either way it is gone afterwards.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
