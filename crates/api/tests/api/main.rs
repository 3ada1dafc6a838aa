//! The router over memory engines and a clock that stands still until it is moved.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod access;
mod access_control;
mod access_questions;
mod audit;
mod audit_across;
mod bulk;
mod documents;
mod faults;
mod idempotency;
mod isolation;
mod keys;
mod ledger_edges;
mod limits;
mod paging;
mod permissions;
mod protection;
mod roles;
mod system;
mod tenants;
mod usage;
mod world;
