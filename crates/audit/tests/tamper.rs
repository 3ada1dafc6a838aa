//! Whatever is done to a stored chain is found, at its place and with its reason.
//!
//! Three attackers: one changes what is stored, one also makes the hashes of the entry fit, one rewrites every hash that follows.
//! None of them has the key.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use stanchion_audit::{
    BreakReason, Chain, ChainId, Content, Digest, Fence, Head, RetentionClass, Row, Sealer, Signer, Verdict,
    canonical, leaf_hash, link_hash, parse, verify_chain,
};
use stanchion_core::{
    Actor, Category, Event, IdGen as _, KeyRing, Outcome, Scope, Secret, SeededRandom, Severity, Timestamp,
};

const ENTRIES: u64 = 5;
/// The entry that is tampered with.
const THIRD: usize = 2;

fn keys() -> KeyRing {
    KeyRing::new([(1, Secret::new([1; 32])), (2, Secret::new([2; 32]))]).unwrap()
}

fn chain_id() -> ChainId {
    ChainId { scope: Scope::Platform, class: RetentionClass::Security }
}

fn event(ids: &SeededRandom, number: u64) -> Event {
    let at = Timestamp::from_micros(1_772_366_400_000_000 + i64::try_from(number).unwrap());
    let mut event =
        Event::new(ids.event_id(at), at, Scope::Platform, Actor::Anonymous, "key.use", Category::Security)
            .with_target("key/7".parse().unwrap())
            .with_detail("attempt", number);
    event.outcome = Outcome::Denied;
    event.correlation.request = Some(ids.request_id(at));
    event
}

fn sealed(chain: ChainId, keys: &KeyRing, head: Head, events: &[Event]) -> Vec<Row> {
    let mut sealer = Sealer::new(Arc::new(Signer::new(keys)));
    sealer.set_head(chain, head);
    let contents: Vec<_> =
        events.iter().map(|event| Arc::new(Content::new(event.clone()).unwrap().1)).collect();
    let at = Timestamp::from_micros(1_772_366_400_000_000);
    sealer.seal(Fence::from_number(1), at, contents.iter().map(|content| (chain, content))).rows().to_vec()
}

fn head_of(row: &Row) -> Head {
    Head { seq: row.seq, link: row.link, recorded_at: row.recorded_at }
}

fn intact() -> (Chain, Vec<Row>) {
    let ids = SeededRandom::new(1);
    let events: Vec<Event> = (1..=ENTRIES).map(|number| event(&ids, number)).collect();
    let rows = sealed(chain_id(), &keys(), Head::EMPTY, &events);
    (Chain { id: chain_id(), base: Head::EMPTY, head: head_of(rows.last().unwrap()) }, rows)
}

/// Where the chain breaks after `tamper`, and why.
fn broken(tamper: impl FnOnce(&mut Vec<Row>)) -> (u64, BreakReason) {
    let (chain, mut rows) = intact();
    tamper(&mut rows);
    match verify_chain(&chain, &rows, &keys()) {
        Verdict::Broken(found) => {
            assert_eq!(found.chain, chain.id);
            (found.seq, found.reason)
        }
        Verdict::Intact { .. } => panic!("not noticed"),
    }
}

fn content(row: &mut Row, change: impl FnOnce(&mut Content)) {
    let mut content = (*row.content).clone();
    change(&mut content);
    row.content = Arc::new(content);
}

/// Makes numbers, leaves and links fit again from an entry on; signatures it cannot make.
fn relink(rows: &mut [Row], from: usize) {
    for index in from..rows.len() {
        let previous = index.checked_sub(1).map_or(Digest::ZERO, |before| rows[before].link);
        let row = &mut rows[index];
        row.seq = u64::try_from(index).unwrap() + 1;
        content(row, |content| content.leaf = leaf_hash(&content.canonical));
        row.link = link_hash(&row.chain, row.seq, row.recorded_at, &previous, &row.content.leaf);
    }
}

#[test]
fn an_intact_chain_verifies() {
    let (chain, rows) = intact();
    let expected = Verdict::Intact { entries: ENTRIES, base: Head::EMPTY, head: chain.head, unsigned_to: 0 };
    assert_eq!(verify_chain(&chain, &rows, &keys()), expected);
}

#[test]
fn every_altered_byte_of_a_payload_is_found() {
    let length = intact().1[THIRD].content.canonical.len();
    for index in 0..length {
        let alter = |content: &mut Content| content.canonical[index] ^= 1;
        assert_eq!(
            broken(|rows| content(&mut rows[THIRD], alter)),
            (3, BreakReason::PayloadAltered),
            "byte {index}"
        );
    }
}

#[test]
fn a_denial_cannot_become_a_success() {
    let flip = |rows: &mut Vec<Row>| {
        content(&mut rows[THIRD], |content| {
            let text = String::from_utf8(content.canonical.to_vec()).unwrap();
            let flipped = text.replace(r#""outcome":"denied""#, r#""outcome":"success""#);
            assert_ne!(text, flipped);
            assert_eq!(parse(flipped.as_bytes()).unwrap().outcome, Outcome::Success);
            content.canonical = flipped.into_bytes().into();
            content.projection.outcome = Outcome::Success;
        });
    };
    assert_eq!(broken(flip), (3, BreakReason::PayloadAltered));
    let with_leaf = |rows: &mut Vec<Row>| {
        flip(rows);
        content(&mut rows[THIRD], |content| content.leaf = leaf_hash(&content.canonical));
    };
    assert_eq!(broken(with_leaf), (3, BreakReason::LinkBroken));
    let with_links = |rows: &mut Vec<Row>| {
        flip(rows);
        relink(rows, THIRD);
    };
    assert_eq!(broken(with_links), (3, BreakReason::MacWrong));
}

#[test]
fn every_altered_field_of_an_event_is_found_also_when_all_hashes_are_made_anew() {
    type Alter = fn(&mut Event);
    let alterations: [Alter; 14] = [
        |event| event.action = "key.used".into(),
        |event| event.actor = Actor::System("root".into()),
        |event| event.category = Category::Administration,
        |event| event.correlation.request = None,
        |event| event.correlation.trace = Some("t".into()),
        |event| event.details.push("attempt", 9_i64),
        |event| event.id = stanchion_core::EventId::from_uuid(SeededRandom::new(9).uuid(Timestamp::EPOCH)),
        |event| event.occurred_at = Timestamp::EPOCH,
        |event| event.outcome = Outcome::Success,
        |event| event.reason = Some("because".into()),
        |event| event.severity = Severity::Critical,
        |event| event.source.user_agent = Some("x".into()),
        |event| event.source.ip = Some([127, 0, 0, 1].into()),
        |event| event.targets.clear(),
    ];
    for (index, alter) in alterations.iter().enumerate() {
        let replace = |rows: &mut Vec<Row>| {
            let mut event = parse(&rows[THIRD].content.canonical).unwrap();
            alter(&mut event);
            rows[THIRD].content =
                Arc::new(Content::from_canonical(canonical(&event).unwrap().into()).unwrap());
        };
        assert_eq!(broken(replace), (3, BreakReason::LinkBroken), "alteration {index}");
        let thorough = |rows: &mut Vec<Row>| {
            replace(rows);
            relink(rows, THIRD);
        };
        assert_eq!(broken(thorough), (3, BreakReason::MacWrong), "alteration {index}");
    }
}

#[test]
fn every_altered_column_is_found() {
    type Alter = fn(&mut Row);
    let flip = |digest: Digest| {
        let mut bytes = *digest.bytes();
        bytes[31] ^= 1;
        Digest::from_bytes(bytes)
    };
    assert_eq!(broken(|rows| rows[THIRD].link = flip(rows[THIRD].link)), (3, BreakReason::LinkBroken));
    assert_eq!(broken(|rows| rows[THIRD].mac = flip(rows[THIRD].mac)), (3, BreakReason::MacWrong));
    let leaf = |content: &mut Content| content.leaf = flip(content.leaf);
    assert_eq!(broken(|rows| content(&mut rows[THIRD], leaf)), (3, BreakReason::PayloadAltered));
    let columns: [(Alter, BreakReason); 13] = [
        (|row| row.seq = 4, BreakReason::Gap),
        (|row| row.recorded_at = Timestamp::EPOCH, BreakReason::LinkBroken),
        (|row| row.key_epoch = 1, BreakReason::MacWrong),
        (|row| row.key_epoch = 9, BreakReason::UnknownKeyEpoch(9)),
        (|row| row.chain.class = RetentionClass::Standard, BreakReason::ProjectionAltered),
        (
            |row| {
                content(row, |content| {
                    content.id =
                        stanchion_core::EventId::from_uuid(SeededRandom::new(9).uuid(Timestamp::EPOCH))
                })
            },
            BreakReason::ProjectionAltered,
        ),
        (
            |row| content(row, |content| content.projection.action = "key.used".into()),
            BreakReason::ProjectionAltered,
        ),
        (
            |row| content(row, |content| content.projection.actor = Actor::System("x".into())),
            BreakReason::ProjectionAltered,
        ),
        (
            |row| content(row, |content| content.projection.outcome = Outcome::Success),
            BreakReason::ProjectionAltered,
        ),
        (
            |row| content(row, |content| content.projection.severity = Severity::High),
            BreakReason::ProjectionAltered,
        ),
        (|row| content(row, |content| content.projection.request = None), BreakReason::ProjectionAltered),
        (|row| content(row, |content| content.projection.targets.clear()), BreakReason::ProjectionAltered),
        (
            |row| content(row, |content| content.projection.occurred_at = Timestamp::EPOCH),
            BreakReason::ProjectionAltered,
        ),
    ];
    for (index, (alter, reason)) in columns.into_iter().enumerate() {
        assert_eq!(broken(|rows| alter(&mut rows[THIRD])), (3, reason), "column {index}");
    }
}

#[test]
fn columns_are_compared_whatever_else_the_event_holds() {
    let ids = SeededRandom::new(4);
    let full = |change: fn(&mut Event)| {
        let mut event = event(&ids, 1);
        change(&mut event);
        sealed(chain_id(), &keys(), Head::EMPTY, &[event])
    };
    let shapes: [fn(&mut Event); 6] = [
        |event| event.details = [("a", "}{][\"\\"), ("b", "\u{1}\\\"")].into_iter().collect(),
        |event| event.details = std::iter::empty::<(&'static str, i64)>().collect(),
        |event| event.reason = Some("\\\"}".into()),
        |event| event.correlation.parent = Some(event.id),
        |event| {
            event.correlation = stanchion_core::Correlation { parent: Some(event.id), ..Default::default() }
        },
        |event| event.source.user_agent = Some("{\"id\":\"".into()),
    ];
    for (index, shape) in shapes.into_iter().enumerate() {
        let rows = full(shape);
        let chain = Chain { id: chain_id(), base: Head::EMPTY, head: head_of(&rows[0]) };
        assert!(matches!(verify_chain(&chain, &rows, &keys()), Verdict::Intact { .. }), "shape {index}");
        let mut hidden = rows.clone();
        let request = stanchion_core::RequestId::from_uuid(SeededRandom::new(9).uuid(Timestamp::EPOCH));
        content(&mut hidden[0], |content| content.projection.request = Some(request));
        assert!(matches!(verify_chain(&chain, &hidden, &keys()), Verdict::Broken(_)), "shape {index}");
    }
}

#[test]
fn a_deleted_entry_is_found() {
    for index in 0..usize::try_from(ENTRIES).unwrap() {
        let seq = u64::try_from(index).unwrap() + 1;
        assert_eq!(broken(|rows| drop(rows.remove(index))), (seq, BreakReason::Gap));
    }
    let renumbered = |rows: &mut Vec<Row>| {
        rows.remove(THIRD);
        rows[THIRD..].iter_mut().for_each(|row| row.seq -= 1);
    };
    assert_eq!(broken(renumbered), (3, BreakReason::LinkBroken));
    let relinked = |rows: &mut Vec<Row>| {
        rows.remove(THIRD);
        relink(rows, THIRD);
    };
    assert_eq!(broken(relinked), (3, BreakReason::MacWrong));
    assert_eq!(broken(|rows| drop(rows.drain(1..4))), (2, BreakReason::Gap));
    assert_eq!(broken(Vec::clear), (1, BreakReason::Gap));
}

#[test]
fn exchanged_entries_are_found() {
    assert_eq!(broken(|rows| rows.swap(1, 2)), (2, BreakReason::Gap));
    let renumbered = |rows: &mut Vec<Row>| {
        rows.swap(1, 2);
        (rows[1].seq, rows[2].seq) = (2, 3);
    };
    assert_eq!(broken(renumbered), (2, BreakReason::LinkBroken));
    let contents = |rows: &mut Vec<Row>| {
        let first = Arc::clone(&rows[1].content);
        rows[1].content = std::mem::replace(&mut rows[2].content, first);
    };
    assert_eq!(broken(contents), (2, BreakReason::LinkBroken));
}

#[test]
fn an_entry_put_in_again_is_found() {
    let again = |rows: &mut Vec<Row>| rows.insert(3, rows[1].clone());
    assert_eq!(broken(again), (4, BreakReason::Gap));
    let renumbered = |rows: &mut Vec<Row>| {
        again(rows);
        (0..).zip(rows.iter_mut()).for_each(|(index, row): (u64, _)| row.seq = index + 1);
    };
    assert_eq!(broken(renumbered), (4, BreakReason::LinkBroken));
    let relinked = |rows: &mut Vec<Row>| {
        again(rows);
        relink(rows, 3);
    };
    assert_eq!(broken(relinked), (4, BreakReason::MacWrong));
    let appended = |rows: &mut Vec<Row>| {
        let mut row = rows[4].clone();
        row.seq = 6;
        rows.push(row);
    };
    assert_eq!(broken(appended), (6, BreakReason::LinkBroken));
}

#[test]
fn an_entry_of_another_chain_does_not_fit() {
    let ids = SeededRandom::new(2);
    let other = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };
    let graft = |rows: &mut Vec<Row>| {
        let before = head_of(&rows[1]);
        let event = Event { category: Category::Access, ..event(&ids, 3) };
        let mut row = sealed(other, &keys(), before, &[event]).remove(0);
        row.chain = chain_id();
        rows[THIRD] = row;
    };
    assert_eq!(broken(graft), (3, BreakReason::LinkBroken));
}

#[test]
fn entries_cut_off_the_end_are_shown_by_the_head_or_by_what_was_kept_elsewhere() {
    assert_eq!(broken(|rows| rows.truncate(3)), (4, BreakReason::Gap));
    let (chain, mut rows) = intact();
    rows.truncate(3);
    let cut = Chain { head: head_of(&rows[2]), ..chain };
    let Verdict::Intact { entries: 3, head, .. } = verify_chain(&cut, &rows, &keys()) else { panic!() };
    assert!(chain.head.is_lost_in(&head), "an earlier head shows it");
    let (chain, rows) = intact();
    let behind = Chain { head: head_of(&rows[2]), ..chain };
    let Verdict::Broken(found) = verify_chain(&behind, &rows, &keys()) else { panic!() };
    assert_eq!((found.seq, found.reason), (4, BreakReason::HeadWrong));
}

#[test]
fn what_is_kept_after_dropping_the_front_still_verifies_from_its_base() {
    let (chain, rows) = intact();
    let base = head_of(&rows[1]);
    let kept = Chain { base, ..chain };
    let expected = Verdict::Intact { entries: 3, base, head: chain.head, unsigned_to: 0 };
    assert_eq!(verify_chain(&kept, &rows[2..], &keys()), expected);
    let forged = Chain { base: Head { link: Digest::ZERO, ..base }, ..chain };
    let Verdict::Broken(found) = verify_chain(&forged, &rows[2..], &keys()) else { panic!() };
    assert_eq!((found.seq, found.reason), (3, BreakReason::LinkBroken));
}

#[test]
fn entries_of_every_epoch_verify_and_those_without_their_key_do_not() {
    let ids = SeededRandom::new(3);
    let old = KeyRing::new([(1, Secret::new([1; 32]))]).unwrap();
    let mut rows = sealed(chain_id(), &old, Head::EMPTY, &[event(&ids, 1), event(&ids, 2)]);
    rows.extend(sealed(chain_id(), &keys(), head_of(&rows[1]), &[event(&ids, 3)]));
    assert_eq!(rows.iter().map(|row| row.key_epoch).collect::<Vec<_>>(), [1, 1, 2]);
    let chain = Chain { id: chain_id(), base: Head::EMPTY, head: head_of(&rows[2]) };
    assert!(matches!(verify_chain(&chain, &rows, &keys()), Verdict::Intact { entries: 3, .. }));
    let Verdict::Broken(found) = verify_chain(&chain, &rows, &old) else { panic!() };
    assert_eq!(found.to_string(), "platform/security is broken at entry 3: the key of epoch 2 is not known");
    let wrong = KeyRing::new([(1, Secret::new([1; 32])), (2, Secret::new([9; 32]))]).unwrap();
    let Verdict::Broken(found) = verify_chain(&chain, &rows, &wrong) else { panic!() };
    assert_eq!((found.seq, found.reason), (3, BreakReason::MacWrong));
}
