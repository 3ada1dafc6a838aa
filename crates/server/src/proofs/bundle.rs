use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use stanchion_audit::bundle::{BundleChain, BundleProof, BundleVerdict, verify_bundle_with};
use stanchion_audit::{Anchors, VerifierKey};
use stanchion_core::KeyRing;

use super::followed::Proof;
use crate::failure::{Exit, Failure};

/// Tells a bundle from what else may be given, by how it begins.
pub(super) fn is_one(beginning: &[u8]) -> bool {
    beginning.starts_with(b"{\"manifest\":") || beginning.starts_with(b"{\"activity_id\":")
}

/// Checks a bundle and says what it proves.
pub(super) fn verify(
    path: &Path,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
    anchors: &Anchors,
) -> Result<(String, Proof), Failure> {
    let named = path.display();
    let file = File::open(path).map_err(|error| super::unreadable(path, &error))?;
    let verdict = verify_bundle_with(BufReader::new(file), keys, mac_keys, anchors);
    let verdict = verdict
        .map_err(|error| Failure::new(Exit::Input, format!("`{named}` proves nothing")).because(&error))?;
    let (exit, line, found) = match verdict {
        BundleVerdict::Intact(proof) => return Ok((describe(&proof), Proof::Bundle(proof))),
        BundleVerdict::Tampered(found) => (Exit::No, format!("`{named}` is not what was recorded"), found),
        BundleVerdict::Incomplete(found) => (Exit::Input, format!("`{named}` is incomplete"), found),
        BundleVerdict::Unverifiable(found) => {
            (Exit::Unverifiable, format!("`{named}` cannot be verified with these keys"), found)
        }
    };
    Err(Failure::new(exit, line).because(&found))
}

fn describe(proof: &BundleProof) -> String {
    let chain = |chain: &BundleChain| {
        let BundleChain { tree, base, entries, newer, .. } = chain;
        let newer = if *newer == 0 { String::new() } else { format!(", and left out {newer} newer ones") };
        let what = match (proof.is_whole, tree.size.saturating_sub(*base)) {
            (true, 0) => "no entries".to_owned(),
            (true, _) => format!("entries {} to {}, all of them", base.saturating_add(1), tree.size),
            (false, _) => format!("{entries} of {} entries; that no other matches is not proven", tree.size),
        };
        format!("\n  {}: {what}{newer}", tree.origin)
    };
    let chains: String = proof.chains.iter().map(chain).collect();
    let macs = if proof.are_macs_checked { "\n  the signature of each entry is right" } else { "" };
    let BundleProof { scope, exported_at, .. } = proof;
    format!("proven: {} entries of {scope}, exported {exported_at}{chains}{macs}", proof.entries())
}
