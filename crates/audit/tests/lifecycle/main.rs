//! What the audit records about itself, and what certainty somebody may wait for.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod acks;
mod anchors;
mod keys;
mod numbers;
mod runs;
mod support;
