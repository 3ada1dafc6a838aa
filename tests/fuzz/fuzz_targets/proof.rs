//! A proof of one event: what is proven is the event that was, and no other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stanchion_audit::{VerifierKey, verify_proof};

const KEYS: &str = include_str!("../keys");
const PROOF: &str = include_str!("../seeds/proof/one");

fuzz_target!(|text: &str| {
    let keys: Vec<VerifierKey> = KEYS.lines().map(|key| key.parse().expect("a key")).collect();
    if let Ok(proven) = verify_proof(text, &keys) {
        let genuine = verify_proof(PROOF, &keys).expect("is genuine");
        assert_eq!((proven.canonical, proven.seq), (genuine.canonical, genuine.seq));
    }
});
