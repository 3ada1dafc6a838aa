//! Where checkpoints are put out of our own reach.

use std::fmt;

use async_trait::async_trait;
use stanchion_core::{StoreError, Text};

use crate::{Checkpoint, Digest};

/// A place for checkpoints that whoever owns the database and the keys cannot take back: what it once held, the log must always lead
/// to.
///
/// 1. **Forward.** Of each log it holds checkpoints that only grow: after one of a size none of a smaller size is taken (`Elsewhere`:
///    another process may have been first), and none of the same size with another root (`Conflict`).
/// 2. **Again.** To publish what it holds already changes nothing and succeeds.
/// 3. **Durable.** What was published is returned by [`latest`](Self::latest), also after a crash of ours.
/// 4. **Logs** are told apart by their origins.
#[async_trait]
pub trait Anchor: fmt::Debug + Send + Sync {
    /// Returns what operators call it.
    fn name(&self) -> &str;

    /// Publishes a checkpoint.
    ///
    /// # Errors
    /// [`AnchorError`] says whether it can be tried again.
    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError>;

    /// Returns the note of the latest checkpoint of a log; `None` when there is none, or none that can be asked for.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when it cannot be asked, `Corrupt` when what it holds is no such thing.
    async fn latest(&self, origin: &str) -> Result<Option<Text>, StoreError>;
}

/// A checkpoint to publish, with the proof that its log has only grown.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The log.
    pub origin: String,
    /// The size of what was published before, 0 when that is nothing.
    pub from: u64,
    /// The proof of consistency from there (RFC 9162 §2.1.4).
    pub hashes: Vec<Digest>,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}

/// What an anchor gives for a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorReceipt {
    /// The note, with the signatures that the anchor has added.
    pub note: Text,
}

/// Why a checkpoint was not published.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// The anchor stands elsewhere than the publication comes from.
    #[error("it stands at {size} entries")]
    Elsewhere {
        /// At which size.
        size: u64,
    },
    /// The anchor holds something that the log does not lead to.
    #[error("it holds {size} entries of the log, and {why}")]
    Conflict {
        /// Of which size.
        size: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// The anchor could not be reached, or failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
}
