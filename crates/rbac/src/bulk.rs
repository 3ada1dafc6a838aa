//! Records by the thousand: out of a scope as a stream, and into one, checked by the rules that single writes are checked by.
//!
//! A file is JSON lines, one record to a line under the name of its kind (`{"assignment":{"subject":"user:ada","role":"clerk"}}`), or
//! CSV, which has assignments alone.

mod accept;
mod candidate;
mod export;
mod format;
mod import;
mod order;
mod weigh;
mod whole;

pub use export::Export;
pub use format::{BulkFormat, Fault, Row, Rows};
pub use import::{BadRow, BadRows, ImportOptions, ImportProgress, ImportReport};
