use std::sync::Arc;

use stanchion_core::{Actor, Category, Event, EventId, Secret, Timestamp};
use uuid::Uuid;

use super::*;
use crate::{Digest, Fence, Sealer};

const CHAIN: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };

fn keys() -> KeyRing {
    KeyRing::new([(1, Secret::new([7; 32]))]).unwrap()
}

/// A chain of entries of these categories, whichever chain those belong to.
fn chain_of(categories: &[Category]) -> (Chain, Vec<Row>) {
    let contents: Vec<Arc<Content>> = categories
        .iter()
        .zip(1..)
        .map(|(category, number)| {
            let id = EventId::from_uuid(Uuid::from_u128(number));
            let event = Event::new(id, Timestamp::EPOCH, CHAIN.scope, Actor::Anonymous, "a.b", *category);
            Arc::new(Content::new(event).unwrap().1)
        })
        .collect();
    let mut sealer = Sealer::new(Arc::new(Signer::new(&keys())));
    sealer.set_head(CHAIN, Head::EMPTY);
    let contents = contents.iter().map(|content| (CHAIN, content));
    let batch = sealer.seal(Fence::from_number(1), Timestamp::EPOCH, contents);
    let chain = Chain { id: CHAIN, base: Head::EMPTY, head: batch.moves()[0].to };
    (chain, batch.rows().to_vec())
}

fn broken(seq: u64, reason: BreakReason) -> Verdict {
    Verdict::Broken(Break { chain: CHAIN, seq, reason })
}

#[test]
fn an_entry_of_another_class_does_not_stand_in_a_chain() {
    let (chain, rows) = chain_of(&[Category::Access, Category::Access]);
    assert!(matches!(verify_chain(&chain, &rows, &keys()), Verdict::Intact { entries: 2, .. }));
    let (chain, rows) = chain_of(&[Category::Access, Category::Security]);
    assert_eq!(verify_chain(&chain, &rows, &keys()), broken(2, BreakReason::ProjectionAltered));
}

#[test]
fn a_chain_ends_at_its_head_by_number_and_by_link() {
    let (chain, rows) = chain_of(&[Category::Access; 3]);
    let ending = |head: Head| verify_chain(&Chain { head, ..chain }, &rows, &keys());
    assert_eq!(ending(Head { link: Digest::ZERO, ..chain.head }), broken(3, BreakReason::HeadWrong));
    assert_eq!(ending(Head { seq: 4, ..chain.head }), broken(4, BreakReason::Gap));
    let shorter = Head { seq: 1, link: rows[0].link, ..chain.head };
    assert_eq!(ending(shorter), broken(2, BreakReason::HeadWrong), "there are more than it says");
}

#[test]
fn the_entries_of_broken_chains_are_not_counted() {
    let (chain, rows) = chain_of(&[Category::Access; 3]);
    let intact = verify_chain(&chain, &rows, &keys());
    let security = ChainId { class: RetentionClass::Security, ..CHAIN };
    let chains = vec![(security, broken(2, BreakReason::Gap)), (CHAIN, intact)];
    let all = Verification { scope: CHAIN.scope, chains };
    assert_eq!((all.entries(), all.is_intact()), (3, false));
    assert_eq!(all.first_break().map(|found| found.seq), Some(2));
}
