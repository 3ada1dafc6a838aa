use std::collections::BTreeMap;
use std::fmt;

use stanchion_core::KeyVersion;

use crate::{ChainId, Digest, NoteError, ObjectName, Recorded, TreeHead};

/// What an archive proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveVerdict {
    /// Everything in it is what was signed for.
    Intact(ArchiveProof),
    /// Something in it is not what was recorded.
    Tampered(ArchiveBreak),
    /// What is there may be right, but something is missing.
    Incomplete(ArchiveBreak),
    /// None of the keys that were given signed a part of it.
    Unverifiable(ArchiveBreak),
}

/// What an intact archive proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveProof {
    /// Each chain that it has entries of.
    pub chains: Vec<ArchivedChain>,
    /// Whether the signatures of the entries were checked, too.
    pub are_macs_checked: bool,
    /// Objects that no manifest speaks of, as a crash leaves them. Nothing is proven of them.
    pub unclaimed: Vec<ObjectName>,
}

/// A chain, as far as an intact archive has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedChain {
    /// The chain.
    pub chain: ChainId,
    /// The number of the first entry; all up to the last are there.
    pub first: u64,
    /// The number of the last entry.
    pub last: u64,
    /// The greatest tree that was signed for: what is newer than the last entry is elsewhere.
    pub tree: TreeHead,
    /// The roots of its tree at the sizes that checkpoints were published of; see [`verify_archive_with`](super::verify_archive_with).
    pub roots: BTreeMap<u64, Digest>,
    /// What its entries tell of other logs; see [`Anchors::follow_archive`](crate::Anchors::follow_archive).
    pub recorded: Recorded,
}

impl ArchiveProof {
    /// Returns how many entries are proven.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.chains.iter().map(|chain| (chain.last + 1).saturating_sub(chain.first)).sum()
    }
}

/// The first place at which an archive is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveBreak {
    /// The object or manifest.
    pub object: ObjectName,
    /// The number of the entry that is wrong or missing, when there is one.
    pub seq: Option<u64>,
    /// What is wrong.
    pub fault: ArchiveFault,
}

impl fmt::Display for ArchiveBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.object)?;
        if let Some(seq) = self.seq {
            write!(f, ", entry {seq}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl std::error::Error for ArchiveBreak {}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveFault {
    /// It is no manifest, or spelled otherwise than the writer does.
    #[error("it is no manifest of the format {}", super::FORMAT)]
    Malformed,
    /// It stands under another name than its content says.
    #[error("its name is not that of its content")]
    Misnamed,
    /// The object is not there.
    #[error("it is missing")]
    Missing,
    /// The object has fewer bytes than were written.
    #[error("it ends in the middle")]
    Truncated,
    /// The bytes are not those that were written.
    #[error("it is not what was written")]
    Damaged,
    /// The line is no entry, or not the one that comes next.
    #[error("another line stands in its place")]
    Misplaced,
    /// The link does not follow from the entry and the link before it.
    #[error("it is not linked to the entry before it")]
    Link,
    /// The signature was not made with the epoch's key.
    #[error("its signature is wrong")]
    Mac,
    /// The key of the entry's epoch is not in the ring.
    #[error("the key of epoch {0} is not known")]
    UnknownKeyEpoch(KeyVersion),
    /// Its content is no canonical event, or one of another chain.
    #[error("its content is no event of its chain")]
    Content,
    /// It does not go on from where the object before it ends.
    #[error("it does not go on from the entries before it")]
    Base,
    /// The manifest says something else of the entries than they are.
    #[error("its manifest says something else than the entries")]
    Manifest,
    /// The note is not believed.
    #[error("its checkpoint is not believed: {0}")]
    Checkpoint(NoteError),
    /// The note is that of another chain's log.
    #[error("its checkpoint is that of another log")]
    OtherLog,
    /// The entries are not in the tree that was signed for.
    #[error("the entries up to it are not those that were signed for")]
    Root,
}

impl ArchiveBreak {
    pub(super) fn verdict(self) -> ArchiveVerdict {
        match self.fault {
            ArchiveFault::Missing | ArchiveFault::Truncated => ArchiveVerdict::Incomplete(self),
            ArchiveFault::Checkpoint(NoteError::UnknownKey) | ArchiveFault::UnknownKeyEpoch(_) => {
                ArchiveVerdict::Unverifiable(self)
            }
            _ => ArchiveVerdict::Tampered(self),
        }
    }
}
