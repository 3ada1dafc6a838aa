mod page;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde::Serialize;
use stanchion_core::{EventId, Scope};

use crate::note::{BASE64, NoteError, VerifierKey};
use crate::tree::{Edge, Path, ProofError, TILE_WIDTH, Tile, TileId, verify_inclusion};
use crate::{
    Anchor, Break, BreakReason, ChainId, Checkpoint, CheckpointSigner, Digest, Entry, Error, Head, Ledger,
    LedgerStore, Row, TreeHead, TreeStore, Verdict, Verification, leaf_hash,
};

/// Proves to others what the ledger holds: that an entry is in it, and that it only grew. Whoever has the public key can check a
/// proof without us. Clones share it.
#[derive(Clone)]
pub struct Prover {
    pub(crate) ledger: Ledger,
    pub(crate) trees: Arc<dyn TreeStore>,
    pub(crate) signer: Arc<CheckpointSigner>,
    /// How long somebody waits for an entry to be covered.
    pub(crate) patience: Duration,
    /// What the platform's security log is compared with.
    pub(crate) anchors: Vec<Arc<dyn Anchor>>,
}

/// Proof that an entry is in its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InclusionProof {
    /// The entry.
    pub entry: Entry,
    /// Its canonical bytes, which are what was hashed.
    #[serde(skip)]
    pub canonical: Box<[u8]>,
    /// The checkpoint it is proven against.
    pub checkpoint: Checkpoint,
    /// The hashes that lead from its leaf to the checkpoint's root, leaf side first.
    pub hashes: Vec<Digest>,
}

/// Proof that a chain has only grown between two sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsistencyProof {
    /// The size that somebody knew.
    pub from: u64,
    /// The checkpoint it has grown to.
    pub checkpoint: Checkpoint,
    /// The hashes that lead to both roots.
    pub hashes: Vec<Digest>,
}

pub use page::{PageEntry, ProvenPage};

/// What the first line of a proof in C2SP's tlog-proof says.
const PROOF: &str = "c2sp.org/tlog-proof@v1";

impl InclusionProof {
    /// Writes the proof as C2SP's tlog-proof, with the canonical event as its extra data: all that somebody needs who has the public
    /// key. Other tools that read such proofs hash the event themselves.
    #[must_use]
    pub fn to_text(&self) -> String {
        proof_text(&self.canonical, self.entry.seq, &self.hashes, &self.checkpoint)
    }
}

fn proof_text(canonical: &[u8], seq: u64, hashes: &[Digest], checkpoint: &Checkpoint) -> String {
    let extra = BASE64.encode(canonical);
    let index = seq.saturating_sub(1);
    let hashes: String = hashes.iter().map(|hash| BASE64.encode(hash.bytes()) + "\n").collect();
    format!("{PROOF}\nextra {extra}\nindex {index}\n{hashes}\n{}", checkpoint.note)
}

/// What a proof in C2SP's tlog-proof proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The canonical event.
    pub canonical: Box<[u8]>,
    /// Its number in the chain, from 1.
    pub seq: u64,
    /// The tree it is in.
    pub tree: TreeHead,
}

/// Why a text proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unproven {
    /// It is no proof as C2SP's tlog-proof has them, with the event as extra data.
    #[error("it is no proof of an event")]
    Malformed,
    /// Its checkpoint is not believed.
    #[error("its checkpoint is not believed")]
    Checkpoint(#[from] NoteError),
    /// The event is not in the tree of the checkpoint.
    #[error("the event is not in the log")]
    Inclusion(#[from] ProofError),
}

/// Checks a proof that [`InclusionProof::to_text`] wrote, with nothing but public keys.
///
/// # Errors
/// [`Unproven`] when it does not prove its event.
pub fn verify_proof(text: &str, keys: &[VerifierKey]) -> Result<Proven, Unproven> {
    let (head, note) = text.split_once("\n\n").ok_or(Unproven::Malformed)?;
    let mut lines = head.split('\n');
    let mut field = |name: &str| lines.next()?.strip_prefix(name);
    let fields = (|| Some((field(PROOF)?, field("extra ")?, field("index ")?)))();
    let Some(("", extra, index)) = fields else { return Err(Unproven::Malformed) };
    let canonical = BASE64.decode(extra).map_err(|_| Unproven::Malformed)?;
    let index: u64 = index.parse().map_err(|_| Unproven::Malformed)?;
    let hash = |line: &str| {
        let bytes: [u8; 32] = BASE64.decode(line).ok()?.try_into().ok()?;
        Some(Digest::from_bytes(bytes))
    };
    let hashes = lines.map(hash).collect::<Option<Vec<_>>>().ok_or(Unproven::Malformed)?;
    let tree = TreeHead::open(note, keys)?;
    verify_inclusion(&leaf_hash(&canonical), index, tree.size, &tree.root, &hashes)?;
    Ok(Proven { canonical: canonical.into(), seq: index.saturating_add(1), tree })
}

impl Prover {
    /// Compares what is verified with what these anchors hold, too.
    #[must_use]
    pub fn with_anchors(self, anchors: Vec<Arc<dyn Anchor>>) -> Self {
        Self { anchors, ..self }
    }

    /// Returns the latest checkpoints of a scope's chains.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn checkpoints(&self, scope: Scope) -> Result<Vec<Checkpoint>, Error> {
        Ok(self.trees.checkpoints(scope).await?)
    }

    /// Returns what verifies the checkpoints of a chain, newest first.
    #[must_use]
    pub fn verifiers(&self, chain: &ChainId) -> Vec<VerifierKey> {
        self.signer.verifiers(chain)
    }

    /// Verifies every chain of a scope as [`Ledger::verify`] does, and that each still has the entries that its checkpoint was signed
    /// for: so an end that was cut off together with the head is found too. The platform's security log is also compared with what
    /// anchors hold, so that its end is missed even if its checkpoint is gone.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read. A broken chain is a [`Verdict`], not an error.
    pub async fn verify(&self, scope: Scope) -> Result<Verification, Error> {
        // First: a checkpoint that is made meanwhile covers more than what is looked at.
        let mut checkpoints = self.checkpoints(scope).await?;
        let mut chains = Vec::new();
        for chain in self.ledger.shared().store.chains(scope).await? {
            let place = checkpoints.iter().position(|checkpoint| checkpoint.chain == chain.id);
            let covered = match place.map(|place| checkpoints.swap_remove(place)) {
                Some(checkpoint) => match self.covered(checkpoint, &chain.base).await? {
                    Ok(covered) => Some(covered),
                    Err(found) => {
                        chains.push((chain.id, Verdict::Broken(found)));
                        continue;
                    }
                },
                None => None,
            };
            let size = covered.as_ref().map_or(0, |covered| covered.checkpoint.size);
            let verdict = match self.ledger.verify_chain(chain, covered).await? {
                // Neither a signature nor the tree says anything of it.
                Verdict::Intact { unsigned_to: seq, .. } if seq > size => {
                    Verdict::Broken(Break { chain: chain.id, seq, reason: BreakReason::KeyDestroyed })
                }
                verdict => verdict,
            };
            chains.push((chain.id, verdict));
        }
        let gone = |Checkpoint { chain, .. }| {
            (chain, Verdict::Broken(Break { chain, seq: 1, reason: BreakReason::Gap }))
        };
        chains.extend(checkpoints.into_iter().map(gone));
        if scope == Scope::Platform {
            self.compare(&mut chains).await?;
        }
        chains.sort_unstable_by_key(|(chain, _)| *chain);
        Ok(Verification { scope, chains })
    }

    async fn compare(&self, chains: &mut Vec<(ChainId, Verdict)>) -> Result<(), Error> {
        for anchor in &self.anchors {
            let Err(found) = self.verify_anchor(&**anchor).await? else { continue };
            match chains.iter_mut().find(|(chain, _)| *chain == found.chain) {
                Some((_, Verdict::Broken(_))) => {}
                Some((_, verdict)) => *verdict = Verdict::Broken(found),
                None => chains.push((found.chain, Verdict::Broken(found))),
            }
        }
        Ok(())
    }

    /// Returns what a chain's entries have to lead to.
    pub(crate) async fn covered(
        &self,
        checkpoint: Checkpoint,
        base: &Head,
    ) -> Result<Result<Covered, Break>, Error> {
        let Checkpoint { chain, size, .. } = checkpoint;
        let broken = |reason| Ok(Err(Break { chain, seq: size, reason }));
        if self.signer.verify(&checkpoint).is_err() {
            return broken(BreakReason::CheckpointWrong);
        }
        if base.seq > size {
            return broken(BreakReason::Gap);
        }
        // Of entries that were dropped the tiles have the hashes.
        let ids: Vec<TileId> = Edge::ends(base.seq).collect();
        let tiles: Vec<Tile> = if ids.is_empty() {
            Vec::new()
        } else {
            self.trees.tiles(chain, &ids).await?.into_iter().flatten().collect()
        };
        match Edge::new(base.seq, |id| tiles.iter().find(|tile| tile.id == id).cloned()) {
            Some(edge) => Ok(Ok(Covered { checkpoint, edge })),
            None => broken(BreakReason::TreeWrong),
        }
    }

    /// Proves that an event is in its chain; `None` when there is no such event.
    ///
    /// # Errors
    /// [`Error::NotCovered`] when the chain's checkpoint is older than the entry: it will be covered in about a second.
    /// [`Error::NoProof`] when the tree has no proof of it, [`Error::Store`] when the store cannot be read.
    pub async fn prove(&self, scope: Scope, id: EventId) -> Result<Option<InclusionProof>, Error> {
        let Some(row) = self.ledger.shared().store.get(scope, id).await? else { return Ok(None) };
        self.prove_row(&row).await.map(Some)
    }

    pub(crate) async fn prove_row(&self, row: &Row) -> Result<InclusionProof, Error> {
        let checkpoint = self.checkpoint(row.chain).await?;
        let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let not_covered = Error::NotCovered { chain: row.chain, seq: row.seq, size };
        let Some(checkpoint) = checkpoint.filter(|_| row.seq <= size) else { return Err(not_covered) };
        let path = Path::inclusion(row.seq - 1, size).ok_or(Error::NoProof { chain: row.chain })?;
        let hashes = self.hashes(row.chain, size, &path).await?;
        let no_proof = |_| Error::NoProof { chain: row.chain };
        let index = row.seq - 1;
        // A tree that proves nothing is not handed to somebody who would find that out.
        verify_inclusion(&row.content.leaf, index, size, &checkpoint.root, &hashes).map_err(no_proof)?;
        let entry = Entry::try_from(row)?;
        Ok(InclusionProof { entry, canonical: row.content.canonical.clone(), checkpoint, hashes })
    }

    /// Proves that a chain has only grown since it had `from` entries; `None` when it has no checkpoint yet.
    ///
    /// # Errors
    /// [`Error::NoProof`] when the checkpoint covers fewer entries than `from`, or `from` is 0; [`Error::Store`] when the store cannot
    /// be read.
    pub async fn prove_growth(&self, chain: ChainId, from: u64) -> Result<Option<ConsistencyProof>, Error> {
        let Some(checkpoint) = self.checkpoint(chain).await? else { return Ok(None) };
        let path = Path::consistency(from, checkpoint.size).ok_or(Error::NoProof { chain })?;
        let hashes = self.hashes(chain, checkpoint.size, &path).await?;
        Ok(Some(ConsistencyProof { from, checkpoint, hashes }))
    }

    /// Returns a tile of a chain's tree as it is under the latest checkpoint, or only its first `width` hashes.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn tile(&self, chain: ChainId, id: TileId, width: usize) -> Result<Option<Tile>, Error> {
        let Some(checkpoint) = self.checkpoint(chain).await? else { return Ok(None) };
        if width == 0 || id.width_at(checkpoint.size) < width {
            return Ok(None);
        }
        let mut tiles = self.tiles(chain, checkpoint.size, &[id]).await?;
        let tile = tiles.pop().filter(|tile| tile.hashes.len() >= width);
        Ok(tile.map(|mut tile| {
            tile.hashes.truncate(width);
            tile
        }))
    }

    /// Returns the canonical events of a tile of leaves, each after its length as a big-endian `u16`: the entry bundle of C2SP's
    /// tlog-tiles. `None` when the checkpoint does not cover so many, or some were dropped when their time was over.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn entries(&self, chain: ChainId, index: u64, width: usize) -> Result<Option<Vec<u8>>, Error> {
        let id = TileId { level: 0, index };
        let size = self.checkpoint(chain).await?.map_or(0, |checkpoint| checkpoint.size);
        if width == 0 || id.width_at(size) < width {
            return Ok(None);
        }
        let first = index.saturating_mul(TILE_WIDTH as u64).saturating_add(1);
        let rows = self.ledger.shared().store.read(chain, first, width).await?;
        if rows.len() != width || rows.first().is_some_and(|row| row.seq != first) {
            return Ok(None);
        }
        let mut bundle = Vec::new();
        for row in &rows {
            let canonical = &row.content.canonical;
            // An event has at most 65,535 bytes.
            bundle.extend_from_slice(&u16::try_from(canonical.len()).unwrap_or(u16::MAX).to_be_bytes());
            bundle.extend_from_slice(canonical);
        }
        Ok(Some(bundle))
    }

    /// Returns the latest checkpoint of a chain.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn checkpoint(&self, chain: ChainId) -> Result<Option<Checkpoint>, Error> {
        let checkpoints = self.trees.checkpoints(chain.scope).await?;
        Ok(checkpoints.into_iter().find(|checkpoint| checkpoint.chain == chain))
    }

    pub(crate) async fn hashes(&self, chain: ChainId, size: u64, path: &Path) -> Result<Vec<Digest>, Error> {
        let ids: Vec<TileId> = path.tiles().into_iter().collect();
        let tiles = self.tiles(chain, size, &ids).await?;
        path.hashes(|id| tiles.iter().find(|tile| tile.id == id)).ok_or(Error::NoProof { chain })
    }

    /// Reads those of the tiles that are there. Of the leaves that do not fill a tile the ledger has the hashes.
    pub(crate) async fn tiles(&self, chain: ChainId, size: u64, ids: &[TileId]) -> Result<Vec<Tile>, Error> {
        let is_kept = |id: &&TileId| id.level > 0 || id.width_at(size) == TILE_WIDTH;
        let kept: Vec<TileId> = ids.iter().filter(is_kept).copied().collect();
        let mut tiles: Vec<Tile> = if kept.is_empty() {
            Vec::new()
        } else {
            self.trees.tiles(chain, &kept).await?.into_iter().flatten().collect()
        };
        if let Some(last) = ids.iter().find(|id| !is_kept(id)) {
            tiles.extend(last_leaves(&*self.ledger.shared().store, chain, *last, size).await?);
        }
        Ok(tiles)
    }
}

/// A checkpoint, and the tree before the oldest entry that is kept.
pub(crate) struct Covered {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) edge: Edge,
}

/// Makes the tile of leaves at the end of a tree from the ledger.
async fn last_leaves(
    ledger: &dyn LedgerStore,
    chain: ChainId,
    id: TileId,
    size: u64,
) -> Result<Option<Tile>, Error> {
    let first = id.index.saturating_mul(TILE_WIDTH as u64).saturating_add(1);
    let seals = ledger.seals(chain, first, id.width_at(size)).await?;
    let is_whole = seals.iter().zip(first..).all(|(seal, seq)| seal.seq == seq);
    let hashes: Vec<Digest> = seals.into_iter().map(|seal| seal.leaf).collect();
    Ok((is_whole && !hashes.is_empty()).then_some(Tile { id, hashes }))
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover").field("trees", &self.trees).field("signer", &self.signer).finish()
    }
}
