use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stanchion_core::{KeyVersion, Scope, Timestamp};

use crate::{ChainId, Digest, Head, RetentionClass};

/// A line of a bundle. Each has one spelling: the one that serializing it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first: what was asked for.
    Manifest(Manifest),
    /// What the entries of a chain are proven by.
    Log(Log),
    /// An entry.
    Entry(ExportedEntry),
    /// The last: how much there was.
    End(End),
}

/// What was asked for. Nobody signs that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`](super::FORMAT).
    pub format: String,
    /// Whose entries.
    pub scope: Scope,
    /// When they were asked for, by the clock of the process that wrote them.
    pub exported_at: Timestamp,
    /// The only class asked for; all of them when it is not set.
    pub class: Option<RetentionClass>,
    /// The filters of a query, by name; not set when whole chains were asked for.
    pub query: Option<BTreeMap<String, String>>,
}

/// What the entries of a chain are proven by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The chain.
    pub chain: ChainId,
    /// The signed note of its latest checkpoint.
    pub checkpoint: String,
    /// What verifies the note, for convenience: trust comes from elsewhere.
    pub verifier_keys: Vec<String>,
    /// What stands before the oldest entry that is kept; not set when the chain is whole, nor for a query.
    pub base: Option<ChainBase>,
}

/// What stands before the oldest entry of a chain that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainBase {
    /// The number of the entry before it.
    pub seq: u64,
    /// That entry's link.
    pub link: Digest,
    /// When that entry was recorded.
    pub recorded_at: Timestamp,
    /// The tree over the entries that are gone: the roots of its complete subtrees, the largest first.
    pub tree: Vec<Digest>,
}

impl ChainBase {
    pub(crate) const fn head(&self) -> Head {
        Head { seq: self.seq, link: self.link, recorded_at: self.recorded_at }
    }
}

/// An entry with its event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedEntry {
    /// The chain it stands in.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The hash over the entry and the link before it.
    pub link: Digest,
    /// The signature of the link.
    pub mac: Digest,
    /// The version of the key it was signed with.
    pub key_epoch: KeyVersion,
    /// The canonical event, as a text, so that its bytes survive.
    pub canonical: String,
    /// For a query: the hashes that lead from its leaf to the checkpoint's root, leaf side first. Whole chains need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Vec<Digest>>,
}

/// How much there was: what tells a whole file from one that was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The chains, in order.
    pub chains: Vec<ChainCount>,
    /// SHA-256 over every byte before this line. It finds damage, not malice: anybody can compute it anew.
    pub sha256: Digest,
}

/// How many entries of a chain there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainCount {
    /// The chain.
    pub chain: ChainId,
    /// How many entries the file has.
    pub entries: u64,
    /// How many were asked for but left out, because no checkpoint covered them yet.
    pub newer: u64,
}
