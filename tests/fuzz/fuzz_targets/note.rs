//! A checkpoint: nothing but what its key signed is believed, and a verifier key has one spelling.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stanchion_audit::{TreeHead, VerifierKey};

const KEYS: &str = include_str!("../keys");
const SIGNED: [&str; 2] = [include_str!("../seeds/note/0"), include_str!("../seeds/note/1")];

fuzz_target!(|text: &str| {
    let keys: Vec<VerifierKey> = KEYS.lines().map(|key| key.parse().expect("a key")).collect();
    let text_of = |note: &str| note.split("\n\n").next().map(str::to_owned);
    if TreeHead::open(text, &keys).is_ok() {
        assert!(SIGNED.iter().any(|signed| text_of(signed) == text_of(text)), "{text:?}");
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
});
