use super::node_hash;
use crate::Digest;

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The sizes or the place cannot be: a leaf past the end, or a tree that shrank.
    #[error("the sizes of the proof cannot be")]
    Sizes,
    /// There are more or fewer hashes than such a proof has.
    #[error("the proof has too many or too few hashes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves under `root`: RFC 9162 §2.1.3.2.
///
/// # Errors
/// [`ProofError`] when that is not proven.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Sizes);
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for beside in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if place % 2 == 1 || place == last {
            hash = node_hash(beside, &hash);
            while place % 2 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `to.0` leaves under root `to.1` has grown from the tree of `from.0` leaves under root `from.1`:
/// RFC 9162 §2.1.4.2. Every tree has grown from the empty one, for which the proof has no hashes.
///
/// # Errors
/// [`ProofError`] when that is not proven.
pub fn verify_consistency(
    from: (u64, &Digest),
    to: (u64, &Digest),
    proof: &[Digest],
) -> Result<(), ProofError> {
    let ((from, from_root), (to, to_root)) = (from, to);
    if from > to {
        return Err(ProofError::Sizes);
    }
    if from == 0 || from == to {
        let same = if from == 0 { *from_root == super::empty_root() } else { from_root == to_root };
        return match (proof.is_empty(), same) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let mut rest = proof.iter();
    let first = if from.is_power_of_two() { from_root } else { rest.next().ok_or(ProofError::Length)? };
    let (mut place, mut last) = (from - 1, to - 1);
    while place % 2 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if place % 2 == 1 || place == last {
            old = node_hash(beside, &old);
            new = node_hash(beside, &new);
            while place % 2 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old == *from_root && new == *to_root { Ok(()) } else { Err(ProofError::Root) }
}
