//! Checkpoints that were published, compared with what is shown of their logs.
//!
//! Whoever owns the database and the keys can sign for another log; what he cannot do is take back what an anchor holds. So a log that is
//! intact in itself is compared, size by size, with the checkpoints that were published: each has to be one that the log went through.

mod store;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::bundle::BundleProof;
use crate::log_files::chain_of;
use crate::{ChainId, Digest, LogProof, NoteError, TreeHead, VerifierKey, WitnessKey};

/// Checkpoints as anchors hold them, read but not believed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published(Vec<Note>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    place: String,
    /// The log that it says it is of.
    origin: String,
    text: String,
}

/// The bytes hold no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} holds no checkpoint: expected a signed note, or lines of JSON with one in `note`")]
pub struct NotPublished {
    /// Where.
    pub place: String,
}

/// A line of an anchor's file. What else stands in it the note has, too, and signed.
#[derive(Deserialize)]
struct Line {
    note: String,
}

impl Published {
    /// Reads a file of an anchor, which is called `place` when something is wrong with it: a signed note, as buckets hold them, with the
    /// cosignatures of a witness or without; or one in each line, as a file does that is only appended to. A line that a crash cut off is
    /// passed over, as the anchor itself does.
    ///
    /// # Errors
    /// [`NotPublished`] when there is no note.
    pub fn read(&mut self, place: &str, bytes: &[u8]) -> Result<(), NotPublished> {
        let none = |place: &str| NotPublished { place: place.to_owned() };
        let text = std::str::from_utf8(bytes).map_err(|_| none(place))?;
        if !text.trim_start().starts_with('{') {
            return self.note(place, text);
        }
        let before = self.0.len();
        for (line, number) in text.lines().zip(1_u64..) {
            if let Ok(Line { note }) = serde_json::from_str(line) {
                self.note(&format!("{place}, line {number}"), &note)?;
            }
        }
        if self.0.len() == before { Err(none(place)) } else { Ok(()) }
    }

    fn note(&mut self, place: &str, text: &str) -> Result<(), NotPublished> {
        let place = place.to_owned();
        let origin = text.lines().next().filter(|origin| !origin.is_empty() && text.contains("\n\n"));
        let Some(origin) = origin.map(str::to_owned) else { return Err(NotPublished { place }) };
        self.0.push(Note { place, origin, text: text.to_owned() });
        Ok(())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Believes those that these keys signed. With witnesses, only those count that one of them has cosigned.
    ///
    /// # Errors
    /// [`AnchorBreak`] for the first one in the name of a known log that its keys did not sign, for a cosignature that is wrong, and for two
    /// of one log and size with different roots: somebody with the key has signed for two logs.
    pub fn open(&self, keys: &[VerifierKey], witnesses: &[WitnessKey]) -> Result<Anchors, AnchorBreak> {
        let mut anchors = Anchors::default();
        for Note { place, origin, text } in &self.0 {
            if !keys.iter().any(|key| key.name() == origin) {
                anchors.of_others += 1;
                continue;
            }
            let found = |fault| AnchorBreak::new(origin, place, None, fault);
            let head = TreeHead::open(text, keys).map_err(|error| found(AnchorFault::Checkpoint(error)))?;
            if !is_cosigned(text, witnesses).map_err(|error| found(AnchorFault::Cosignature(error)))? {
                anchors.uncosigned += 1;
                continue;
            }
            let log = anchors.logs.entry(head.origin).or_default();
            let known = log.entry(head.size).or_insert_with(|| (head.root, place.clone()));
            if known.0 != head.root {
                return Err(AnchorBreak::new(origin, place, Some(head.size), AnchorFault::TwoLogs));
            }
        }
        Ok(anchors)
    }
}

fn is_cosigned(note: &str, witnesses: &[WitnessKey]) -> Result<bool, NoteError> {
    let mut is_cosigned = witnesses.is_empty();
    let (_, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    for witness in witnesses {
        match witness.verify(note, signatures) {
            Ok(_) => is_cosigned = true,
            Err(NoteError::UnknownKey) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(is_cosigned)
}

/// Checkpoints that were published and are believed: what their logs must have gone through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    /// For each log and size its root, and where that stands.
    logs: BTreeMap<String, BTreeMap<u64, (Digest, String)>>,
    of_others: u64,
    uncosigned: u64,
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
    fn new(origin: &str, place: &str, seq: Option<u64>, fault: AnchorFault) -> Self {
        Self { origin: origin.to_owned(), seq, place: place.to_owned(), fault }
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
