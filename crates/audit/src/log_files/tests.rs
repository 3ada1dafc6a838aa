use std::collections::BTreeMap;

use stanchion_core::{Actor, Category, Event, IdGen as _, KeyRing, Scope, Secret, SeededRandom, Timestamp};

use super::*;
use crate::CheckpointSigner;

const CHAIN: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };
const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

type Files = BTreeMap<String, Vec<u8>>;

fn signer(byte: u8) -> CheckpointSigner {
    let ring = KeyRing::new([(1, Secret::new([byte; 32]))]).unwrap();
    CheckpointSigner::new(&ring, "audit.example.com").unwrap()
}

fn verify(files: &Files, key: u8) -> LogVerdict {
    verify_log(|path| Ok(files.get(path).cloned()), &signer(key).verifiers(&CHAIN)).unwrap()
}

fn event(number: u64, category: Category) -> Vec<u8> {
    let id = SeededRandom::new(number).event_id(NOON);
    let event = Event::new(id, NOON, Scope::Platform, Actor::Anonymous, "door.opened", category);
    crate::canonical(&event.with_detail("number", number)).unwrap()
}

/// A log of so many entries, in files.
fn log(size: u64) -> Files {
    let events: Vec<Vec<u8>> = (0..size).map(|number| event(number, Category::Access)).collect();
    let (mut edge, mut tiles) = (Edge::default(), Vec::new());
    for event in &events {
        edge.push(leaf_hash(event), &mut tiles);
    }
    tiles.extend(edge.partial());
    // The ledger has the hashes of leaves whose tile is not full.
    let hashes: Vec<Digest> =
        events.chunks(TILE_WIDTH).last().unwrap().iter().map(|event| leaf_hash(event)).collect();
    if hashes.len() < TILE_WIDTH {
        tiles.push(Tile { id: TileId { level: 0, index: size / TILE_WIDTH as u64 }, hashes });
    }
    let mut files = Files::new();
    for tile in &tiles {
        let width = tile.hashes.len();
        let partial = if width == TILE_WIDTH { String::new() } else { format!(".p/{width}") };
        files.insert(format!("tile/{}{partial}", tile.id), tile.to_bytes());
    }
    for (index, bundle) in (0..).zip(events.chunks(TILE_WIDTH)) {
        let width = bundle.len();
        let partial = if width == TILE_WIDTH { String::new() } else { format!(".p/{width}") };
        let entry = |event: &Vec<u8>| [&u16::try_from(event.len()).unwrap().to_be_bytes(), &**event].concat();
        let bytes: Vec<u8> = bundle.iter().flat_map(entry).collect();
        files.insert(format!("tile/entries/{}{partial}", path_of(index)), bytes);
    }
    let checkpoint = signer(9).sign(CHAIN, size, edge.root(), NOON);
    files.insert("checkpoint".to_owned(), checkpoint.note.as_str().as_bytes().to_vec());
    files
}

#[test]
fn files_of_logs_of_any_size_are_verified_and_are_those_that_are_listed() {
    for size in [1, 2, 255, 256, 257, 511, 512, 700] {
        let files = log(size);
        let LogVerdict::Intact(proof) = verify(&files, 9) else { panic!("{size}") };
        assert_eq!((proof.chain, proof.tree.size, proof.first), (CHAIN, size, 1));
        let mut listed: Vec<String> = log_files(size).chain(["checkpoint".to_owned()]).collect();
        listed.sort();
        assert_eq!(listed, files.keys().cloned().collect::<Vec<_>>(), "{size}");
    }
    assert_eq!(verify(&log(3), 8), LogVerdict::Unverifiable);
}

#[test]
fn a_front_that_was_dropped_is_told_and_a_file_that_is_missing_elsewhere_is_too() {
    let mut files = log(700);
    files.remove("tile/entries/000");
    let LogVerdict::Intact(proof) = verify(&files, 9) else { panic!("not intact") };
    assert_eq!(proof.first, 257);
    for file in log_files(700).chain(["checkpoint".to_owned()]) {
        let mut files = log(700);
        files.remove(&file);
        let whole = file.split(".p/").next().unwrap();
        let expected = LogVerdict::Incomplete(whole.to_owned());
        if file == "tile/entries/000" {
            continue;
        }
        assert_eq!(verify(&files, 9), expected, "{file}");
    }
}

#[test]
fn any_file_that_is_altered_is_found_and_the_first_entry_it_is_about_is_told() {
    let good = log(600);
    for (file, bytes) in &good {
        for place in [0, 1, 2, bytes.len() / 2, bytes.len() - 1] {
            let mut files = good.clone();
            files.get_mut(file).unwrap()[place] ^= 1;
            let found = verify(&files, 9);
            let is_found = match &found {
                LogVerdict::Tampered(_) => true,
                // Whose name or key is another one's was signed by nobody that is known.
                LogVerdict::Unverifiable => file == "checkpoint",
                _ => false,
            };
            assert!(is_found, "{file} at {place}: {found:?}");
        }
    }
    let altered = |file: &str, alter: &dyn Fn(&mut Vec<u8>)| {
        let mut files = good.clone();
        alter(files.get_mut(file).unwrap());
        match verify(&files, 9) {
            LogVerdict::Tampered(found) => (found.seq, found.fault),
            other => panic!("{other:?}"),
        }
    };
    // The second entry of the second bundle says something else, in as many bytes.
    let first = event(256, Category::Access).len() + 2;
    let other = event(999, Category::Access);
    assert_eq!(other.len(), event(257, Category::Access).len());
    let swap = |bytes: &mut Vec<u8>| bytes[first + 2..first + 2 + other.len()].copy_from_slice(&other);
    assert_eq!(altered("tile/entries/001", &swap), (Some(258), LogFault::Hashes));
    assert_eq!(altered("tile/1/000.p/2", &|bytes| bytes[40] ^= 1), (Some(257), LogFault::Hashes));
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
    assert_eq!(altered("tile/entries/000", &cut), (Some(256), LogFault::Malformed));
}

/// Whoever has no key can make entries and tiles fit to each other, and not to what was signed for.
#[test]
fn files_that_fit_to_each_other_do_not_fit_to_the_checkpoint() {
    let (good, mut other) = (log(300), log(299));
    other.insert("checkpoint".to_owned(), good["checkpoint"].clone());
    let missing = verify(&other, 9);
    assert_eq!(missing, LogVerdict::Incomplete("tile/0/001".to_owned()));
    let mut forged = log(300);
    let bundle = forged.get_mut("tile/entries/001.p/44").unwrap();
    let event = event(7_777, Category::Access);
    let at = bundle.len() - super::tests::event(299, Category::Access).len();
    bundle.truncate(at - 2);
    bundle.extend(u16::try_from(event.len()).unwrap().to_be_bytes());
    bundle.extend(&event);
    let tile = forged.get_mut("tile/0/001.p/44").unwrap();
    let at = tile.len() - 32;
    tile[at..].copy_from_slice(leaf_hash(&event).bytes());
    let LogVerdict::Tampered(found) = verify(&forged, 9) else { panic!("not found") };
    assert_eq!((found.seq, found.fault), (Some(300), LogFault::Root));
}
