use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use stanchion_core::{KeyRing, KeyVersion};

use super::manifest::{manifest_file, object_file};
use super::{
    ArchiveBreak, ArchiveFault, ArchiveManifest, ArchiveProof, ArchiveVerdict, ArchivedChain, MAX_CONTENT,
    Sum,
};
use crate::bundle::{ExportedEntry, Line, MAX_LINE, is_event_of};
use crate::hash::{ChainLinks, ChainMacs};
use crate::tree::{Peaks, verify_consistency};
use crate::{Anchors, ChainId, Digest, Head, ObjectName, Recorded, Signer, TreeHead, VerifierKey, leaf_hash};

/// Verifies an archive with nothing but keys, an object at a time: every manifest among `names`, and what it speaks of.
///
/// What is proven with verifier keys: the events are those that were signed for, all of each chain from the first to the last that is
/// there, in their order. When an entry was recorded, its link and its signature are proven only to whoever gives the ring the ledger
/// signs with, and of what stands before the first entry that is there its time to nobody. Not proven is that the archive has every chain, nor that nothing was taken from a chain's end: compare its last entry
/// with the ledger's base.
///
/// # Errors
/// When something cannot be read. An archive that does not hold is an [`ArchiveVerdict`], not an error.
pub fn verify_archive(
    names: impl IntoIterator<Item = ObjectName>,
    read: impl FnMut(&ObjectName) -> io::Result<Option<Vec<u8>>>,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
) -> io::Result<ArchiveVerdict> {
    verify_archive_with(names, read, keys, mac_keys, &Anchors::default())
}

/// Verifies an archive as [`verify_archive`] does, and finds what [`Anchors::compare_archive`] compares and
/// [`Anchors::follow_archive`] takes.
///
/// # Errors
/// As [`verify_archive`].
pub fn verify_archive_with(
    names: impl IntoIterator<Item = ObjectName>,
    mut read: impl FnMut(&ObjectName) -> io::Result<Option<Vec<u8>>>,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
    anchors: &Anchors,
) -> io::Result<ArchiveVerdict> {
    let signer = mac_keys.map(Signer::new);
    let mut names: Vec<ObjectName> = names.into_iter().collect();
    names.sort_unstable();
    let mut chains: BTreeMap<ChainId, Followed> = BTreeMap::new();
    let mut claimed = Vec::new();
    for name in names.iter().filter(|name| name.as_str().ends_with(".json")) {
        let found = |seq, fault| ArchiveBreak { object: name.clone(), seq, fault }.verdict();
        let Some(bytes) = read(name)? else { return Ok(found(None, ArchiveFault::Missing)) };
        let Some(manifest) = ArchiveManifest::read(&bytes) else {
            return Ok(found(None, ArchiveFault::Malformed));
        };
        let Some(object) = beside(name, &manifest) else { return Ok(found(None, ArchiveFault::Misnamed)) };
        let before = chains.get(&manifest.chain);
        let tree = match proven(&manifest, before, keys) {
            Ok(tree) => tree,
            Err((seq, fault)) => return Ok(found(seq, fault)),
        };
        let found = |seq, fault| ArchiveBreak { object: object.clone(), seq, fault }.verdict();
        let Some(stored) = read(&object)? else {
            return Ok(found(Some(manifest.first), ArchiveFault::Missing));
        };
        let mut roots = before.map(|before| before.roots.clone()).unwrap_or_default();
        anchors.note(&tree.origin, tree.size, || tree.root, &mut roots);
        let mut recorded = before.map(|before| before.recorded.clone()).unwrap_or_default();
        let mut see = |size, peaks: &Peaks, canonical: Option<&[u8]>| {
            anchors.note(&tree.origin, size, || peaks.root(), &mut roots);
            if let Some(canonical) = canonical {
                anchors.hear((&tree.origin, manifest.chain), size, canonical, &mut recorded);
            }
        };
        if let Err((seq, fault)) = check(&manifest, &stored, signer.as_ref(), &mut see) {
            return Ok(found(seq, fault));
        }
        claimed.push(object);
        let first = before.map_or(manifest.first, |before| before.first);
        let tree =
            before.map(|before| before.tree.clone()).filter(|old| old.size > tree.size).unwrap_or(tree);
        chains.insert(manifest.chain, Followed { first, tree, manifest, roots, recorded });
    }
    let chains = chains.into_iter().map(|(chain, followed)| {
        let Followed { first, tree, manifest, roots, recorded } = followed;
        ArchivedChain { chain, first, last: manifest.last, tree, roots, recorded }
    });
    let is_object = |name: &ObjectName| name.as_str().ends_with(".zst") && !claimed.contains(name);
    Ok(ArchiveVerdict::Intact(ArchiveProof {
        chains: chains.collect(),
        are_macs_checked: signer.is_some(),
        unclaimed: names.iter().filter(|name| is_object(name)).cloned().collect(),
    }))
}

/// Verifies the archive below a directory, as [`verify_archive`] does.
///
/// # Errors
/// When something cannot be read.
pub fn verify_archive_directory(
    directory: &Path,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
) -> io::Result<ArchiveVerdict> {
    verify_archive_directory_with(directory, keys, mac_keys, &Anchors::default())
}

/// Verifies the archive below a directory, as [`verify_archive_with`] does.
///
/// # Errors
/// When something cannot be read.
pub fn verify_archive_directory_with(
    directory: &Path,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
    anchors: &Anchors,
) -> io::Result<ArchiveVerdict> {
    let mut names = Vec::new();
    walk(directory, None, &mut names)?;
    let read = |name: &ObjectName| match std::fs::read(directory.join(name.as_str())) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    verify_archive_with(names, read, keys, mac_keys, anchors)
}

fn walk(directory: &Path, below: Option<&ObjectName>, names: &mut Vec<ObjectName>) -> io::Result<()> {
    let path = below.map_or_else(|| directory.to_owned(), |below| directory.join(below.as_str()));
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let file = entry.file_name();
        let name =
            file.to_str().and_then(|file| below.map_or_else(|| file.parse(), |below| below.join(file)).ok());
        // What cannot be a name was put there by somebody else.
        let Some(name) = name else { continue };
        if entry.file_type()?.is_dir() {
            walk(directory, Some(&name), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

/// A chain, as far as it was followed.
struct Followed {
    first: u64,
    tree: TreeHead,
    /// The last one.
    manifest: ArchiveManifest,
    roots: BTreeMap<u64, Digest>,
    recorded: Recorded,
}

type Found = (Option<u64>, ArchiveFault);

/// Hears the number of each entry, the tree up to it, and its content; first what stands before them.
type See<'a> = dyn FnMut(u64, &Peaks, Option<&[u8]>) + 'a;

/// Returns the name of a manifest's object, if both have the names that their content asks for.
fn beside(name: &ObjectName, manifest: &ArchiveManifest) -> Option<ObjectName> {
    let ArchiveManifest { chain, first, last, object, .. } = manifest;
    let folder = name.as_str().strip_suffix(&manifest_file(*first))?;
    let is_of_chain = folder.strip_suffix('/')?.ends_with(&chain.to_string());
    let is_named = is_of_chain && *object == object_file(*first, *last);
    is_named.then(|| format!("{folder}{object}").parse().ok()).flatten()
}

/// Checks that what a manifest says goes on from the one before and is in the tree that was signed for, which it returns.
fn proven(
    manifest: &ArchiveManifest,
    before: Option<&Followed>,
    keys: &[VerifierKey],
) -> Result<TreeHead, Found> {
    let ArchiveManifest { chain, first, last, checkpoint, tree, growth, .. } = manifest;
    let start = manifest.start();
    if start.seq.checked_add(1) != Some(*first) || last < first {
        return Err((None, ArchiveFault::Base));
    }
    if let Some(Followed { manifest: before, .. }) = before {
        let next = before.last + 1;
        if *first > next {
            return Err((Some(next), ArchiveFault::Missing));
        }
        let roots = manifest.base.as_ref().map(|base| &base.tree);
        if start != before.end() || roots != Some(&before.tree) {
            return Err((Some(*first), ArchiveFault::Base));
        }
    }
    let signed = TreeHead::open(checkpoint, keys).map_err(|error| (None, ArchiveFault::Checkpoint(error)))?;
    let deployment = signed.origin.strip_suffix(&format!("/{chain}"));
    if deployment.is_none_or(str::is_empty) {
        return Err((None, ArchiveFault::OtherLog));
    }
    let peaks = Peaks::new(*last, tree.clone()).ok_or((None, ArchiveFault::Manifest))?;
    verify_consistency((*last, &peaks.root()), (signed.size, &signed.root), growth)
        .map_err(|_| (Some(*last), ArchiveFault::Root))?;
    Ok(signed)
}

/// Checks an object against its manifest.
fn check(
    manifest: &ArchiveManifest,
    stored: &[u8],
    signer: Option<&Signer>,
    see: &mut See<'_>,
) -> Result<(), Found> {
    let base = manifest.base.as_ref();
    let roots = base.map_or_else(Vec::new, |base| base.tree.clone());
    let peaks = Peaks::new(manifest.start().seq, roots).ok_or((None, ArchiveFault::Base))?;
    let mut entries = Entries {
        chain: manifest.chain,
        at: manifest.start(),
        peaks,
        links: ChainLinks::new(&manifest.chain),
        macs: None,
        first: None,
    };
    let is_short = u64::try_from(stored.len()).is_ok_and(|bytes| bytes < manifest.stored.bytes);
    let damaged = if is_short { ArchiveFault::Truncated } else { ArchiveFault::Damaged };
    see(entries.at.seq, &entries.peaks, None);
    let content = entries.follow(manifest, stored, damaged, signer, see)?;
    if Sum::of(stored) != manifest.stored || content != manifest.content {
        return Err((None, damaged));
    }
    let (first, at) = (entries.first, entries.at);
    let is_told = first == Some((manifest.first_link, manifest.recorded_from))
        && at == manifest.end()
        && entries.peaks.hashes() == manifest.tree;
    if is_told { Ok(()) } else { Err((Some(manifest.last), ArchiveFault::Manifest)) }
}

struct Entries {
    chain: ChainId,
    at: Head,
    peaks: Peaks,
    links: ChainLinks,
    macs: Option<(KeyVersion, ChainMacs)>,
    first: Option<(Digest, stanchion_core::Timestamp)>,
}

impl Entries {
    /// Follows the entries of an object as far as they go; returns the sum of their lines.
    fn follow(
        &mut self,
        manifest: &ArchiveManifest,
        stored: &[u8],
        damaged: ArchiveFault,
        signer: Option<&Signer>,
        see: &mut See<'_>,
    ) -> Result<Sum, Found> {
        let next = |entries: &Self| Some(entries.at.seq.saturating_add(1));
        // What cannot be read is one of those that should be there.
        let within = |entries: &Self| next(entries).map(|seq| seq.min(manifest.last));
        let decoder =
            zstd::stream::read::Decoder::with_buffer(stored).map_err(|_| (within(self), damaged))?;
        let mut reader = BufReader::new(decoder.take(u64::try_from(MAX_CONTENT * 2).unwrap_or(u64::MAX)));
        let (mut content, mut line) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
            let read = (&mut reader).take(most).read_until(b'\n', &mut line);
            if read.map_err(|_| (within(self), damaged))? == 0 {
                break;
            }
            if self.at.seq >= manifest.last {
                return Err((next(self), ArchiveFault::Misplaced));
            }
            let entry = self.entry(&line, signer).map_err(|fault| (next(self), fault))?;
            see(self.at.seq, &self.peaks, Some(entry.canonical.as_bytes()));
            content.extend_from_slice(&line);
        }
        if self.at.seq < manifest.last {
            return Err((within(self), damaged));
        }
        Ok(Sum::of(&content))
    }

    fn entry(&mut self, line: &[u8], signer: Option<&Signer>) -> Result<ExportedEntry, ArchiveFault> {
        let text = line.strip_suffix(b"\n").ok_or(ArchiveFault::Misplaced)?;
        let parsed: Line = serde_json::from_slice(text).map_err(|_| ArchiveFault::Misplaced)?;
        let is_spelled = serde_json::to_vec(&parsed).is_ok_and(|spelled| spelled == text);
        let Line::Entry(entry) = parsed else { return Err(ArchiveFault::Misplaced) };
        let ExportedEntry { chain, seq, recorded_at, link, .. } = &entry;
        let next = self.at.seq.saturating_add(1);
        if !is_spelled || (*chain, *seq) != (self.chain, next) || entry.proof.is_some() {
            return Err(ArchiveFault::Misplaced);
        }
        let leaf = leaf_hash(entry.canonical.as_bytes());
        if self.links.link(next, *recorded_at, &self.at.link, &leaf) != *link {
            return Err(ArchiveFault::Link);
        }
        if let Some(signer) = signer {
            self.check_mac(&entry, signer)?;
        }
        if !is_event_of(&entry) {
            return Err(ArchiveFault::Content);
        }
        self.first.get_or_insert((*link, *recorded_at));
        self.peaks.push(leaf);
        self.at = Head { seq: next, link: *link, recorded_at: *recorded_at };
        Ok(entry)
    }

    fn check_mac(&mut self, entry: &ExportedEntry, signer: &Signer) -> Result<(), ArchiveFault> {
        if self.macs.as_ref().is_none_or(|(epoch, _)| *epoch != entry.key_epoch) {
            self.macs = signer.chain(entry.key_epoch, &self.chain).map(|macs| (entry.key_epoch, macs));
        }
        let Some((_, macs)) = &self.macs else { return Err(ArchiveFault::UnknownKeyEpoch(entry.key_epoch)) };
        if macs.is_mac(entry.seq, &entry.link, &entry.mac) { Ok(()) } else { Err(ArchiveFault::Mac) }
    }
}

#[cfg(test)]
mod tests;
