use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::eventually;

/// A Redis of a test's own, to be killed, paused and emptied. It keeps nothing on disk, and ends when it is dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    program: String,
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        let program = std::env::var("STANCHION_TEST_REDIS_BIN");
        let program = program.expect("STANCHION_TEST_REDIS_BIN: run `cargo xtask test`");
        let directory = tempfile::tempdir().expect("a directory");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut server = Self { program, directory, port, child: None };
        server.up();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it where it was, with nothing in it.
    pub(crate) fn up(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        command.arg(self.port.to_string()).arg("--dir").arg(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("starts"));
        eventually("Redis is up", || {
            let mut child = self.child.take().expect("was started");
            assert_eq!(child.try_wait().expect("a child"), None, "it ended");
            self.child = Some(child);
            self.ask("PING").map(drop)
        });
    }

    /// Ends it as a crash does.
    pub(crate) fn down(&mut self) {
        let mut child = self.child.take().expect("is up");
        child.kill().expect("a signal");
        child.wait().expect("ends");
    }

    /// Leaves its connections open and answers none.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Forgets everything.
    pub(crate) fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL").as_deref(), Some("+OK"));
    }

    /// How many connections were made to it since it started, this look's not counted.
    pub(crate) fn connections(&self) -> u64 {
        let said = self.ask("INFO stats").expect("an answer");
        let made = said.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        made.and_then(|made| made.trim().parse::<u64>().ok()).expect("a number") - 1
    }

    /// Says a command on a connection of its own; `None` when it is not there.
    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut stream = BufReader::new(stream);
        let mut first = String::new();
        stream.read_line(&mut first).ok()?;
        let first = first.trim_end().to_owned();
        let Some(length) = first.strip_prefix('$') else { return Some(first) };
        let mut rest = vec![0; length.parse().ok()?];
        stream.read_exact(&mut rest).ok()?;
        String::from_utf8(rest).ok()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("is up");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already, which is as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
