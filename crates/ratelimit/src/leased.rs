mod account;
mod ask;
mod landing;
mod looking;
mod lot;
mod settling;
mod survey;
mod table;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use stanchion_core::{Clock, StoreError, Timer, Timestamp};

use self::ask::{Next, Patience, Refusal};
use self::lot::Owed;
use self::survey::{Survey, is_leased, settle_one};
use self::table::Table;
use crate::memory::name::SlotId;
use crate::{
    Adjustment, Call, CallId, Capabilities, Charge, CounterStore, Lease, Level, Limit, Outcome, Settled,
    Settlement, Slot,
};

/// How often [`LeasedCounterStore::run`] looks for units that nobody used.
const INTERVAL: Duration = Duration::from_millis(500);
/// How often a refused call looks again whether what it lacked has come back with another call.
const ROUNDS: u32 = 16;
/// How many returns are on their way at once.
const RETURNS: usize = 32;

/// Takes quota from a store that is shared, in chunks, and gives it out without asking again.
///
/// Only charges with a [`Lease`] are decided so; all others, and all of the kernel [`Entries`](crate::Kernel::Entries) or with a
/// queue, go to the shared store as they are.
///
/// # What is decided here
///
/// A chunk is charged at the shared store when it is taken, so all replicas together never hold and use more than the limit gives.
/// From then on a decision subtracts: [`try_decide`](CounterStore::try_decide) answers when every charge of the call is covered by what
/// is here, or is known to be refused. Else [`decide`](CounterStore::decide) asks the shared store once, for a chunk of each counter
/// that has too little and for all charges that are not leased, all or nothing. Where no whole chunk is left it asks for a part of what
/// is, and at last for no more than the cost: one replica alone can use up a limit exactly. Of several, one may be refused while
/// another still holds units; it gets them when they come back.
///
/// One call at a time fetches for a counter. Others wait for it, once, and then ask for what they need and no more. While a call is on
/// its way that holds units or brings some, nobody is refused for want of them: who would be looks again when it is back.
///
/// A refusal by the shared store is remembered until the refused amount fits, but never for longer than the lease's `ttl` and never
/// under another limit, so a flood of refused requests stays here. What is remaining of a counter is told as what is left here and
/// what the shared store had left when it was last asked.
///
/// A call with a hold always reaches the shared store, which remembers it, but takes from what is here. Corrections go to the units
/// here first, up to the size of the chunk they came in, and then to the shared store.
///
/// # Where units go
///
/// Units are given out until the lease's `ttl` is over, or the window that they were charged to, or all that the counter has counted is
/// back, whichever is first. What is left then is given back: by the next call that needs the counter, by [`run`](Self::run), which
/// looks every half second, or by [`flush`](Self::flush). A changed limit ends them too. If nobody runs it, units of counters that are
/// not asked for again stay charged until their window ends or the level has drained. So do those of a replica that dies, or of an
/// answer that got lost: there is nothing to clean up.
///
/// A [`reset`](CounterStore::reset) forgets what is here. What other replicas hold of the counter they still give out, for at most
/// its `ttl`.
///
/// # How exact it is
///
/// See [`Lease::overshoot`].
///
/// # Bounds
///
/// An account takes about 250 bytes, and there are at most as many as the store was made for; a counter that finds no room is decided
/// by the shared store, exactly. `clock` decides when units end wherever callers leave the time to the store; callers that state it
/// must go by the same clock.
pub struct LeasedCounterStore {
    shared: Arc<dyn CounterStore>,
    clock: Arc<dyn Clock>,
    table: Table,
    asked: AtomicU64,
    returned: AtomicU64,
    lost: AtomicU64,
}

/// What a [`LeasedCounterStore`] has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeasedStats {
    /// How many calls with leased charges were decided without the shared store.
    pub decided_here: u64,
    /// How many of them asked it.
    pub asked: u64,
    /// How many units were given back to it unused.
    pub returned: u64,
    /// How many units could neither be used nor given back. They come back with their window, or as the level drains.
    pub lost: u64,
    /// How many accounts are open.
    pub accounts: usize,
}

impl Lease {
    /// Returns how many units more than exact counting would all replicas together may admit of one counter, at most.
    ///
    /// Windows: none. Units are charged to a window and end with it, and that is measured as time that passes, so clocks may differ
    /// between replicas and stores. Only a clock that is set back while units are held lets them be used in the next window: then up
    /// to `replicas` chunks, once.
    ///
    /// Levels drain also what is charged and not used yet, so over any stretch of time up to `replicas` chunks may be admitted beyond
    /// the capacity and what has drained, or what drains within the `ttl`, whichever is less.
    ///
    /// A limit that is not leasable has none.
    #[must_use]
    pub fn overshoot(self, limit: &Limit, replicas: NonZeroU32) -> u64 {
        let Limit::Level(level) = limit else { return 0 };
        if level.late() > 0 {
            return 0;
        }
        let chunks = self.chunk.get().min(limit.capacity()).saturating_mul(replicas.get().into());
        // Every decision of a leased rule tells it, and wide division is slow.
        let ttl = u64::try_from(self.ttl.as_micros()).unwrap_or(u64::MAX);
        let ticks = ttl.div_ceil(u64::from(level.window_seconds()).max(1)).saturating_add(1);
        let drains = ticks.checked_mul(level.refill()).map(|drains| drains.div_ceil(Level::UNIT));
        chunks.min(drains.unwrap_or(u64::MAX))
    }
}

impl LeasedCounterStore {
    /// Makes a store that takes chunks from `shared`, for at most about `capacity` counters (at least 64).
    #[must_use]
    pub fn new(shared: Arc<dyn CounterStore>, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let (asked, returned, lost) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { shared, clock, table: Table::new(capacity), asked, returned, lost }
    }

    /// Returns how many of so many replicas' units a charge can be beyond its limit: see [`Lease::overshoot`]. Zero for a charge that
    /// the shared store decides.
    #[must_use]
    pub fn overshoot(charge: &Charge<'_>, replicas: NonZeroU32) -> u64 {
        charge.lease.filter(|_| is_leased(charge)).map_or(0, |lease| lease.overshoot(&charge.limit, replicas))
    }

    /// Returns what it has done.
    #[must_use]
    pub fn stats(&self) -> LeasedStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (asked, returned, lost) = (read(&self.asked), read(&self.returned), read(&self.lost));
        let mut stats = LeasedStats { asked, returned, lost, ..LeasedStats::default() };
        self.table.for_each(|shard| {
            stats.decided_here += shard.decided;
            stats.accounts += shard.len();
        });
        stats
    }

    /// Gives back what may not be used any more, and forgets counters that have nothing left to tell.
    ///
    /// # Errors
    /// The shared store's first failure. Units that it did not take are lost until they come back by themselves.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let (now, mut owed) = (self.clock.now(), Vec::new());
        self.table.for_each(|shard| {
            shard.sweep(now, &mut owed);
        });
        self.give_back(owed).await
    }

    /// Gives back everything that is here: before the process ends, so that the others can use it at once.
    ///
    /// # Errors
    /// As [`sweep`](Self::sweep).
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (now, mut owed) = (self.clock.now(), Vec::new());
        self.table.for_each(|shard| shard.empty(now, &mut owed));
        self.give_back(owed).await
    }

    /// Sweeps every half second until the future is dropped. `trouble` hears of every failure.
    pub async fn run(&self, timer: &dyn Timer, trouble: impl Fn(&StoreError) + Send + Sync) {
        loop {
            timer.sleep_until(self.clock.now().plus(INTERVAL)).await;
            if let Err(error) = self.sweep().await {
                trouble(&error);
            }
        }
    }

    async fn give_back(&self, owed: Vec<Owed>) -> Result<(), StoreError> {
        let returns = owed.into_iter().map(|owed| self.give_one_back(owed));
        let results = stream::iter(returns).buffer_unordered(RETURNS);
        results.fold(Ok(()), |all, one| async move { all.and(one) }).await
    }

    async fn give_one_back(&self, owed: Owed) -> Result<(), StoreError> {
        let Owed { slot, key, limit, units, charged } = owed;
        let call = Settled { id: CallId::default(), at: charged, hold: false };
        let correction = Settlement { key: &key, limit, adjustment: Adjustment::Return(units) };
        let returned = self.shared.settle(slot, call, &[correction], None).await;
        match &returned {
            Ok(_) => {
                self.returned.fetch_add(units, Ordering::Relaxed);
                self.with_account(slot, &key, account::Account::forget);
            }
            Err(_) => self.lose(units),
        }
        returned.map(drop)
    }

    fn lose(&self, units: u64) {
        if units > 0 {
            self.lost.fetch_add(units, Ordering::Relaxed);
        }
    }

    fn now(&self, call: &Call<'_>) -> Timestamp {
        call.now.unwrap_or_else(|| self.clock.now())
    }
}

#[async_trait]
impl CounterStore for LeasedCounterStore {
    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities().with_leases()
    }

    async fn decide(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        if !call.charges.iter().any(is_leased) {
            return self.shared.decide(slot, call).await;
        }
        let (mut patience, mut rounds) = (Patience::Waits, 0);
        loop {
            match self.prepare(slot, call, patience) {
                Next::Decided(outcome) => return Ok(outcome),
                Next::Wait(landed, awaited) => {
                    landed.await;
                    patience = Patience::WaitsFor(awaited);
                }
                Next::Ask(ask, owed) => {
                    self.asked.fetch_add(1, Ordering::Relaxed);
                    let (outcome, refusal) = ask.run(owed).await?;
                    rounds += 1;
                    if refusal == Refusal::Final || rounds == ROUNDS {
                        return Ok(outcome);
                    }
                    patience = Patience::Waits;
                }
            }
        }
    }

    fn try_decide(&self, slot: Slot, call: &Call<'_>) -> Option<Result<Outcome, StoreError>> {
        if !call.charges.iter().any(is_leased) {
            return self.shared.try_decide(slot, call);
        }
        if !call.charges.iter().all(is_leased) {
            return None;
        }
        let now = self.now(call);
        let outcome = match call.charges {
            [charge] => settle_one(&self.table, slot.into(), charge, call, now),
            _ => Survey::new(&self.table, slot.into(), call, now).settle(call, now),
        };
        outcome.map(Ok)
    }

    async fn peek(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        if !call.charges.iter().any(is_leased) {
            return self.shared.peek(slot, call).await;
        }
        self.look(slot, call).await
    }

    async fn settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        match self.settle_here(slot, call, corrections, now) {
            Some(settled) => Ok(settled),
            None => self.settle_both(slot, call, corrections, now).await,
        }
    }

    fn try_settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Option<Result<bool, StoreError>> {
        if let Some(settled) = self.settle_here(slot, call, corrections, now) {
            return Some(Ok(settled));
        }
        if corrections.iter().any(|one| self.with_account(slot, one.key, |_| ()).is_some()) {
            return None;
        }
        self.shared.try_settle(slot, call, corrections, now)
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        self.shared.reset(slot, key).await?;
        let slot = SlotId::from(slot);
        let address = self.table.address(slot, key);
        self.table.lock(address.shard).close(address.hash, slot.with(key));
        // Who waited for units of the counter as it was has to look again.
        self.table.landed(address.shard).notify_waiters();
        Ok(())
    }
}

impl fmt::Debug for LeasedCounterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedCounterStore")
            .field("shared", &self.shared)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
