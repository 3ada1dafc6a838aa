//! End-to-end tests: the real `stanchion` program on real sockets, one module per capability.
//!
//! `STANCHION_BIN` names the program; `cargo xtask test` builds it and sets the variable.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod outside;
