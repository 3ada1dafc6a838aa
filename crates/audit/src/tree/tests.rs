use std::collections::BTreeMap;

use super::*;
use crate::leaf_hash;

/// The leaves and roots of the reference tree that Certificate Transparency's implementations test against.
const REFERENCE: [(&[u8], &str); 8] = [
    (b"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    (b"\x00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    (b"\x10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    (b"\x20\x21", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    (b"\x30\x31", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    (b"\x40\x41\x42\x43", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    (b"\x50\x51\x52\x53\x54\x55\x56\x57", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ),
];

fn leaf(number: u64) -> Digest {
    leaf_hash(&number.to_be_bytes())
}

/// A tree of leaves 0 to `size`, its edge and all its tiles as a store has them.
struct Grown {
    edge: Edge,
    tiles: BTreeMap<TileId, Tile>,
    /// By size; of large trees only those that tests ask for.
    roots: BTreeMap<u64, Digest>,
}

impl Grown {
    fn to(size: u64) -> Self {
        let (mut edge, mut full) = (Edge::default(), Vec::new());
        let mut roots = BTreeMap::from([(0, edge.root())]);
        for number in 0..size {
            edge.push(leaf(number), &mut full);
            if number < 1_000 || number.is_multiple_of(65_536) || number == 65_535 {
                roots.insert(number + 1, edge.root());
            }
        }
        let first = TileId { level: 0, index: size / TILE_WIDTH as u64 };
        let leaves: Vec<Digest> = (first.index * TILE_WIDTH as u64..size).map(leaf).collect();
        let rest = (!leaves.is_empty()).then_some(Tile { id: first, hashes: leaves });
        let all = full.into_iter().chain(edge.partial()).chain(rest);
        Self { tiles: all.map(|tile| (tile.id, tile)).collect(), edge, roots }
    }

    fn hashes(&self, path: &Path) -> Vec<Digest> {
        path.hashes(|id| self.tiles.get(&id)).expect("the tiles are there")
    }
}

#[test]
fn roots_are_those_of_the_reference_tree() {
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    assert_eq!(
        edge.root().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "of no leaves: SHA-256 of nothing"
    );
    for (content, root) in REFERENCE {
        edge.push(leaf_hash(content), &mut full);
        assert_eq!(edge.root().to_string(), root, "after {content:?}");
    }
}

#[test]
fn every_inclusion_proof_verifies_and_no_other_leaf_or_place_does() {
    let grown = Grown::to(70);
    for size in 1..=70_u64 {
        let root = grown.roots[&size];
        for index in 0..size {
            let proof = grown.hashes(&Path::inclusion(index, size).unwrap());
            let verify = |leaf: Digest, index, size, root: &Digest, proof: &[Digest]| {
                verify_inclusion(&leaf, index, size, root, proof)
            };
            assert_eq!(verify(leaf(index), index, size, &root, &proof), Ok(()), "{index} of {size}");
            assert!(verify(leaf(index + 1), index, size, &root, &proof).is_err());
            assert!(verify(leaf(index), index, size, &Digest::ZERO, &proof).is_err());
            assert_eq!(verify(leaf(index), size, size, &root, &proof), Err(ProofError::Sizes));
            let longer: Vec<Digest> = proof.iter().copied().chain([leaf(0)]).collect();
            assert!(verify(leaf(index), index, size, &root, &longer).is_err());
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify(leaf(index), index, size, &root, shorter).is_err());
            }
            if index > 0 {
                assert!(verify(leaf(index), index - 1, size, &root, &proof).is_err());
            }
        }
        assert_eq!(Path::inclusion(size, size), None);
    }
}

#[test]
fn every_consistency_proof_verifies_and_no_other_root_does() {
    let grown = Grown::to(70);
    for to in 1..=70_u64 {
        for from in 1..=to {
            let root = |size: u64| &grown.roots[&size];
            let proof = grown.hashes(&Path::consistency(from, to).unwrap());
            assert_eq!(verify_consistency((from, root(from)), (to, root(to)), &proof), Ok(()));
            assert!(verify_consistency((from, &Digest::ZERO), (to, root(to)), &proof).is_err());
            assert!(verify_consistency((from, root(from)), (to, &Digest::ZERO), &proof).is_err());
            assert!(verify_consistency((from, root(from - 1)), (to, root(to)), &proof).is_err());
            if from < to {
                assert_eq!(
                    verify_consistency((to, root(to)), (from, root(from)), &proof),
                    Err(ProofError::Sizes)
                );
                assert!(verify_consistency((from, root(from)), (to, root(to)), &[]).is_err());
            }
        }
        assert_eq!(Path::consistency(to + 1, to), None);
    }
    assert_eq!(Path::consistency(0, 5), None);
    let (none, some) = (&grown.roots[&0], &grown.roots[&5]);
    assert_eq!(verify_consistency((0, none), (5, some), &[]), Ok(()), "every tree grows from nothing");
    assert_eq!(verify_consistency((0, some), (5, some), &[]), Err(ProofError::Root));
}

#[test]
fn trees_of_several_levels_prove_from_few_tiles() {
    let size = 66_000;
    let grown = Grown::to(size);
    let root = grown.edge.root();
    for index in [0, 255, 256, 65_535, 65_536, 65_791, 65_999] {
        let path = Path::inclusion(index, size).unwrap();
        assert!(path.tiles().len() <= 6, "{index}: {:?}", path.tiles());
        assert_eq!(verify_inclusion(&leaf(index), index, size, &root, &grown.hashes(&path)), Ok(()));
    }
    for from in [1, 256, 300, 65_536, 65_537] {
        let path = Path::consistency(from, size).unwrap();
        let old = &grown.roots[&from];
        assert_eq!(verify_consistency((from, old), (size, &root), &grown.hashes(&path)), Ok(()));
    }
}

#[test]
fn an_edge_is_put_together_from_the_last_tiles_of_a_longer_tree() {
    let grown = Grown::to(1_000);
    for size in [0, 1, 255, 256, 257, 511, 512, 999, 1_000] {
        let mut edge = Edge::new(size, |id| grown.tiles.get(&id).cloned()).expect("the tiles are there");
        assert_eq!(edge.size(), size);
        assert_eq!(edge.root(), grown.roots[&size]);
        for number in size..1_000 {
            edge.push(leaf(number), &mut Vec::new());
        }
        assert_eq!(edge, grown.edge);
    }
    assert_eq!(Edge::new(1_001, |id| grown.tiles.get(&id).cloned()), None, "a leaf is missing");
    assert_eq!(Edge::new(1_000, |_| None), None);
}

#[test]
fn a_tile_that_is_missing_or_short_gives_no_proof() {
    let grown = Grown::to(600);
    let path = Path::inclusion(599, 600).unwrap();
    assert_eq!(path.hashes(|_| None), None);
    let short = Grown::to(598);
    assert_eq!(path.hashes(|id| short.tiles.get(&id)), None);
    assert!(path.hashes(|id| grown.tiles.get(&id)).is_some());
}

#[test]
fn tiles_have_one_path_each() {
    for (level, index, path) in
        [(0, 0, "0/000"), (0, 999, "0/999"), (1, 1_000, "1/x001/000"), (2, 1_234_067, "2/x001/x234/067")]
    {
        let id = TileId { level, index };
        assert_eq!(id.to_string(), path);
        assert_eq!(path.parse::<TileId>().unwrap(), id);
    }
    for bad in
        ["0", "0/0", "0/00", "8/000", "0/x000/001", "0/001/000", "-1/000", "0/+00", "0/1000", "0/x1/000"]
    {
        assert!(bad.parse::<TileId>().is_err(), "{bad}");
    }
}

#[test]
fn a_tile_reads_back_from_its_bytes() {
    let tile = Tile { id: TileId { level: 0, index: 3 }, hashes: vec![leaf(1), leaf(2)] };
    let bytes = tile.to_bytes();
    assert_eq!(Tile::from_bytes(tile.id, &bytes), Some(tile.clone()));
    for bad in [&bytes[..0], &bytes[..63], &vec![0; 257 * 32]] {
        assert_eq!(Tile::from_bytes(tile.id, bad), None);
    }
}
