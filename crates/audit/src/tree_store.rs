use std::fmt;

use async_trait::async_trait;
use stanchion_core::{Scope, StoreError, SystemScope};

use crate::tree::{Tile, TileId};
use crate::{ChainId, Checkpoint, Digest};

/// Where the trees over the chains are kept: full tiles of leaves, all tiles above, and each chain's latest checkpoint. Tiles of
/// leaves that are not full are not kept here: the ledger has their hashes.
///
/// 1. **Growth.** [`grow`](Self::grow) writes tiles and checkpoint durably as one unit, or nothing, and only if the chain's
///    checkpoint is still the one the growth came from. Of those that come from the same one exactly one is written.
/// 2. **Tiles** are returned as they were written. A wider tile takes the place of a narrower one, never the other way round.
/// 3. **Scopes.** What takes a [`Scope`] or [`ChainId`] never returns another scope's; what takes a [`SystemScope`] works for many.
/// 4. **Retention.** Tiles and checkpoints outlive the entries they speak of.
/// 5. **Unknown ends.** As rule 9 of [`LedgerStore`](crate::LedgerStore).
#[async_trait]
pub trait TreeStore: fmt::Debug + Send + Sync {
    /// Writes what a tree has grown by, or tells from where it would have to grow.
    ///
    /// # Errors
    /// `Unavailable` when nothing was written, `Timeout` when that is not known.
    async fn grow(&self, system: SystemScope, growth: &Growth) -> Result<GrowOutcome, StoreError>;

    /// Returns the latest checkpoints of chains, in the order asked.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read; `Corrupt` for one that is none.
    async fn latest(
        &self,
        system: SystemScope,
        chains: &[ChainId],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError>;

    /// Returns the latest checkpoints of a scope's chains, in the order of their classes.
    ///
    /// # Errors
    /// As [`latest`](Self::latest).
    async fn checkpoints(&self, scope: Scope) -> Result<Vec<Checkpoint>, StoreError>;

    /// Returns tiles of a chain's tree, in the order asked.
    ///
    /// # Errors
    /// As [`latest`](Self::latest).
    async fn tiles(&self, chain: ChainId, ids: &[TileId]) -> Result<Vec<Option<Tile>>, StoreError>;

    /// Returns at most `limit` chains that have entries past their checkpoint, in order, beginning after `after`.
    ///
    /// # Errors
    /// As [`latest`](Self::latest).
    async fn uncovered(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<ChainId>, StoreError>;
}

/// What a chain's tree has grown by.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The size and root of the chain's checkpoint before; `None` when it had none.
    pub from: Option<(u64, Digest)>,
    /// Tiles that are new or wider, each once.
    pub tiles: Vec<Tile>,
    /// The checkpoint afterwards. It names the chain.
    pub checkpoint: Checkpoint,
}

/// What became of a growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrowOutcome {
    /// All of it is durable.
    Grown,
    /// Nothing was written: the chain's checkpoint is another one.
    Moved,
}
