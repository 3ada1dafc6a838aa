use crate::log_files::chain_of;
use crate::tree::verify_consistency;
use crate::{AnchorBreak, AnchorFault, ChainId, Compared, Error, Prover, Published, VerifierKey, WitnessKey};

impl Prover {
    /// Compares the logs of the store with checkpoints that were published of them; `Ok(Err(_))` for the first one that a log does not lead
    /// to from there: it was cut, or replaced, whatever the database says of itself. Checkpoints of other deployments are passed over.
    ///
    /// That the store's own checkpoints are right is for [`verify`](Self::verify) to say.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read, [`Error::NoProof`] when a tree does not prove itself.
    pub async fn verify_published(
        &self,
        published: &Published,
        witnesses: &[WitnessKey],
    ) -> Result<Result<Vec<Compared>, AnchorBreak>, Error> {
        let mut chains: Vec<ChainId> = published.0.iter().filter_map(|note| chain_of(&note.origin)).collect();
        chains.sort_unstable();
        chains.dedup();
        let keys: Vec<VerifierKey> = chains.iter().flat_map(|chain| self.verifiers(chain)).collect();
        let anchors = match published.open(&keys, witnesses) {
            Ok(anchors) => anchors,
            Err(found) => return Ok(Err(found)),
        };
        let mut all = Vec::new();
        for (origin, sizes) in &anchors.logs {
            let Some(chain) = chain_of(origin) else { continue };
            let checkpoint = self.checkpoint(chain).await?;
            let mut compared = Compared { origin: origin.clone(), matching: 0, latest: 0, unshown: 0 };
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
            all.push(compared);
        }
        Ok(Ok(all))
    }
}
