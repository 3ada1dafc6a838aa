use std::path::Path;

use stanchion_audit::archive::{ArchiveProof, ArchiveVerdict, ArchivedChain, verify_archive_directory_with};
use stanchion_audit::{Anchors, VerifierKey};
use stanchion_core::KeyRing;

use super::followed::Proof;
use crate::failure::{Exit, Failure};

/// Checks the archive below a directory and says what it proves.
pub(super) fn verify(
    path: &Path,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
    anchors: &Anchors,
) -> Result<(String, Proof), Failure> {
    let named = path.display();
    let verdict = verify_archive_directory_with(path, keys, mac_keys, anchors)
        .map_err(|error| super::unreadable(path, &error))?;
    let (exit, line, found) = match verdict {
        ArchiveVerdict::Intact(proof) if proof.chains.is_empty() => {
            return Err(Failure::new(
                Exit::Input,
                format!("`{named}` has neither a log nor an archive below it"),
            ));
        }
        ArchiveVerdict::Intact(proof) => return Ok((describe(&proof), Proof::Archive(proof))),
        ArchiveVerdict::Tampered(found) => (Exit::No, format!("`{named}` is not what was recorded"), found),
        ArchiveVerdict::Incomplete(found) => (Exit::Input, format!("`{named}` is incomplete"), found),
        ArchiveVerdict::Unverifiable(found) => {
            (Exit::Unverifiable, format!("`{named}` cannot be verified with these keys"), found)
        }
    };
    Err(Failure::new(exit, line).because(&found))
}

fn describe(proof: &ArchiveProof) -> String {
    let chain = |chain: &ArchivedChain| {
        let ArchivedChain { first, last, tree, .. } = chain;
        format!("\n  {}: entries {first} to {last} of {} that were signed for", tree.origin, tree.size)
    };
    let chains: String = proof.chains.iter().map(chain).collect();
    let unclaimed = match proof.unclaimed.len() {
        0 => String::new(),
        some => format!("\n  {some} objects without a manifest, of which nothing is proven"),
    };
    format!("proven: {} archived entries{chains}{unclaimed}", proof.entries())
}
