use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::Life;
use super::find::in_path;
use super::process::{Process, free_port};

const NODES: usize = 3;
/// How far above its own the port lies on which a node speaks with other nodes.
const BUS: u16 = 10_000;

pub(super) fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// Starts a server that keeps nothing on disk.
pub(super) fn start(server: &Path, directory: &Path, life: Life) -> Result<(Process, u16), String> {
    run(server, directory, free_port(|_| true)?, &[], life)
}

/// Starts three nodes, joins them, and returns their URLs with commas between.
pub(super) fn start_cluster(
    server: &Path,
    directory: &Path,
    life: Life,
) -> Result<(Vec<Process>, String), String> {
    let has_bus = |port: u16| {
        let bus = port.checked_add(BUS);
        bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok())
    };
    let mut nodes = Vec::new();
    let mut ports = Vec::new();
    for number in 0..NODES {
        let port = free_port(has_bus)?;
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let (node, port) = run(server, &directory.join(number.to_string()), port, &settings, life)?;
        nodes.push(node);
        ports.push(port);
    }
    let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut args = vec!["--cluster", "create"];
    args.extend(addresses.iter().map(String::as_str));
    args.extend(["--cluster-replicas", "0", "--cluster-yes"]);
    let joined = client(server)?.args(args).stdin(Stdio::null()).output();
    let joined = joined.map_err(|error| format!("redis-cli did not start: {error}"))?;
    if !joined.status.success() {
        return Err(format!("the nodes did not join: {}", String::from_utf8_lossy(&joined.stdout)));
    }
    for (node, port) in nodes.iter_mut().zip(&ports) {
        node.wait_until("the Redis Cluster", || {
            let text = port.to_string();
            let asked = client(server).map(|mut ask| ask.args(["-p", &text, "cluster", "info"]).output());
            matches!(asked, Ok(Ok(said)) if String::from_utf8_lossy(&said.stdout).contains("cluster_state:ok"))
        })?;
    }
    Ok((nodes, ports.into_iter().map(url).collect::<Vec<_>>().join(",")))
}

fn run(
    server: &Path,
    directory: &Path,
    port: u16,
    settings: &[&str],
    life: Life,
) -> Result<(Process, u16), String> {
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let own = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir", &directory.to_string_lossy()];
    let fixed = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--protected-mode", "no"];
    let args: Vec<String> =
        own.into_iter().chain(fixed).chain(settings.iter().copied()).map(str::to_owned).collect();
    let mut process = Process::start(server, &args, None, (Signal::TERM, "TERM"), life)?;
    process.wait_until("Redis", || {
        let text = port.to_string();
        let asked = client(server).map(|mut ask| ask.args(["-p", &text, "ping"]).output());
        matches!(asked, Ok(Ok(said)) if said.stdout.starts_with(b"PONG"))
    })?;
    Ok((process, port))
}

/// The client that comes with a server: `redis-cli` beside `redis-server`, `valkey-cli` beside `valkey-server`.
fn client(server: &Path) -> Result<Command, String> {
    let beside = client_beside(server).filter(|path| path.is_file());
    let client = beside.or_else(|| in_path(&["redis-cli", "valkey-cli"]));
    let mut command = Command::new(client.ok_or("redis-cli was not found")?);
    command.stdin(Stdio::null());
    Ok(command)
}

fn client_beside(server: &Path) -> Option<PathBuf> {
    let name = server.file_name()?.to_str()?.strip_suffix("-server")?;
    Some(server.with_file_name(format!("{name}-cli")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_server_s_own() {
        let beside = |server: &str| client_beside(Path::new(server));
        assert_eq!(beside("/usr/bin/redis-server"), Some("/usr/bin/redis-cli".into()));
        assert_eq!(beside("/opt/valkey-server"), Some("/opt/valkey-cli".into()));
        assert_eq!(beside("/opt/keydb"), None);
    }
}
