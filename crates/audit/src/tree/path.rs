use std::collections::BTreeSet;

use super::tile::{TILE_WIDTH, Tile, TileId};
use super::{complete, fold};
use crate::Digest;

/// Of which parts of a tree a proof consists, leaf side first: what tiles have to be read for it, and then what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    spans: Vec<Span>,
}

/// The leaves from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
}

/// A complete subtree: of 2^`level` leaves, the `index`th of its size.
#[derive(Clone, Copy, Debug)]
struct Node {
    level: u32,
    index: u64,
}

impl Path {
    /// Returns what proves that leaf `index` is in a tree of `size` leaves: PATH of RFC 6962 §2.1.1. `None` unless `index < size`.
    #[must_use]
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        (index < size).then(|| {
            let mut spans = Vec::new();
            let mut whole = Span { start: 0, end: size };
            while whole.end - whole.start > 1 {
                let (left, right) = whole.split();
                let (inside, beside) = if index < left.end { (left, right) } else { (right, left) };
                spans.push(beside);
                whole = inside;
            }
            spans.reverse();
            Self { spans }
        })
    }

    /// Returns what proves that a tree of `to` leaves has grown from its first `from`: PROOF of RFC 6962 §2.1.2. `None` unless
    /// `1 ≤ from ≤ to`.
    #[must_use]
    pub fn consistency(from: u64, to: u64) -> Option<Self> {
        (1..=to).contains(&from).then(|| {
            let mut spans = Vec::new();
            let mut whole = Span { start: 0, end: to };
            while whole.end != from {
                let (left, right) = whole.split();
                let (inside, beside) = if from <= left.end { (left, right) } else { (right, left) };
                spans.push(beside);
                whole = inside;
            }
            // Who asks knows the root over all the old leaves, but no other part.
            if whole.start != 0 {
                spans.push(whole);
            }
            spans.reverse();
            Self { spans }
        })
    }

    /// Returns what the tree of the first `size` leaves consists of: its complete subtrees, the largest first. See
    /// [`Peaks`](super::Peaks).
    #[must_use]
    pub fn peaks(size: u64) -> Self {
        let span = |Node { level, index }| Span { start: index << level, end: (index + 1) << level };
        Self { spans: Span { start: 0, end: size }.nodes().map(span).collect() }
    }

    /// Returns the tiles whose hashes the proof is made of, each once.
    #[must_use]
    pub fn tiles(&self) -> BTreeSet<TileId> {
        self.spans.iter().flat_map(|span| span.nodes()).map(Node::tile).collect()
    }

    /// Computes the proof's hashes from tiles; `None` when one is not there or too short.
    #[must_use]
    pub fn hashes<'a>(&self, tile: impl Fn(TileId) -> Option<&'a Tile>) -> Option<Vec<Digest>> {
        let node = |node: Node| node.hash(tile(node.tile())?);
        let span = |span: &Span| {
            let peaks = span.nodes().map(node).collect::<Option<Vec<_>>>()?;
            fold(peaks.into_iter())
        };
        self.spans.iter().map(span).collect()
    }
}

impl Span {
    /// Splits at the greatest power of two that is less than its length.
    const fn split(self) -> (Self, Self) {
        let half = 1_u64 << (self.end - self.start - 1).ilog2();
        let middle = self.start + half;
        (Self { start: self.start, end: middle }, Self { start: middle, end: self.end })
    }

    /// Returns the complete subtrees it consists of, the largest first.
    fn nodes(self) -> impl Iterator<Item = Node> {
        let mut start = self.start;
        std::iter::from_fn(move || {
            (start < self.end).then(|| {
                let level = (self.end - start).ilog2().min(start.trailing_zeros());
                let node = Node { level, index: start >> level };
                start += 1 << level;
                node
            })
        })
    }
}

impl Node {
    /// Where in its tile its first hash stands.
    const fn first(self) -> u64 {
        self.index << (self.level % 8)
    }

    fn tile(self) -> TileId {
        let level = u8::try_from(self.level / 8).unwrap_or(u8::MAX);
        TileId { level, index: self.first() / TILE_WIDTH as u64 }
    }

    fn hash(self, tile: &Tile) -> Option<Digest> {
        let first = usize::try_from(self.first() % TILE_WIDTH as u64).ok()?;
        complete(tile.hashes.get(first..first + (1 << (self.level % 8)))?)
    }
}
