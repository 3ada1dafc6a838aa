mod ocsf;

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use stanchion_core::{
    Actor, Category, Event, IdGen as _, KeyRing, ManualClock, Scope, Secret, SeededRandom, SystemScope,
    Timestamp,
};

use super::*;
use crate::tree::Edge;
use crate::{
    ChainId, Checkpoint, CheckpointConfig, CheckpointSigner, Config, Content, Digest, Growth, Ledger,
    LedgerStore, MemoryLedgerStore, NoteError, Prover, Query, RetentionClass, Sealer, Shard, Signer,
    TreeStore, VerifierKey, Writers,
};

const SYSTEM: SystemScope = SystemScope::new("test");
const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
const SECURITY: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Security };
const STANDARD: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };

fn ring(byte: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([byte; 32]))]).unwrap()
}

fn signer(byte: u8) -> CheckpointSigner {
    CheckpointSigner::new(&ring(byte), "audit.example.com").unwrap()
}

/// What verifies the ledger's checkpoints; made once, since that takes longer than to verify with it.
static KEYS: LazyLock<Vec<VerifierKey>> = LazyLock::new(|| keys(9));

fn keys(byte: u8) -> Vec<VerifierKey> {
    let signer = signer(byte);
    RetentionClass::ALL
        .iter()
        .flat_map(|class| signer.verifiers(&ChainId { class: *class, ..SECURITY }))
        .collect()
}

/// A ledger of the platform whose trees a test grows.
struct World {
    store: Arc<MemoryLedgerStore>,
    ids: SeededRandom,
    sealer: Sealer,
    prover: Prover,
    trees: Vec<Tree>,
}

struct Tree {
    chain: ChainId,
    edge: Edge,
    at: Option<(u64, Digest)>,
}

impl World {
    fn new(capacity: usize) -> Self {
        let store = Arc::new(MemoryLedgerStore::new(capacity));
        let clock = Arc::new(ManualClock::at(NOON));
        let ids = Arc::new(SeededRandom::new(7));
        let (ledger, _) = Ledger::new(store.clone(), ring(7), clock.clone(), clock, ids, Config::default());
        let (prover, _) = ledger.checkpoints(store.clone(), signer(9), CheckpointConfig::default());
        let sealer = Sealer::new(Arc::new(Signer::new(&ring(7))));
        Self { store, ids: SeededRandom::new(8), sealer, prover, trees: Vec::new() }
    }

    /// Records events of a chain; the actions alternate.
    async fn record(&mut self, chain: ChainId, count: usize) {
        let category = if chain == SECURITY { Category::Security } else { Category::Access };
        let contents: Vec<_> = (0..count)
            .map(|number| {
                let action = if number % 2 == 0 { "door.opened" } else { "door.shut" };
                let id = self.ids.event_id(NOON);
                let event = Event::new(id, NOON, chain.scope, Actor::Anonymous, action, category);
                (chain, Arc::new(Content::new(event.with_detail("said", "\"it's\" \\ ok\n")).unwrap().1))
            })
            .collect();
        let head = self.store.heads(SYSTEM, &[chain]).await.unwrap()[0];
        self.sealer.set_head(chain, head);
        let fence = self.store.open(SYSTEM, Shard::ONLY, Writers::Shared).await.unwrap();
        let batch = self.sealer.seal(fence, NOON, contents.iter().map(|(chain, content)| (*chain, content)));
        self.store.append(SYSTEM, &batch).await.unwrap();
    }

    /// Covers what was recorded.
    async fn cover(&mut self, chain: ChainId) {
        if !self.trees.iter().any(|tree| tree.chain == chain) {
            self.trees.push(Tree { chain, edge: Edge::default(), at: None });
        }
        let Tree { edge, at, .. } = self.trees.iter_mut().find(|tree| tree.chain == chain).unwrap();
        let mut tiles = Vec::new();
        for row in self.store.read(chain, edge.size() + 1, usize::MAX >> 1).await.unwrap() {
            edge.push(row.content.leaf, &mut tiles);
        }
        tiles.extend(edge.partial());
        let checkpoint = signer(9).sign(chain, edge.size(), edge.root(), NOON);
        let from = at.replace((checkpoint.size, checkpoint.root));
        self.store.grow(SYSTEM, &Growth { from, tiles, checkpoint }).await.unwrap();
    }

    async fn export(&self, query: Query) -> Vec<u8> {
        self.export_as(query, Form::Lines).await
    }

    async fn export_as(&self, query: Query, form: Form) -> Vec<u8> {
        let mut export = self.prover.export(Scope::Platform, query, form).await.unwrap();
        let mut file = Vec::new();
        while let Some(part) = export.next().await.unwrap() {
            assert!(!file.is_empty() || form != Form::Lines || part.starts_with(BEGINNING.as_bytes()));
            file.extend(part);
        }
        assert!(export.is_complete());
        file
    }
}

fn opened() -> Query {
    Query { action: Some("door.opened".to_owned().into()), ..Query::default() }
}

fn verdict(file: &[u8]) -> BundleVerdict {
    verify_bundle(file, &KEYS, Some(&ring(7))).unwrap()
}

fn proof(file: &[u8]) -> BundleProof {
    match verdict(file) {
        BundleVerdict::Intact(proof) => proof,
        other => panic!("{other:?}"),
    }
}

fn is_intact(file: &[u8]) -> bool {
    matches!(verify_bundle(file, &KEYS, Some(&ring(7))), Ok(BundleVerdict::Intact(_)))
}

fn lines(file: &[u8]) -> Vec<Vec<u8>> {
    file.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Counts anew and writes the end line anew, as somebody does who knows the format but no key.
fn resealed(lines: &[Vec<u8>]) -> Vec<u8> {
    let (end, before) = lines.split_last().unwrap();
    let Line::End(mut end) = serde_json::from_slice(end).unwrap() else { panic!("no end") };
    let mut file = before.concat();
    for count in &mut end.chains {
        let beginning = format!("{{\"entry\":{{\"chain\":\"{}\"", count.chain);
        let entries = before.iter().filter(|line| line.starts_with(beginning.as_bytes()));
        count.entries = entries.count() as u64;
    }
    end.sha256 = Digest::from_bytes(Sha256::digest(&file).into());
    file.extend(serde_json::to_vec(&Line::End(end)).unwrap());
    file.push(b'\n');
    file
}

/// Two chains, one with entries that no checkpoint covers.
async fn small() -> World {
    let mut world = World::new(1_000);
    world.record(SECURITY, 3).await;
    world.record(STANDARD, 2).await;
    world.cover(SECURITY).await;
    world.cover(STANDARD).await;
    world.record(STANDARD, 1).await;
    world
}

#[tokio::test]
async fn whole_chains_and_queries_are_exported_and_verified_without_a_store() {
    let world = small().await;
    let whole = proof(&world.export(Query::default()).await);
    let counts = |proof: &BundleProof| -> Vec<(ChainId, u64, u64)> {
        proof.chains.iter().map(|chain| (chain.chain, chain.entries, chain.newer)).collect()
    };
    assert!(whole.is_whole && whole.are_macs_checked);
    assert_eq!(counts(&whole), [(SECURITY, 3, 0), (STANDARD, 2, 1)]);
    let queried = proof(&world.export(opened()).await);
    assert!(!queried.is_whole);
    assert_eq!(counts(&queried), [(SECURITY, 2, 0), (STANDARD, 1, 1)]);
    let one = Query { class: Some(RetentionClass::Standard), ..Query::default() };
    assert_eq!(counts(&proof(&world.export(one).await)), [(STANDARD, 2, 1)]);
    let nothing = proof(&World::new(10).export(Query::default()).await);
    assert_eq!((nothing.is_whole, nothing.entries()), (true, 0));
}

#[tokio::test]
async fn long_chains_are_exported_in_parts_also_when_their_front_was_dropped() {
    let mut world = World::new(300);
    for _ in 0..5 {
        world.record(STANDARD, 150).await;
        world.cover(STANDARD).await;
    }
    let file = world.export(Query::default()).await;
    let found = proof(&file);
    let chain = &found.chains[0];
    assert!(chain.base > 0, "something was dropped");
    assert_eq!((chain.tree.size, chain.base + chain.entries), (750, 750));
    let queried = proof(&world.export(opened()).await);
    assert_eq!(queried.chains[0].entries, chain.entries / 2);
    // Whoever says that there was another front has to have a tree for it.
    let mut altered = lines(&file);
    let Line::Log(mut log) = serde_json::from_slice(&altered[1]).unwrap() else { panic!("no log") };
    log.base.as_mut().unwrap().tree[0] = Digest::ZERO;
    altered[1] = [serde_json::to_vec(&Line::Log(log)).unwrap(), b"\n".to_vec()].concat();
    let BundleVerdict::Tampered(found) = verdict(&resealed(&altered)) else { panic!("not found") };
    assert_eq!((found.seq, found.fault), (Some(750), Fault::Root));
}

#[tokio::test]
async fn the_first_break_is_told_with_its_place_and_kind() {
    let world = small().await;
    let good = lines(&world.export(Query::default()).await);
    let altered = |line: usize, from: &str, to: &str| {
        let mut lines = good.clone();
        let text = String::from_utf8(lines[line].clone()).unwrap();
        assert!(text.contains(from), "{text}");
        lines[line] = text.replacen(from, to, 1).into_bytes();
        verdict(&resealed(&lines))
    };
    let tampered = |chain, seq, fault, line| {
        BundleVerdict::Tampered(BundleBreak { line, chain: Some(chain), seq: Some(seq), fault })
    };
    assert_eq!(altered(3, "door.shut", "door.kept"), tampered(SECURITY, 2, Fault::Link, 4));
    assert_eq!(altered(3, "12:00:00", "12:00:01"), tampered(SECURITY, 2, Fault::Link, 4));
    assert_eq!(altered(3, "\"mac\":\"", "\"mac\":\"0"), {
        BundleVerdict::Tampered(BundleBreak { line: 4, chain: None, seq: None, fault: Fault::Malformed })
    });
    let unknown = altered(3, "\"key_epoch\":1", "\"key_epoch\":2");
    assert!(
        matches!(unknown, BundleVerdict::Unverifiable(found) if found.fault == Fault::UnknownKeyEpoch(2)),
        "{unknown:?}"
    );
    let mut cut = good.concat();
    cut.truncate(cut.len() - 1);
    assert!(matches!(verdict(&cut), BundleVerdict::Incomplete(found) if found.fault == Fault::CutOff));
    let without_end = good[..good.len() - 1].concat();
    assert!(matches!(verdict(&without_end), BundleVerdict::Incomplete(found) if found.fault == Fault::NoEnd));
    let mut fewer = good.clone();
    fewer.remove(3);
    let missing = verdict(&resealed(&fewer));
    assert!(
        matches!(missing, BundleVerdict::Incomplete(found)
            if (found.chain, found.seq, found.fault) == (Some(SECURITY), Some(2), Fault::Missing)),
        "{missing:?}"
    );
    let other = verify_bundle(&*good.concat(), &keys(1), None).unwrap();
    let key = Fault::Checkpoint(NoteError::UnknownKey);
    assert!(matches!(other, BundleVerdict::Unverifiable(found) if found.fault == key), "{other:?}");
    for bad in [&b""[..], b"\n", b"nothing", b"{}\n", &good[1]] {
        assert!(matches!(verify_bundle(bad, &KEYS, None), Err(BundleError::NoBundle)));
    }
    let endless = [good[0].as_slice(), &vec![b'a'; MAX_LINE + 1]].concat();
    assert!(matches!(verdict(&endless), BundleVerdict::Tampered(found) if found.fault == Fault::Malformed));
}

/// Somebody who can write the database but has no key of checkpoints links everything anew.
#[tokio::test]
async fn entries_that_were_linked_anew_do_not_lead_to_the_root() {
    let world = small().await;
    let mut lines = lines(&world.export(Query { class: Some(SECURITY.class), ..Query::default() }).await);
    let mut before = Digest::ZERO;
    for line in &mut lines[2..5] {
        let Line::Entry(mut entry) = serde_json::from_slice(line).unwrap() else { panic!("no entry") };
        entry.canonical = entry.canonical.replace("door.shut", "door.kept");
        let leaf = crate::leaf_hash(entry.canonical.as_bytes());
        entry.link = crate::link_hash(&entry.chain, entry.seq, entry.recorded_at, &before, &leaf);
        before = entry.link;
        *line = [serde_json::to_vec(&Line::Entry(entry)).unwrap(), b"\n".to_vec()].concat();
    }
    let file = resealed(&lines);
    let without_ring = verify_bundle(&*file, &KEYS, None).unwrap();
    assert!(
        matches!(without_ring, BundleVerdict::Tampered(found) if (found.seq, found.fault) == (Some(3), Fault::Root)),
        "{without_ring:?}"
    );
    let found = verdict(&file);
    assert!(
        matches!(found, BundleVerdict::Tampered(found) if (found.seq, found.fault) == (Some(2), Fault::Mac)),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_log_of_another_chain_proves_nothing_of_this_one() {
    let world = small().await;
    let mut lines = lines(&world.export(Query { class: Some(SECURITY.class), ..Query::default() }).await);
    let Line::Log(mut log) = serde_json::from_slice(&lines[1]).unwrap() else { panic!("no log") };
    let Checkpoint { note, .. } = world.prover.checkpoint(STANDARD).await.unwrap().unwrap();
    log.checkpoint = note.as_str().to_owned();
    lines[1] = [serde_json::to_vec(&Line::Log(log)).unwrap(), b"\n".to_vec()].concat();
    let found = verdict(&resealed(&lines));
    assert!(matches!(found, BundleVerdict::Tampered(found) if found.fault == Fault::OtherLog), "{found:?}");
}

#[tokio::test]
async fn every_line_that_is_removed_doubled_or_swapped_is_found() {
    let world = small().await;
    for query in [Query::default(), opened()] {
        let good = lines(&world.export(query).await);
        let BundleVerdict::Intact(known) = verify_bundle(&*good.concat(), &KEYS, None).unwrap() else {
            panic!("not intact")
        };
        for place in 0..good.len() {
            let (mut removed, mut doubled) = (good.clone(), good.clone());
            removed.remove(place);
            doubled.insert(place, good[place].clone());
            assert!(!is_intact(&removed.concat()), "without line {place}");
            assert!(!is_intact(&doubled.concat()), "line {place} twice");
            let is_end = place + 1 == good.len();
            if !is_end {
                // Fewer entries of a query are another query's; they do not pass for all of these.
                let claims = verify_bundle(&*resealed(&removed), &KEYS, None);
                let is_same = claims.is_ok_and(|found| found == BundleVerdict::Intact(known.clone()));
                assert!(!is_same, "sealed without line {place}");
                assert!(!is_intact(&resealed(&doubled)), "sealed with line {place} twice");
            }
            for other in place + 1..good.len() {
                let mut swapped = good.clone();
                swapped.swap(place, other);
                assert!(!is_intact(&swapped.concat()), "lines {place} and {other}");
                if other + 1 < good.len() {
                    assert!(!is_intact(&resealed(&swapped)), "sealed, lines {place} and {other}");
                }
            }
        }
    }
}

/// A bundle of whole chains, and one of a query; then both as events of OCSF.
static FILES: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let world = small().await;
        [
            world.export(Query::default()).await,
            world.export(opened()).await,
            world.export_as(Query::default(), Form::Ocsf).await,
            world.export_as(opened(), Form::Ocsf).await,
        ]
    })
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_byte_that_is_altered_is_found(file in 0_usize..4, place: prop::sample::Index, flip in 1_u8..) {
        let mut file = FILES[file].clone();
        let place = place.index(file.len());
        file[place] ^= flip;
        prop_assert!(!is_intact(&file), "at {place}: {}", String::from_utf8_lossy(&file));
    }

    /// Of what is signed no byte can be altered although the file's own hash is made anew.
    #[test]
    fn any_byte_of_an_entry_that_is_altered_is_found_by_what_was_signed(
        line in 2_usize..5,
        place: prop::sample::Index,
        flip in 1_u8..,
    ) {
        let mut lines = lines(&FILES[0]);
        let place = place.index(lines[line].len());
        lines[line][place] ^= flip;
        prop_assert!(!is_intact(&resealed(&lines)), "at {place}: {}", String::from_utf8_lossy(&lines[line]));
    }

    #[test]
    fn any_part_of_a_bundle_is_no_bundle_of_its_own(file in 0_usize..4, length: prop::sample::Index) {
        let file = &FILES[file];
        prop_assert!(!is_intact(&file[..length.index(file.len())]));
    }

    #[test]
    fn no_bytes_make_the_verifier_panic(bytes: Vec<u8>) {
        let begun = [BEGINNING.as_bytes(), &bytes].concat();
        let as_ocsf = [super::ocsf::BEGINNING.as_bytes(), &bytes].concat();
        for file in [&bytes, &begun, &as_ocsf] {
            prop_assert!(!is_intact(file));
        }
    }
}
