use super::{Level, Limit};

impl Limit {
    /// Generic cell rate algorithm: requests are spaced evenly, `limit` over each window, and up to `burst` may come at once.
    ///
    /// The theoretical arrival time of ITU-T I.371 is the instant at which the [`Level`] is drained, and a request conforms while
    /// that is at most `burst - 1` emission intervals away. The level is kept instead of the time, in units and not in seconds, so
    /// that a changed limit converts what is used, and intervals that are no whole microseconds lose nothing.
    ///
    /// Over any stretch as long as the window at most `limit + burst` are admitted, and after the first of them evenly. `None` as for [`token_bucket`](Limit::token_bucket); a `burst` of zero is one.
    #[must_use]
    pub fn gcra(limit: u64, burst: u64, window_seconds: u64) -> Option<Self> {
        Level::new(burst.max(1), limit, window_seconds).map(Self::Level)
    }
}

#[cfg(test)]
mod tests;
