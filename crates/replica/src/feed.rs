use std::fmt;

use async_trait::async_trait;
use stanchion_core::{FeedCursor, FeedPage, StoreError, SystemScope};

/// The changes to a store's records, in an order that never leaves one out. Every record port has it.
///
/// 1. A page that begins at a cursor holds every change committed after the page the cursor came with, oldest first; the entries of
///    one scope come in the order of their revisions.
/// 2. Without a cursor the page is empty and its cursor stands at the present; `reset` is true.
/// 3. A cursor too old to continue from gives an empty page at the present with `reset` set, never a gap.
#[async_trait]
pub trait ChangeFeed: fmt::Debug + Send + Sync {
    /// Returns at most `limit` changes after `cursor`.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read; `Corrupt` for a cursor that is not its own.
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError>;

    /// Completes when something may have changed. Without a bus it never does, and followers poll.
    async fn arrived(&self) {
        std::future::pending().await
    }
}
