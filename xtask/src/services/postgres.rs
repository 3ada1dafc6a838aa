use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::Life;
use super::find::is_root;
use super::process::{Process, User, as_user, free_port};

/// Its data is thrown away, so it need not reach the disk.
const SETTINGS: [&str; 9] = [
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=on",
    "max_connections=300",
    "max_wal_senders=0",
    "wal_level=minimal",
    "shared_buffers=128MB",
    "listen_addresses=127.0.0.1",
    "log_min_messages=warning",
];

/// Starts a server of its own in a directory, and returns the URL of its administrator.
pub(super) fn start(binaries: &Path, directory: &Path, life: Life) -> Result<(Process, String), String> {
    let user = if is_root() { Some(User::unprivileged()?) } else { None };
    let broken = |error: std::io::Error| format!("{}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(broken)?;
    if let Some(user) = &user {
        chown(directory, Some(user.uid), Some(user.gid)).map_err(broken)?;
    }
    let data = directory.join("data");
    let mut init = as_user(&binaries.join("initdb"), user.as_ref(), None);
    init.args([
        "--auth=trust",
        "--username=postgres",
        "--no-sync",
        "--locale=C.UTF-8",
        "--encoding=UTF8",
        "-D",
    ]);
    init.arg(&data).current_dir(directory).stdin(Stdio::null());
    let made = init.output().map_err(|error| format!("initdb did not start: {error}"))?;
    if !made.status.success() {
        return Err(format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr)));
    }

    let port = free_port(|_| true)?;
    let mut args =
        vec!["-D".to_owned(), data.to_string_lossy().into_owned(), "-p".to_owned(), port.to_string()];
    args.extend(["-k".to_owned(), directory.to_string_lossy().into_owned()]);
    args.extend(SETTINGS.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
    let program = binaries.join("postgres");
    let mut process = Process::start(&program, &args, user.as_ref(), (Signal::QUIT, "QUIT"), life)?;
    let is_ready = binaries.join("pg_isready");
    process.wait_until("Postgres", || {
        let mut ask = Command::new(&is_ready);
        ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        ask.status().is_ok_and(|status| status.success())
    })?;
    Ok((process, format!("postgres://postgres@127.0.0.1:{port}/postgres")))
}
