//! A canonical event: whatever is read as one is written as the same bytes again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stanchion_audit::{canonical, parse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = parse(bytes) {
        assert_eq!(canonical(&event).expect("was read from its canonical form"), bytes);
    }
});
