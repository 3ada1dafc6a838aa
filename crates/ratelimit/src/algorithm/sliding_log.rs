use std::time::Duration;

use super::{EntryLimit, Limit};

impl Limit {
    /// Sliding window log: at most `capacity` units over any stretch as long as the window, exactly. Each charge is kept until it is
    /// a window old, so a limit is at most [`EntryLimit::MAX`]; [`sliding_window`](Limit::sliding_window) takes larger ones.
    ///
    /// `None` as for [`EntryLimit::new`].
    #[must_use]
    pub fn sliding_log(capacity: u64, window: Duration) -> Option<Self> {
        EntryLimit::new(capacity, window).map(Self::Entries)
    }
}

#[cfg(test)]
mod tests;
