//! What an event of OCSF tells of the lines before it: which event its chain has before it, and who signed for it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use stanchion_core::Timestamp;

use super::event::millis;
use crate::bundle::{ExportedEntry, Line, Log};
use crate::note::key_ids;
use crate::{ChainId, Digest, leaf_hash};

/// How much an event tells of what proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bundle) enum Attested {
    /// Its own hash, as the first version of the format has it.
    Alone,
    /// What comes before it in its chain, and who signed for it, too.
    Chained,
}

/// What the lines of a bundle leave for those after them. It does not grow with the entries.
#[derive(Clone, Debug)]
pub(in crate::bundle) struct Carried {
    exported_at: Timestamp,
    /// Of each chain, who signed the checkpoint that covers its entries.
    signed: BTreeMap<ChainId, Vec<Value>>,
    /// The entry before, as the next one of its chain tells of it.
    before: Option<(ChainId, u64, Value)>,
}

impl Default for Carried {
    fn default() -> Self {
        Self { exported_at: Timestamp::EPOCH, signed: BTreeMap::new(), before: None }
    }
}

impl Carried {
    pub(super) const fn exported_at(&self) -> Timestamp {
        self.exported_at
    }

    /// Takes in a line before it is written.
    pub(in crate::bundle) fn begin(&mut self, line: &Line) {
        match line {
            Line::Manifest(manifest) => self.exported_at = manifest.exported_at,
            Line::Log(log) => drop(self.signed.insert(log.chain, signatures(log))),
            Line::Entry(_) | Line::End(_) => {}
        }
    }

    /// Takes in an entry whose event was made.
    pub(super) fn go_on(&mut self, entry: &ExportedEntry, made: &Map<String, Value>) {
        let id = made.get("metadata").and_then(|metadata| metadata.get("uid"));
        let before = json!({
            "fingerprint": fingerprint(&leaf_hash(entry.canonical.as_bytes())),
            "type_uid": made.get("type_uid"),
            // What is no event has no id of its own.
            "uid": id.cloned().unwrap_or_else(|| json!(uid(entry))),
        });
        self.before = Some((entry.chain, entry.seq, before));
    }

    /// Takes what an event itself tells of the entry before it.
    pub(in crate::bundle) fn believe(&mut self, line: &Line, text: &[u8]) {
        let told: Option<Value> = serde_json::from_slice(text).ok();
        let told = told.and_then(|told| told.pointer("/unmapped/attestation/prev_event").cloned());
        self.before = match (line, told) {
            (Line::Entry(entry), Some(told)) => Some((entry.chain, entry.seq.wrapping_sub(1), told)),
            _ => None,
        };
    }

    /// Makes the object `attestation` of an entry's event.
    pub(super) fn attestation(&self, entry: &ExportedEntry, attested: Attested) -> Value {
        let mut made = json!({
            "authority_uid": "Stanchion",
            "chain_uid": entry.chain.to_string(),
            "fingerprint": fingerprint(&leaf_hash(entry.canonical.as_bytes())),
            "uid": uid(entry),
        });
        let Value::Object(fields) = &mut made else { return made };
        if attested == Attested::Alone {
            return made;
        }
        let is_next =
            |chain: ChainId, seq: u64| chain == entry.chain && seq.checked_add(1) == Some(entry.seq);
        if let Some((_, _, before)) = self.before.as_ref().filter(|(chain, seq, _)| is_next(*chain, *seq)) {
            fields.insert("prev_event".to_owned(), before.clone());
        }
        let own = json!({
            "algorithm": "HMAC-SHA256",
            "algorithm_id": 99,
            "created_time": millis(entry.recorded_at),
            "developer_uid": format!("{}/{}", entry.chain, entry.key_epoch),
            "digest": fingerprint(&entry.link),
        });
        let of_checkpoint = self.signed.get(&entry.chain).into_iter().flatten().cloned();
        let signatures: Vec<Value> = std::iter::once(own).chain(of_checkpoint).collect();
        fields.insert("signatures".to_owned(), json!(signatures));
        made
    }
}

fn uid(entry: &ExportedEntry) -> String {
    format!("{}/{}", entry.chain, entry.seq)
}

fn fingerprint(digest: &Digest) -> Value {
    json!({ "algorithm": "SHA-256", "algorithm_id": 3, "value": digest.to_string() })
}

/// Tells of the signatures of a checkpoint in the name of its log: which key, and over which root. A note that is none has none; it is
/// refused elsewhere.
fn signatures(log: &Log) -> Vec<Value> {
    let mut lines = log.checkpoint.split('\n');
    let (Some(origin), Some(_), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Vec::new();
    };
    let Some(root) = Digest::from_base64(root) else { return Vec::new() };
    let signature = |id: [u8; 4]| {
        json!({
            "algorithm": "Ed25519",
            "algorithm_id": 99,
            "developer_uid": format!("{origin}+{:08x}", u32::from_be_bytes(id)),
            "digest": fingerprint(&root),
        })
    };
    key_ids(&log.checkpoint, origin).into_iter().map(signature).collect()
}
