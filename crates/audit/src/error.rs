use stanchion_core::{EventId, StoreError};

use crate::ChainId;

/// What can go wrong in the ledger. That a chain was tampered with is not here: it is a [`Verdict`](crate::Verdict).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An event holds a number that JSON readers would round.
    #[error("`{path}` is {value}, beyond ±(2^53 − 1): give it as text")]
    IntegerTooLarge {
        /// Where in the event, such as `details.sizes[2]`.
        path: String,
        /// The number.
        value: i64,
    },
    /// An event's details are nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("`{path}` is nested more than {} levels deep", crate::MAX_DEPTH)]
    TooDeep {
        /// Where in the event.
        path: String,
    },
    /// An event has more than [`MAX_EVENT_BYTES`](crate::MAX_EVENT_BYTES) canonical bytes.
    #[error("the event has {bytes} bytes, more than {}", crate::MAX_EVENT_BYTES)]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// Bytes are not the canonical form of an event.
    #[error("not a canonical event: expected {expected} at byte {offset}")]
    NotCanonical {
        /// Where, in bytes from the start.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Another event was recorded under this id before. That this happened is recorded too, with the event's whole content.
    #[error("event id {id} was used before for something else")]
    IdReused {
        /// The id.
        id: EventId,
    },
    /// The ledger was closed or its sequencer has ended; the event was not recorded.
    #[error("the ledger takes no more events")]
    Closed,
    /// The commit took too long to wait for. The event is still queued and may yet be recorded.
    #[error("not committed within {} ms, and perhaps not yet", .patience.as_millis())]
    Late {
        /// How long was waited.
        patience: std::time::Duration,
    },
    /// The event is committed, and no checkpoint covered it in time.
    #[error("recorded as entry {seq} of {chain}, and not covered by a checkpoint within {} ms", .patience.as_millis())]
    Uncovered {
        /// The chain.
        chain: ChainId,
        /// The entry's number.
        seq: u64,
        /// How long was waited.
        patience: std::time::Duration,
    },
    /// A newer writer has taken the ledger for itself; see [`Writers`](crate::Writers).
    #[error("a newer writer has taken the ledger over")]
    Fenced,
    /// The key of a page is none of the ledger's.
    #[error("the page key is not valid")]
    InvalidPageKey,
    /// An entry is newer than its chain's checkpoint, which is made anew after [`interval_ms`](crate::CheckpointConfig::interval_ms).
    #[error("entry {seq} of {chain} is not covered by a checkpoint yet, which covers {size}")]
    NotCovered {
        /// The chain.
        chain: ChainId,
        /// The entry's number.
        seq: u64,
        /// How many entries the checkpoint covers.
        size: u64,
    },
    /// The tree over a chain does not prove what it should. Verify the chain.
    #[error("the tree over {chain} does not prove that")]
    NoProof {
        /// The chain.
        chain: ChainId,
    },
    /// A text names no tile of a tree.
    #[error("no tile: expected LEVEL/NUMBER such as 0/x001/067")]
    InvalidTile,
    /// What the store returned for an entry is no canonical event. Verify the chain.
    #[error("entry {seq} of {chain} cannot be read")]
    Unreadable {
        /// The chain.
        chain: ChainId,
        /// The entry's number.
        seq: u64,
    },
    /// A setting is out of its range.
    #[error("{setting}: {rule}")]
    Config {
        /// Which one.
        setting: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
