use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use stanchion_core::Timestamp;

use super::{Standing, State, until};

const MILLION: u64 = 1_000_000;

/// A bucket of tokens that refills steadily: `refill` tokens over each window, up to `capacity`. A new bucket is full.
///
/// Tokens are counted in millionths and a window has a million ticks, so a tick lasts as many microseconds as the window has seconds
/// and brings `refill` millionths: all of it whole numbers, without a remainder that could be lost or won. The state holds what is
/// used, not what is left, and not in units of time: when the limit changes, tokens in use stay in use and come back at the new pace.
///
/// Over any stretch as long as the window at most `capacity + refill` tokens are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    capacity: u64,
    refill: NonZeroU64,
    /// Microseconds per tick: the window's seconds.
    tick: NonZeroU32,
}

impl TokenBucket {
    /// The most tokens a bucket holds or refills in a window. In millionths that is just below 2^53, so scripts that only know
    /// doubles count exactly too.
    pub const MAX: u64 = 9_000_000_000;

    /// Takes the bucket's size, and how many tokens come back over how many seconds.
    ///
    /// `None` when size or refill is zero or above [`TokenBucket::MAX`], or the window is zero or longer than a hundred years.
    #[must_use]
    pub fn new(capacity: u64, refill: u64, window_seconds: u64) -> Option<Self> {
        const CENTURY: u64 = 3_155_760_000;
        if capacity == 0 || capacity > Self::MAX || refill > Self::MAX || window_seconds > CENTURY {
            return None;
        }
        let tick = NonZeroU32::new(u32::try_from(window_seconds).ok()?)?;
        Some(Self { capacity, refill: NonZeroU64::new(refill)?, tick })
    }

    /// Returns how many tokens a full bucket has.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Returns how many tokens come back over a window.
    #[must_use]
    pub const fn refill(&self) -> u64 {
        self.refill.get()
    }

    /// Returns the length of the window in seconds, which is also that of a tick in microseconds.
    #[must_use]
    pub const fn window_seconds(&self) -> u32 {
        self.tick.get()
    }

    pub(super) fn share(&self, parts: u32) -> Self {
        let share = |whole: u64| whole.checked_div(parts.into()).unwrap_or(whole).max(1);
        let refill = NonZeroU64::new(share(self.refill())).unwrap_or(NonZeroU64::MIN);
        Self { capacity: share(self.capacity), refill, ..*self }
    }

    pub(super) fn charge(&self, state: Option<State>, now: Timestamp, cost: u64) -> (State, Standing) {
        // No product below leaves 64 bits: a bucket holds less than 2^53 millionths.
        let full = self.capacity * MILLION;
        let now_tick = self.tick_of(now);
        let (at, used) = match state {
            // What a lowered limit cannot hold any more is forgiven first, or it would have to drain before anything is given.
            Some(state) => (self.tick_of(state.at), state.used.min(full)),
            None => (now_tick, 0),
        };
        let ticks = u64::try_from(now_tick - at).unwrap_or(0);
        let at = at.max(now_tick);
        let used = used.saturating_sub(ticks.saturating_mul(self.refill()));

        let wanted = cost.saturating_mul(MILLION);
        let total = used.saturating_add(wanted);
        let fits = total <= full;
        let kept = if fits { total } else { used };
        let standing = Standing {
            fits,
            remaining: (full - kept) / MILLION,
            reset_after: self.time_to_drain(kept, at, now),
            retry_after: (!fits && wanted <= full).then(|| self.time_to_drain(total - full, at, now)),
        };
        (State { at: Timestamp::from_micros(self.start_of(at)), used: kept }, standing)
    }

    pub(super) fn fresh_at(&self, state: State) -> Timestamp {
        Timestamp::from_micros(self.drained_at(state.used, self.tick_of(state.at)))
    }

    fn tick_of(&self, at: Timestamp) -> i64 {
        at.micros().div_euclid(i64::from(self.tick.get()))
    }

    fn start_of(&self, tick: i64) -> i64 {
        tick.saturating_mul(i64::from(self.tick.get()))
    }

    /// The start of the first tick by which `used` millionths that were in use in tick `at` have come back.
    fn drained_at(&self, used: u64, at: i64) -> i64 {
        let ticks = i64::try_from(used.div_ceil(self.refill())).unwrap_or(i64::MAX);
        self.start_of(at.saturating_add(ticks))
    }

    fn time_to_drain(&self, used: u64, at: i64, now: Timestamp) -> Duration {
        if used == 0 { Duration::ZERO } else { until(self.drained_at(used, at), now) }
    }
}

#[cfg(test)]
mod tests;
