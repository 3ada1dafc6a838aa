use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{ask, eventually};

/// The program with arguments, in an environment without overrides.
pub(crate) fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let program = std::env::var_os("STANCHION_BIN")
        .expect("STANCHION_BIN names the program: run `cargo xtask test`, which builds it");
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STANCHION")) {
        command.env_remove(name);
    }
    command
}

/// A running `stanchion serve`, on ports that the system chose. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The first administrator's key.
    pub(crate) key: String,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Program {
    /// Starts the program and waits until it is ready. `gateway` are settings of `[gateway]`; `rest` is the rest of the configuration.
    pub(crate) fn start(gateway: &str, rest: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n{gateway}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\nfirst_key_file = \"key\"\n\
             [log]\nformat = \"json\"\n{rest}\n"
        );
        let path = directory.path().join("stanchion.toml");
        fs::write(&path, config).expect("writes");
        let mut command = command(["serve".as_ref(), "--config".as_ref(), path.as_os_str()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (key, directory_path) = (String::new(), directory.path().join("key"));
        let reader = Some(reader);
        let mut program =
            Self { child, gateway: nowhere, admin: nowhere, key, log, reader, _directory: directory };
        let serving = eventually("it serves", || {
            if let Some(status) = program.child.try_wait().expect("a child") {
                panic!("it ended with {status}: {:#?}", program.log());
            }
            program.logged("serving")
        });
        let address =
            |name: &str| serving[name].as_str().and_then(|text| text.parse().ok()).expect("an address");
        (program.gateway, program.admin) = (address("gateway"), address("admin"));
        program.key = fs::read_to_string(directory_path).expect("the key").trim().to_owned();
        eventually("it is ready", || (program.readiness() == 200).then_some(()));
        program
    }

    pub(crate) fn readiness(&self) -> u16 {
        ask(self.admin, "GET", "/readyz", &[], b"").status()
    }

    /// Every line of its log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds the log's line with a message.
    pub(crate) fn logged(&self, message: &str) -> Option<Value> {
        let lines = self.log();
        let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["message"] == message)
    }

    /// Asks it to end in good order.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("a signal");
    }

    /// Waits for its end; then the log is whole.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = eventually("it ends", || self.child.try_wait().expect("a child"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reads its log");
        }
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("its log: {:#?}", self.log());
        }
    }
}
