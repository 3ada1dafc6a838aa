//! End-to-end tests: the real `stanchion` program on real sockets, one module per capability.
//!
//! `STANCHION_BIN` names the program; `cargo xtask test` builds it and sets the variable.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of a process lives in real time and has a real environment"
)]

mod access;
mod adaptive;
mod anchors;
mod archives;
mod bodies;
mod bulk;
mod config;
mod crashes;
mod drain;
mod envoy;
mod evolution;
mod export;
mod following;
mod foreign;
mod harness;
mod hygiene;
mod leaks;
mod ledger_edges;
mod limits;
mod live_limits;
mod load;
mod outages;
mod outside;
mod path;
mod proofs;
mod protection;
mod quickstart;
mod race;
mod refusals;
mod reports;
mod resources;
mod revocations;
mod stores;
