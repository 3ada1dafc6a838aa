//! What the engine decides, what it lets be written, and what it learns from others.

#![expect(clippy::disallowed_methods, reason = "a test owns what it spawns")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod access;
mod asking;
mod bulk;
mod bulk_order;
mod bulk_rules;
mod decisions;
mod edges;
mod elevation;
mod lasting;
mod missing;
mod model;
mod presets;
mod previews;
mod races;
mod random;
mod reference;
mod replicas;
mod reviews;
mod rules;
mod surroundings;
mod upkeep;
mod ways;
mod who_can;
mod world;
