use super::{Level, Limit};

impl Limit {
    /// Token bucket: a bucket of `capacity` tokens that starts full and is refilled steadily with `refill` tokens over each window.
    ///
    /// Over any stretch as long as the window at most `capacity + refill` tokens are given. `None` when a number is zero or above
    /// [`Level::MAX`], or the window is longer than a hundred years.
    #[must_use]
    pub fn token_bucket(capacity: u64, refill: u64, window_seconds: u64) -> Option<Self> {
        Level::new(capacity, refill, window_seconds).map(Self::Level)
    }
}
