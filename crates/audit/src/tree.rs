//! The Merkle tree of RFC 6962 over a chain's leaves: pure functions.
//!
//! Entry `seq` of a chain is leaf `seq - 1` of its tree. Hashes are kept in tiles of 256, as C2SP's tlog-tiles has them, so that any
//! proof needs a few tiles however long the chain is.

mod edge;
mod path;
mod peaks;
mod proof;
mod tile;

use sha2::{Digest as _, Sha256};

pub use edge::Edge;
pub use path::Path;
pub use peaks::Peaks;
pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use tile::{TILE_WIDTH, Tile, TileId};

use crate::Digest;

/// Hashes two neighbours of a tree: SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left.bytes());
    hasher.update(right.bytes());
    Digest::from_bytes(hasher.finalize().into())
}

/// Returns the root of a tree without leaves: the hash of nothing, RFC 6962 §2.1.
#[must_use]
pub fn empty_root() -> Digest {
    Digest::from_bytes(Sha256::digest([]).into())
}

/// Returns the root over complete subtrees that stand side by side, the largest first; `None` of none.
fn fold(peaks: impl DoubleEndedIterator<Item = Digest>) -> Option<Digest> {
    peaks.rev().reduce(|right, left| node_hash(&left, &right))
}

/// Returns the root over hashes whose number is a power of two; `None` of none.
fn complete(hashes: &[Digest]) -> Option<Digest> {
    match hashes {
        [] => None,
        [one] => Some(*one),
        more => {
            let (left, right) = more.split_at_checked(more.len() / 2)?;
            Some(node_hash(&complete(left)?, &complete(right)?))
        }
    }
}

#[cfg(test)]
mod tests;
