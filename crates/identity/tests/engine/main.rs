//! The engine as its users meet it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod authentication;
mod lifecycle;
mod model;
mod world;
