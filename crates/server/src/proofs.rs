//! Checks proofs of audit events and bundles of them offline.

pub(crate) mod anchors;
mod archive;
mod bundle;
mod followed;
mod keys;
mod page;
pub(crate) mod store;
mod tiles;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use stanchion_audit::{Anchors, NoteError, Proven, Unproven, VerifierKey, parse, verify_proof};
use stanchion_core::{Event, KeyRing};

use self::anchors::Anchored;
use self::followed::{Followed, Proof};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};

/// The longest proof that is read, in bytes: an event of 64 KiB in base64, its hashes and a checkpoint.
const MAX_BYTES: u64 = 1024 * 1024;

/// What may be given to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Archive,
    Bundle,
    Page,
    Proof,
    Tiles,
}

impl Given {
    /// Tells what stands at a path, by how it begins.
    fn at(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path)?.is_dir() {
            return Ok(if tiles::logs(path)?.is_empty() { Self::Archive } else { Self::Tiles });
        }
        let mut file = BufReader::new(File::open(path)?);
        let beginning = file.fill_buf()?;
        Ok(match beginning {
            beginning if bundle::is_one(beginning) => Self::Bundle,
            [b'{', ..] => Self::Page,
            _ => Self::Proof,
        })
    }
}

/// Checks each of the paths and says what it proves; ends at the first that proves nothing.
pub(crate) fn verify(
    paths: &[PathBuf],
    keys: &[VerifierKey],
    mac_keys: Option<&Path>,
    anchored: &Anchored,
    environment: &Environment,
) -> Result<(), Failure> {
    let mac_keys = mac_keys.map(|path| keys::read(path, environment)).transpose()?;
    let is_asked_for = anchored.is_asked_for();
    let anchors = if is_asked_for { anchored.open(keys)? } else { Anchors::default() };
    let mut followed = Followed::new(anchors);
    for path in paths {
        let given = Given::at(path).map_err(|error| unreadable(path, &error))?;
        if mac_keys.is_some() && !matches!(given, Given::Archive | Given::Bundle) {
            let line = format!(
                "`{}` has no signatures of entries; archives, and exports as jsonl and ocsf, have",
                path.display()
            );
            return Err(Failure::new(Exit::Input, line).with_lines(["leave out --mac-keys"]));
        }
        if is_asked_for && matches!(given, Given::Page | Given::Proof) {
            let line = format!(
                "`{}` shows no log to compare; archives, tiles, and exports as jsonl and ocsf, do",
                path.display()
            );
            return Err(Failure::new(Exit::Input, line).with_lines(["leave out --anchors"]));
        }
        let line = match given {
            Given::Page => page::verify(path, keys)?,
            Given::Proof => {
                let text = read(path)?;
                let proven = verify_proof(&text, keys).map_err(|error| refused(path, &error))?;
                describe(path, &proven)?
            }
            shows => {
                let (line, proof) = log(path, shows, keys, mac_keys.as_ref(), followed.anchors())?;
                followed.add(path, shows, proof)?;
                line
            }
        };
        say(&line)?;
    }
    if is_asked_for {
        let said = followed.compare(|path, given, anchors| log(path, given, keys, None, anchors))?;
        say(&format!("compared with what was published{said}"))?;
    }
    Ok(())
}

/// Checks what shows a log, or some, and says what it proves.
fn log(
    path: &Path,
    given: Given,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
    anchors: &Anchors,
) -> Result<(String, Proof), Failure> {
    match given {
        Given::Archive => archive::verify(path, keys, mac_keys, anchors),
        Given::Tiles => tiles::verify(path, keys, anchors),
        Given::Bundle | Given::Page | Given::Proof => bundle::verify(path, keys, mac_keys, anchors),
    }
}

fn say(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::No, "cannot write the answer").because(&error))
        }
        _ => Ok(()),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Input, format!("cannot read `{}`", path.display())).because(error)
}

fn read(path: &Path) -> Result<String, Failure> {
    let size = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if size > MAX_BYTES {
        let line = format!(
            "`{}` is no proof: it has {size} bytes, and none has more than {MAX_BYTES}",
            path.display()
        );
        return Err(Failure::new(Exit::Input, line));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn refused(path: &Path, error: &Unproven) -> Failure {
    let exit = match error {
        Unproven::Malformed => Exit::Input,
        Unproven::Checkpoint(NoteError::UnknownKey) => Exit::Unverifiable,
        _ => Exit::No,
    };
    Failure::new(exit, format!("`{}` proves nothing", path.display())).because(error)
}

fn describe(path: &Path, proven: &Proven) -> Result<String, Failure> {
    let event = parse(&proven.canonical).map_err(|error| {
        Failure::new(Exit::Input, format!("`{}` proves bytes that are no event", path.display()))
            .because(&error)
    })?;
    let Proven { seq, tree, .. } = proven;
    let acted_as = event.acted_as.as_ref().map_or_else(String::new, |subject| format!(" as {subject}"));
    let Event { action, outcome, actor, occurred_at, .. } = &event;
    let what = format!("{action} {outcome} by {actor}{acted_as} at {occurred_at}");
    Ok(format!("proven: {what}\n  event {}, entry {seq} of {} in {}", event.id, tree.size, tree.origin))
}
