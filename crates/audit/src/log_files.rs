use std::collections::BTreeMap;
use std::io;

use crate::tree::{Edge, TILE_WIDTH, Tile, TileId};
use crate::{
    Anchors, ChainId, Digest, NoteError, Recorded, RetentionClass, TreeHead, VerifierKey, leaf_hash, parse,
};

/// What the files of a log prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogVerdict {
    /// Everything is what was signed for.
    Intact(LogProof),
    /// Something is not what was recorded.
    Tampered(LogBreak),
    /// What is there may be right, but this file is missing.
    Incomplete(String),
    /// None of the keys that were given signed the checkpoint.
    Unverifiable,
}

/// What intact files of a log prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// The chain.
    pub chain: ChainId,
    /// The tree that was signed for.
    pub tree: TreeHead,
    /// The number of the first entry whose event is there. Of those before only the hashes are: the front of a log may be dropped when its
    /// time is over. One past the last entry when no event is there.
    pub first: u64,
    /// The roots of its tree at the sizes that checkpoints were published of; see [`verify_log_with`].
    pub roots: BTreeMap<u64, Digest>,
    /// What its entries tell of other logs; see [`Anchors::follow_log`].
    pub recorded: Recorded,
}

/// The first place at which the files of a log are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct LogBreak {
    /// The file.
    pub file: String,
    /// The number of the first entry it is about, when it is about entries.
    pub seq: Option<u64>,
    /// What is wrong.
    pub fault: LogFault,
}

/// What is wrong with a file of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogFault {
    /// The checkpoint is not believed.
    #[error("the checkpoint is not believed: {0}")]
    Checkpoint(NoteError),
    /// The checkpoint is that of no chain.
    #[error("the checkpoint is that of no chain")]
    OtherLog,
    /// The file is not of the form that it should have.
    #[error("it is no file of a log")]
    Malformed,
    /// The event is none, or one of another chain.
    #[error("the entry is no event of its chain")]
    Content,
    /// The hashes are not those of the entries.
    #[error("it has other hashes than the entries")]
    Hashes,
    /// The entries lead to another root than was signed for.
    #[error("the entries are not those that were signed for")]
    Root,
}

/// Verifies a log in the layout of C2SP's tlog-tiles, as `/v1/audit/log` serves it, with nothing but keys: every event, every hash of every
/// tile, and that they lead to the root that was signed for. `read` returns a file by its path below the log, or `None` when there is none.
///
/// There are no signatures of entries in a log, and no times of recording. That it is the latest checkpoint is not proven.
///
/// # Errors
/// When a file cannot be read. A log that does not hold is a [`LogVerdict`], not an error.
pub fn verify_log(
    read: impl FnMut(&str) -> io::Result<Option<Vec<u8>>>,
    keys: &[VerifierKey],
) -> io::Result<LogVerdict> {
    verify_log_with(read, keys, &Anchors::default())
}

/// Verifies a log as [`verify_log`] does, and finds what [`Anchors::compare_log`] compares and [`Anchors::follow_log`] takes.
///
/// # Errors
/// As [`verify_log`].
pub fn verify_log_with(
    mut read: impl FnMut(&str) -> io::Result<Option<Vec<u8>>>,
    keys: &[VerifierKey],
    anchors: &Anchors,
) -> io::Result<LogVerdict> {
    match judge(&mut read, keys, anchors) {
        Ok(proof) => Ok(LogVerdict::Intact(proof)),
        Err(Stop::Tampered(found)) => Ok(LogVerdict::Tampered(found)),
        Err(Stop::Incomplete(file)) => Ok(LogVerdict::Incomplete(file)),
        Err(Stop::Unverifiable) => Ok(LogVerdict::Unverifiable),
        Err(Stop::Error(error)) => Err(error),
    }
}

enum Stop {
    Tampered(LogBreak),
    Incomplete(String),
    Unverifiable,
    Error(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Error(error)
    }
}

fn tampered(file: &str, seq: Option<u64>, fault: LogFault) -> Stop {
    Stop::Tampered(LogBreak { file: file.to_owned(), seq, fault })
}

type Read<'a> = &'a mut dyn FnMut(&str) -> io::Result<Option<Vec<u8>>>;

fn judge(read: Read<'_>, keys: &[VerifierKey], anchors: &Anchors) -> Result<LogProof, Stop> {
    const CHECKPOINT: &str = "checkpoint";
    let note = read(CHECKPOINT)?.ok_or_else(|| Stop::Incomplete(CHECKPOINT.to_owned()))?;
    let about = |fault| tampered(CHECKPOINT, None, fault);
    let note = String::from_utf8(note).map_err(|_| about(LogFault::Malformed))?;
    let tree = match TreeHead::open(&note, keys) {
        Ok(tree) => tree,
        Err(NoteError::UnknownKey) => return Err(Stop::Unverifiable),
        Err(error) => return Err(about(LogFault::Checkpoint(error))),
    };
    let chain = chain_of(&tree.origin).ok_or_else(|| about(LogFault::OtherLog))?;
    let (mut edge, mut above, mut first, mut roots) = (Edge::default(), Vec::new(), 1, BTreeMap::new());
    let mut recorded = Recorded::default();
    let tiles = tree.size.div_ceil(TILE_WIDTH as u64);
    for index in 0..tiles {
        let id = TileId { level: 0, index };
        let width = id.width_at(tree.size);
        let from = index.saturating_mul(TILE_WIDTH as u64).saturating_add(1);
        let tile = tile(read, id, width)?;
        let bundle = file_of(read, &format!("tile/entries/{}", path_of(index)), width)?;
        let leaves = match (bundle, first == from) {
            (Some((file, bytes)), _) => {
                let mut hear = |seq, canonical: &[u8]| {
                    anchors.hear((&tree.origin, chain), seq, canonical, &mut recorded);
                };
                let leaves = leaves(&file, &bytes, from, width, chain, &mut hear)?;
                let differs = leaves.iter().zip(&tile.hashes).position(|(leaf, hash)| leaf != hash);
                if let Some(place) = differs {
                    let seq = from.saturating_add(place as u64);
                    return Err(tampered(&file, Some(seq), LogFault::Hashes));
                }
                leaves
            }
            // The front was dropped.
            (None, true) => {
                first = from.saturating_add(width as u64);
                tile.hashes
            }
            (None, false) => return Err(Stop::Incomplete(format!("tile/entries/{}", path_of(index)))),
        };
        for leaf in leaves {
            edge.push(leaf, &mut above);
            anchors.note(&tree.origin, edge.size(), || edge.root(), &mut roots);
        }
        for made in above.drain(..).filter(|made| made.id.level > 0) {
            compare(read, &made)?;
        }
    }
    for made in edge.partial().filter(|made| made.id.level > 0) {
        compare(read, &made)?;
    }
    if edge.root() != tree.root {
        return Err(tampered(CHECKPOINT, Some(tree.size), LogFault::Root));
    }
    Ok(LogProof { chain, tree, first, roots, recorded })
}

/// Finds the chain in the origin `<deployment>/<scope>/<class>`.
pub(crate) fn chain_of(origin: &str) -> Option<ChainId> {
    let mut parts = origin.rsplitn(3, '/');
    let (class, scope) = (parts.next()?, parts.next()?);
    parts.next().filter(|deployment| !deployment.is_empty())?;
    format!("{scope}/{class}").parse().ok()
}

/// Reads a file of so many hashes or entries: the partial one, or the full one that took its place when the log grew.
fn file_of(read: Read<'_>, path: &str, width: usize) -> io::Result<Option<(String, Vec<u8>)>> {
    if width < TILE_WIDTH {
        let partial = format!("{path}.p/{width}");
        if let Some(bytes) = read(&partial)? {
            return Ok(Some((partial, bytes)));
        }
    }
    Ok(read(path)?.map(|bytes| (path.to_owned(), bytes)))
}

fn tile(read: Read<'_>, id: TileId, width: usize) -> Result<Tile, Stop> {
    let path = format!("tile/{id}");
    let found = file_of(read, &path, width)?;
    let (file, bytes) = found.ok_or(Stop::Incomplete(path))?;
    let tile = Tile::from_bytes(id, &bytes).filter(|tile| tile.hashes.len() >= width);
    let mut tile = tile.ok_or_else(|| tampered(&file, None, LogFault::Malformed))?;
    tile.hashes.truncate(width);
    Ok(tile)
}

/// Compares a tile with what the entries lead to.
fn compare(read: Read<'_>, made: &Tile) -> Result<(), Stop> {
    let found = tile(read, made.id, made.hashes.len())?;
    let Some(place) = found.hashes.iter().zip(&made.hashes).position(|(found, made)| found != made) else {
        return Ok(());
    };
    let under = (TILE_WIDTH as u64).saturating_pow(u32::from(made.id.level));
    let place = made.id.index.saturating_mul(TILE_WIDTH as u64).saturating_add(place as u64);
    let seq = place.saturating_mul(under).saturating_add(1);
    Err(tampered(&format!("tile/{}", made.id), Some(seq), LogFault::Hashes))
}

/// Reads the entries of a bundle and returns their leaves.
fn leaves(
    file: &str,
    mut bytes: &[u8],
    from: u64,
    width: usize,
    chain: ChainId,
    hear: &mut dyn FnMut(u64, &[u8]),
) -> Result<Vec<Digest>, Stop> {
    let mut leaves = Vec::with_capacity(width);
    for seq in (from..).take(width) {
        let malformed = || tampered(file, Some(seq), LogFault::Malformed);
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or_else(malformed)?;
        let (canonical, rest) =
            rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or_else(malformed)?;
        let is_of_chain = parse(canonical).is_ok_and(|event| {
            event.scope == chain.scope && RetentionClass::of(event.category) == chain.class
        });
        if !is_of_chain {
            return Err(tampered(file, Some(seq), LogFault::Content));
        }
        leaves.push(leaf_hash(canonical));
        hear(seq, canonical);
        bytes = rest;
    }
    Ok(leaves)
}

fn path_of(index: u64) -> String {
    let path = TileId { level: 0, index }.to_string();
    path.strip_prefix("0/").unwrap_or_default().to_owned()
}

/// Lists the files of a log of so many entries, without its checkpoint: the tiles, and then the entries. Of entries that were dropped
/// when their time was over there are none.
pub fn log_files(size: u64) -> impl Iterator<Item = String> {
    let name = |path: String, width: usize| {
        if width == TILE_WIDTH { path } else { format!("{path}.p/{width}") }
    };
    let in_level = move |level: u8| size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    let tiles = (0..=TileId::MAX_LEVEL).flat_map(move |level| {
        let tiles = in_level(level).div_ceil(TILE_WIDTH as u64);
        (0..tiles).map(move |index| {
            let id = TileId { level, index };
            name(format!("tile/{id}"), id.width_at(size))
        })
    });
    let entries = (0..in_level(0).div_ceil(TILE_WIDTH as u64)).map(move |index| {
        let id = TileId { level: 0, index };
        name(format!("tile/entries/{}", path_of(index)), id.width_at(size))
    });
    tiles.chain(entries)
}

#[cfg(test)]
mod tests;
