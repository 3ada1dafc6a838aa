use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use stanchion_core::Timestamp;

use super::{Adjustment, Standing, State, part_of, until};

/// What is used of a capacity and drains steadily: `refill` units over each window.
///
/// Units are counted in millionths and a window has a million ticks, so a tick lasts as many microseconds as the window has seconds
/// and brings `refill` millionths: all of it whole numbers, without a remainder that could be lost or won. The state holds what is
/// used, not what is left, and not in units of time: when the limit changes, units in use stay in use and come back at the new pace.
///
/// Beyond the capacity a level may be `late`: so much more is admitted, each with the delay after which it would have fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    capacity: u64,
    /// In millionths.
    late: u64,
    refill: NonZeroU64,
    /// Microseconds per tick: the window's seconds.
    tick: NonZeroU32,
}

impl Level {
    /// The most units a level holds or drains in a window. In millionths that is just below 2^53, so scripts that only know doubles
    /// count exactly too.
    pub const MAX: u64 = 9_000_000_000;

    /// A unit, in the millionths that states count in.
    pub const UNIT: u64 = 1_000_000;

    /// The most millionths that are counted, 2^53 − 1.
    const EXACT: u64 = (1 << 53) - 1;

    /// Takes the capacity, and how many units come back over how many seconds.
    ///
    /// `None` when capacity or refill is zero or above [`Level::MAX`], or the window is zero or longer than a hundred years.
    #[must_use]
    pub fn new(capacity: u64, refill: u64, window_seconds: u64) -> Option<Self> {
        const CENTURY: u64 = 3_155_760_000;
        if capacity == 0 || capacity > Self::MAX || refill > Self::MAX || window_seconds > CENTURY {
            return None;
        }
        let tick = NonZeroU32::new(u32::try_from(window_seconds).ok()?)?;
        Some(Self { capacity, late: 0, refill: NonZeroU64::new(refill)?, tick })
    }

    /// Admits up to `late` millionths beyond the capacity, with a delay. `None` when that and the capacity are more than is counted.
    #[must_use]
    pub fn with_late(self, late: u64) -> Option<Self> {
        (self.full().checked_add(late)? <= Self::EXACT).then_some(Self { late, ..self })
    }

    /// Admits what comes too early with the delay that it needs, up to a bound, which is rounded down to millionths of the window.
    ///
    /// By a clock that is behind another that has counted here, delays are longer by as much.
    #[must_use]
    pub fn with_delay(self, most: Duration) -> Self {
        let ticks = u64::try_from(most.as_micros()).unwrap_or(u64::MAX) / u64::from(self.tick.get());
        let late = ticks.saturating_mul(self.refill()).min(Self::EXACT.saturating_sub(self.full()));
        Self { late, ..self }
    }

    /// Returns how many units an unused counter gives at once.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Returns how many millionths may be late.
    #[must_use]
    pub const fn late(&self) -> u64 {
        self.late
    }

    /// Returns how many units come back over a window.
    #[must_use]
    pub const fn refill(&self) -> u64 {
        self.refill.get()
    }

    /// Returns the length of the window in seconds, which is also that of a tick in microseconds.
    #[must_use]
    pub const fn window_seconds(&self) -> u32 {
        self.tick.get()
    }

    /// Returns the most millionths that are held against anybody: the capacity twice, and what may be late, as far as that is counted.
    /// What corrections add beyond it is forgiven, and so is what a lowered limit could not have given.
    #[must_use]
    pub fn ceiling(&self) -> u64 {
        self.full().saturating_mul(2).saturating_add(self.late).min(Self::EXACT)
    }

    pub(super) fn part(&self, numerator: u32, denominator: u32) -> Self {
        let part = |whole: u64| part_of(whole, numerator, denominator);
        let refill = NonZeroU64::new(part(self.refill())).unwrap_or(NonZeroU64::MIN);
        let late = if self.late == 0 { 0 } else { part(self.late) };
        Self { capacity: part(self.capacity), late, refill, ..*self }
    }

    #[inline]
    pub(super) fn charge(&self, state: Option<State>, now: Timestamp, cost: u64) -> (State, Standing) {
        // No product below leaves 64 bits: a level holds less than 2^53 millionths.
        let full = self.full();
        let most = full + self.late;
        let (at, used) = self.drained(state, now);
        let wanted = cost.saturating_mul(Self::UNIT);
        let total = used.saturating_add(wanted);
        // Nothing asked for always fits, also beyond the capacity.
        let fits = total <= most || cost == 0;
        let kept = if fits { total } else { used };
        let late = if fits && cost > 0 { total.saturating_sub(full) } else { 0 };
        let standing = Standing {
            fits,
            remaining: full.saturating_sub(kept) / Self::UNIT,
            reset_after: self.time_to_drain(kept, at, now),
            retry_after: (!fits && wanted <= most).then(|| self.time_to_drain(total - most, at, now)),
            delay: self.time_to_drain(late, at, now),
        };
        (State { at: shown(state, now), used: kept }, standing)
    }

    pub(super) fn settle(
        &self,
        state: Option<State>,
        now: Timestamp,
        charged: Timestamp,
        adjustment: Adjustment,
    ) -> Option<State> {
        let (at, used) = self.drained(state, now);
        let used = match adjustment {
            Adjustment::Add(units) => {
                used.saturating_add(units.saturating_mul(Self::UNIT)).min(self.ceiling())
            }
            Adjustment::Return(units) => {
                state?;
                let ticks = u64::try_from(at - self.tick_of(charged)).unwrap_or(0);
                let come_back = ticks.saturating_mul(self.refill());
                used.saturating_sub(units.saturating_mul(Self::UNIT).saturating_sub(come_back))
            }
        };
        Some(State { at: shown(state, now), used })
    }

    pub(super) fn fresh_at(&self, state: State) -> Timestamp {
        Timestamp::from_micros(self.drained_at(state.used, self.tick_of(state.at)))
    }

    const fn full(&self) -> u64 {
        self.capacity * Self::UNIT
    }

    /// The tick of `now`, or a later one that was counted in already, and what is still used in it.
    fn drained(&self, state: Option<State>, now: Timestamp) -> (i64, u64) {
        let now_tick = self.tick_of(now);
        let (at, used) = match state {
            // What a lowered limit cannot hold any more is forgiven first, or it would have to drain before anything is given.
            Some(state) => (self.tick_of(state.at), state.used.min(self.ceiling())),
            None => (now_tick, 0),
        };
        let ticks = u64::try_from(now_tick - at).unwrap_or(0);
        (at.max(now_tick), used.saturating_sub(ticks.saturating_mul(self.refill())))
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

/// The latest time that was counted in. It is kept to the microsecond: under another limit it may lie in another tick.
fn shown(state: Option<State>, now: Timestamp) -> Timestamp {
    state.map_or(now, |state| state.at.max(now))
}

#[cfg(test)]
mod tests;
