use std::sync::Arc;

use crate::{Actor, Event, Revision, Scope, Timestamp};

/// What a record port writes as one atomic unit.
#[derive(Clone, Debug)]
pub struct Change<C> {
    /// The revision the rules were checked against; the write is a conflict when the scope has moved on.
    pub expected: Revision,
    /// The single writes, in order.
    pub changes: Vec<C>,
    /// When it happens.
    pub at: Timestamp,
    /// Who does it.
    pub actor: Actor,
    /// Events committed with the change and delivered at least once, in order per scope. Empty discards them.
    pub events: Vec<Event>,
}

/// Where a follower stands in a change feed. Opaque: only the adapter that made it can read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeedCursor(Arc<str>);

impl FeedCursor {
    /// Takes what an adapter wrote.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns what the adapter wrote.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One committed change, as a follower sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Where it happened.
    pub scope: Scope,
    /// The revision it made.
    pub revision: Revision,
    /// The keys it changed, in the words of the domain.
    pub keys: Vec<Arc<str>>,
}

/// A part of a change feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage {
    /// The changes, oldest first; none is left out between two pages.
    pub entries: Vec<FeedEntry>,
    /// Where to go on.
    pub cursor: FeedCursor,
    /// True when the cursor was too old to be continued: the follower must reload everything it holds.
    pub reset: bool,
}
