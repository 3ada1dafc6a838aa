use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use stanchion_postgres::{Url, testing};
use tempfile::TempDir;

use super::eventually;

/// A Postgres of a test's own, to be stopped, cut off and started again. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct PostgresServer {
    binaries: PathBuf,
    directory: TempDir,
    port: u16,
    child: Option<Child>,
    /// Backends that were stopped and cannot end before they go on.
    silenced: Vec<Pid>,
}

/// Whom it runs as where the test is root, which it refuses.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut numbers = line.split(':').skip(2).map(|number| number.parse().expect("a number"));
        Some((numbers.next()?, numbers.next()?))
    };
    find("postgres").or_else(|| find("nobody"))
}

impl PostgresServer {
    pub(crate) fn start() -> Self {
        let binaries = std::env::var("STANCHION_TEST_POSTGRES_BIN");
        let binaries: PathBuf = binaries.expect("STANCHION_TEST_POSTGRES_BIN: run `cargo xtask test`").into();
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("opens");
        let home = directory.path().join("postgres");
        fs::create_dir(&home).expect("a directory");
        if let Some((uid, gid)) = unprivileged() {
            chown(&home, Some(uid), Some(gid)).expect("gives it away");
        }
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut server = Self { binaries, directory, port, child: None, silenced: Vec::new() };
        let mut init = server.command("initdb");
        init.args([
            "--auth=trust",
            "--username=postgres",
            "--no-sync",
            "--locale=C.UTF-8",
            "--encoding=UTF8",
            "-D",
        ]);
        let made = init.arg(server.data()).output().expect("runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.up();
        server
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).expect("reads")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("postgres/data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        if let Some((uid, gid)) = unprivileged() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts it again where it was.
    pub(crate) fn up(&mut self) {
        let (port, data) = (self.port.to_string(), self.data());
        let mut command = self.command("postgres");
        command.arg("-D").arg(&data).args(["-p", &port, "-k"]).arg(self.directory.path().join("postgres"));
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=100"]);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log");
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().expect("starts"));
        eventually("Postgres is up", || {
            let ready = self.command("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port]).status();
            ready.is_ok_and(|ready| ready.success()).then_some(())
        });
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn down(&mut self) {
        self.signal(Signal::QUIT);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("ends");
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("is up");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal");
    }

    /// Stops the backends of those who listen, so that they hear nothing and do not know it, and returns how many they are.
    pub(crate) fn silence(&mut self) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listening = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
        let listening = runtime.block_on(async {
            let mut connection = testing::connect(&self.admin()).await;
            sqlx::query_scalar::<_, i32>(listening).fetch_all(&mut connection).await.expect("reads")
        });
        self.silenced = listening.into_iter().filter_map(Pid::from_raw).collect();
        for pid in &self.silenced {
            kill_process(*pid, Signal::STOP).expect("a signal");
        }
        self.silenced.len()
    }

    /// The administrator's address.
    pub(crate) fn admin(&self) -> Url {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port).parse().expect("a URL")
    }

    /// Gives each of the ledger's entries a row of its own, so that statements can alter one by its number.
    pub(crate) fn unpack_entries(&self) {
        self.run(
            "WITH gone AS (DELETE FROM stanchion.audit_entry AS packed WHERE more IS NOT NULL RETURNING packed)
             INSERT INTO stanchion.audit_entry
             SELECT e.* FROM gone CROSS JOIN LATERAL stanchion.audit_unpack(gone.packed) AS e",
        );
    }

    /// Runs statements as the administrator.
    pub(crate) fn run(&self, statements: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime
            .block_on(async { testing::run(&mut testing::connect(&self.admin()).await, statements).await });
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        for pid in &self.silenced {
            // It may have ended already, which is as well.
            let _ = kill_process(*pid, Signal::CONT);
        }
        if let Some(mut child) = self.child.take() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // It may have ended already, which is as well.
            let _ = pid.map(|pid| kill_process(pid, Signal::QUIT));
            let _ = child.wait();
        }
    }
}
