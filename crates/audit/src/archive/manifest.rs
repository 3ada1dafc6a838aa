use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stanchion_core::{InvalidId, Timestamp};

use super::PREFIX;
use crate::bundle::ChainBase;
use crate::{ChainId, Digest, Head, ObjectName};

/// What an object of an archive holds, and what proves it. Its text is the one that serializing it gives, with a line break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveManifest {
    /// [`FORMAT`](super::FORMAT).
    pub format: String,
    /// Whose entries.
    pub chain: ChainId,
    /// The number of the first entry.
    pub first: u64,
    /// The number of the last entry.
    pub last: u64,
    /// When it was written, by the clock of the process that did. Nobody signs that.
    pub archived_at: Timestamp,
    /// What stands before the first entry; not set when that is the chain's first.
    pub base: Option<ChainBase>,
    /// The link of the first entry.
    pub first_link: Digest,
    /// The link of the last entry.
    pub last_link: Digest,
    /// When the first entry was recorded.
    pub recorded_from: Timestamp,
    /// When the last entry was recorded.
    pub recorded_to: Timestamp,
    /// The tree over all entries up to the last: the roots of its complete subtrees, the largest first.
    pub tree: Vec<Digest>,
    /// The signed note of a checkpoint that covers the last entry.
    pub checkpoint: String,
    /// The hashes that lead from the tree up to the last entry to the checkpoint's root; see RFC 6962, 2.1.2.
    pub growth: Vec<Digest>,
    /// The name of the object, beside the manifest.
    pub object: String,
    /// The entries before they were compressed.
    pub content: Sum,
    /// The object as it is stored.
    pub stored: Sum,
}

/// How many bytes there are, and their SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// How many.
    pub bytes: u64,
    /// Their hash.
    pub sha256: Digest,
}

impl Sum {
    /// Sums bytes up.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let sha256 = Digest::from_bytes(Sha256::digest(bytes).into());
        Self { bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX), sha256 }
    }
}

impl ArchiveManifest {
    /// Reads a manifest; `None` when it is none, or spelled otherwise than the writer does.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        (manifest.format == super::FORMAT && manifest.to_bytes() == bytes).then_some(manifest)
    }

    /// Writes the manifest.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the names of its fields are texts, and memory takes every byte")]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a manifest has a JSON form");
        bytes.push(b'\n');
        bytes
    }

    /// Returns where the chain stands after the last entry.
    #[must_use]
    pub const fn end(&self) -> Head {
        Head { seq: self.last, link: self.last_link, recorded_at: self.recorded_to }
    }

    /// Returns where the chain stands before the first entry.
    #[must_use]
    pub fn start(&self) -> Head {
        self.base.as_ref().map_or(Head::EMPTY, ChainBase::head)
    }
}

/// The number of an entry as names have it: in the order of texts too.
pub(super) fn number(seq: u64) -> String {
    format!("{seq:016}")
}

/// Returns what the names of a chain's objects begin with.
pub(super) fn folder(chain: ChainId) -> Result<ObjectName, InvalidId> {
    format!("{PREFIX}/{chain}").parse()
}

pub(super) fn manifest_file(first: u64) -> String {
    format!("{}.json", number(first))
}

pub(super) fn object_file(first: u64, last: u64) -> String {
    format!("{}-{}.jsonl.zst", number(first), number(last))
}
