//! Second implementations of the standards agree with ours on trees and notes made at random.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use stanchion_audit::tree::{Edge, Path, TILE_WIDTH, Tile, TileId, verify_consistency, verify_inclusion};
use stanchion_audit::{CheckpointSigner, Digest, leaf_hash};
use stanchion_core::{KeyRing, Secret, Timestamp};
use std::collections::BTreeMap;
use tlog_tiles::{Hash, HashReader};

/// Our tree: all its tiles, and the root after each leaf that is asked for.
struct Ours {
    tiles: BTreeMap<TileId, Tile>,
    edge: Edge,
}

impl Ours {
    fn of(leaves: &[Digest]) -> Self {
        let (mut edge, mut full) = (Edge::default(), Vec::new());
        for leaf in leaves {
            edge.push(*leaf, &mut full);
        }
        let index = leaves.len() / TILE_WIDTH;
        let rest = leaves[index * TILE_WIDTH..].to_vec();
        let rest = Tile { id: TileId { level: 0, index: index.try_into().unwrap() }, hashes: rest };
        let all = full.into_iter().chain(edge.partial()).chain((!rest.hashes.is_empty()).then_some(rest));
        Self { tiles: all.map(|tile| (tile.id, tile)).collect(), edge }
    }

    fn prove(&self, path: &Path) -> Vec<Digest> {
        path.hashes(|id| self.tiles.get(&id)).unwrap()
    }
}

/// All hashes of a tree as `tlog_tiles` numbers them.
struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

fn contents(count: usize, seed: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("{seed}:{number}").into_bytes()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn ct_merkle_and_tlog_tiles_agree_on_roots_and_proofs(
        count in 1_usize..700,
        seed: u64,
        place: prop::sample::Index,
        part: prop::sample::Index,
    ) {
        let contents = contents(count, seed);
        let leaves: Vec<Digest> = contents.iter().map(|content| leaf_hash(content)).collect();
        let ours = Ours::of(&leaves);
        let root = ours.edge.root();
        let size = u64::try_from(count).unwrap();
        let index = u64::try_from(place.index(count)).unwrap();
        let from = u64::try_from(part.index(count) + 1).unwrap();
        let old_root = Ours::of(&leaves[..usize::try_from(from).unwrap()]).edge.root();
        let inclusion = ours.prove(&Path::inclusion(index, size).unwrap());
        let consistency = ours.prove(&Path::consistency(from, size).unwrap());

        let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        contents.iter().for_each(|content| theirs.push(content.clone()));
        let their_root = theirs.root();
        prop_assert_eq!(their_root.as_bytes().as_slice(), root.bytes());
        let flat = |hashes: &[Digest]| hashes.iter().flat_map(|hash| *hash.bytes()).collect::<Vec<u8>>();
        let proof = theirs.prove_inclusion(place.index(count));
        prop_assert_eq!(proof.as_bytes(), flat(&inclusion));
        if from < size {
            let proof = theirs.prove_consistency(usize::try_from(size - from).unwrap());
            prop_assert_eq!(proof.as_bytes(), flat(&consistency));
        }

        let mut stored = Stored(Vec::new());
        for (number, content) in (0..).zip(&contents) {
            let new = tlog_tiles::stored_hashes(number, content, &stored).unwrap();
            stored.0.extend(new);
        }
        let tree = tlog_tiles::tree_hash(size, &stored).unwrap();
        prop_assert_eq!(&tree.0, root.bytes());
        let record = tlog_tiles::prove_record(size, index, &stored).unwrap();
        prop_assert_eq!(record.iter().map(|hash| hash.0).collect::<Vec<_>>(), bytes(&inclusion));
        let grown = tlog_tiles::prove_tree(size, from, &stored).unwrap();
        prop_assert_eq!(grown.iter().map(|hash| hash.0).collect::<Vec<_>>(), bytes(&consistency));

        let leaf = leaves[place.index(count)];
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &root, &inclusion), Ok(()));
        prop_assert_eq!(verify_consistency((from, &old_root), (size, &root), &consistency), Ok(()));
    }

    #[test]
    fn signed_note_and_tlog_tiles_read_our_checkpoints(size: u64, root: [u8; 32], secret: [u8; 32]) {
        let keys = KeyRing::new([(1, Secret::new(secret))]).unwrap();
        let signer = CheckpointSigner::new(&keys, "audit.example.com").unwrap();
        let chain = "platform/security".parse().unwrap();
        let checkpoint = signer.sign(chain, size, Digest::from_bytes(root), Timestamp::from_micros(0));

        let note = Note::from_bytes(checkpoint.note.as_str().as_bytes()).unwrap();
        let key = StandardVerifier::new(&signer.verifiers(&chain)[0].to_string()).unwrap();
        let (verified, unverified) = note.verify(&VerifierList::new(vec![Box::new(key)])).unwrap();
        prop_assert_eq!((verified.len(), unverified.len()), (1, 0));
        let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        prop_assert_eq!(read.origin(), signer.origin(&chain));
        prop_assert_eq!((read.size(), read.hash().0), (size, root));
    }
}

fn bytes(hashes: &[Digest]) -> Vec<[u8; 32]> {
    hashes.iter().map(|hash| *hash.bytes()).collect()
}

#[test]
fn the_paths_of_tiles_are_those_of_tlog_tiles() {
    for (level, index) in [(0, 0), (0, 999), (1, 1_000), (2, 1_234_067), (3, 123_456)] {
        let id = TileId { level, index };
        let theirs = tlog_tiles::Tile::from_index(8, tlog_tiles::stored_hash_index(level * 8, index * 256));
        let path = theirs.path();
        assert_eq!((theirs.level(), theirs.level_index()), (level, index), "{path}");
        let rest = path.strip_prefix("tile/8/").unwrap().split(".p/").next().unwrap().to_owned();
        assert_eq!(id.to_string(), rest);
    }
}
