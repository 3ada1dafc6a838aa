use stanchion_core::{KeyRing, KeyVersion, Scope};

use crate::canonical::is_projection;
use crate::hash::{ChainLinks, ChainMacs};
use crate::{Chain, ChainId, Content, Head, RetentionClass, Row, Seal, Signer, leaf_hash, parse, rotation};

/// What verification found in a scope's chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Whose chains.
    pub scope: Scope,
    /// Each chain that has entries, and what was found.
    pub chains: Vec<(ChainId, Verdict)>,
}

impl Verification {
    /// Tells whether every chain is intact.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.first_break().is_none()
    }

    /// Returns the first break, by the order of the chains.
    #[must_use]
    pub fn first_break(&self) -> Option<Break> {
        self.chains.iter().find_map(|(_, verdict)| match verdict {
            Verdict::Intact { .. } => None,
            Verdict::Broken(found) => Some(*found),
        })
    }

    /// Returns how many entries of intact chains were verified.
    #[must_use]
    pub fn entries(&self) -> u64 {
        let entries = |(_, verdict): &(ChainId, Verdict)| match verdict {
            Verdict::Intact { entries, .. } => *entries,
            Verdict::Broken(_) => 0,
        };
        self.chains.iter().map(entries).sum()
    }
}

/// What verification found in one chain. There is no score: a chain holds or it is broken at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry from the base to the head is what was recorded.
    Intact {
        /// How many entries.
        entries: u64,
        /// What stands before the oldest entry; [`Head::EMPTY`] when the chain is whole.
        base: Head,
        /// The newest entry. Keep it: a later chain that does not pass through it was cut or replaced.
        head: Head,
        /// The last entry whose signature was not looked at, since the key of its epoch was destroyed in due course; 0 when all were. Up
        /// to here the links alone were checked, and the tree where a checkpoint covers it.
        unsigned_to: u64,
    },
    /// The chain is broken.
    Broken(Break),
}

/// The first place at which a chain is not what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{chain} is broken at entry {seq}: {reason}")]
pub struct Break {
    /// The chain.
    pub chain: ChainId,
    /// The number of the first entry that is wrong or missing.
    pub seq: u64,
    /// What is wrong with it.
    pub reason: BreakReason,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BreakReason {
    /// The canonical bytes are not those whose hash is recorded.
    #[error("its content was altered")]
    PayloadAltered,
    /// The link does not follow from the entry and the link before it: the entry, its number, its time or its place was changed.
    #[error("it is not linked to the entry before it")]
    LinkBroken,
    /// The entry is not there, or another one stands in its place.
    #[error("it is missing")]
    Gap,
    /// The signature was not made with the epoch's key: somebody without the key wrote or linked the entry.
    #[error("its signature is wrong")]
    MacWrong,
    /// The key of the entry's epoch is not in the ring; with it the chain may verify.
    #[error("the key of epoch {0} is not known")]
    UnknownKeyEpoch(KeyVersion),
    /// The key of the entry's epoch was destroyed in due course, and no checkpoint covers the entry: who holds the first key of the epochs
    /// can verify it.
    #[error("its epoch's key was destroyed before a checkpoint covered it")]
    KeyDestroyed,
    /// The columns beside the canonical bytes say something else, or the entry stands in a chain that is not its own.
    #[error("its columns differ from its content")]
    ProjectionAltered,
    /// The store's head of the chain is not its last entry: entries were cut off the end, or put there.
    #[error("the chain does not end where its head says")]
    HeadWrong,
    /// The checkpoint that covers the entry was not signed by a key of the ring, or says something else than its note.
    #[error("its checkpoint is not what was signed")]
    CheckpointWrong,
    /// An anchor holds a checkpoint that the log does not lead to.
    #[error("it is not what was anchored elsewhere")]
    AnchorConflict,
    /// A key is said to have taken another's place, and the key before has not signed that.
    #[error("the key before did not vouch for the one it names")]
    RotationWrong,
    /// The tree over the entries has another root than was signed for.
    #[error("the tree up to it is not the one that was signed for")]
    TreeWrong,
}

/// Verifies a chain from its stored rows alone: offline, in any process that has the keys.
///
/// What is proven: every entry from the base to the head is there, unaltered, in its place, and was signed by a holder of the keys.
/// What is not: that nothing was cut off the end together with the head. A [receipt](crate::Receipt), a checkpoint or the head of an
/// earlier verification, kept elsewhere, shows that; [`Prover::verify`](crate::Prover::verify) compares with the checkpoint that is
/// stored, and a sequencer that is running notices it at its next commit and records it.
pub fn verify_chain<'a>(chain: &Chain, rows: impl IntoIterator<Item = &'a Row>, keys: &KeyRing) -> Verdict {
    let signer = Signer::new(keys);
    let mut verifier = ChainVerifier::new(chain.id, chain.base, &signer);
    for row in rows {
        if let Err(found) = verifier.check(row) {
            return Verdict::Broken(found);
        }
    }
    verifier.finish(&chain.head)
}

/// Verifies a chain row by row.
pub(crate) struct ChainVerifier<'a> {
    chain: ChainId,
    base: Head,
    at: Head,
    signer: &'a Signer,
    links: ChainLinks,
    macs: Option<(KeyVersion, ChainMacs)>,
    is_strict: bool,
    unsigned_to: u64,
    buffer: Vec<u8>,
}

impl<'a> ChainVerifier<'a> {
    pub(crate) fn new(chain: ChainId, base: Head, signer: &'a Signer) -> Self {
        Self {
            chain,
            base,
            at: base,
            signer,
            links: ChainLinks::new(&chain),
            macs: None,
            is_strict: false,
            unsigned_to: 0,
            buffer: Vec::new(),
        }
    }

    /// Takes no entry for right whose signature cannot be checked, even if its key was destroyed in due course.
    pub(crate) fn strict(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// The last entry that was found right.
    pub(crate) const fn at(&self) -> &Head {
        &self.at
    }

    /// Checks the next entry without its content: that it is in its place, linked to the one before and signed.
    pub(crate) fn check_seal(&mut self, seal: &Seal) -> Result<(), Break> {
        let seq = self.at.seq + 1;
        let broken = |reason| Err(Break { chain: self.chain, seq, reason });
        if seal.seq != seq {
            return broken(BreakReason::Gap);
        }
        if self.links.link(seq, seal.recorded_at, &self.at.link, &seal.leaf) != seal.link {
            return broken(BreakReason::LinkBroken);
        }
        if self.macs.as_ref().is_none_or(|(epoch, _)| *epoch != seal.key_epoch) {
            self.macs = self.signer.chain(seal.key_epoch, &self.chain).map(|macs| (seal.key_epoch, macs));
        }
        match &self.macs {
            Some((_, macs)) if macs.is_mac(seq, &seal.link, &seal.mac) => {}
            Some(_) => return broken(BreakReason::MacWrong),
            None if !self.signer.is_destroyed(seal.key_epoch) => {
                return broken(BreakReason::UnknownKeyEpoch(seal.key_epoch));
            }
            None if self.is_strict => return broken(BreakReason::KeyDestroyed),
            None => self.unsigned_to = seq,
        }
        self.at = Head { seq, link: seal.link, recorded_at: seal.recorded_at };
        Ok(())
    }

    pub(crate) fn check(&mut self, row: &Row) -> Result<(), Break> {
        let (chain, seq) = (self.chain, self.at.seq + 1);
        let broken = |reason| Err(Break { chain, seq, reason });
        let content = &*row.content;
        if row.seq == seq && leaf_hash(&content.canonical) != content.leaf {
            return broken(BreakReason::PayloadAltered);
        }
        self.check_seal(&row.into())?;
        let Content { id, canonical, projection, .. } = content;
        let in_its_chain =
            row.chain == self.chain && RetentionClass::of(projection.category) == self.chain.class;
        if !in_its_chain || !is_projection(canonical, *id, self.chain.scope, projection, &mut self.buffer) {
            return broken(BreakReason::ProjectionAltered);
        }
        if projection.action.as_str() == rotation::ACTION {
            let holds = parse(canonical).is_ok_and(|event| rotation::holds(&event, self.signer));
            if !holds {
                return broken(BreakReason::RotationWrong);
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self, head: &Head) -> Verdict {
        let (chain, at) = (self.chain, self.at);
        if at.seq < head.seq {
            return Verdict::Broken(Break { chain, seq: at.seq + 1, reason: BreakReason::Gap });
        }
        if (at.seq, at.link) != (head.seq, head.link) {
            let seq = at.seq.min(head.seq + 1);
            return Verdict::Broken(Break { chain, seq, reason: BreakReason::HeadWrong });
        }
        let (base, unsigned_to) = (self.base, self.unsigned_to);
        Verdict::Intact { entries: at.seq - base.seq, base, head: at, unsigned_to }
    }
}

#[cfg(test)]
mod tests;
