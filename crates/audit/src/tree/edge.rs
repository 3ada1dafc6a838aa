use super::tile::{TILE_WIDTH, Tile, TileId};
use super::{complete, empty_root, fold};
use crate::Digest;

/// The right edge of a tree: of each level the hashes that do not fill a tile yet. It is all that is needed to add leaves and to
/// compute the root, at most 255 hashes a level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    levels: Vec<Level>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Level {
    /// How many full tiles stand to the left.
    full: u64,
    hashes: Vec<Digest>,
}

impl Edge {
    /// Puts together the edge of a tree of `size` leaves from the tiles at its end, of each level in turn; `None` when there are too
    /// few hashes. A tile may have more hashes than the tree had then.
    #[must_use]
    pub fn new(size: u64, mut last: impl FnMut(TileId) -> Option<Tile>) -> Option<Self> {
        let mut levels = Vec::new();
        for id in Self::places(size) {
            let width = id.width_at(size);
            let mut kept = if width == 0 { Vec::new() } else { last(id)?.hashes };
            if kept.len() < width {
                return None;
            }
            kept.truncate(width);
            levels.push(Level { full: id.index, hashes: kept });
        }
        Some(Self { levels })
    }

    /// Returns the tiles that the edge of a tree of `size` leaves is put together from.
    pub fn ends(size: u64) -> impl Iterator<Item = TileId> {
        Self::places(size).filter(move |id| id.width_at(size) > 0)
    }

    /// Returns where each level of a tree of `size` leaves ends.
    fn places(size: u64) -> impl Iterator<Item = TileId> {
        let hashes = move |level: u8| size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let levels = (0..=TileId::MAX_LEVEL).take_while(move |level| hashes(*level) > 0);
        levels.map(move |level| TileId { level, index: hashes(level) / TILE_WIDTH as u64 })
    }

    /// Returns how many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| {
            leaves.full * TILE_WIDTH as u64 + u64::try_from(leaves.hashes.len()).unwrap_or(u64::MAX)
        })
    }

    /// Adds a leaf; tiles that become full by it are appended to `full`.
    pub fn push(&mut self, leaf: Digest, full: &mut Vec<Tile>) {
        let mut hash = leaf;
        for place in 0..=TileId::MAX_LEVEL {
            let index = usize::from(place);
            if self.levels.len() == index {
                self.levels.push(Level::default());
            }
            let Some(level) = self.levels.get_mut(index) else { return };
            level.hashes.push(hash);
            if level.hashes.len() < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::take(&mut level.hashes);
            let id = TileId { level: place, index: level.full };
            level.full += 1;
            let above = complete(&hashes);
            full.push(Tile { id, hashes });
            let Some(above) = above else { return };
            hash = above;
        }
    }

    /// Returns the tiles above the leaves that are not full, as they stand.
    pub fn partial(&self) -> impl Iterator<Item = Tile> {
        let above = (0_u8..).zip(&self.levels).skip(1);
        above.filter(|(_, level)| !level.hashes.is_empty()).map(|(place, level)| Tile {
            id: TileId { level: place, index: level.full },
            hashes: level.hashes.clone(),
        })
    }

    /// Returns the root.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut peaks = Vec::new();
        for level in self.levels.iter().rev() {
            let mut rest = level.hashes.as_slice();
            while !rest.is_empty() {
                let size = 1 << rest.len().ilog2();
                let (subtree, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
                peaks.extend(complete(subtree));
                rest = after;
            }
        }
        fold(peaks.into_iter()).unwrap_or_else(empty_root)
    }
}
