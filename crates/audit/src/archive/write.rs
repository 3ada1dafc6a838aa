use sha2::{Digest as _, Sha256};
use stanchion_core::{Actor, Category, Event, EventId, StoreError, StoreErrorKind};

use super::manifest::{folder, manifest_file, number, object_file};
use super::{ArchiveManifest, ENTRIES, FORMAT, MAX_CONTENT, Sum};
use crate::bundle::{ChainBase, line_of};
use crate::tree::{Path, Peaks, TILE_WIDTH, verify_consistency};
use crate::verify::ChainVerifier;
use crate::{
    Break, BreakReason, ChainId, Checkpoint, Error, Head, ObjectName, ObjectStore, Prover, PutOutcome, Row,
};

/// How well objects are compressed: the level that Zstandard takes by itself.
const LEVEL: i32 = 3;

/// Entries that are to be archived: those after `start`, up to the number `last`, which is the end of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) chain: ChainId,
    pub(crate) start: Head,
    pub(crate) last: u64,
}

/// What was found when a range was to be archived.
#[derive(Debug)]
pub(crate) enum Archived {
    /// The manifest, which may be one that was there.
    Written(Box<ArchiveManifest>),
    /// The entries do not hold: they are not archived.
    Broken(Break),
}

/// Finds the last manifest of a chain's archive.
pub(crate) async fn latest(
    objects: &dyn ObjectStore,
    chain: ChainId,
    base: &Head,
) -> Result<Option<ArchiveManifest>, Error> {
    const PAGE: usize = 1_000;
    let folder = folder(chain).map_err(|error| wrong("list", error))?;
    // Where the chain has been cut, what lies far before its base needs no look.
    let mut after: Option<ObjectName> = match base.seq.saturating_sub(ENTRIES) {
        0 => None,
        seq => Some(folder.join(&number(seq)).map_err(|error| wrong("list", error))?),
    };
    let mut last = None;
    loop {
        let names = objects.list(&folder, after.as_ref(), PAGE).await?;
        let is_all = names.len() < PAGE;
        after = names.last().cloned();
        last = names.into_iter().rfind(|name| name.as_str().ends_with(".json")).or(last);
        if is_all {
            break;
        }
    }
    match last {
        None => Ok(None),
        Some(name) => read(objects, &name, chain).await.map(Some),
    }
}

async fn read(
    objects: &dyn ObjectStore,
    name: &ObjectName,
    chain: ChainId,
) -> Result<ArchiveManifest, Error> {
    let bytes = objects.get(name).await?;
    let manifest =
        bytes.as_deref().and_then(ArchiveManifest::read).filter(|manifest| manifest.chain == chain);
    manifest.ok_or_else(|| wrong("read", format!("`{name}` is no manifest of {chain}")))
}

fn wrong(operation: &'static str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    StoreError::new(StoreErrorKind::Corrupt, "archive", operation).with_source(why).into()
}

/// Writes the entries of a range, and then their manifest. Whatever a crash or another writer has left is gone on from, if it says the
/// same.
pub(crate) async fn write(
    prover: &Prover,
    objects: &dyn ObjectStore,
    range: Range,
    checkpoint: &Checkpoint,
    keep_until: impl Fn(stanchion_core::Timestamp) -> stanchion_core::Timestamp,
) -> Result<Archived, Error> {
    let chain = range.chain;
    let rows = match entries(prover, range).await? {
        Ok(rows) => rows,
        Err(found) => return Ok(Archived::Broken(found)),
    };
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Archived::Broken(Break { chain, seq: range.start.seq + 1, reason: BreakReason::Gap }));
    };
    let tree_wrong = Break { chain, seq: last.seq, reason: BreakReason::TreeWrong };
    let before = prover.hashes(chain, checkpoint.size, &Path::peaks(range.start.seq)).await?;
    let Some(mut peaks) = Peaks::new(range.start.seq, before.clone()) else {
        return Ok(Archived::Broken(tree_wrong));
    };
    let mut content = Vec::new();
    for row in &rows {
        peaks.push(row.content.leaf);
        content.extend_from_slice(&line_of(row));
    }
    let growth = Path::consistency(last.seq, checkpoint.size).ok_or(Error::NoProof { chain })?;
    let growth = prover.hashes(chain, checkpoint.size, &growth).await?;
    // What would not verify is not written.
    let tree = (last.seq, &peaks.root());
    if verify_consistency(tree, (checkpoint.size, &checkpoint.root), &growth).is_err() {
        return Ok(Archived::Broken(tree_wrong));
    }

    let folder = folder(chain).map_err(|error| wrong("put", error))?;
    let name = |file: String| folder.join(&file).map_err(|error| wrong("put", error));
    let object = name(object_file(first.seq, last.seq))?;
    let until = keep_until(last.recorded_at);
    let stored = put_content(objects, &object, &content, until).await?;
    let Head { seq, link, recorded_at } = range.start;
    let manifest = ArchiveManifest {
        format: FORMAT.to_owned(),
        chain,
        first: first.seq,
        last: last.seq,
        archived_at: prover.ledger.shared().clock.now(),
        base: (seq > 0).then_some(ChainBase { seq, link, recorded_at, tree: before }),
        first_link: first.link,
        last_link: last.link,
        recorded_from: first.recorded_at,
        recorded_to: last.recorded_at,
        tree: peaks.hashes().to_vec(),
        checkpoint: checkpoint.note.as_str().to_owned(),
        growth,
        object: object_file(first.seq, last.seq),
        content: Sum::of(&content),
        stored,
    };
    let at = name(manifest_file(first.seq))?;
    match objects.put_new(&at, manifest.to_bytes(), Some(until)).await? {
        PutOutcome::Written => Ok(Archived::Written(Box::new(manifest))),
        PutOutcome::Exists => {
            let known = read(objects, &at, chain).await?;
            let says_the_same = known.start() == manifest.start()
                && known.first_link == manifest.first_link
                && (known.last != manifest.last || known.end() == manifest.end());
            if says_the_same {
                return Ok(Archived::Written(Box::new(known)));
            }
            Err(wrong("put", format!("`{at}` says something else of the chain than the ledger")))
        }
    }
}

/// Puts an object; one of other bytes but the same entries, as another version of Zstandard would make it, will do.
async fn put_content(
    objects: &dyn ObjectStore,
    name: &ObjectName,
    content: &[u8],
    until: stanchion_core::Timestamp,
) -> Result<Sum, Error> {
    let stored = zstd::bulk::compress(content, LEVEL).map_err(|error| wrong("compress", error))?;
    let sum = Sum::of(&stored);
    if objects.put_new(name, stored, Some(until)).await? == PutOutcome::Written {
        return Ok(sum);
    }
    let Some(known) = objects.get(name).await? else {
        return Err(StoreError::new(StoreErrorKind::Unavailable, "archive", "get").into());
    };
    let is_same = zstd::bulk::decompress(&known, content.len()).is_ok_and(|known| known == content);
    if is_same { Ok(Sum::of(&known)) } else { Err(wrong("put", format!("`{name}` holds other entries"))) }
}

/// Reads the entries of a range and verifies them; fewer, but whole tiles, if they are too large together.
async fn entries(prover: &Prover, range: Range) -> Result<Result<Vec<Row>, Break>, Error> {
    const PAGE: usize = TILE_WIDTH;
    let shared = prover.ledger.shared();
    let Range { chain, start, last } = range;
    let mut verifier = ChainVerifier::new(chain, start, &shared.signer);
    let (mut rows, mut bytes): (Vec<Row>, usize) = (Vec::new(), 0);
    while verifier.at().seq < last {
        let next = verifier.at().seq + 1;
        // To the end of the tile.
        let tile = next.next_multiple_of(TILE_WIDTH as u64).min(last);
        let limit = usize::try_from(tile + 1 - next).unwrap_or(PAGE);
        let found = shared.store.read(chain, next, limit).await?;
        let size: usize = found.iter().map(|row| line_of(row).len()).sum();
        if !rows.is_empty() && bytes.saturating_add(size) > MAX_CONTENT {
            break;
        }
        for row in &found {
            if let Err(found) = verifier.check(row) {
                return Ok(Err(found));
            }
        }
        if verifier.at().seq < tile {
            return Ok(Err(Break { chain, seq: verifier.at().seq + 1, reason: BreakReason::Gap }));
        }
        bytes = bytes.saturating_add(size);
        rows.extend(found);
    }
    Ok(Ok(rows))
}

/// Returns the event that tells of a manifest. It follows from the manifest alone, so that it is recorded once however often that is
/// tried.
pub(crate) fn archived_event(manifest: &ArchiveManifest) -> Event {
    let sum = Sum::of(&manifest.to_bytes());
    let Sum { sha256, .. } = sum;
    let at = manifest.archived_at;
    // A UUID of version 7, of the manifest's time and hash.
    let mut bytes = [0; 16];
    let hash = Sha256::digest([b"stanchion-archived-v1".as_slice(), sha256.bytes()].concat());
    let milliseconds = u64::try_from(at.micros() / 1_000).unwrap_or_default().to_be_bytes();
    let parts = milliseconds.iter().skip(2).chain(hash.iter());
    bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = *part);
    let uuid = uuid::Builder::from_custom_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid();
    event(EventId::from_uuid(uuid), at, manifest.chain, "audit.archived")
        .with_detail("first", manifest.first)
        .with_detail("last", manifest.last)
        .with_detail("object", manifest.object.clone())
        .with_detail("object_sha256", manifest.stored.sha256.to_string())
        .with_detail("manifest_sha256", sha256.to_string())
        .with_detail("root", root(manifest))
}

fn root(manifest: &ArchiveManifest) -> String {
    let peaks = Peaks::new(manifest.last, manifest.tree.clone()).unwrap_or_default();
    peaks.root().to_string()
}

/// Returns an event about a chain.
pub(crate) fn event(
    id: EventId,
    at: stanchion_core::Timestamp,
    chain: ChainId,
    action: &'static str,
) -> Event {
    let actor = Actor::System("audit".into());
    Event::new(id, at, chain.scope, actor, action, Category::Security)
        .with_detail("class", chain.class.as_str())
}

#[cfg(test)]
mod tests;
