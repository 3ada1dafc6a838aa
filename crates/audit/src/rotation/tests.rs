use stanchion_core::{Actor, Category, EventId, KeyRing, Secret, Timestamp};
use uuid::Uuid;

use super::*;

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

fn ring(versions: &[u8]) -> KeyRing {
    KeyRing::new(versions.iter().map(|version| (u32::from(*version), Secret::new([*version; 32])))).unwrap()
}

fn checkpoints_of(versions: &[u8]) -> CheckpointSigner {
    CheckpointSigner::new(&ring(versions), "audit.example.com").unwrap()
}

fn rotated(details: &[(&'static str, String)]) -> Event {
    let id = EventId::from_uuid(Uuid::from_u128(1));
    let event = Event::new(id, NOON, Scope::Platform, Actor::Anonymous, ACTION, Category::Security);
    details.iter().fold(event, |event, (name, value)| event.with_detail(*name, value.clone()))
}

/// The change from key 1 to key 2: its parts, and the event of them.
fn change() -> KeyChange {
    let checkpoint = checkpoints_of(&[1]).sign(OWN, 3, Digest::ZERO, NOON);
    checkpoints_of(&[1, 2]).change_since(&checkpoint).unwrap()
}

fn told(KeyChange { from, to, note }: &KeyChange) -> Event {
    rotated(&[
        ("key", "checkpoint".to_owned()),
        ("from", from.clone()),
        ("to", to.to_string()),
        ("note", note.clone()),
    ])
}

/// The note without one of its two signatures: the new key's is the first.
fn without(note: &str, which: usize) -> String {
    let (text, signatures) = note.rsplit_once("\n\n").unwrap();
    let mut lines: Vec<&str> = signatures.lines().collect();
    assert_eq!(lines.len(), 2);
    lines.remove(which);
    format!("{text}\n\n{}\n", lines.concat())
}

#[test]
fn a_checkpoint_key_takes_anothers_place_when_both_have_signed_for_it() {
    let good = change();
    let signer = Signer::new(&ring(&[1]));
    assert_eq!(verify_key_change(&told(&good), &[]), Ok(good.to.clone()));
    assert_eq!(verify_key_change(&told(&good), &checkpoints_of(&[1]).verifiers(&OWN)), Ok(good.to.clone()));
    assert!(holds(&told(&good), &signer));
    let unknown = Err(NoteError::UnknownKey);
    for which in [0, 1] {
        let event = told(&KeyChange { note: without(&good.note, which), ..good.clone() });
        assert_eq!(verify_key_change(&event, &[]), unknown, "without signature {which}");
        assert!(!holds(&event, &signer));
    }
    // Signed by others than those who are trusted.
    assert_eq!(verify_key_change(&told(&good), &checkpoints_of(&[3]).verifiers(&OWN)), unknown);
}

#[test]
fn a_note_says_of_the_change_what_the_event_does() {
    let good = change();
    let malformed = Err(NoteError::Malformed);
    let other = told(&KeyChange { from: "0a0b0c0d".to_owned(), ..good.clone() });
    assert_eq!(verify_key_change(&other, &[]), malformed, "the key before");
    let mut done = told(&good);
    done.action = "audit.key_kept".into();
    assert_eq!(verify_key_change(&done, &[]), malformed, "another action");
    let KeyChange { from, to, note } = good;
    for key in ["signing", "other"] {
        let details =
            [("key", key.to_owned()), ("from", from.clone()), ("to", to.to_string()), ("note", note.clone())];
        assert_eq!(verify_key_change(&rotated(&details), &[]), malformed, "{key}");
        assert!(!holds(&rotated(&details), &Signer::new(&ring(&[1]))), "{key}");
    }
}

#[test]
fn a_signing_key_is_the_one_that_was_committed_to_and_vouched_for() {
    let signer = Signer::new(&ring(&[1, 2]));
    let event = |commitment: Option<Digest>, vouched: Option<Digest>| {
        let mut event =
            rotated(&[("key", "signing".to_owned())]).with_detail("from", 1_i64).with_detail("to", 2_i64);
        let told = [("commitment", commitment), ("vouched", vouched)];
        for (name, digest) in told.into_iter().filter_map(|(name, digest)| Some((name, digest?))) {
            event = event.with_detail(name, digest.to_string());
        }
        event
    };
    let (commitment, vouched) = (signer.commitment(2), signer.vouch(1, 2));
    assert!(commitment.is_some() && vouched.is_some());
    assert!(holds(&event(commitment, vouched), &signer));
    assert!(!holds(&event(Some(Digest::ZERO), vouched), &signer));
    assert!(!holds(&event(commitment, Some(Digest::ZERO)), &signer));
    assert!(holds(&event(commitment, None), &signer), "the key before may not have been at hand");
    // Who lacks a key believes what it would tell, since the entry is signed.
    assert!(holds(&event(Some(Digest::ZERO), Some(Digest::ZERO)), &Signer::new(&ring(&[3]))));
    assert!(
        !holds(&rotated(&[("key", "signing".to_owned())]), &signer),
        "between which keys it does not say"
    );
}
