//! An exported bundle: whatever is in it is judged, and what was altered is not proven.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stanchion_audit::VerifierKey;
use stanchion_audit::bundle::{BundleVerdict, verify_bundle};

const KEYS: &str = include_str!("../keys");
const WHOLE: &str = include_str!("../seeds/bundle/whole");
const QUERY: &str = include_str!("../seeds/bundle/query");

fuzz_target!(|bytes: &[u8]| {
    let keys: Vec<VerifierKey> = KEYS.lines().map(|key| key.parse().expect("a key")).collect();
    let Ok(BundleVerdict::Intact(_)) = verify_bundle(bytes, &keys, None) else { return };
    let events = |text: &str| -> Vec<String> {
        let canonical = |line: &str| Some(line.split_once("\"canonical\":")?.1.split("}\",").next()?.to_owned());
        text.lines().filter_map(canonical).collect()
    };
    let genuine = [events(WHOLE), events(QUERY)].concat();
    for event in events(std::str::from_utf8(bytes).expect("was read as text")) {
        assert!(genuine.contains(&event), "{event}");
    }
});
