//! Pages of entries with their proofs, as the API answers them.

use std::path::Path;

use serde_json::Value;
use stanchion_audit::{NoteError, Proven, Unproven, VerifierKey, parse, verify_proof};

use crate::failure::{Exit, Failure};
use crate::json::{at, list, text};

/// Checks each entry of a page, and says what the page proves.
pub(super) fn verify(path: &Path, keys: &[VerifierKey]) -> Result<String, Failure> {
    let named = path.display();
    let bytes = std::fs::read(path).map_err(|error| super::unreadable(path, &error))?;
    let no_page =
        |why: &str| Failure::new(Exit::Input, format!("`{named}` proves nothing")).with_lines([why]);
    let page: Value = serde_json::from_slice(&bytes).map_err(|_| no_page("it is no JSON"))?;
    let is_page = at(&page, "/items").is_array() && at(&page, "/checkpoints").is_array();
    if !is_page {
        return Err(no_page("it is no page of entries with their proofs"));
    }
    let items = list(&page, "/items");
    let mut newer = 0_u64;
    for (place, item) in items.iter().enumerate() {
        let entry = format!("entry {} of {}", number(at(item, "/sequence")), text(item, "/chain"));
        let wrong = |exit, line: &str, why: String| {
            let place = format!("item {}, {entry}: {why}", place.saturating_add(1));
            Failure::new(exit, format!("`{named}` {line}")).with_lines([place])
        };
        let tampered = |why: &str| wrong(Exit::No, "is not what was recorded", why.to_owned());
        let Some(proof) = at(item, "/proof").as_str() else {
            if covered(&page, item) {
                return Err(tampered("its chain's checkpoint covers it, and it has no proof"));
            }
            newer = newer.saturating_add(1);
            continue;
        };
        match verify_proof(proof, keys) {
            Ok(proven) if is_shown(item, &proven) => {}
            Ok(_) => return Err(tampered("its proof is that of another entry than is shown")),
            Err(Unproven::Checkpoint(NoteError::UnknownKey)) => {
                let why = "no key that is known signed its checkpoint".to_owned();
                return Err(wrong(Exit::Unverifiable, "cannot be verified with these keys", why));
            }
            Err(error) => return Err(tampered(&format!("it is not proven: {error}"))),
        }
    }
    let proven = items.len() as u64 - newer;
    if newer > 0 {
        let why = format!(
            "{newer} of {} entries are newer than their checkpoint; {proven} are proven",
            items.len()
        );
        return Err(Failure::new(Exit::Input, format!("`{named}` is incomplete")).with_lines([why]));
    }
    Ok(format!("proven: {proven} entries, each at its number\n  that no other matches is not proven"))
}

/// Tells whether what is shown of an entry is what its proof proves.
fn is_shown(item: &Value, proven: &Proven) -> bool {
    let Ok(event) = parse(&proven.canonical) else { return false };
    let is_event = serde_json::to_value(&event).is_ok_and(|event| event == *at(item, "/event"));
    let is_chain = proven.tree.origin.ends_with(&format!("/{}", text(item, "/chain")));
    is_event && is_chain && number(at(item, "/sequence")) == proven.seq
}

/// Tells whether a checkpoint of the page covers an entry.
fn covered(page: &Value, item: &Value) -> bool {
    let of_chain = |checkpoint: &&Value| text(checkpoint, "/chain") == text(item, "/chain");
    let mut checkpoints = list(page, "/checkpoints").iter().filter(of_chain);
    checkpoints.any(|checkpoint| number(at(checkpoint, "/size")) >= number(at(item, "/sequence")))
}

/// Reads a number that is written as a number or as text.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}
