use super::{empty_root, fold, node_hash};
use crate::Digest;

/// The roots of the complete subtrees that a tree consists of, the largest first: the least from which leaves can be added and the
/// root computed, at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    size: u64,
    hashes: Vec<Digest>,
}

impl Peaks {
    /// Takes the peaks of a tree of `size` leaves; `None` when it has another number of them.
    #[must_use]
    pub fn new(size: u64, hashes: Vec<Digest>) -> Option<Self> {
        let fits = u32::try_from(hashes.len()).is_ok_and(|count| count == size.count_ones());
        fits.then_some(Self { size, hashes })
    }

    /// Returns how many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.hashes.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// Returns the roots of the complete subtrees, the largest first.
    #[must_use]
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
    }

    /// Returns the root.
    #[must_use]
    pub fn root(&self) -> Digest {
        fold(self.hashes.iter().copied()).unwrap_or_else(empty_root)
    }
}
