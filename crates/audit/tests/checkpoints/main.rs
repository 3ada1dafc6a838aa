//! Checkpoints as their readers see them: what was committed is covered, proven with a public key alone, and nothing is signed over.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod breaks;
mod proofs;
mod rounds;
mod support;
mod waiting;
