use std::time::Duration;

use super::{EntryLimit, Limit};

impl Limit {
    /// Concurrency limit: at most `capacity` units at the same time. A charge is a lease: it is given back when its work has ended,
    /// and ends by itself after `ttl`, so that the leases of a process that died do not stay for ever.
    ///
    /// `None` as for [`EntryLimit::new`].
    #[must_use]
    pub fn concurrency(capacity: u64, ttl: Duration) -> Option<Self> {
        EntryLimit::new(capacity, ttl).map(Self::Entries)
    }
}

#[cfg(test)]
mod tests;
