use stanchion_core::Scope;

use super::{Recorded, Sizes};
use crate::log_files::chain_of;
use crate::prover::Covered;
use crate::rotation::OWN;
use crate::tree::verify_consistency;
use crate::{
    AnchorBreak, AnchorFault, Anchors, ChainId, Compared, Error, Prover, Published, VerifierKey, WitnessKey,
    leaf_hash,
};

/// What was found, or the first thing that a log does not lead to.
type Found<T> = Result<Result<T, AnchorBreak>, Error>;

impl Prover {
    /// Compares the logs of the store with checkpoints that were published of them, and with those that the platform's log tells as far
    /// as it was published; `Ok(Err(_))` for the first one that a log does not lead to from there: it was cut, or replaced, whatever the
    /// database says of itself. With a scope only its logs are, and those of the platform. Checkpoints of other deployments are passed
    /// over.
    ///
    /// That the store's own checkpoints are right is for [`verify`](Self::verify) to say. What entries of the platform told that were
    /// dropped when their time was over is in archives.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read, [`Error::NoProof`] when a tree does not prove itself.
    pub async fn verify_published(
        &self,
        published: &Published,
        witnesses: &[WitnessKey],
        scope: Option<Scope>,
    ) -> Found<Vec<Compared>> {
        let mut chains: Vec<ChainId> = published.0.iter().filter_map(|note| chain_of(&note.origin)).collect();
        chains.sort_unstable();
        chains.dedup();
        let keys: Vec<VerifierKey> = chains.iter().flat_map(|chain| self.verifiers(chain)).collect();
        let mut anchors = match published.open(&keys, witnesses) {
            Ok(anchors) => anchors,
            Err(found) => return Ok(Err(found)),
        };
        let own = self.signer.origin(&OWN);
        let mut all = Vec::new();
        if let Some(sizes) = anchors.logs.get(&own) {
            let compared = match self.compare_stored(&own, OWN, sizes).await? {
                Ok(compared) => compared,
                Err(found) => return Ok(Err(found)),
            };
            let recorded = match self.recorded(&anchors, &own, compared.latest).await? {
                Ok(recorded) => recorded,
                Err(found) => return Ok(Err(found)),
            };
            if let Err(found) = anchors.believe(&own, compared.latest, &recorded) {
                return Ok(Err(found));
            }
            all.push(compared);
        }
        let is_asked_for =
            |chain: &ChainId| scope.is_none_or(|scope| [scope, Scope::Platform].contains(&chain.scope));
        for (origin, sizes) in anchors.logs.iter().filter(|(origin, _)| **origin != own) {
            let Some(chain) = chain_of(origin).filter(is_asked_for) else { continue };
            match self.compare_stored(origin, chain, sizes).await? {
                Ok(compared) => all.push(compared),
                Err(found) => return Ok(Err(found)),
            }
        }
        all.sort_by(|one, other| one.origin.cmp(&other.origin));
        Ok(Ok(all))
    }

    async fn compare_stored(&self, origin: &str, chain: ChainId, sizes: &Sizes) -> Found<Compared> {
        let checkpoint = self.checkpoint(chain).await?;
        let mut compared = Compared { origin: origin.to_owned(), matching: 0, latest: 0, unshown: 0 };
        for (size, (root, place)) in sizes {
            let size = *size;
            let broken = |seq, fault| Ok(Err(AnchorBreak::new(origin, place, Some(seq), fault)));
            let Some(checkpoint) = &checkpoint else {
                return broken(1, AnchorFault::Absent { published: size });
            };
            if size > checkpoint.size {
                let fault = AnchorFault::RolledBack { size: checkpoint.size, published: size };
                return broken(checkpoint.size.saturating_add(1), fault);
            }
            let is_same = match size {
                0 => true,
                size if size == checkpoint.size => *root == checkpoint.root,
                size => {
                    let growth = self.prove_growth(chain, size).await?.ok_or(Error::NoProof { chain })?;
                    let to = (growth.checkpoint.size, &growth.checkpoint.root);
                    verify_consistency((size, root), to, &growth.hashes).is_ok()
                }
            };
            if !is_same {
                let after = compared.latest;
                return broken(after.saturating_add(1), AnchorFault::Forked { after, size });
            }
            compared.matching += 1;
            compared.latest = size;
        }
        Ok(Ok(compared))
    }

    /// Reads what the entries of the platform's log tell of other logs, up to one that a published checkpoint covers: the entries have to
    /// lead to every root that was published on the way there.
    async fn recorded(&self, anchors: &Anchors, own: &str, latest: u64) -> Found<Recorded> {
        const PAGE: usize = 1_000;
        let store = &self.ledger.shared().store;
        let Some(sizes) = anchors.logs.get(own) else { return Ok(Ok(Recorded::default())) };
        // Again when the oldest entries are dropped meanwhile.
        'again: loop {
            let chain = store.chains(OWN.scope).await?.into_iter().find(|chain| chain.id == OWN);
            let base = chain.map(|chain| chain.base).filter(|base| base.seq < latest);
            let (Some(base), Some(checkpoint)) = (base, self.checkpoint(OWN).await?) else {
                return Ok(Ok(Recorded::default()));
            };
            let (mut after, mut at) = (0, base.seq);
            let forked = |after: u64, size: u64| {
                let place = sizes.get(&size).map_or_else(String::new, |(_, place)| place.to_string());
                let seq = Some(after.saturating_add(1));
                Ok(Err(AnchorBreak::new(own, &place, seq, AnchorFault::Forked { after, size })))
            };
            let Ok(Covered { mut edge, .. }) = self.covered(checkpoint, &base).await? else {
                return forked(after, latest);
            };
            let (mut recorded, mut tiles) = (Recorded::default(), Vec::new());
            while at < latest {
                let rows = store.read(OWN, at.saturating_add(1), PAGE).await?;
                for row in rows.iter().filter(|row| row.seq <= latest) {
                    if row.seq != at.saturating_add(1) {
                        break;
                    }
                    at = row.seq;
                    edge.push(leaf_hash(&row.content.canonical), &mut tiles);
                    tiles.clear();
                    anchors.hear((own, OWN), at, &row.content.canonical, &mut recorded);
                    match sizes.get(&at) {
                        Some((root, _)) if *root != edge.root() => return forked(after, at),
                        Some(_) => after = at,
                        None => {}
                    }
                }
                let missing = at.saturating_add(1);
                if at < latest && rows.last().is_none_or(|last| last.seq != at) {
                    let chains = store.chains(OWN.scope).await?;
                    if chains.iter().any(|chain| chain.id == OWN && chain.base.seq > base.seq) {
                        continue 'again;
                    }
                    let place = sizes.range(missing..).next().map(|(_, (_, place))| place.to_string());
                    let place = place.unwrap_or_default();
                    return Ok(Err(AnchorBreak::new(own, &place, Some(missing), AnchorFault::Missing)));
                }
            }
            return Ok(Ok(recorded));
        }
    }
}
