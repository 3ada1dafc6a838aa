mod recorded;

use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};
use stanchion_core::{
    Actor, Category, Event, IdGen as _, KeyRing, ManualClock, Scope, Secret, SeededRandom, SystemScope,
    TenantId, Timestamp,
};

use super::*;
use crate::bundle::{BundleVerdict, Form, verify_bundle_with};
use crate::note::{BASE64, DASH};
use crate::tree::Edge;
use crate::{
    Checkpoint, CheckpointConfig, CheckpointSigner, Config, Content, Growth, Ledger, LedgerStore as _,
    LogVerdict, MemoryLedgerStore, Prover, Query, RetentionClass, Sealer, Shard, Signer, TreeStore as _,
    VerifierKey, WitnessKey, Writers, log_files, verify_log_with,
};

const SYSTEM: SystemScope = SystemScope::new("test");
const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
const CHAIN: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Security };

fn ring(byte: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([byte; 32]))]).unwrap()
}

fn signer(byte: u8) -> CheckpointSigner {
    CheckpointSigner::new(&ring(byte), "audit.example.com").unwrap()
}

fn keys() -> Vec<VerifierKey> {
    signer(9).verifiers(&CHAIN)
}

/// A log that a test writes, and each of whose checkpoints is published.
struct World {
    store: Arc<MemoryLedgerStore>,
    prover: Prover,
    sealer: Sealer,
    edge: Edge,
    at: Option<(u64, Digest)>,
    /// What is written differs with it.
    said: &'static str,
    published: Vec<Checkpoint>,
}

impl World {
    /// A log that was covered, and published, at these sizes. Two of the same words are the same.
    async fn new(said: &'static str, sizes: &[u64]) -> Self {
        Self::bounded(said, sizes, 10_000).await
    }

    async fn bounded(said: &'static str, sizes: &[u64], capacity: usize) -> Self {
        let store = Arc::new(MemoryLedgerStore::new(capacity));
        let clock = Arc::new(ManualClock::at(NOON));
        let ids = Arc::new(SeededRandom::new(7));
        let (ledger, _) = Ledger::new(store.clone(), ring(7), clock.clone(), clock, ids, Config::default());
        let (prover, _) = ledger.checkpoints(store.clone(), signer(9), CheckpointConfig::default());
        let sealer = Sealer::new(Arc::new(Signer::new(&ring(7))));
        let (edge, at, published) = (Edge::default(), None, Vec::new());
        let mut world = Self { store, prover, sealer, edge, at, said, published };
        for size in sizes {
            world.grow(*size).await;
        }
        world
    }

    /// Records entries up to a number, covers and publishes them. Only from entry 3 on it tells what it says.
    async fn grow(&mut self, size: u64) {
        let contents: Vec<_> = (self.edge.size() + 1..=size)
            .map(|number| {
                let id = SeededRandom::new(number).event_id(NOON);
                let event = Event::new(id, NOON, CHAIN.scope, Actor::Anonymous, "a.b", Category::Security);
                let said = if number < 3 { "the same" } else { self.said };
                Arc::new(Content::new(event.with_detail("said", said)).unwrap().1)
            })
            .collect();
        self.sealer.set_head(CHAIN, self.store.heads(SYSTEM, &[CHAIN]).await.unwrap()[0]);
        let fence = self.store.open(SYSTEM, Shard::ONLY, Writers::Shared).await.unwrap();
        let batch = self.sealer.seal(fence, NOON, contents.iter().map(|content| (CHAIN, content)));
        self.store.append(SYSTEM, &batch).await.unwrap();
        let mut tiles = Vec::new();
        contents.iter().for_each(|content| self.edge.push(content.leaf, &mut tiles));
        tiles.extend(self.edge.partial());
        let checkpoint = signer(9).sign(CHAIN, size, self.edge.root(), NOON);
        let from = self.at.replace((size, checkpoint.root));
        self.published.push(checkpoint.clone());
        self.store.grow(SYSTEM, &Growth { from, tiles, checkpoint }).await.unwrap();
    }

    /// The lines of an anchor's file.
    fn file(&self) -> String {
        let line =
            |checkpoint: &Checkpoint| serde_json::json!({ "note": checkpoint.note, "size": 0 }).to_string();
        self.published.iter().map(|checkpoint| line(checkpoint) + "\n").collect()
    }

    fn anchors(&self) -> Anchors {
        read(&self.file()).open(&keys(), &[]).unwrap()
    }

    async fn export(&self, query: Query, form: Form) -> Vec<u8> {
        let mut export = self.prover.export(Scope::Platform, query, form).await.unwrap();
        let mut file = Vec::new();
        while let Some(part) = export.next().await.unwrap() {
            file.extend(part);
        }
        file
    }

    async fn bundle(&self, anchors: &Anchors) -> Result<Compared, AnchorBreak> {
        compare(&self.export(Query::default(), Form::Lines).await, anchors)
    }

    /// The files of the log, verified.
    async fn tiles(&self, anchors: &Anchors) -> Result<Compared, AnchorBreak> {
        let checkpoint = self.prover.checkpoint(CHAIN).await.unwrap().unwrap();
        let mut files = BTreeMap::from([("checkpoint".to_owned(), checkpoint.note.to_string().into_bytes())]);
        for file in log_files(checkpoint.size) {
            let bytes = self.prover.log_file(CHAIN, &file).await;
            files.extend(bytes.map(|bytes| (file, bytes)));
        }
        let verdict = verify_log_with(|path| Ok(files.get(path).cloned()), &keys(), anchors).unwrap();
        let LogVerdict::Intact(proof) = verdict else { panic!("{verdict:?}") };
        anchors.compare_log(&proof)
    }

    async fn store(&self, published: &Published) -> Result<Vec<Compared>, AnchorBreak> {
        self.prover.verify_published(published, &[], None).await.unwrap()
    }
}

impl Prover {
    /// Returns a file of a log as it is served.
    async fn log_file(&self, chain: ChainId, path: &str) -> Option<Vec<u8>> {
        let (path, width) = match path.split_once(".p/") {
            Some((path, width)) => (path, width.parse().unwrap()),
            None => (path, crate::tree::TILE_WIDTH),
        };
        if let Some(index) = path.strip_prefix("tile/entries/") {
            return self.entries(chain, index.parse().unwrap(), width).await.unwrap();
        }
        let id = path.strip_prefix("tile/").unwrap().parse().unwrap();
        Some(self.tile(chain, id, width).await.unwrap()?.to_bytes())
    }
}

fn read(file: &str) -> Published {
    let mut published = Published::default();
    published.read("anchors.jsonl", file.as_bytes()).unwrap();
    published
}

fn compare(file: &[u8], anchors: &Anchors) -> Result<Compared, AnchorBreak> {
    let verdict = verify_bundle_with(file, &keys(), None, anchors).unwrap();
    let BundleVerdict::Intact(proof) = verdict else { panic!("{verdict:?}") };
    let mut all = anchors.compare_bundle(&proof)?;
    assert_eq!(all.len(), 1);
    Ok(all.remove(0))
}

fn compared(matching: u64, latest: u64, unshown: u64) -> Compared {
    Compared { origin: signer(9).origin(&CHAIN), matching, latest, unshown }
}

fn found(result: Result<Compared, AnchorBreak>) -> (Option<u64>, AnchorFault, AnchorVerdict) {
    let found = result.unwrap_err();
    (found.seq, found.fault, found.of_a_file())
}

#[tokio::test]
async fn a_log_that_went_through_all_that_was_published_is_as_published() {
    let world = World::new("a", &[2, 3, 7, 300]).await;
    let anchors = world.anchors();
    assert_eq!(world.bundle(&anchors).await, Ok(compared(4, 300, 0)));
    assert_eq!(world.tiles(&anchors).await, Ok(compared(4, 300, 0)));
    assert_eq!(world.store(&read(&world.file())).await, Ok(vec![compared(4, 300, 0)]));
    let as_ocsf = world.export(Query::default(), Form::Ocsf).await;
    assert_eq!(compare(&as_ocsf, &anchors), Ok(compared(4, 300, 0)));
    // Of a query only the checkpoint shows what the log was.
    let query = Query { action: Some("a.b".into()), ..Query::default() };
    assert_eq!(compare(&world.export(query, Form::Lines).await, &anchors), Ok(compared(1, 300, 3)));
}

#[tokio::test]
async fn what_was_dropped_from_the_front_is_told_as_not_shown() {
    let world = World::bounded("a", &[2, 256, 700, 1_000], 400).await;
    let anchors = world.anchors();
    let kept = world.store.chains(Scope::Platform).await.unwrap()[0].base.seq;
    assert!(kept > 256 && kept < 700, "{kept}");
    assert_eq!(world.bundle(&anchors).await, Ok(compared(2, 1_000, 2)));
    assert_eq!(world.store(&read(&world.file())).await, Ok(vec![compared(4, 1_000, 0)]));
}

/// Whoever has the key signs for other entries from the third on. What he shows is intact in itself.
#[tokio::test]
async fn a_forked_log_is_told_with_the_first_place_that_differs() {
    let (good, forked) = (World::new("a", &[2, 5, 9]).await, World::new("b", &[2, 5, 9]).await);
    let anchors = good.anchors();
    let expected = (Some(3), AnchorFault::Forked { after: 2, size: 5 }, AnchorVerdict::Tampered);
    assert_eq!(found(forked.bundle(&anchors).await), expected);
    assert_eq!(found(forked.tiles(&anchors).await), expected);
    let of_store = forked.store(&read(&good.file())).await.unwrap_err();
    assert_eq!((of_store.seq, of_store.fault), (expected.0, expected.1));
    assert_eq!(of_store.of_a_store(), AnchorVerdict::Tampered);
    assert!(of_store.place.ends_with("line 2"), "{of_store}");
    // A longer one that was forked is told as forked, too, and one whose last checkpoint alone is compared.
    let longer = World::new("b", &[12]).await;
    assert_eq!(found(longer.bundle(&anchors).await), expected);
    let query = Query { action: Some("a.b".into()), ..Query::default() };
    let queried = compare(&forked.export(query, Form::Lines).await, &anchors);
    assert_eq!(found(queried), (Some(1), AnchorFault::Forked { after: 0, size: 9 }, AnchorVerdict::Tampered));
}

#[tokio::test]
async fn an_older_head_that_is_shown_again_is_told_by_what_was_published_since() {
    let (good, older) = (World::new("a", &[2, 5, 9]).await, World::new("a", &[2, 5]).await);
    let anchors = good.anchors();
    let fault = AnchorFault::RolledBack { size: 5, published: 9 };
    let expected = (Some(6), fault, AnchorVerdict::Incomplete);
    assert_eq!(found(older.bundle(&anchors).await), expected, "a file may be older");
    assert_eq!(found(older.tiles(&anchors).await), expected);
    let of_store = older.store(&read(&good.file())).await.unwrap_err();
    assert_eq!((of_store.seq, of_store.fault), (Some(6), fault));
    assert_eq!(of_store.of_a_store(), AnchorVerdict::Tampered, "a store may not");
}

#[cfg(feature = "archive")]
#[tokio::test]
async fn what_is_newer_than_an_archive_is_elsewhere() {
    let (good, older) = (World::new("a", &[2, 5, 9]).await, World::new("a", &[2, 5]).await);
    let anchors = good.anchors();
    let file = older.export(Query::default(), Form::Lines).await;
    let verdict = verify_bundle_with(&file[..], &keys(), None, &anchors).unwrap();
    let BundleVerdict::Intact(proof) = verdict else { panic!("{verdict:?}") };
    let crate::bundle::BundleChain { tree, roots, .. } = &proof.chains[0];
    assert_eq!(anchors.compare(tree, roots, Shown::Part), Ok(compared(2, 5, 1)));
}

/// Nothing leads from one to the other: the store has a checkpoint of that very size.
#[tokio::test]
async fn a_store_whose_newest_head_alone_was_published_is_told_as_forked_by_its_root() {
    let (good, forked) = (World::new("a", &[9]).await, World::new("b", &[9]).await);
    assert_eq!(good.store(&read(&good.file())).await, Ok(vec![compared(1, 9, 0)]));
    let found = forked.store(&read(&good.file())).await.unwrap_err();
    assert_eq!((found.seq, found.fault), (Some(1), AnchorFault::Forked { after: 0, size: 9 }));
}

#[tokio::test]
async fn a_log_that_is_missing_altogether_is_told_by_what_was_published_of_it() {
    let (good, empty) = (World::new("a", &[2, 5]).await, World::new("a", &[]).await);
    let anchors = good.anchors();
    let expected = (Some(1), AnchorFault::Absent { published: 5 });
    let verdict = |file: &[u8]| verify_bundle_with(file, &keys(), None, &anchors).unwrap();
    let BundleVerdict::Intact(proof) = verdict(&empty.export(Query::default(), Form::Lines).await) else {
        panic!("not intact")
    };
    let missing = anchors.compare_bundle(&proof).unwrap_err();
    assert_eq!((missing.seq, missing.fault), expected);
    assert_eq!(missing.of_a_file(), AnchorVerdict::Incomplete);
    let of_store = empty.store(&read(&good.file())).await.unwrap_err();
    assert_eq!((of_store.seq, of_store.fault), (Some(1), AnchorFault::Absent { published: 2 }));
    assert_eq!(of_store.of_a_store(), AnchorVerdict::Tampered);
    // It was not asked for: of another class, of another scope, or by a query.
    let class = Query { class: Some(RetentionClass::Standard), ..Query::default() };
    let query = Query { action: Some("a.b".into()), ..Query::default() };
    for query in [class, query] {
        let BundleVerdict::Intact(proof) = verdict(&empty.export(query, Form::Lines).await) else {
            panic!("not intact")
        };
        assert_eq!(anchors.compare_bundle(&proof), Ok(vec![]));
    }
    let other = Scope::Tenant(TenantId::from_uuid(uuid::Uuid::from_u128(1)));
    let proof = crate::bundle::BundleProof { scope: other, ..proof };
    assert_eq!(anchors.compare_bundle(&proof), Ok(vec![]));
}

#[tokio::test]
async fn what_was_published_of_other_logs_says_nothing_of_this_one() {
    let world = World::new("a", &[2, 5]).await;
    let elsewhere = CheckpointSigner::new(&ring(9), "other.example.com").unwrap();
    let other = ChainId { class: RetentionClass::Standard, ..CHAIN };
    let notes = [
        elsewhere.sign(CHAIN, 5, Digest::ZERO, NOON).note,
        signer(9).sign(other, 5, Digest::ZERO, NOON).note,
    ];
    let mut published = Published::default();
    for note in &notes {
        published.read("note", note.as_str().as_bytes()).unwrap();
    }
    let anchors = published.open(&keys(), &[]).unwrap();
    assert_eq!((anchors.of_others(), anchors.uncosigned()), (2, 0));
    assert_eq!(world.bundle(&anchors).await, Ok(compared(0, 0, 0)));
    // The store has the keys of all its logs, so it misses the other one of its own.
    let missing = world.store(&published).await.unwrap_err();
    assert_eq!(
        (missing.origin, missing.fault),
        (signer(9).origin(&other), AnchorFault::Absent { published: 5 })
    );
}

#[tokio::test]
async fn notes_are_believed_by_their_signatures_alone() {
    let world = World::new("a", &[2]).await;
    let open = |note: &str| read(&format!("{{\"note\":{}}}\n", serde_json::json!(note))).open(&keys(), &[]);
    let by_another = signer(1).sign(CHAIN, 2, Digest::ZERO, NOON);
    let unknown = open(by_another.note.as_str()).unwrap_err();
    assert_eq!(unknown.fault, AnchorFault::Checkpoint(NoteError::UnknownKey));
    assert_eq!((unknown.of_a_file(), unknown.seq), (AnchorVerdict::Unverifiable, None));
    assert_eq!(unknown.of_a_store(), AnchorVerdict::Unverifiable);
    let altered = world.published[0].note.as_str().replace("\n2\n", "\n3\n");
    let wrong = open(&altered).unwrap_err();
    assert_eq!(wrong.fault, AnchorFault::Checkpoint(NoteError::WrongSignature));
    assert_eq!(wrong.of_a_file(), AnchorVerdict::Tampered);
    // The key has signed for two logs.
    let second = signer(9).sign(CHAIN, 2, Digest::ZERO, NOON);
    let line = serde_json::json!({ "note": second.note }).to_string();
    let twice = read(&format!("{}{line}\n", world.file())).open(&keys(), &[]).unwrap_err();
    assert_eq!((twice.seq, twice.fault), (Some(2), AnchorFault::TwoLogs));
    assert!(read(&format!("{0}{0}", world.file())).open(&keys(), &[]).is_ok(), "the same twice");
}

#[test]
fn files_of_anchors_are_told_from_others() {
    let note = signer(9).sign(CHAIN, 2, Digest::ZERO, NOON).note.to_string();
    let line = serde_json::json!({ "note": note, "origin": "x", "size": 2 }).to_string();
    let count = |file: &[u8]| {
        let mut published = Published::default();
        published.read("file", file).map(|()| published.len())
    };
    assert_eq!(count(note.as_bytes()), Ok(1));
    assert_eq!(count(format!("{line}\n{line}\n").as_bytes()), Ok(2));
    let cut_off = line.split_at(line.len() / 2).0;
    assert_eq!(count(format!("{line}\n{cut_off}\n\n{line}").as_bytes()), Ok(2), "as a crash leaves it");
    for bad in [&b""[..], b"x", b"\n\nx", b"{}", b"\xff", cut_off.as_bytes(), b"{\"note\":\"no note\"}"] {
        let error = count(bad).unwrap_err().to_string();
        assert!(error.starts_with("file"), "{error}");
    }
    assert!(Published::default().is_empty() && !read(&line).is_empty());
}

/// Signs as a witness does: tlog-cosignature.
fn cosigned(note: &str, name: &str, key: &SigningKey, seconds: u64) -> String {
    let text = note.split_once("\n\n").unwrap().0;
    let signature = key.sign(format!("cosignature/v1\ntime {seconds}\n{text}\n").as_bytes()).to_bytes();
    let bytes = [&id(name, key)[..], &seconds.to_be_bytes(), &signature].concat();
    format!("{note}{DASH}{name} {}\n", base64::Engine::encode(&BASE64, bytes))
}

fn id(name: &str, key: &SigningKey) -> [u8; 4] {
    let public = key.verifying_key();
    let hash = Sha256::digest([name.as_bytes(), b"\n\x04", public.as_bytes()].concat());
    *hash.first_chunk().unwrap()
}

fn witness(name: &str, key: &SigningKey) -> WitnessKey {
    let id: String = id(name, key).iter().map(|byte| format!("{byte:02x}")).collect();
    let public = base64::Engine::encode(&BASE64, [&[4], key.verifying_key().as_bytes().as_slice()].concat());
    format!("{name}+{id}+{public}").parse().unwrap()
}

#[test]
fn with_witnesses_only_what_one_of_them_cosigned_counts() {
    let (key, other) = (SigningKey::from_bytes(&[3; 32]), SigningKey::from_bytes(&[4; 32]));
    let (mine, others) = (witness("witness.example.org", &key), witness("else.example.org", &other));
    let note = |size| signer(9).sign(CHAIN, size, Digest::ZERO, NOON).note.to_string();
    let mut published = Published::default();
    published.read("alone", note(2).as_bytes()).unwrap();
    published.read("cosigned", cosigned(&note(5), mine.name(), &key, 1_772_366_400).as_bytes()).unwrap();
    let open = |witnesses: &[WitnessKey]| published.open(&keys(), witnesses).unwrap();
    let sizes =
        |anchors: &Anchors| -> Vec<u64> { anchors.logs.values().flat_map(BTreeMap::keys).copied().collect() };
    assert_eq!(sizes(&open(&[])), [2, 5]);
    let anchors = open(std::slice::from_ref(&mine));
    assert_eq!((sizes(&anchors), anchors.uncosigned()), (vec![5], 1));
    assert_eq!(sizes(&open(&[others.clone(), mine.clone()])), [5], "one of them is enough");
    let anchors = open(&[others]);
    assert_eq!((sizes(&anchors), anchors.uncosigned()), (vec![], 2));
    // One in its name that is over another note.
    let moved = cosigned(&note(5), mine.name(), &key, 1).split_once("\n\n").unwrap().1.to_owned();
    let text = note(7).split_once("\n\n").unwrap().0.to_owned();
    let own = note(7).split_once("\n\n").unwrap().1.to_owned();
    let forged = format!("{text}\n\n{own}{}", moved.lines().last().unwrap().to_owned() + "\n");
    let wrong = read(&serde_json::json!({ "note": forged }).to_string()).open(&keys(), &[mine]).unwrap_err();
    assert_eq!(wrong.fault, AnchorFault::Cosignature(NoteError::WrongSignature));
    assert_eq!(wrong.of_a_file(), AnchorVerdict::Tampered);
}
