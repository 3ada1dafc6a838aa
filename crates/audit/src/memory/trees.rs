use std::collections::BTreeMap;

use async_trait::async_trait;
use hashbrown::HashMap;
use stanchion_core::{Scope, StoreError, SystemScope};

use super::{Kept, MemoryLedgerStore};
use crate::tree::{TILE_WIDTH, Tile, TileId};
use crate::{ChainId, Checkpoint, GrowOutcome, Growth, TreeStore};

/// The tree over a chain.
#[derive(Default)]
pub(super) struct Tree {
    tiles: HashMap<TileId, Tile>,
    checkpoint: Option<Checkpoint>,
}

impl Tree {
    /// Tells whether the hash of an entry stands nowhere but in the ledger.
    pub(super) fn needs(&self, seq: u64) -> bool {
        self.checkpoint.as_ref().is_some_and(|checkpoint| {
            let in_tiles = checkpoint.size - checkpoint.size % TILE_WIDTH as u64;
            seq > in_tiles
        })
    }

    fn at(&self) -> Option<(u64, crate::Digest)> {
        self.checkpoint.as_ref().map(|checkpoint| (checkpoint.size, checkpoint.root))
    }
}

#[async_trait]
impl TreeStore for MemoryLedgerStore {
    async fn grow(&self, _system: SystemScope, growth: &Growth) -> Result<GrowOutcome, StoreError> {
        let mut state = self.lock_mut();
        let kept = state.chains.entry(growth.checkpoint.chain).or_insert_with(Kept::empty);
        let tree = &mut kept.tree;
        if tree.at() != growth.from {
            return Ok(GrowOutcome::Moved);
        }
        for tile in &growth.tiles {
            let known = tree.tiles.entry(tile.id).or_insert_with(|| tile.clone());
            if known.hashes.len() < tile.hashes.len() {
                known.clone_from(tile);
            }
        }
        tree.checkpoint = Some(growth.checkpoint.clone());
        Ok(GrowOutcome::Grown)
    }

    async fn latest(
        &self,
        _system: SystemScope,
        chains: &[ChainId],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let state = self.lock();
        Ok(chains.iter().map(|chain| state.chains.get(chain)?.tree.checkpoint.clone()).collect())
    }

    async fn checkpoints(&self, scope: Scope) -> Result<Vec<Checkpoint>, StoreError> {
        Ok(self.lock().chains_of(scope).filter_map(|(_, kept)| kept.tree.checkpoint.clone()).collect())
    }

    async fn tiles(&self, chain: ChainId, ids: &[TileId]) -> Result<Vec<Option<Tile>>, StoreError> {
        let state = self.lock();
        let kept = state.chains.get(&chain);
        Ok(ids.iter().map(|id| kept?.tree.tiles.get(id).cloned()).collect())
    }

    async fn uncovered(
        &self,
        _system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<ChainId>, StoreError> {
        let state = self.lock();
        let behind = state.chains.iter().filter(|(chain, kept)| {
            kept.head.seq > kept.tree.at().map_or(0, |(size, _)| size)
                && after.is_none_or(|after| **chain > after)
        });
        let behind: BTreeMap<ChainId, ()> = behind.map(|(chain, _)| (*chain, ())).collect();
        Ok(behind.into_keys().take(limit).collect())
    }
}
