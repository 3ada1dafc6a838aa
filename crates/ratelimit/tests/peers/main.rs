//! What others who limit rates decide, we decide too.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod governor;
mod limits;
