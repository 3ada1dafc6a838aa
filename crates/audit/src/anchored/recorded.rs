//! Checkpoints that the entries of the platform's log tell of other logs.

use std::collections::BTreeSet;
use std::sync::Arc;

use stanchion_core::{Actor, Detail, Details};

use super::{AnchorBreak, Anchors, Place, Roots, Shown, Sizes};
use crate::bundle::BundleProof;
use crate::rotation::OWN;
use crate::{ChainId, Compared, Digest, LogProof, TreeHead, parse};

/// The action of the entries that tell of checkpoints.
pub(crate) const ACTION: &str = "audit.checkpointed";
/// What the canonical bytes of such an entry have, and those of no other: a quote within a text is escaped.
const MARK: &[u8] = b"\"action\":\"audit.checkpointed\"";

/// What the entries of the platform's security log tell of the checkpoints of other logs. Of other logs than that one it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded(Vec<Head>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// The entry that tells it.
    seq: u64,
    chain: ChainId,
    size: u64,
    root: Digest,
}

impl Anchors {
    /// Keeps what an entry tells of other logs, if it can be in a tree that was published.
    pub(crate) fn hear(&self, log: (&str, ChainId), seq: u64, canonical: &[u8], into: &mut Recorded) {
        let (origin, chain) = log;
        if chain != OWN || !canonical.windows(MARK.len()).any(|part| part == MARK) {
            return;
        }
        let is_published =
            self.logs.get(origin).and_then(Sizes::last_key_value).is_some_and(|(size, _)| seq <= *size);
        let Ok(event) = parse(canonical) else { return };
        let is_ours =
            event.action.as_str() == ACTION && matches!(event.actor, Actor::System(_)) && !event.reported;
        let Some(Detail::List(checkpoints)) = event.details.get("checkpoints") else { return };
        if is_published && is_ours {
            into.0.extend(checkpoints.iter().filter_map(|told| head(seq, told)));
        }
    }

    /// Takes for published what an intact bundle of the platform tells of other logs, in those of its entries that a checkpoint covers
    /// which was published. Logs of which more is known then are verified after that. Returns how many checkpoints are new.
    ///
    /// # Errors
    /// As [`compare_bundle`](Self::compare_bundle); also if it tells two roots of one log and size.
    pub fn follow_bundle(&mut self, proof: &BundleProof) -> Result<u64, AnchorBreak> {
        let chains = proof.chains.iter();
        chains.map(|chain| self.follow(&chain.tree, &chain.roots, &chain.recorded, Shown::All)).sum()
    }

    /// Does the same with an intact archive.
    ///
    /// # Errors
    /// As [`follow_bundle`](Self::follow_bundle).
    #[cfg(feature = "archive")]
    pub fn follow_archive(&mut self, proof: &crate::archive::ArchiveProof) -> Result<u64, AnchorBreak> {
        let chains = proof.chains.iter();
        chains.map(|chain| self.follow(&chain.tree, &chain.roots, &chain.recorded, Shown::Part)).sum()
    }

    /// Does the same with intact files of a log.
    ///
    /// # Errors
    /// As [`follow_bundle`](Self::follow_bundle).
    pub fn follow_log(&mut self, proof: &LogProof) -> Result<u64, AnchorBreak> {
        self.follow(&proof.tree, &proof.roots, &proof.recorded, Shown::All)
    }

    fn follow(
        &mut self,
        tree: &TreeHead,
        roots: &Roots,
        recorded: &Recorded,
        shown: Shown,
    ) -> Result<u64, AnchorBreak> {
        let latest = self.compare(tree, roots, shown)?.latest;
        self.believe(&tree.origin, latest, recorded)
    }

    /// Takes for published what entries of a log tell, up to the one that a published checkpoint was found to cover.
    pub(super) fn believe(
        &mut self,
        log: &str,
        latest: u64,
        recorded: &Recorded,
    ) -> Result<u64, AnchorBreak> {
        let Some(deployment) = log.strip_suffix(&format!("/{OWN}")) else { return Ok(0) };
        let Some(sizes) = self.logs.get(log).cloned() else { return Ok(0) };
        let log: Arc<str> = log.into();
        let (mut new, mut anchor): (u64, Option<(u64, Arc<str>)>) = (0, None);
        for Head { seq, chain, size, root } in recorded.0.iter().filter(|head| head.seq <= latest) {
            let covering = sizes.range(seq..).next();
            let Some((covering, (_, place))) = covering else { continue };
            let known = anchor.take().filter(|(size, _)| size == covering);
            let (_, text) = &*anchor.insert(known.unwrap_or_else(|| (*covering, place.to_string().into())));
            let place = Place::Entry { seq: *seq, log: Arc::clone(&log), anchor: Arc::clone(text) };
            new += u64::from(self.add(format!("{deployment}/{chain}"), *size, *root, place)?);
        }
        Ok(new)
    }

    /// Returns of how many logs something was published, or told, that are not among those that were compared.
    #[must_use]
    pub fn not_compared(&self, compared: &[Compared]) -> u64 {
        let shown: BTreeSet<&str> = compared.iter().map(|one| one.origin.as_str()).collect();
        let missing = self.logs.keys().filter(|origin| !shown.contains(origin.as_str())).count();
        u64::try_from(missing).unwrap_or(u64::MAX)
    }

    /// Tells whether something was published, or told, of a log.
    #[must_use]
    pub fn knows(&self, origin: &str) -> bool {
        self.logs.contains_key(origin)
    }
}

fn head(seq: u64, told: &Detail) -> Option<Head> {
    let Detail::Map(told) = told else { return None };
    let text = |name: &str| match Details::get(told, name) {
        Some(Detail::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let size = match told.get("size")? {
        Detail::Integer(size) => u64::try_from(*size).ok()?,
        Detail::Text(size) => size.as_str().parse().ok()?,
        _ => return None,
    };
    let (chain, root): (ChainId, Digest) = (text("chain")?.parse().ok()?, text("root")?.parse().ok()?);
    (chain != OWN).then_some(Head { seq, chain, size, root })
}
