use std::fmt;
use std::str::FromStr;

use crate::{Digest, Error};

/// How many hashes a full tile has.
pub const TILE_WIDTH: usize = 256;

/// The place of a tile in a tree. Hashes of a tile at level 0 are leaves; one at a higher level is the root over a full tile below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// The level, from 0 to [`TileId::MAX_LEVEL`].
    pub level: u8,
    /// The number within the level, from 0.
    pub index: u64,
}

impl TileId {
    /// The highest level a tree of 2^63 leaves has.
    pub const MAX_LEVEL: u8 = 7;

    /// Returns how many hashes this tile has in a tree of `size` leaves, 0 to [`TILE_WIDTH`].
    #[must_use]
    pub fn width_at(self, size: u64) -> usize {
        let hashes = size.checked_shr(8 * u32::from(self.level)).unwrap_or(0);
        let before = self.index.saturating_mul(TILE_WIDTH as u64);
        usize::try_from(hashes.saturating_sub(before)).unwrap_or(TILE_WIDTH).min(TILE_WIDTH)
    }
}

/// Some hashes of a tree that stand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Where.
    pub id: TileId,
    /// The hashes, 1 to [`TILE_WIDTH`]. A tile never changes but by growing.
    pub hashes: Vec<Digest>,
}

impl Tile {
    /// Tells whether the tile has all the hashes it will ever have.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.hashes.len() == TILE_WIDTH
    }

    /// Returns the hashes as bytes, one after the other: the form that tlog-tiles serves.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| *hash.bytes()).collect()
    }

    /// Reads the hashes of a tile from their bytes; `None` unless these are 1 to 256 hashes.
    #[must_use]
    pub fn from_bytes(id: TileId, bytes: &[u8]) -> Option<Self> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && (1..=TILE_WIDTH).contains(&hashes.len());
        fits.then(|| Self { id, hashes: hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect() })
    }
}

/// The path of tlog-tiles: the level and the number in groups of three digits, `0/x001/x234/067`.
impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.level)?;
        let digits = self.index.to_string();
        let digits = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
        let groups = digits.len() / 3;
        for (place, digit) in digits.chars().enumerate() {
            if place % 3 == 0 {
                f.write_str(if place == 0 { "" } else { "/" })?;
                f.write_str(if place / 3 + 1 < groups { "x" } else { "" })?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl FromStr for TileId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (level, number) = text.split_once('/').ok_or(Error::InvalidTile)?;
        let digits: String =
            number.split('/').map(|group| group.strip_prefix('x').unwrap_or(group)).collect();
        let id = Self {
            level: level.parse().map_err(|_| Error::InvalidTile)?,
            index: digits.parse().map_err(|_| Error::InvalidTile)?,
        };
        // One tile has one path.
        if id.level <= Self::MAX_LEVEL && id.to_string() == text { Ok(id) } else { Err(Error::InvalidTile) }
    }
}
