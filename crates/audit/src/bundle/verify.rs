use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

use sha2::{Digest as _, Sha256};
use stanchion_core::{KeyRing, KeyVersion};

use super::ocsf::Carried;
use super::{
    BundleBreak, BundleChain, BundleError, BundleProof, BundleVerdict, End, ExportedEntry, Fault, Form, Line,
    Log, Manifest,
};
use crate::hash::{ChainLinks, ChainMacs};
use crate::tree::{Peaks, verify_inclusion};
use crate::{
    Anchors, ChainId, Digest, Head, Place, Recorded, RetentionClass, Signer, TreeHead, VerifierKey,
    leaf_hash, parse,
};

/// Verifies a bundle with nothing but keys, line by line: memory does not grow with the file.
///
/// What is proven with verifier keys: the events of whole chains are those that were signed for, all of them up to the checkpoint, in
/// their order; each event of a query is in its log at its number. That a query left nothing out is not proven. When an entry was
/// recorded, its link and its signature are proven only for whole chains, to whoever gives the ring the ledger signs with: links can
/// be computed by anybody. Not proven is what the manifest says, that there are no other chains, and that nothing is newer.
///
/// # Errors
/// [`BundleError`] when the file cannot be read or is no bundle. A bundle that does not hold is a [`BundleVerdict`], not an error.
pub fn verify_bundle(
    reader: impl BufRead,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
) -> Result<BundleVerdict, BundleError> {
    verify_bundle_with(reader, keys, mac_keys, &Anchors::default())
}

/// Verifies a bundle as [`verify_bundle`] does, and finds what [`Anchors::compare_bundle`] compares and [`Anchors::follow_bundle`] takes;
/// memory grows with both.
///
/// # Errors
/// As [`verify_bundle`].
pub fn verify_bundle_with(
    reader: impl BufRead,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
    anchors: &Anchors,
) -> Result<BundleVerdict, BundleError> {
    let mut lines = Lines {
        reader,
        number: 0,
        form: Form::Lines,
        carried: Carried::default(),
        is_before_wrong: false,
        hasher: Sha256::new(),
        buffer: Vec::new(),
    };
    match judge(&mut lines, keys, mac_keys, anchors) {
        Ok(proof) => Ok(BundleVerdict::Intact(proof)),
        Err(Stop::Found(Wrong { chain, seq, fault })) => {
            Ok(BundleBreak { line: lines.number, chain, seq, fault }.verdict())
        }
        Err(Stop::Error(error)) => Err(error),
    }
}

fn judge(
    lines: &mut Lines<impl BufRead>,
    keys: &[VerifierKey],
    mac_keys: Option<&KeyRing>,
    anchors: &Anchors,
) -> Result<BundleProof, Stop> {
    let manifest = match lines.next() {
        Ok(Some(Line::Manifest(manifest))) if manifest.format == lines.form.name() => manifest,
        Err(Stop::Found(wrong)) if wrong.fault == Fault::CutOff && Form::of(&lines.buffer).is_some() => {
            return Err(Stop::Found(wrong));
        }
        Err(Stop::Error(error)) => return Err(Stop::Error(error)),
        _ => return Err(Stop::Error(BundleError::NoBundle)),
    };
    let signer = mac_keys.map(Signer::new);
    let signer = signer.as_ref();
    let mut verifier = Verifier { manifest, keys, signer, anchors, logs: Vec::new(), last: None };
    loop {
        match lines.next()? {
            None => return Err(wrong(None, None, Fault::NoEnd)),
            Some(Line::Manifest(_)) => return Err(wrong(None, None, Fault::Misplaced)),
            Some(Line::Log(log)) => verifier.log(&log)?,
            Some(Line::Entry(entry)) => {
                verifier.entry(&entry)?;
                // Whether the one before is missing was told first.
                if lines.is_before_wrong {
                    return Err(wrong(Some(entry.chain), Some(entry.seq), Fault::Before));
                }
            }
            Some(Line::End(end)) => {
                let sum = Digest::from_bytes(lines.hasher.clone().finalize().into());
                let proof = verifier.end(&end, sum)?;
                // Whatever follows the end was put there.
                return match lines.next()? {
                    None => Ok(proof),
                    Some(_) => Err(wrong(None, None, Fault::Misplaced)),
                };
            }
        }
    }
}

/// Why the verification ends early.
enum Stop {
    Found(Wrong),
    Error(BundleError),
}

struct Wrong {
    chain: Option<ChainId>,
    seq: Option<u64>,
    fault: Fault,
}

const fn wrong(chain: Option<ChainId>, seq: Option<u64>, fault: Fault) -> Stop {
    Stop::Found(Wrong { chain, seq, fault })
}

struct Lines<R> {
    reader: R,
    number: u64,
    form: Form,
    carried: Carried,
    /// Whether the last line is as it should be but for what it tells of the entry before it.
    is_before_wrong: bool,
    /// Of every line before the end.
    hasher: Sha256,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Line>, Stop> {
        self.buffer.clear();
        let most = u64::try_from(self.form.max_line()).unwrap_or(u64::MAX);
        let read = (&mut self.reader).take(most).read_until(b'\n', &mut self.buffer);
        if read.map_err(|error| Stop::Error(error.into()))? == 0 {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        let malformed = || wrong(None, None, Fault::Malformed);
        let Some(text) = self.buffer.strip_suffix(b"\n") else {
            let is_long = self.buffer.len() >= self.form.max_line();
            return Err(if is_long { malformed() } else { wrong(None, None, Fault::CutOff) });
        };
        if self.number == 1 {
            self.form = Form::of(text).ok_or_else(malformed)?;
        }
        let line = self.form.read(text).ok_or_else(malformed)?;
        if let (1, Line::Manifest(manifest)) = (self.number, &line) {
            self.form = self.form.named(&manifest.format);
        }
        // What two readers could understand differently is refused, and so is an event of OCSF that is not the one of its entry.
        let mut spelled = Vec::with_capacity(text.len());
        let is_written = self.form.write(&line, &mut self.carried, &mut spelled).is_ok();
        self.is_before_wrong = is_written && spelled != text;
        if self.is_before_wrong {
            let mut claimed = self.carried.clone();
            claimed.believe(&line, text);
            spelled.clear();
            if self.form.write(&line, &mut claimed, &mut spelled).is_err() || spelled != text {
                return Err(malformed());
            }
        }
        if !is_written {
            return Err(malformed());
        }
        if !matches!(line, Line::End(_)) {
            self.hasher.update(&self.buffer);
        }
        Ok(Some(line))
    }
}

struct Verifier<'a> {
    manifest: Manifest,
    keys: &'a [VerifierKey],
    signer: Option<&'a Signer>,
    anchors: &'a Anchors,
    /// One for each class at most.
    logs: Vec<Followed>,
    /// The last entry of a query.
    last: Option<Place>,
}

/// A chain, as far as it was followed.
struct Followed {
    chain: ChainId,
    tree: TreeHead,
    base: u64,
    entries: u64,
    at: Head,
    peaks: Peaks,
    links: ChainLinks,
    macs: Option<(KeyVersion, ChainMacs)>,
    roots: BTreeMap<u64, Digest>,
    recorded: Recorded,
}

impl Followed {
    /// Checks that all entries of a whole chain were there, and that they are those that were signed for.
    fn finish(&self) -> Result<(), Stop> {
        if self.at.seq < self.tree.size {
            return Err(wrong(Some(self.chain), Some(self.at.seq + 1), Fault::Missing));
        }
        if self.peaks.root() != self.tree.root {
            return Err(wrong(Some(self.chain), Some(self.tree.size), Fault::Root));
        }
        Ok(())
    }

    /// Checks the next entry of a whole chain.
    fn follow(&mut self, entry: &ExportedEntry, leaf: Digest) -> Result<(), Fault> {
        let next = self.at.seq.saturating_add(1);
        if entry.seq > self.tree.size || entry.seq < next || entry.proof.is_some() {
            return Err(Fault::Misplaced);
        }
        if entry.seq > next {
            return Err(Fault::Missing);
        }
        if self.links.link(next, entry.recorded_at, &self.at.link, &leaf) != entry.link {
            return Err(Fault::Link);
        }
        self.peaks.push(leaf);
        self.at = Head { seq: next, link: entry.link, recorded_at: entry.recorded_at };
        Ok(())
    }

    fn check_mac(&mut self, entry: &ExportedEntry, signer: &Signer) -> Result<(), Fault> {
        if self.macs.as_ref().is_none_or(|(epoch, _)| *epoch != entry.key_epoch) {
            self.macs = signer.chain(entry.key_epoch, &self.chain).map(|macs| (entry.key_epoch, macs));
        }
        let Some((_, macs)) = &self.macs else { return Err(Fault::UnknownKeyEpoch(entry.key_epoch)) };
        if macs.is_mac(entry.seq, &entry.link, &entry.mac) { Ok(()) } else { Err(Fault::Mac) }
    }
}

impl Verifier<'_> {
    const fn is_whole(&self) -> bool {
        self.manifest.query.is_none()
    }

    fn log(&mut self, log: &Log) -> Result<(), Stop> {
        let chain = log.chain;
        let found = |fault| wrong(Some(chain), None, fault);
        if let Some(before) = self.logs.last() {
            if self.is_whole() {
                before.finish()?;
            }
            if before.chain >= chain {
                return Err(found(Fault::Misplaced));
            }
        }
        let is_asked_for = chain.scope == self.manifest.scope
            && self.manifest.class.is_none_or(|class| class == chain.class);
        if !is_asked_for || self.last.is_some() {
            return Err(found(Fault::Misplaced));
        }
        let tree =
            TreeHead::open(&log.checkpoint, self.keys).map_err(|error| found(Fault::Checkpoint(error)))?;
        let deployment = tree.origin.strip_suffix(&format!("/{chain}"));
        if deployment.is_none_or(str::is_empty) {
            return Err(found(Fault::OtherLog));
        }
        let (at, peaks) = match &log.base {
            None => (Head::EMPTY, Some(Peaks::default())),
            Some(base) => (base.head(), Peaks::new(base.seq, base.tree.clone())),
        };
        let is_base = log.base.is_none() || (self.is_whole() && (1..=tree.size).contains(&at.seq));
        let Some(peaks) = peaks.filter(|_| is_base) else { return Err(found(Fault::Base)) };
        let (base, links) = (at.seq, ChainLinks::new(&chain));
        let mut roots = BTreeMap::new();
        self.anchors.note(&tree.origin, base, || peaks.root(), &mut roots);
        self.anchors.note(&tree.origin, tree.size, || tree.root, &mut roots);
        let recorded = Recorded::default();
        self.logs.push(Followed {
            chain,
            tree,
            base,
            entries: 0,
            at,
            peaks,
            links,
            macs: None,
            roots,
            recorded,
        });
        Ok(())
    }

    fn entry(&mut self, entry: &ExportedEntry) -> Result<(), Stop> {
        let (chain, seq) = (entry.chain, entry.seq);
        let is_whole = self.is_whole();
        let place = Place { recorded_at: entry.recorded_at, class: chain.class, seq };
        let log = if is_whole {
            self.logs.last_mut().filter(|log| log.chain == chain)
        } else {
            self.logs.iter_mut().find(|log| log.chain == chain)
        };
        let Some(log) = log else { return Err(wrong(Some(chain), Some(seq), Fault::Misplaced)) };
        let leaf = leaf_hash(entry.canonical.as_bytes());
        let checked = if is_whole {
            let followed = log.follow(entry, leaf);
            self.anchors.note(&log.tree.origin, log.at.seq, || log.peaks.root(), &mut log.roots);
            followed
        } else if self.last.is_some_and(|last| place >= last) {
            Err(Fault::Misplaced)
        } else {
            self.last = Some(place);
            included(entry, &leaf, &log.tree)
        };
        let checked = checked
            .and_then(|()| self.signer.map_or(Ok(()), |signer| log.check_mac(entry, signer)))
            .and_then(|()| if is_event_of(entry) { Ok(()) } else { Err(Fault::Content) });
        let followed = (log.tree.origin.as_str(), chain);
        self.anchors.hear(followed, seq, entry.canonical.as_bytes(), &mut log.recorded);
        log.entries = log.entries.saturating_add(1);
        // What is missing is not the entry that is there.
        let next = log.at.seq.saturating_add(1);
        let seq = |fault| if fault == Fault::Missing { next } else { seq };
        checked.map_err(|fault| wrong(Some(chain), Some(seq(fault)), fault))
    }

    fn end(&self, end: &End, sum: Digest) -> Result<BundleProof, Stop> {
        if let Some(last) = self.logs.last().filter(|_| self.is_whole()) {
            last.finish()?;
        }
        let mut logs = self.logs.iter().peekable();
        let mut chains = Vec::new();
        for (place, count) in end.chains.iter().enumerate() {
            let is_next =
                place == 0 || end.chains.get(place - 1).is_some_and(|before| before.chain < count.chain);
            let log = logs.next_if(|log| log.chain == count.chain);
            if !is_next || count.entries != log.map_or(0, |log| log.entries) {
                return Err(wrong(Some(count.chain), None, Fault::Counts));
            }
            chains.extend(log.map(|log| BundleChain {
                chain: log.chain,
                tree: log.tree.clone(),
                base: log.base,
                entries: log.entries,
                newer: count.newer,
                roots: log.roots.clone(),
                recorded: log.recorded.clone(),
            }));
        }
        if let Some(log) = logs.next() {
            return Err(wrong(Some(log.chain), None, Fault::Counts));
        }
        if end.sha256 != sum {
            return Err(wrong(None, None, Fault::Sum));
        }
        Ok(BundleProof {
            scope: self.manifest.scope,
            exported_at: self.manifest.exported_at,
            is_whole: self.is_whole(),
            class: self.manifest.class,
            are_macs_checked: self.signer.is_some(),
            chains,
        })
    }
}

/// Checks that an entry of a query is in the tree.
fn included(entry: &ExportedEntry, leaf: &Digest, tree: &TreeHead) -> Result<(), Fault> {
    let proof = entry.proof.as_deref().ok_or(Fault::Misplaced)?;
    let index = entry.seq.checked_sub(1).ok_or(Fault::Misplaced)?;
    verify_inclusion(leaf, index, tree.size, &tree.root, proof).map_err(Fault::Inclusion)
}

pub(crate) fn is_event_of(entry: &ExportedEntry) -> bool {
    parse(entry.canonical.as_bytes()).is_ok_and(|event| {
        event.scope == entry.chain.scope && RetentionClass::of(event.category) == entry.chain.class
    })
}
