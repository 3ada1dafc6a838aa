//! Checks proofs of audit events and bundles of them offline.

mod archive;
mod bundle;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use stanchion_audit::{NoteError, Proven, Unproven, VerifierKey, parse, verify_proof};
use stanchion_core::Event;

use crate::failure::{Exit, Failure};

/// The longest proof that is read, in bytes: an event of 64 KiB in base64, its hashes and a checkpoint.
const MAX_BYTES: u64 = 1024 * 1024;

/// Checks each proof or bundle and says what it proves; ends at the first that proves nothing.
pub(crate) fn verify(files: &[PathBuf], keys: &[VerifierKey]) -> Result<(), Failure> {
    for path in files {
        let line = if path.is_dir() {
            archive::verify(path, keys)?
        } else if bundle::is_one(path).map_err(|error| unreadable(path, &error))? {
            bundle::verify(path, keys)?
        } else {
            let text = read(path)?;
            let proven = verify_proof(&text, keys).map_err(|error| refused(path, &error))?;
            describe(path, &proven)?
        };
        match writeln!(io::stdout(), "{line}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(Failure::new(Exit::No, "cannot write the answer").because(&error));
            }
            _ => {}
        }
    }
    Ok(())
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
