//! Archives that somebody forges who has a part of the keys, or all of them.

use ed25519_dalek::SigningKey;
use stanchion_core::{Actor, Category, Event, EventId, KeyRing, Scope, Secret, Timestamp};
use uuid::Uuid;

use super::super::manifest::folder;
use super::super::{ArchiveBreak, FORMAT};
use super::*;
use crate::bundle::ChainBase;
use crate::{CheckpointSigner, RetentionClass, canonical, link_hash, note};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
const CHAIN: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };

fn ring(versions: &[u8]) -> KeyRing {
    KeyRing::new(versions.iter().map(|version| (u32::from(*version), Secret::new([*version; 32])))).unwrap()
}

fn signer() -> CheckpointSigner {
    CheckpointSigner::new(&ring(&[9]), "audit.example.com").unwrap()
}

fn keys() -> Vec<VerifierKey> {
    let chain = |class| ChainId { class, ..CHAIN };
    RetentionClass::ALL.into_iter().flat_map(|class| signer().verifiers(&chain(class))).collect()
}

fn event(seq: u64, category: Category) -> String {
    let id = EventId::from_uuid(Uuid::from_u128(u128::from(seq)));
    let event = Event::new(id, NOON, Scope::Platform, Actor::Anonymous, "a.b", category);
    String::from_utf8(canonical(&event).unwrap()).unwrap()
}

/// Entries with these contents, linked and signed, each with the key of this epoch.
fn entries(contents: &[String], epoch: impl Fn(u64) -> KeyVersion) -> Vec<ExportedEntry> {
    let signer = Signer::new(&ring(&[1, 2]));
    let mut link = Digest::ZERO;
    let entry = |(canonical, seq): (&String, u64)| {
        let recorded_at = Timestamp::from_micros(NOON.micros() + i64::try_from(seq).unwrap());
        link = link_hash(&CHAIN, seq, recorded_at, &link, &leaf_hash(canonical.as_bytes()));
        let key_epoch = epoch(seq);
        let mac = signer.mac(key_epoch, &CHAIN, seq, &link).unwrap();
        let canonical = canonical.clone();
        ExportedEntry { chain: CHAIN, seq, recorded_at, link, mac, key_epoch, canonical, proof: None }
    };
    contents.iter().zip(1..).map(entry).collect()
}

fn some() -> Vec<ExportedEntry> {
    let contents: Vec<String> = (1..=9).map(|seq| event(seq, Category::Access)).collect();
    entries(&contents, |_| 1)
}

/// Manifests with the lines of their objects, which can be altered before all sums are made anew.
struct Forged(Vec<(ArchiveManifest, Vec<Vec<u8>>)>);

/// Archives entries in objects of so many, each under a checkpoint that ends with it.
fn archived(entries: &[ExportedEntry], each: usize) -> Forged {
    let (mut at, mut peaks, mut made) = (Head::EMPTY, Peaks::default(), Vec::new());
    for part in entries.chunks(each) {
        let (first, last) = (part.first().unwrap(), part.last().unwrap());
        let tree = peaks.hashes().to_vec();
        let base = ChainBase { seq: at.seq, link: at.link, recorded_at: at.recorded_at, tree };
        part.iter().for_each(|entry| peaks.push(leaf_hash(entry.canonical.as_bytes())));
        let sum = Sum::of(b"");
        let manifest = ArchiveManifest {
            format: FORMAT.to_owned(),
            chain: CHAIN,
            first: first.seq,
            last: last.seq,
            archived_at: NOON,
            base: (at.seq > 0).then_some(base),
            first_link: first.link,
            last_link: last.link,
            recorded_from: first.recorded_at,
            recorded_to: last.recorded_at,
            tree: peaks.hashes().to_vec(),
            checkpoint: signer().sign(CHAIN, last.seq, peaks.root(), NOON).note.to_string(),
            growth: Vec::new(),
            object: object_file(first.seq, last.seq),
            content: sum,
            stored: sum,
        };
        at = manifest.end();
        made.push((manifest, part.iter().map(line).collect()));
    }
    Forged(made)
}

fn line(entry: &ExportedEntry) -> Vec<u8> {
    [serde_json::to_vec(&Line::Entry(entry.clone())).unwrap(), b"\n".to_vec()].concat()
}

fn named(file: &str) -> ObjectName {
    folder(CHAIN).unwrap().join(file).unwrap()
}

impl Forged {
    fn alter(mut self, which: usize, alter: impl FnOnce(&mut ArchiveManifest, &mut Vec<Vec<u8>>)) -> Self {
        let (manifest, lines) = &mut self.0[which];
        alter(manifest, lines);
        self
    }

    fn files(&self) -> BTreeMap<ObjectName, Vec<u8>> {
        let mut files = BTreeMap::new();
        for (manifest, lines) in &self.0 {
            let (content, mut manifest) = (lines.concat(), manifest.clone());
            let stored = zstd::bulk::compress(&content, 3).unwrap();
            (manifest.content, manifest.stored) = (Sum::of(&content), Sum::of(&stored));
            files.insert(named(&manifest.object), stored);
            files.insert(named(&manifest_file(manifest.first)), manifest.to_bytes());
        }
        files
    }
}

fn verdict(
    files: &BTreeMap<ObjectName, Vec<u8>>,
    keys: &[VerifierKey],
    macs: Option<&KeyRing>,
) -> ArchiveVerdict {
    verify_archive(files.keys().cloned(), |name| Ok(files.get(name).cloned()), keys, macs).unwrap()
}

/// What is found of a forged archive: in which file, at which entry, and what.
fn found(forged: &Forged) -> (String, Option<u64>, ArchiveFault) {
    match verdict(&forged.files(), &keys(), None) {
        ArchiveVerdict::Tampered(ArchiveBreak { object, seq, fault }) => {
            (object.as_str().rsplit('/').next().unwrap().to_owned(), seq, fault)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_nobody_altered_is_intact_whichever_keys_signed_its_entries() {
    let files = archived(&some(), 3).files();
    let ArchiveVerdict::Intact(proof) = verdict(&files, &keys(), Some(&ring(&[1, 2]))) else { panic!() };
    assert_eq!((proof.entries(), proof.chains[0].tree.size, proof.are_macs_checked), (9, 9, true));
    let contents: Vec<String> = (1..=4).map(|seq| event(seq, Category::Access)).collect();
    let rotated = archived(&entries(&contents, |seq| if seq < 3 { 1 } else { 2 }), 4).files();
    let both = verdict(&rotated, &keys(), Some(&ring(&[1, 2])));
    assert!(matches!(both, ArchiveVerdict::Intact(_)), "{both:?}");
    let one = verdict(&rotated, &keys(), Some(&ring(&[1])));
    assert!(
        matches!(&one, ArchiveVerdict::Unverifiable(found)
            if (found.seq, found.fault) == (Some(3), ArchiveFault::UnknownKeyEpoch(2))),
        "{one:?}"
    );
}

#[test]
fn a_manifest_belongs_into_the_folder_of_its_chain() {
    let files = archived(&some(), 3).files();
    let moved = files.into_iter().map(|(name, bytes)| {
        (name.as_str().replace("/standard/", "/security/").parse::<ObjectName>().unwrap(), bytes)
    });
    let ArchiveVerdict::Tampered(found) = verdict(&moved.collect(), &keys(), None) else { panic!() };
    assert_eq!(found.fault, ArchiveFault::Misnamed);
}

#[test]
fn a_manifest_goes_on_where_it_says_and_where_the_one_before_ends() {
    let manifest = |first| manifest_file(first);
    let base = |manifest: &mut ArchiveManifest| manifest.base.take().unwrap();
    // It begins elsewhere than after its base.
    let elsewhere = archived(&some(), 3).alter(1, |manifest, _| {
        manifest.base = Some(ChainBase { seq: 2, ..base(manifest) });
    });
    assert_eq!(found(&elsewhere), (manifest(4), None, ArchiveFault::Base));
    // It ends before it begins, and has nothing.
    let mut backwards = archived(&some(), 3);
    let (before, _) = backwards.0[0].clone();
    backwards = backwards.alter(1, |manifest, lines| {
        (manifest.last, manifest.object) = (3, object_file(4, 3));
        (manifest.tree, manifest.checkpoint) = (before.tree.clone(), before.checkpoint.clone());
        lines.clear();
    });
    assert_eq!(found(&backwards), (manifest(4), None, ArchiveFault::Base));
    let other_link = archived(&some(), 3).alter(1, |manifest, _| {
        manifest.base = Some(ChainBase { link: Digest::ZERO, ..base(manifest) });
    });
    assert_eq!(found(&other_link), (manifest(4), Some(4), ArchiveFault::Base));
    let other_tree = archived(&some(), 3).alter(1, |manifest, _| {
        let base = base(manifest);
        let tree = vec![Digest::ZERO; base.tree.len()];
        manifest.base = Some(ChainBase { tree, ..base });
    });
    assert_eq!(found(&other_tree), (manifest(4), Some(4), ArchiveFault::Base));
}

#[test]
fn the_checkpoint_is_one_of_the_chain_and_of_its_tree() {
    let other = ChainId { class: RetentionClass::Security, ..CHAIN };
    let signed = |chain: ChainId, root: Option<Digest>| {
        archived(&some(), 9).alter(0, |manifest, _| {
            let peaks = Peaks::new(9, manifest.tree.clone()).unwrap();
            let root = root.unwrap_or_else(|| peaks.root());
            manifest.checkpoint = signer().sign(chain, 9, root, NOON).note.to_string();
        })
    };
    assert_eq!(found(&signed(other, None)), (manifest_file(1), None, ArchiveFault::OtherLog));
    let root = Some(Digest::ZERO);
    assert_eq!(found(&signed(CHAIN, root)), (manifest_file(1), Some(9), ArchiveFault::Root));
    // A log has a deployment's name before the chain's.
    let key = SigningKey::from_bytes(&[5; 32]);
    let name = format!("/{CHAIN}");
    let nameless = archived(&some(), 9).alter(0, |manifest, _| {
        let root = Peaks::new(9, manifest.tree.clone()).unwrap().root().to_base64();
        manifest.checkpoint = note::sign(&format!("{name}\n9\n{root}\n"), &name, [&key]);
    });
    let known = [VerifierKey::new(&name, key.verifying_key())];
    let ArchiveVerdict::Tampered(found) = verdict(&nameless.files(), &known, None) else { panic!() };
    assert_eq!(found.fault, ArchiveFault::OtherLog);
}

/// The sums are those of the altered lines, so only the lines themselves tell.
#[test]
fn a_line_is_the_next_entry_of_its_chain_in_its_one_spelling() {
    let object = object_file(1, 9);
    let altered = |alter: &dyn Fn(&mut ExportedEntry)| {
        archived(&some(), 9).alter(0, |_, lines| {
            let mut entry = some().remove(4);
            alter(&mut entry);
            lines[4] = line(&entry);
        })
    };
    let misplaced = (object.clone(), Some(5), ArchiveFault::Misplaced);
    let spaced = archived(&some(), 9).alter(0, |_, lines| lines[4].insert(1, b' '));
    assert_eq!(found(&spaced), misplaced);
    let of_another = altered(&|entry| entry.chain.class = RetentionClass::Security);
    assert_eq!(found(&of_another), misplaced);
    assert_eq!(found(&altered(&|entry| entry.proof = Some(Vec::new()))), misplaced);
    assert_eq!(found(&altered(&|entry| entry.seq = 6)), misplaced);
    assert_eq!(found(&altered(&|entry| entry.recorded_at = NOON)), (object, Some(5), ArchiveFault::Link));
}

/// Whoever has all keys can sign for what is no event, or for one of another chain.
#[test]
fn what_was_signed_for_has_to_be_an_event_of_the_chain() {
    for content in ["{}".to_owned(), event(2, Category::Security)] {
        let contents = [event(1, Category::Access), content, event(3, Category::Access)];
        let forged = archived(&entries(&contents, |_| 1), 3);
        assert_eq!(found(&forged), (object_file(1, 3), Some(2), ArchiveFault::Content));
    }
}

#[test]
fn a_manifest_says_of_its_entries_what_they_are() {
    type Alter = fn(&mut ArchiveManifest);
    let alterations: [Alter; 4] = [
        |manifest| manifest.first_link = Digest::ZERO,
        |manifest| manifest.recorded_from = NOON,
        |manifest| manifest.last_link = Digest::ZERO,
        |manifest| manifest.recorded_to = NOON,
    ];
    for alter in alterations {
        let forged = archived(&some(), 9).alter(0, |manifest, _| alter(manifest));
        assert_eq!(found(&forged), (object_file(1, 9), Some(9), ArchiveFault::Manifest));
    }
}
