//! The ledger as its users see it: what is accepted is committed once, whatever the store does.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod ahead;
mod batches;
mod faults;
mod lifecycle;
mod records;
mod support;
