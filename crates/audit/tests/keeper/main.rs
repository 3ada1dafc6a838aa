//! Archives, retention and legal holds, as an operator and an auditor see them.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod archives;
mod crashes;
mod cuts;
mod edges;
mod rounds;
mod support;
