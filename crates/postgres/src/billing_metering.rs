//! Usage events.
