//! Bundles: entries in a file together with what proves them. The format is described in [`format`](mod@crate::format).

mod export;
mod form;
mod line;
mod ocsf;
mod verdict;
mod verify;
mod write;

pub use export::Export;
pub use form::Form;
pub use line::{ChainBase, ChainCount, End, ExportedEntry, Line, Log, Manifest};
pub use verdict::{BundleBreak, BundleChain, BundleError, BundleProof, BundleVerdict, Fault};
#[cfg(feature = "archive")]
pub(crate) use verify::is_event_of;
pub use verify::{verify_bundle, verify_bundle_with};
pub use write::BundleWriter;
#[cfg(feature = "archive")]
pub(crate) use write::line_of;

/// What the first line of a bundle says it is.
pub const FORMAT: &str = "stanchion.audit.bundle/v1";

/// What the first line of a bundle says that is written as events of OCSF. Another mapping of events to classes has another number.
pub const OCSF_FORMAT: &str = "stanchion.audit.ocsf/v2";

/// What it said before events told which one comes before them, and who signed for them. Such files are verified, and no longer written.
pub const OCSF_FORMAT_1: &str = "stanchion.audit.ocsf/v1";

/// What every bundle begins with that is not written as events of OCSF.
pub const BEGINNING: &str = "{\"manifest\":{\"format\":\"stanchion.audit.bundle/";

/// The longest line of a bundle, in bytes: an event of 64 KiB of which every character is escaped, its hashes, and room.
pub const MAX_LINE: usize = 256 * 1024;

/// The longest line of a bundle that is written as events of OCSF: most of an event stands in it twice.
pub const MAX_OCSF_LINE: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
