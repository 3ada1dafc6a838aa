//! Checkpoints that were published, compared with what is shown of their logs.
//!
//! Whoever owns the database and the keys can sign for another log; what he cannot do is take back what an anchor holds. So a log that is
//! intact in itself is compared, size by size, with the checkpoints that were published: each has to be one that the log went through.
//!
//! Published is the platform's security log alone. As far as it was, its entries are proven, and among them are those that tell the
//! checkpoints of all other logs: these count as published, too.

mod published;
mod recorded;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::published::{NotPublished, Published};
pub(crate) use self::recorded::ACTION;
pub use self::recorded::Recorded;
use crate::bundle::BundleProof;
use crate::log_files::chain_of;
use crate::{ChainId, Digest, LogProof, NoteError, TreeHead};

/// Checkpoints that were published and are believed: what their logs must have gone through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    logs: BTreeMap<String, Sizes>,
    of_others: u64,
    uncosigned: u64,
}

/// For each size that was published of a log its root, and where that stands.
type Sizes = BTreeMap<u64, (Digest, Place)>;

/// Where a checkpoint stands that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In an anchor.
    Anchor(String),
    /// In an entry of the platform's log, which is in a tree that an anchor holds.
    Entry { seq: u64, log: Arc<str>, anchor: Arc<str> },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anchor(place) => f.write_str(place),
            Self::Entry { seq, log, anchor } => write!(f, "entry {seq} of {log}, and that in {anchor}"),
        }
    }
}

/// The roots that a log was found to have had, of those sizes that were asked for.
pub(crate) type Roots = BTreeMap<u64, Digest>;

/// How a log compares with what was published of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The log.
    pub origin: String,
    /// How many checkpoints it went through.
    pub matching: u64,
    /// The size of the greatest of them, 0 when there is none.
    pub latest: u64,
    /// How many are of sizes that what is shown tells nothing of.
    pub unshown: u64,
}

/// Something that was published and that a log does not lead to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {fault}\n{place}")]
pub struct AnchorBreak {
    /// The log.
    pub origin: String,
    /// The number of the first entry that is not the one, or missing, when it is about entries.
    pub seq: Option<u64>,
    /// Where the checkpoint stands that was published.
    pub place: String,
    /// What is wrong.
    pub fault: AnchorFault,
}

/// What is wrong between a log and what was published of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorFault {
    /// What was published is not believed.
    #[error("what was published is not believed: {0}")]
    Checkpoint(NoteError),
    /// A witness did not sign what is said to be cosigned by it.
    #[error("the cosignature of a witness is not believed: {0}")]
    Cosignature(NoteError),
    /// Two roots of one size were signed.
    #[error("two logs of one size were signed for")]
    TwoLogs,
    /// The log has other entries than were published.
    #[error("forked: the entries after {after}, up to {size}, are others than were published")]
    Forked {
        /// The greatest size up to which they are the same, as far as it was published.
        after: u64,
        /// The size that was published.
        size: u64,
    },
    /// The log ends before what was published.
    #[error("rolled back: it ends at entry {size}, and {published} were published")]
    RolledBack {
        /// Its size.
        size: u64,
        /// The size that was published.
        published: u64,
    },
    /// An entry is not there, or another one stands in its place.
    #[error("missing: it was published, and is not there")]
    Missing,
    /// The log is not there.
    #[error("absent: {published} entries were published, and the log is not there")]
    Absent {
        /// The size that was published.
        published: u64,
    },
}

/// What a break means for who was given a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorVerdict {
    /// Somebody has altered the log, or what was published.
    Tampered,
    /// What is there may be right, and is not all: it may be older than what was published.
    Incomplete,
    /// None of the keys that were given signed what was published.
    Unverifiable,
}

impl AnchorBreak {
    fn new(origin: &str, place: &(impl ToString + ?Sized), seq: Option<u64>, fault: AnchorFault) -> Self {
        Self { origin: origin.to_owned(), seq, place: place.to_string(), fault }
    }

    /// Returns what it means of a file, which may be older than what was published. A store may not.
    #[must_use]
    pub const fn of_a_file(&self) -> AnchorVerdict {
        match self.fault {
            AnchorFault::RolledBack { .. } | AnchorFault::Absent { .. } => AnchorVerdict::Incomplete,
            _ => self.of_a_store(),
        }
    }

    /// Returns what it means of the store that the ledger is kept in.
    #[must_use]
    pub const fn of_a_store(&self) -> AnchorVerdict {
        match self.fault {
            AnchorFault::Checkpoint(NoteError::UnknownKey) => AnchorVerdict::Unverifiable,
            _ => AnchorVerdict::Tampered,
        }
    }
}

/// Whether what is shown of a log claims to be all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    #[cfg(feature = "archive")]
    Part,
}

impl Anchors {
    /// Returns how many checkpoints were of logs of which no key was given.
    #[must_use]
    pub const fn of_others(&self) -> u64 {
        self.of_others
    }

    /// Returns how many were left out because no witness had cosigned them.
    #[must_use]
    pub const fn uncosigned(&self) -> u64 {
        self.uncosigned
    }

    /// Takes a checkpoint for published.
    fn add(&mut self, origin: String, size: u64, root: Digest, place: Place) -> Result<bool, AnchorBreak> {
        let sizes = self.logs.entry(origin.clone()).or_default();
        if let Some((known, _)) = sizes.get(&size) {
            let two = || AnchorBreak::new(&origin, &place, Some(size), AnchorFault::TwoLogs);
            return if *known == root { Ok(false) } else { Err(two()) };
        }
        sizes.insert(size, (root, place));
        Ok(true)
    }

    /// Keeps the root of a log at a size, if one was published of that.
    pub(crate) fn note(&self, origin: &str, size: u64, root: impl FnOnce() -> Digest, into: &mut Roots) {
        if self.logs.get(origin).is_some_and(|sizes| sizes.contains_key(&size)) {
            into.insert(size, root());
        }
    }

    /// Compares a bundle that [`verify_bundle_with`](crate::bundle::verify_bundle_with) found intact, against these. Whole chains are
    /// compared at every size from their first entry on, those of a query only at the size of their checkpoint.
    ///
    /// # Errors
    /// The first thing that does not fit: a chain of the bundle, or one that is missing from a bundle of all whole chains.
    pub fn compare_bundle(&self, proof: &BundleProof) -> Result<Vec<Compared>, AnchorBreak> {
        let chains = proof.chains.iter();
        let compared = chains.map(|chain| self.compare(&chain.tree, &chain.roots, Shown::All));
        let compared = compared.collect::<Result<_, _>>()?;
        if proof.is_whole && proof.class.is_none() {
            let has = |chain: ChainId| proof.chains.iter().any(|known| known.chain == chain);
            self.miss(|chain| chain.scope == proof.scope && !has(chain))?;
        }
        Ok(compared)
    }

    /// Compares an archive that [`verify_archive_with`](crate::archive::verify_archive_with) found intact, against these. What is newer
    /// than an archive is elsewhere.
    ///
    /// # Errors
    /// The first thing that does not fit.
    #[cfg(feature = "archive")]
    pub fn compare_archive(
        &self,
        proof: &crate::archive::ArchiveProof,
    ) -> Result<Vec<Compared>, AnchorBreak> {
        proof.chains.iter().map(|chain| self.compare(&chain.tree, &chain.roots, Shown::Part)).collect()
    }

    /// Compares the files of a log that [`verify_log_with`](crate::verify_log_with) found intact, against these.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn compare_log(&self, proof: &LogProof) -> Result<Compared, AnchorBreak> {
        self.compare(&proof.tree, &proof.roots, Shown::All)
    }

    fn compare(&self, tree: &TreeHead, roots: &Roots, shown: Shown) -> Result<Compared, AnchorBreak> {
        let origin = &tree.origin;
        let mut compared = Compared { origin: origin.clone(), matching: 0, latest: 0, unshown: 0 };
        for (size, (root, place)) in self.logs.get(origin).into_iter().flatten() {
            match roots.get(size) {
                Some(found) if found == root => {
                    compared.matching += 1;
                    compared.latest = *size;
                }
                Some(_) => {
                    let (after, size) = (compared.latest, *size);
                    let fault = AnchorFault::Forked { after, size };
                    return Err(AnchorBreak::new(origin, place, Some(after.saturating_add(1)), fault));
                }
                None if shown == Shown::All && *size > tree.size => {
                    let fault = AnchorFault::RolledBack { size: tree.size, published: *size };
                    return Err(AnchorBreak::new(origin, place, Some(tree.size.saturating_add(1)), fault));
                }
                None => compared.unshown += 1,
            }
        }
        Ok(compared)
    }

    /// Looks for a chain that something was published of and that is not there.
    fn miss(&self, is_missing: impl Fn(ChainId) -> bool) -> Result<(), AnchorBreak> {
        for (origin, sizes) in &self.logs {
            if let Some((published, (_, place))) = sizes.last_key_value()
                && chain_of(origin).is_some_and(&is_missing)
            {
                let fault = AnchorFault::Absent { published: *published };
                return Err(AnchorBreak::new(origin, place, Some(1), fault));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
