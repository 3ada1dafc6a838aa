//! The suite of [`TreeStore`].

use std::sync::Arc;

use stanchion_core::{Category, KeyRing, Scope, Secret, Timestamp};
use tokio::task::JoinSet;

use super::fixture::{Fixture, NOON, SYSTEM, prepared, standard};
use crate::tree::{Edge, TILE_WIDTH, Tile, TileId};
use crate::{
    ChainId, CheckpointSigner, Digest, GrowOutcome, Growth, LedgerStore, RetentionClass, TreeStore, leaf_hash,
};

/// A store of trees under test, and the ledger that the trees are over.
#[derive(Clone, Debug)]
pub struct TreeFixture {
    /// The store of trees.
    pub trees: Arc<dyn TreeStore>,
    /// The store of the entries.
    pub ledger: Arc<dyn LedgerStore>,
}

/// A tree of a chain that grows by leaves of its own.
struct Growing {
    chain: ChainId,
    edge: Edge,
    from: Option<(u64, Digest)>,
    signer: CheckpointSigner,
}

impl Growing {
    fn new(chain: ChainId) -> Self {
        let keys = KeyRing::new([(1, Secret::new([7; 32]))]).expect("a key");
        let signer = CheckpointSigner::new(&keys, "conformance.test").expect("a name");
        Self { chain, edge: Edge::default(), from: None, signer }
    }

    /// Adds leaves, and returns what the tree has grown by.
    fn by(&mut self, count: usize) -> Growth {
        let mut tiles = Vec::new();
        for _ in 0..count {
            self.edge.push(leaf_hash(&self.edge.size().to_be_bytes()), &mut tiles);
        }
        tiles.extend(self.edge.partial());
        let (size, root) = (self.edge.size(), self.edge.root());
        let from = self.from.replace((size, root));
        Growth { from, tiles, checkpoint: self.signer.sign(self.chain, size, root, NOON) }
    }
}

async fn grow(trees: &Arc<dyn TreeStore>, growth: &Growth) -> GrowOutcome {
    trees.grow(SYSTEM, growth).await.expect("grows")
}

async fn tiles(trees: &Arc<dyn TreeStore>, chain: ChainId, ids: &[(u8, u64)]) -> Vec<Option<Tile>> {
    let ids: Vec<TileId> = ids.iter().map(|(level, index)| TileId { level: *level, index: *index }).collect();
    trees.tiles(chain, &ids).await.expect("reads")
}

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $fixture:pat => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($fixture: TreeFixture) $body)+

        /// Runs the suite of `TreeStore`: `tree_store_conformance!(mod memory_tree_store, factory());`, where the factory is an
        /// expression that returns a future of an empty [`TreeFixture`](crate::conformance::tree_store::TreeFixture).
        #[macro_export]
        macro_rules! tree_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() {
                        $crate::conformance::tree_store::$case($dollar factory.await).await;
                    })+
                }
            };
        }
    };
}

suite! { $
    /// A chain without a checkpoint has none, and no tiles.
    an_empty_store_has_no_trees: TreeFixture { trees, ledger } => {
        let scope = Fixture::new(ledger).scope();
        assert_eq!(trees.latest(SYSTEM, &[standard(scope), standard(Scope::Platform)]).await.expect("reads"), [None, None]);
        assert_eq!(trees.latest(SYSTEM, &[]).await.expect("reads"), []);
        assert_eq!(trees.checkpoints(scope).await.expect("reads"), []);
        assert_eq!(tiles(&trees, standard(scope), &[(0, 0), (1, 0)]).await, [None, None]);
        assert_eq!(tiles(&trees, standard(scope), &[]).await, []);
        assert_eq!(trees.uncovered(SYSTEM, None, 10).await.expect("reads"), []);
    }

    /// Tiles and checkpoint come back as they were written; a wider tile takes the narrower one's place.
    trees_read_back_as_they_grew: TreeFixture { trees, ledger } => {
        let chain = standard(Fixture::new(ledger).scope());
        let mut growing = Growing::new(chain);
        let mut checkpoint = None;
        for count in [1, 300, 700, 2_000] {
            let growth = growing.by(count);
            assert_eq!(grow(&trees, &growth).await, GrowOutcome::Grown);
            for tile in &growth.tiles {
                let kept = trees.tiles(chain, &[tile.id]).await.expect("reads");
                assert_eq!(kept, [Some(tile.clone())]);
            }
            checkpoint = Some(growth.checkpoint);
        }
        assert_eq!(trees.latest(SYSTEM, &[chain]).await.expect("reads"), [checkpoint.clone()]);
        assert_eq!(trees.checkpoints(chain.scope).await.expect("reads"), [checkpoint.expect("one")]);
        let read = tiles(&trees, chain, &[(1, 0), (0, 99), (0, 10)]).await;
        let widths: Vec<usize> = read.iter().map(|tile| tile.as_ref().map_or(0, |tile| tile.hashes.len())).collect();
        assert_eq!(widths, [3_001 / TILE_WIDTH, 0, TILE_WIDTH]);
        let all: Vec<TileId> = (0..11).map(|index| TileId { level: 0, index }).collect();
        let size = u64::try_from(11 * TILE_WIDTH).expect("a size");
        let kept = trees.tiles(chain, &all).await.expect("reads");
        let edge = Edge::new(size, |id| kept.iter().flatten().find(|tile| tile.id == id).cloned());
        assert_eq!(edge, None, "of a tile that is not full the ledger has the hashes");
    }

    /// A tile never loses hashes: what a growth has of it too little is passed over.
    a_narrower_tile_does_not_take_the_place_of_a_wider_one: TreeFixture { trees, ledger } => {
        let chain = standard(Fixture::new(ledger).scope());
        let mut growing = Growing::new(chain);
        let wide = growing.by(700);
        assert_eq!(grow(&trees, &wide).await, GrowOutcome::Grown);
        let mut narrow = growing.by(1);
        narrow.tiles = wide.tiles.clone();
        narrow.tiles.iter_mut().for_each(|tile| tile.hashes.truncate(1));
        assert_eq!(grow(&trees, &narrow).await, GrowOutcome::Grown);
        for tile in wide.tiles {
            assert_eq!(trees.tiles(chain, &[tile.id]).await.expect("reads"), [Some(tile)]);
        }
    }

    /// A growth from another checkpoint than the chain's leaves no trace.
    a_growth_from_elsewhere_leaves_no_trace: TreeFixture { trees, ledger } => {
        let chain = standard(Fixture::new(ledger).scope());
        let (mut one, mut other) = (Growing::new(chain), Growing::new(chain));
        let (first, late) = (one.by(10), other.by(600));
        assert_eq!(grow(&trees, &first).await, GrowOutcome::Grown);
        assert_eq!(grow(&trees, &late).await, GrowOutcome::Moved, "the chain has a checkpoint by now");
        assert_eq!(tiles(&trees, chain, &[(0, 0), (1, 0)]).await, [None, None]);
        let mut forged = one.by(10);
        forged.from = Some((10, Digest::ZERO));
        assert_eq!(grow(&trees, &forged).await, GrowOutcome::Moved, "of that size, but with another root");
        forged.from = Some((9, first.checkpoint.root));
        assert_eq!(grow(&trees, &forged).await, GrowOutcome::Moved, "of another size");
        assert_eq!(trees.latest(SYSTEM, &[chain]).await.expect("reads"), [Some(first.checkpoint)]);
    }

    /// Trees of other scopes and classes are not returned.
    trees_are_kept_apart: TreeFixture { trees, ledger } => {
        let fixture = Fixture::new(ledger);
        let (one, other) = (fixture.scope(), fixture.scope());
        let chains = [standard(one), ChainId { scope: one, class: RetentionClass::Security }, standard(Scope::Platform)];
        let mut checkpoints = Vec::new();
        for (chain, count) in chains.into_iter().zip([300, 400, 500]) {
            let growth = Growing::new(chain).by(count);
            assert_eq!(grow(&trees, &growth).await, GrowOutcome::Grown);
            checkpoints.push(Some(growth.checkpoint));
        }
        assert_eq!(trees.latest(SYSTEM, &chains).await.expect("reads"), checkpoints);
        let sizes = async |scope| {
            let found = trees.checkpoints(scope).await.expect("reads");
            found.into_iter().map(|checkpoint| checkpoint.size).collect::<Vec<u64>>()
        };
        assert_eq!(sizes(one).await, [400, 300], "in the order of their classes");
        assert_eq!(sizes(Scope::Platform).await, [500]);
        assert_eq!(sizes(other).await, [0; 0]);
        assert_eq!(tiles(&trees, standard(other), &[(0, 0)]).await, [None]);
        assert!(tiles(&trees, standard(one), &[(0, 0)]).await.iter().all(Option::is_some));
    }

    /// Chains whose entries go past their checkpoint are found, in order and in parts.
    uncovered_chains_are_found: TreeFixture { trees, ledger } => {
        let fixture = Fixture::new(Arc::clone(&ledger));
        let mut chains = Vec::new();
        for _ in 0..4 {
            let scope = fixture.scope();
            fixture.write(&fixture.some(scope, 3)).await;
            chains.push(standard(scope));
        }
        fixture.write(&[prepared(fixture.event(Scope::Platform, Category::Security))]).await;
        chains.push(ChainId { scope: Scope::Platform, class: RetentionClass::Security });
        chains.sort_unstable();
        let covered = chains.remove(2);
        let short = chains[0];
        let count = |chain: ChainId| if chain.scope == Scope::Platform { 1 } else { 3 };
        assert_eq!(grow(&trees, &Growing::new(covered).by(count(covered))).await, GrowOutcome::Grown);
        if count(short) > 1 {
            assert_eq!(grow(&trees, &Growing::new(short).by(2)).await, GrowOutcome::Grown);
        }
        let found = async |after, limit| trees.uncovered(SYSTEM, after, limit).await.expect("reads");
        assert_eq!(found(None, 100).await, chains);
        assert_eq!(found(None, 2).await, chains[..2]);
        assert_eq!(found(Some(chains[1]), 100).await, chains[2..]);
        assert_eq!(found(Some(chains[3]), 100).await, []);
    }

    /// Of those that grow a tree from the same checkpoint at once, one does.
    racing_growths_have_one_winner: TreeFixture { trees, ledger } => {
        let chain = standard(Fixture::new(ledger).scope());
        let mut from = None;
        for round in 0..20_u64 {
            let mut race = JoinSet::new();
            for racer in 0..4_u64 {
                let trees = Arc::clone(&trees);
                race.spawn(async move {
                    let keys = KeyRing::new([(1, Secret::new([7; 32]))]).expect("a key");
                    let signer = CheckpointSigner::new(&keys, "conformance.test").expect("a name");
                    let root = leaf_hash(&(round, racer).0.to_be_bytes().map(|byte| byte ^ u8::try_from(racer).expect("few")));
                    let signed_at = Timestamp::from_micros(0);
                    let checkpoint = signer.sign(chain, round + 1, root, signed_at);
                    let growth = Growth { from, tiles: Vec::new(), checkpoint };
                    (grow(&trees, &growth).await == GrowOutcome::Grown).then_some((round + 1, root))
                });
            }
            let won: Vec<(u64, Digest)> = race.join_all().await.into_iter().flatten().collect();
            assert_eq!(won.len(), 1, "in round {round}");
            let latest = trees.latest(SYSTEM, &[chain]).await.expect("reads").pop().flatten().expect("one");
            assert_eq!((latest.size, latest.root), won[0]);
            from = Some(won[0]);
        }
    }
}
