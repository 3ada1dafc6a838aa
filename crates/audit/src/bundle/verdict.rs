use std::collections::BTreeMap;
use std::fmt;
use std::io;

use stanchion_core::{KeyVersion, Scope, Timestamp};

use crate::tree::ProofError;
use crate::{ChainId, Digest, NoteError, Recorded, RetentionClass, TreeHead};

/// What a bundle proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleVerdict {
    /// Everything in it is what was signed for.
    Intact(BundleProof),
    /// Something in it is not what was recorded.
    Tampered(BundleBreak),
    /// What is there may be right, but something is missing.
    Incomplete(BundleBreak),
    /// None of the keys that were given signed a part of it.
    Unverifiable(BundleBreak),
}

/// What an intact bundle claims. What is proven of it says [`verify_bundle`](super::verify_bundle).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleProof {
    /// Whose entries.
    pub scope: Scope,
    /// When they were exported, as the file says.
    pub exported_at: Timestamp,
    /// Whether whole chains were exported: then no entry up to the checkpoint is missing. Of a query nobody proves that.
    pub is_whole: bool,
    /// The only class that was asked for, as the file says; all of them when it is not set.
    pub class: Option<RetentionClass>,
    /// Whether the signatures of the entries were checked, too.
    pub are_macs_checked: bool,
    /// Each chain that is proven.
    pub chains: Vec<BundleChain>,
}

/// What an intact bundle claims of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleChain {
    /// The chain.
    pub chain: ChainId,
    /// The tree that was signed for.
    pub tree: TreeHead,
    /// The number before the oldest entry; 0 when the chain is whole, and for a query.
    pub base: u64,
    /// How many entries the file has.
    pub entries: u64,
    /// How many were left out, as the file says, because no checkpoint covered them yet.
    pub newer: u64,
    /// The roots of its tree at the sizes that checkpoints were published of; see [`verify_bundle_with`](super::verify_bundle_with).
    pub roots: BTreeMap<u64, Digest>,
    /// What its entries tell of other logs; see [`Anchors::follow_bundle`](crate::Anchors::follow_bundle).
    pub recorded: Recorded,
}

impl BundleProof {
    /// Returns how many entries are proven.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.chains.iter().map(|chain| chain.entries).sum()
    }
}

/// The first place at which a bundle is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleBreak {
    /// The line, from 1.
    pub line: u64,
    /// The chain, when the line is about one.
    pub chain: Option<ChainId>,
    /// The number of the entry that is wrong or missing, when there is one.
    pub seq: Option<u64>,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for BundleBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        match (self.chain, self.seq) {
            (Some(chain), Some(seq)) => write!(f, ", entry {seq} of {chain}")?,
            (Some(chain), None) => write!(f, ", {chain}")?,
            _ => {}
        }
        write!(f, ": {}", self.fault)
    }
}

impl std::error::Error for BundleBreak {}

/// What is wrong with a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The line is none of the format, or spelled otherwise than the writer does.
    #[error("it is no line of a bundle")]
    Malformed,
    /// The line may not stand there.
    #[error("it stands where it must not")]
    Misplaced,
    /// The file ends within the line.
    #[error("the file ends in the middle of it")]
    CutOff,
    /// The file has no end line.
    #[error("the file ends before its end line")]
    NoEnd,
    /// The entry is not there.
    #[error("it is missing")]
    Missing,
    /// The end line counts other entries than there are.
    #[error("the end line counts other entries than there are")]
    Counts,
    /// The note is not believed.
    #[error("its checkpoint is not believed: {0}")]
    Checkpoint(NoteError),
    /// The note is that of another chain's log.
    #[error("its checkpoint is that of another log")]
    OtherLog,
    /// What is said to stand before the oldest entry cannot be.
    #[error("what stands before its oldest entry cannot be")]
    Base,
    /// The link does not follow from the entry and the link before it.
    #[error("it is not linked to the entry before it")]
    Link,
    /// What it tells of the entry before it is not so.
    #[error("what it tells of the entry before it is not so")]
    Before,
    /// The signature was not made with the epoch's key.
    #[error("its signature is wrong")]
    Mac,
    /// The key of the entry's epoch is not in the ring.
    #[error("the key of epoch {0} is not known")]
    UnknownKeyEpoch(KeyVersion),
    /// Its content is no canonical event, or one of another chain.
    #[error("its content is no event of its chain")]
    Content,
    /// It is not in the tree that was signed for.
    #[error("it is not in the log: {0}")]
    Inclusion(ProofError),
    /// The entries lead to another root than was signed for.
    #[error("the entries up to it are not those that were signed for")]
    Root,
    /// The bytes before the end line are not those that were written.
    #[error("the file is not the one that was written")]
    Sum,
}

impl BundleBreak {
    pub(super) const fn verdict(self) -> BundleVerdict {
        match self.fault {
            Fault::CutOff | Fault::NoEnd | Fault::Missing | Fault::Counts => BundleVerdict::Incomplete(self),
            Fault::Checkpoint(NoteError::UnknownKey) | Fault::UnknownKeyEpoch(_) => {
                BundleVerdict::Unverifiable(self)
            }
            _ => BundleVerdict::Tampered(self),
        }
    }
}

/// Why a file could not be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// It is no bundle of this format.
    #[error("it is no bundle of the format {}", super::FORMAT)]
    NoBundle,
}
