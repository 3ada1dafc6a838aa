//! Archives: consecutive entries of a chain as objects that prove themselves, apart from the database.
//!
//! An object has the entries of whole tiles, each a line as in a [bundle](mod@crate::bundle), compressed with Zstandard. A manifest beside
//! it says which, and has what proves them: the signed checkpoint that covers them, the roots of the complete subtrees before and after
//! them, and the hashes that lead from there to the checkpoint's root. So each object verifies alone, and those of a chain together
//! leave no entry out.
//!
//! The manifest is the commit: it is named by its first entry only, so of those who archive a chain from one place on one succeeds. An
//! object without a manifest is what a crash has left, and harmless.

mod manifest;
mod verdict;
mod verify;
mod write;

pub use manifest::{ArchiveManifest, Sum};
pub use verdict::{ArchiveBreak, ArchiveFault, ArchiveProof, ArchiveVerdict, ArchivedChain};
pub use verify::{
    verify_archive, verify_archive_directory, verify_archive_directory_with, verify_archive_with,
};
pub(crate) use write::{Archived, Range, archived_event, event, latest, write};

/// What every manifest says it is.
pub const FORMAT: &str = "stanchion.audit.archive/v1";

/// What every name of an archive begins with.
pub const PREFIX: &str = "ledger";

/// How many entries an object has, unless they are too large together or a month ends.
pub const ENTRIES: u64 = 4_096;

/// The most bytes that the entries of an object may have together before they are compressed; those of one tile fit always.
const MAX_CONTENT: usize = 64 * 1024 * 1024;
