//! Logs in directories of tiles.

use std::io;
use std::path::{Path, PathBuf};

use stanchion_audit::{Anchors, LogProof, LogVerdict, VerifierKey, verify_log_with};

use super::followed::Proof;
use crate::failure::{Exit, Failure};

/// Checks the log in a directory, or each of those in its directories, and says what they prove.
pub(super) fn verify(
    path: &Path,
    keys: &[VerifierKey],
    anchors: &Anchors,
) -> Result<(String, Proof), Failure> {
    let logs = logs(path).map_err(|error| super::unreadable(path, &error))?;
    let (mut said, mut all) = (Vec::new(), Vec::new());
    for log in &logs {
        let (line, proof) = one(log, keys, anchors)?;
        said.push(line);
        all.push(proof);
    }
    Ok((said.join("\n"), Proof::Tiles(all)))
}

/// Finds the logs: the directory itself, or those below it. One that has tiles and no checkpoint is one that is incomplete.
pub(super) fn logs(path: &Path) -> io::Result<Vec<PathBuf>> {
    let is_log = |path: &Path| path.join("checkpoint").exists() || path.join("tile").exists();
    if is_log(path) {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        found.extend(Some(entry?.path()).filter(|path| is_log(path)));
    }
    found.sort();
    Ok(found)
}

fn one(path: &Path, keys: &[VerifierKey], anchors: &Anchors) -> Result<(String, LogProof), Failure> {
    let read = |file: &str| match std::fs::read(path.join(file)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let named = path.display();
    match verify_log_with(read, keys, anchors).map_err(|error| super::unreadable(path, &error))? {
        LogVerdict::Intact(proof) => Ok((describe(&proof), proof)),
        LogVerdict::Tampered(found) => {
            let place = found.seq.map(|seq| format!("entry {seq}")).into_iter();
            let lines = place.chain([found.to_string()]);
            Err(Failure::new(Exit::No, format!("`{named}` is not what was recorded")).with_lines(lines))
        }
        LogVerdict::Incomplete(file) => {
            let line = format!("`{file}` is missing");
            Err(Failure::new(Exit::Input, format!("`{named}` is incomplete")).with_lines([line]))
        }
        LogVerdict::Unverifiable => {
            let line = "no key that is known signed its checkpoint";
            let what = format!("`{named}` cannot be verified with these keys");
            Err(Failure::new(Exit::Unverifiable, what).with_lines([line]))
        }
    }
}

fn describe(proof: &LogProof) -> String {
    let LogProof { tree, first, .. } = proof;
    let what = match (first, tree.size) {
        (_, 0) => "no entries".to_owned(),
        (1, size) => format!("entries 1 to {size}, all of them"),
        (first, size) if *first > size => format!("the hashes of {size} entries; their events are not here"),
        (first, size) => format!("entries {first} to {size}; of those before only the hashes are here"),
    };
    format!("proven: the log {}\n  {what}", tree.origin)
}
