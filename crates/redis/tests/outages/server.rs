use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use redis::{Client, ConnectionLike as _, FromRedisValue, RedisResult, Value};
use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::{PATIENCE, eventually_here};

/// A server of a test's own, which it may kill, pause and start again. It keeps nothing on disk.
pub(crate) struct Server {
    program: String,
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Data,
    Sentinel,
}

impl Server {
    /// Starts a server with some lines of configuration.
    pub(crate) fn start(lines: &[&str]) -> Self {
        let fixed = ["save \"\"", "appendonly no", "repl-diskless-sync-delay 0"];
        Self::launch(Role::Data, &[&fixed, lines].concat())
    }

    /// Starts a Sentinel that watches a server under the name `main`, and promotes a replica by itself.
    pub(crate) fn sentinel(primary: &Self) -> Self {
        let monitor = format!("sentinel monitor main 127.0.0.1 {} 1", primary.port);
        let lines = [
            monitor.as_str(),
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 5000",
        ];
        Self::launch(Role::Sentinel, &lines)
    }

    fn launch(role: Role, lines: &[&str]) -> Self {
        let program = std::env::var("STANCHION_TEST_REDIS_BIN").unwrap_or_else(|_| {
            panic!("STANCHION_TEST_REDIS_BIN is not set: run through `cargo xtask test`, or `eval \"$(cargo xtask services up)\"`")
        });
        for _ in 0..20 {
            let port = free_port();
            let directory = tempfile::tempdir().unwrap();
            let fixed = format!(
                "port {port}\nbind 127.0.0.1\nprotected-mode no\ndaemonize no\ndir {}\n",
                directory.path().display()
            );
            fs::write(directory.path().join("conf"), fixed + &lines.join("\n") + "\n").unwrap();
            let child = spawn(&program, directory.path(), role);
            let mut server = Self { program: program.clone(), child, port, directory, role };
            // It may be that somebody else has got the port by now.
            if server.is_ready() {
                return server;
            }
        }
        panic!("no server stayed up");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it where it was, with nothing in it.
    pub(crate) fn start_again(&mut self) {
        for _ in 0..20 {
            self.child = spawn(&self.program, self.directory.path(), self.role);
            if self.is_ready() {
                return;
            }
        }
        panic!("the server did not come up again");
    }

    /// Leaves its connections open and answers none.
    pub(crate) fn pause(&self) {
        self.send(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.send(Signal::CONT);
    }

    /// Asks it over a connection of its own.
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Returns a number out of its `INFO`; one that is not there is zero.
    pub(crate) fn number(&self, section: &str, name: &str) -> u64 {
        let said: String = self.ask(&["INFO", section]);
        let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix([':', '=']));
        let digits = |value: &str| value.trim_start_matches("calls=").split(',').next()?.trim().parse().ok();
        value.and_then(digits).unwrap_or(0)
    }

    pub(crate) fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut connection = Client::open(self.url())?.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(word);
        });
        redis::from_redis_value(connection.req_command(&command)?).map_err(Into::into)
    }

    /// Waits until it answers, or has ended.
    fn is_ready(&mut self) -> bool {
        eventually_here("the server is ready", || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let said: RedisResult<Value> = self.try_ask(&["INFO", "server"]);
            let is_it = || self.number("server", "process_id") == u64::from(self.child.id());
            (said.is_ok() && is_it()).then_some(true)
        })
    }

    fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &str, directory: &std::path::Path, role: Role) -> Child {
    let mut command = Command::new(program);
    command.arg(directory.join("conf"));
    if role == Role::Sentinel {
        command.arg("--sentinel");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{program} did not start: {error}"))
}

/// Finds a port that nobody has, nor the one above it by which the nodes of a Cluster speak with each other.
fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let bus = port.checked_add(10_000);
        if bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return port;
        }
    }
}
