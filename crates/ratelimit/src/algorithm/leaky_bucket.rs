use super::{Level, Limit};

impl Limit {
    /// Leaky bucket as a meter: each request pours in its cost, `leak` units run out over each window, and what would overflow
    /// `capacity` is refused. The mirror image of a token bucket, and exactly as strict: at most `capacity + leak` over any stretch as
    /// long as the window. `None` as for [`token_bucket`](Limit::token_bucket).
    #[must_use]
    pub fn leaky_bucket(capacity: u64, leak: u64, window_seconds: u64) -> Option<Self> {
        Level::new(capacity, leak, window_seconds).map(Self::Level)
    }

    /// Leaky bucket as a queue: requests leave one after the other, `leak` over each window, in the order they came. One goes at
    /// once; up to `length` more are admitted with the [delay](super::Standing::delay) after which it is their turn; others are
    /// refused. If each waits as told, at most `leak + 1` go over any stretch as long as the window, whatever comes in.
    ///
    /// A place in the queue is a charge like any other: who does not wait gives it back as [`Return`](super::Adjustment::Return). It
    /// is [settled](Limit::settle) as charged at its turn, the time of the decision and the delay, since until then it is those before
    /// it that drain. As charged at the decision it would be taken for what has drained since. `None` as for
    /// [`token_bucket`](Limit::token_bucket).
    #[must_use]
    pub fn leaky_queue(length: u64, leak: u64, window_seconds: u64) -> Option<Self> {
        let waiting = length.checked_mul(Level::UNIT)?;
        Level::new(1, leak, window_seconds)?.with_late(waiting).map(Self::Level)
    }
}

#[cfg(test)]
mod tests;
