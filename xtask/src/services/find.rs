use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian and its kin keep one directory for each version here.
const DEBIAN: &str = "/usr/lib/postgresql";
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Finds the directory of Postgres's programs, or installs them.
pub(super) fn postgres() -> Result<PathBuf, String> {
    let look = || newest(Path::new(DEBIAN)).or_else(|| in_path(&["postgres"])?.parent().map(Path::to_owned));
    found_or_installed(look, "postgresql", "Postgres 14 or later", super::POSTGRES)
}

/// Finds the program of a Redis or Valkey server, or installs one.
pub(super) fn redis() -> Result<PathBuf, String> {
    let look = || in_path(&["redis-server", "valkey-server"]);
    found_or_installed(look, "redis-server", "Redis 6.2 or later, or Valkey", super::REDIS)
}

fn found_or_installed(
    look: impl Fn() -> Option<PathBuf>,
    package: &str,
    what: &str,
    variable: &str,
) -> Result<PathBuf, String> {
    if let Some(found) = look() {
        return Ok(found);
    }
    let missing = || {
        format!(
            "the tests need {what}: install it (Debian, Ubuntu: `apt-get install {package}`), or name a server in {variable}"
        )
    };
    if !is_root() || in_path(&["apt-get"]).is_none() {
        return Err(missing());
    }
    install(package)?;
    look().ok_or_else(missing)
}

/// The programs of the newest version that has a server among them.
fn newest(versions: &Path) -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(versions)
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            let binaries = path.join("bin");
            binaries.join("postgres").is_file().then_some((version, binaries))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, binaries)| binaries)
}

#[expect(clippy::disallowed_methods, reason = "programs are where the system says they are")]
pub(super) fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let directories: Vec<PathBuf> = env::split_paths(&path).collect();
    names.iter().find_map(|name| {
        directories.iter().map(|directory| directory.join(name)).find(|program| program.is_file())
    })
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Installs a package of the distribution. Only its programs are wanted, not the service that it starts.
fn install(package: &str) -> Result<(), String> {
    eprintln!("installing {package}, which the tests need");
    let forbids_services = !Path::new(POLICY).exists() && forbid_services().is_ok();
    let done = apt(&["update", "-qq"]).and_then(|()| apt(&["install", "-y", "-qq", package]));
    if forbids_services {
        // At worst it stays, and says no to services that nobody has asked for.
        let _ = fs::remove_file(POLICY);
    }
    done
}

fn forbid_services() -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))
}

fn apt(args: &[&str]) -> Result<(), String> {
    let line = format!("apt-get {}", args.join(" "));
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("`{line}` did not start: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_has_a_server_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        for (version, program) in
            [("9", "postgres"), ("15", "postgres"), ("16", "psql"), ("common", "postgres")]
        {
            let binaries = directory.path().join(version).join("bin");
            fs::create_dir_all(&binaries).unwrap();
            fs::write(binaries.join(program), "").unwrap();
        }
        assert_eq!(newest(directory.path()), Some(directory.path().join("15/bin")));
        assert_eq!(newest(&directory.path().join("none")), None);
    }
}
