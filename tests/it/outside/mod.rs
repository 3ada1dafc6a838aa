//! Storage adapters as another crate would write them, from public items alone: begin here to write your own.
//!
//! [`tenants`] is a record port (revisions, conflicts, a feed, an outbox), [`counters`] a counter port. Both pass the suites that
//! ours pass.

mod counters;
mod tenants;
