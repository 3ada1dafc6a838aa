use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::Life;
use super::find::in_path;

/// A server. It is ended when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Option<Child>,
    signal: Signal,
}

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);

impl Process {
    /// Starts a server, as another user if one is given. `signal` ends it. With the task it ends even if the task is killed, where
    /// the system can do that.
    pub(super) fn start(
        program: &Path,
        args: &[String],
        user: Option<&User>,
        signal: (Signal, &str),
        life: Life,
    ) -> Result<Self, String> {
        let mut command = as_user(program, user, (life == Life::Task).then_some(signal.1));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if life == Life::Beyond {
            // An interrupt of the terminal is not for them.
            command.process_group(0);
        }
        let child = command.spawn();
        let child = child.map_err(|error| format!("{} did not start: {error}", program.display()))?;
        Ok(Self { child: Some(child), signal: signal.0 })
    }

    /// Waits until it is ready, or has ended.
    pub(super) fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) -> Result<(), String> {
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(format!("{what} ended at once ({status})"));
            }
            if ready() {
                return Ok(());
            }
            thread::sleep(STEP);
        }
        Err(format!("{what} was not ready within {} s", PATIENCE.as_secs()))
    }

    /// Lets it run on, and returns its id.
    pub(super) fn leave(mut self) -> u32 {
        self.child.take().map_or(0, |child| child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        send(child.id(), self.signal);
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(STEP);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

pub(super) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended already, which is as well.
        let _ = kill_process(pid, signal);
    }
}

/// A user that a server can run as where root is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// Finds one that is there: the one that the package makes, or the one that every system has.
    pub(super) fn unprivileged() -> Result<Self, String> {
        let users = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
        let found = ["postgres", "nobody"].into_iter().find_map(|name| Self::find(&users, name));
        found.ok_or_else(|| "Postgres refuses root, and there is no user `postgres` or `nobody`".to_owned())
    }

    fn find(users: &str, name: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [user, _, uid, gid, ..] if *user == name => {
                    Some(Self { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
                }
                _ => None,
            }
        })
    }
}

/// A command of another user, which gets `on_death` once its parent is gone.
pub(super) fn as_user(program: &Path, user: Option<&User>, on_death: Option<&str>) -> Command {
    let setpriv = on_death.and_then(|_| in_path(&["setpriv"]));
    let mut command = match (&setpriv, on_death) {
        (Some(setpriv), Some(signal)) => {
            let mut command = Command::new(setpriv);
            if let Some(user) = user {
                command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
                command.arg("--clear-groups");
            }
            command.args(["--pdeathsig", signal, "--"]).arg(program);
            command
        }
        _ => Command::new(program),
    };
    if let Some(user) = user.filter(|_| setpriv.is_none()) {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// Lets every user pass through a directory.
pub(super) fn open_to_all(directory: &Path) -> Result<(), String> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("{}: {error}", directory.display()))
}

/// Finds a port of the loopback that nobody has, and for which `also` holds.
pub(super) fn free_port(also: impl Fn(u16) -> bool) -> Result<u16, String> {
    for _ in 0..200 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("no port: {error}"))?;
        let port = listener.local_addr().map_err(|error| format!("no port: {error}"))?.port();
        if also(port) {
            return Ok(port);
        }
    }
    Err("no free port was found".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\npostgres2:x:5:6:::\npostgres:x:113:121:x,,,:/:/bin/sh\n";
        let user = User::find(users, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (113, 121));
        assert_eq!(User::find(users, "nobody"), None);
    }
}
