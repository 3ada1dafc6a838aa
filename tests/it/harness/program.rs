use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stanchion_postgres::testing;
use tempfile::TempDir;

use super::{PostgresServer, RedisServer, ask, eventually};

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

/// Where a program's configuration and secrets are. Several programs may be started there, one after the other or side by side.
#[derive(Debug)]
pub(crate) struct Site {
    directory: TempDir,
}

impl Site {
    /// Writes the configuration of a server that keeps everything in memory. `gateway` are settings of `[gateway]`; `rest` is the
    /// rest of the configuration.
    pub(crate) fn in_memory(gateway: &str, rest: &str) -> Arc<Self> {
        Arc::new(Self::write(gateway, "first_key_file = \"key\"", rest))
    }

    /// Writes the configuration of a server on a fresh database of its own, and makes its first administrator.
    pub(crate) fn on_postgres(gateway: &str, rest: &str) -> Arc<Self> {
        Self::on_database(&fresh_database(), "backend = \"postgres\"", gateway, rest)
    }

    /// The same with counters in the tests' Redis, under a prefix of their own.
    pub(crate) fn on_postgres_and_redis(gateway: &str, rest: &str) -> Arc<Self> {
        let database = fresh_database();
        let redis =
            std::env::var("STANCHION_TEST_REDIS").expect("STANCHION_TEST_REDIS: run `cargo xtask test`");
        let prefix = database.rsplit('/').next().expect("a name");
        let storage = "backend = \"postgres+redis\"";
        let rest = format!(
            "[storage.redis]\nurls = \"file:redis\"\n[storage.redis.servers]\nprefix = \"{prefix}\"\n\
             connect_timeout_ms = 5000\nresponse_timeout_ms = 5000\n{rest}"
        );
        Self::on_stores(&[("database", &database), ("redis", &redis)], storage, gateway, &rest)
    }

    /// The same on a database that is there already. `storage` is the beginning of `[storage]`.
    pub(crate) fn on_database(url: &str, storage: &str, gateway: &str, rest: &str) -> Arc<Self> {
        Self::on_stores(&[("database", url)], storage, gateway, rest)
    }

    /// The same on a server of the test's own, with the program's own patience: migrated by its administrator, for a login that may
    /// do nothing by itself. `storage` is the beginning of `[storage]`.
    pub(crate) fn on_own_postgres(server: &PostgresServer, storage: &str, rest: &str) -> Arc<Self> {
        server.run("CREATE ROLE stanchion_app LOGIN");
        let admin = server.admin();
        let addresses = [
            ("database", testing::text(&admin.with_login("stanchion_app"))),
            ("administrator", testing::text(&admin)),
        ];
        let addresses = addresses.each_ref().map(|(name, url)| (*name, url.as_str()));
        let pool = "migrate_url = \"file:administrator\"";
        Self::on_addresses(&addresses, storage, pool, "", rest)
    }

    /// The same on a fresh database, with counters in a server of the test's own and the program's own patience with it.
    pub(crate) fn on_own_redis(server: &RedisServer, rest: &str) -> Arc<Self> {
        let rest = format!("[storage.redis]\nurls = \"file:redis\"\n{rest}");
        let stores = [("database", fresh_database()), ("redis", server.url())];
        let stores = stores.each_ref().map(|(name, url)| (*name, url.as_str()));
        Self::on_stores(&stores, "backend = \"postgres+redis\"", "", &rest)
    }

    fn on_stores(stores: &[(&str, &str)], storage: &str, gateway: &str, rest: &str) -> Arc<Self> {
        let pool = "[storage.postgres.pool]\nmax_connections = 8\nacquire_timeout_ms = 5000";
        Self::on_addresses(stores, storage, pool, gateway, rest)
    }

    fn on_addresses(
        addresses: &[(&str, &str)],
        storage: &str,
        pool: &str,
        gateway: &str,
        rest: &str,
    ) -> Arc<Self> {
        let stores = format!(
            "[storage]\n{storage}\n[storage.postgres]\nurl = \"file:database\"\n{pool}\n\
             [identity]\npeppers = {{ 1 = \"file:pepper\" }}\n[audit]\nsigning_keys = {{ 1 = \"file:ledger\" }}\n"
        );
        let site = Self::write(gateway, "", &format!("{stores}{rest}"));
        let (pepper, ledger) = ("p".repeat(32), "l".repeat(32));
        let made = [("pepper", pepper.as_str()), ("ledger", ledger.as_str())];
        for (name, secret) in addresses.iter().chain(&made) {
            fs::write(site.path(name), secret).expect("writes");
        }
        let (config, key) = (site.path("stanchion.toml"), site.path("key"));
        if addresses.iter().any(|(name, _)| *name == "administrator") {
            let migrate = ["migrate".as_ref(), "--config".as_ref(), config.as_os_str()];
            let migrated = command(migrate).output().expect("runs");
            assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        }
        let args = [
            "key".as_ref(),
            "create".as_ref(),
            "--admin".as_ref(),
            "--config".as_ref(),
            config.as_os_str(),
            "--key-file".as_ref(),
            key.as_os_str(),
        ];
        let made = command(args).output().expect("runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Arc::new(site)
    }

    fn write(gateway: &str, admin: &str, rest: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n{gateway}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n{admin}\n\
             [log]\nformat = \"json\"\n{rest}\n"
        );
        let site = Self { directory };
        fs::write(site.path("stanchion.toml"), config).expect("writes");
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Returns the URL of a fresh migrated database, for the server's login.
pub(crate) fn fresh_database() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    testing::text(&runtime.block_on(testing::fresh_url()))
}

/// A running `stanchion serve`, on ports that the system chose. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// An administrator's key.
    pub(crate) key: String,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    pub(crate) site: Arc<Site>,
}

impl Program {
    /// Starts the program in memory and waits until it is ready.
    pub(crate) fn start(gateway: &str, rest: &str) -> Self {
        Self::run(&Site::in_memory(gateway, rest))
    }

    /// Starts the program as a site's configuration says, and waits until it is ready.
    pub(crate) fn run(site: &Arc<Site>) -> Self {
        let path = site.path("stanchion.toml");
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
        let (key, reader, site) = (String::new(), Some(reader), Arc::clone(site));
        let mut program = Self { child, gateway: nowhere, admin: nowhere, key, log, reader, site };
        let serving = eventually("it serves", || {
            if let Some(status) = program.child.try_wait().expect("a child") {
                panic!("it ended with {status}: {:#?}", program.log());
            }
            program.logged("serving")
        });
        let address =
            |name: &str| serving[name].as_str().and_then(|text| text.parse().ok()).expect("an address");
        (program.gateway, program.admin) = (address("gateway"), address("admin"));
        program.key = fs::read_to_string(program.site.path("key")).expect("the key").trim().to_owned();
        eventually("it is ready", || (program.readiness() == 200).then_some(()));
        program
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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
        self.signal(Signal::TERM);
    }

    /// Asks it to read its configuration again.
    pub(crate) fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill_at_once(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal");
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
