//! What trees cost: growing one by a leaf, and proving a leaf of a large one from its tiles.
//!
//! The floor of a leaf is the one inner hash that each leaf brings about; that of a proof is computing its hashes from those of the
//! tiles that it needs, so nothing but its own length bounds it.

use std::collections::BTreeMap;
use std::hint::black_box;

use stanchion_audit::Digest;
use stanchion_audit::tree::{Edge, Path, Tile, TileId, node_hash, verify_inclusion};

use super::cpu;

/// The leaves of the large tree, as the bar has it.
const LEAVES: u64 = 10_000_000;
const LEAVES_QUICK: u64 = 1_000_000;
/// How many leaves are proven, spread over the tree.
const PROOFS: u64 = 1_000;

pub(crate) fn run(quick: bool) {
    let leaves = if quick { LEAVES_QUICK } else { LEAVES };
    grow(leaves);
    prove(leaves);
}

fn leaf(number: u64) -> Digest {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Digest::from_bytes(bytes)
}

fn grow(leaves: u64) {
    let per = |work: &dyn Fn()| {
        let start = cpu();
        work();
        (cpu() - start) / leaves as f64
    };
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    for _ in 0..3 {
        let ours = per(&|| {
            let (mut edge, mut full) = (Edge::default(), Vec::new());
            for number in 0..leaves {
                edge.push(leaf(number), &mut full);
                full.clear();
            }
            black_box(edge.root());
        });
        let floor = per(&|| {
            let mut hash = leaf(0);
            for number in 0..leaves {
                hash = node_hash(&hash, &leaf(number));
            }
            black_box(hash);
        });
        pairs.push((ours, floor));
    }
    let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
    let (ours, floor) =
        (least(&mut pairs.iter().map(|pair| pair.0)), least(&mut pairs.iter().map(|pair| pair.1)));
    let mut ratios: Vec<f64> = pairs.iter().map(|(ours, floor)| ours / floor).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let ratio = ratios.get(1).copied().unwrap_or(f64::NAN);
    println!(
        "BENCH audit.tree_grow value={ours:.0} unit=ns peer=inner_hash peer_value={floor:.0} ratio={ratio:.2}"
    );
}

/// Proves leaves from tiles in memory, and checks each proof.
fn prove(leaves: u64) {
    let places: Vec<u64> = (0..PROOFS).map(|number| number * (leaves / PROOFS) + number).collect();
    let paths: Vec<Path> = places.iter().filter_map(|place| Path::inclusion(*place, leaves)).collect();
    let wanted: std::collections::BTreeSet<TileId> = paths.iter().flat_map(Path::tiles).collect();
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    let mut tiles: BTreeMap<TileId, Tile> = BTreeMap::new();
    let keep = |tiles: &mut BTreeMap<TileId, Tile>, found: Vec<Tile>| {
        tiles.extend(found.into_iter().filter(|tile| wanted.contains(&tile.id)).map(|tile| (tile.id, tile)));
    };
    for number in 0..leaves {
        edge.push(leaf(number), &mut full);
        if !full.is_empty() {
            keep(&mut tiles, std::mem::take(&mut full));
        }
    }
    keep(&mut tiles, edge.partial().collect());
    let last = TileId { level: 0, index: leaves / 256 };
    if last.width_at(leaves) > 0 {
        let hashes = (last.index * 256..leaves).map(leaf).collect();
        keep(&mut tiles, vec![Tile { id: last, hashes }]);
    }
    let root = edge.root();
    let mut spent = Vec::new();
    for place in &places {
        let start = cpu();
        let path = Path::inclusion(*place, leaves).expect("a leaf of the tree");
        let hashes = path.hashes(|id| tiles.get(&id)).expect("the tiles are there");
        spent.push(cpu() - start);
        verify_inclusion(&leaf(*place), *place, leaves, &root, &hashes).expect("a proof");
    }
    spent.sort_unstable_by(f64::total_cmp);
    let median = spent.get(spent.len() / 2).copied().unwrap_or(f64::NAN) / 1_000.0;
    let bar = 1_000.0;
    println!(
        "BENCH audit.inclusion_proof_us value={median:.1} unit=us peer=bar peer_value={bar:.0} ratio={:.4}",
        median / bar
    );
}
