//! Signing keys that evolve: where the oldest that is left is kept, and what replaces it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use stanchion_audit::{Evolution, EvolveTrouble, EvolvedKey, Evolver, Prover};
use stanchion_core::{KeyRing, KeyVersion, Secret, Timestamp};
use zeroize::Zeroizing;

use super::invalid;
use crate::config::{Config, directory};
use crate::failure::Failure;

/// Keys that evolve, as a process finds them at its start.
#[derive(Debug)]
pub(super) struct Evolving {
    evolution: Evolution,
    file: PathBuf,
    is_root_here: bool,
}

/// Finds the key to go on from: the one that was kept, or the root at the first start. Returns with it the keys that verify: all of them
/// where the root is still configured, as where a ledger is verified. Nothing is written. `None` when keys do not evolve.
pub(super) fn open(
    config: &Config,
    path: &Path,
    configured: Option<&KeyRing>,
    now: Timestamp,
) -> Result<Option<(Evolving, KeyRing)>, Failure> {
    let settings = &config.audit.evolve;
    let Some(state) = &settings.state else { return Ok(None) };
    let file = directory(path).join(state);
    let unusable = |why: String| invalid("`audit.evolve` cannot be put in force").with_lines([why]);
    let kept = read(&file).map_err(|why| unusable(format!("`{}` {why}", file.display())))?;
    let root = configured
        .map(KeyRing::current)
        .filter(|(version, _)| kept.as_ref().is_none_or(|kept| *version >= kept.root_version()));
    let oldest = match (kept, root) {
        (None, None) => {
            let why = "is not there: name the root in `audit.signing_keys` for the first start";
            return Err(unusable(format!("`{}` {why}", file.display())));
        }
        (Some(kept), Some((version, _))) if version > kept.root_version() => {
            let why = "version {VERSION} of `audit.signing_keys` is a new root: stop the server, remove `{FILE}`, and set `since` anew";
            let why = why.replace("{VERSION}", &version.to_string());
            return Err(unusable(why.replace("{FILE}", &file.display().to_string())));
        }
        (Some(kept), Some((version, root))) if !kept.follows_from(root) => {
            let why = "holds a key that does not follow from it";
            return Err(unusable(format!(
                "version {version} of `audit.signing_keys` is not the root: `{}` {why}",
                file.display()
            )));
        }
        (Some(kept), _) => kept,
        (None, Some((version, root))) => EvolvedKey::root(version, root.clone()),
    };
    let before = || -> Vec<(KeyVersion, Secret)> {
        configured.into_iter().flat_map(KeyRing::iter).map(|(version, key)| (version, key.clone())).collect()
    };
    let begin = |oldest: &EvolvedKey| {
        Evolution::new(settings.epochs(), oldest, before(), now)
            .ok_or_else(|| unusable("more than 65536 epochs have passed: begin with a new root".to_owned()))
    };
    let evolution = begin(&oldest)?;
    let all = match root {
        Some((version, root)) => begin(&EvolvedKey::root(version, root.clone()))?.ring(),
        None => evolution.ring(),
    };
    let all = all.ok_or_else(|| unusable("there is no key".to_owned()))?;
    Ok(Some((Evolving { evolution, file, is_root_here: root.is_some() }, all)))
}

impl Evolving {
    /// Has the ledger's key evolve once what is returned runs; all older keys are out of use at once.
    pub(super) fn begin(self, prover: &Prover) -> Evolver {
        if self.is_root_here {
            tracing::warn!("the root of the signing keys is still configured: keep it where no server is");
        }
        let file = self.file;
        let evolver = prover.evolve(self.evolution, move |key| keep(&file, key));
        evolver.on_trouble(|trouble| match trouble {
            EvolveTrouble::NotKept(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "the signing key that evolved cannot be kept");
            }
            EvolveTrouble::NotRead(error) => super::complain("older signing keys stay", error),
            _ => tracing::error!(
                "a signing key was destroyed although entries that it signed wait for a checkpoint: verify them with the root"
            ),
        })
    }
}

fn read(file: &Path) -> Result<Option<EvolvedKey>, String> {
    let text = match fs::read_to_string(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    text.parse().map(Some).map_err(|_| "holds no key that evolved".to_owned())
}

/// Puts a key in the place of the one before, in one step. What was there is written over first, as far as the file system lets anybody.
fn keep(file: &Path, key: &EvolvedKey) -> io::Result<()> {
    let new = file.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let before = match OpenOptions::new().write(true).open(file) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    written.write_all(key.to_text().as_bytes())?;
    written.sync_all()?;
    fs::rename(&new, file)?;
    if let Some(mut before) = before {
        let length = usize::try_from(before.metadata()?.len()).unwrap_or_default();
        before.write_all(&vec![0; length.min(4_096)])?;
        before.sync_all()?;
    }
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt as _;

    use crate::config::Secrets;
    use crate::environment::Environment;

    const SETTINGS: &str = "[audit.evolve]\nstate = \"state\"\nsince = \"2026-03-01T00:00:00Z\"\n[audit]\ncheckpoint_keys = { 1 = \"env:A\" }\nprotection_keys = { 1 = \"env:A\" }\n";

    fn ring(keys: &[(KeyVersion, u8)]) -> KeyRing {
        KeyRing::new(keys.iter().map(|(version, byte)| (*version, Secret::new([*byte; 32])))).unwrap()
    }

    fn config(path: &Path) -> Config {
        Config::parse(path, SETTINGS, &Environment::default(), Secrets::Elsewhere).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-03-03T12:00:00Z").unwrap()
    }

    #[test]
    fn the_root_is_needed_once_and_a_strange_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stanchion.toml");
        let config = config(&path);
        let open = |keys: Option<&KeyRing>| open(&config, &path, keys, now());
        assert!(open(None).is_err(), "nothing to begin with");
        let root = ring(&[(1, 7)]);
        let (begun, all) = open(Some(&root)).unwrap().unwrap();
        assert_eq!(all.iter().map(|(epoch, _)| epoch).collect::<Vec<_>>(), [3, 2, 1]);
        let mut third = begun.evolution.oldest().unwrap();
        keep(&directory.path().join("state"), &third).unwrap();
        let text = third.to_text().replacen("v1 1 1", "v1 1 3", 1);
        third = text.parse().unwrap();
        keep(&directory.path().join("state"), &third).unwrap();
        let (_, alone) = open(None).unwrap().unwrap();
        assert_eq!(alone.iter().map(|(epoch, _)| epoch).collect::<Vec<_>>(), [3]);
        assert!(open(Some(&root)).is_err(), "the key that is kept does not follow from it");
        assert!(
            open(Some(&ring(&[(1, 7), (9, 8)]))).is_err(),
            "a new root while the state of another is there"
        );
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone_and_what_was_there_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state");
        let key = EvolvedKey::root(1, Secret::new([7; 32]));
        keep(&file, &key).unwrap();
        let link = directory.path().join("link");
        fs::hard_link(&file, &link).unwrap();
        keep(&file, &EvolvedKey::root(2, Secret::new([8; 32]))).unwrap();
        assert!(fs::read(&link).unwrap().iter().all(|byte| *byte == 0));
        assert_eq!(read(&file).unwrap().unwrap().epoch(), 2);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "no key").unwrap();
        assert!(read(&file).is_err());
    }
}
