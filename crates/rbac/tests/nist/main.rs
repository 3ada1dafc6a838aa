//! The functions of NIST RBAC (INCITS 359-2012, section 6) by their names, and what the standard asks of each. Users are made and
//! removed where they are known, not here.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test owns what it spawns")]

mod core;
mod dynamic_separation;
mod guards;
mod hierarchical;
mod review;
mod separation_sets;
mod static_separation;
mod world;
