//! Anchors for the audit ledger's checkpoints.

mod file;
mod objects;
mod witness;

pub use file::FileAnchor;
pub use objects::ObjectAnchor;
pub use witness::WitnessAnchor;
