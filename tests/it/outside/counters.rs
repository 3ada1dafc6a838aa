//! A counter port: counters in one map behind one lock.
//!
//! The arithmetic is not the adapter's: [`Limit::charge`](stanchion_ratelimit::Limit::charge) says what a charge makes of a counter,
//! and [`Limit::settle`](stanchion_ratelimit::Limit::settle) what a correction does. A store that cannot call them, because it counts
//! in another language, has to give the same numbers; the suite compares to the microsecond. What an adapter adds is that a decision
//! over several counters is one step (all that fit are taken, or none), and that a call with a hold is settled once.
//!
//! This one counts by two of the four kernels. It says so, and the suite asks for no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use stanchion_core::{Clock, StoreError, StoreErrorKind, SystemClock, Timestamp};
use stanchion_ratelimit::{
    Call, CallId, Capabilities, Charge, CounterStore, Kernel, Mode, Outcome, Settled, Settlement, Slot,
    Standing, State,
};

const KERNELS: &[Kernel] = &[Kernel::Level, Kernel::FixedWindow];

/// Counters and holds are bounded: nobody can fill the memory by asking under ever new names.
const MOST: usize = 10_000;

#[derive(Debug)]
struct OutsideCounterStore {
    kept: Mutex<Kept>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Kept {
    counters: HashMap<(Slot, Vec<u8>), Counter>,
    /// The calls that can be settled once, and until when.
    holds: HashMap<(Slot, CallId), Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    state: State,
    /// From here on it is as good as new and may be forgotten; never before.
    fresh_at: Timestamp,
}

/// What one charge came to, before anything is written.
struct Charged {
    after: State,
    standing: Standing,
    /// Whether the call takes it.
    taken: bool,
}

const fn error(kind: StoreErrorKind, operation: &'static str) -> StoreError {
    StoreError::new(kind, "outside", operation)
}

/// There may be kernels to come. A store says that it has not this one, rather than count something else.
fn is_known(kernels: impl IntoIterator<Item = Kernel>, operation: &'static str) -> Result<(), StoreError> {
    let is_known = kernels.into_iter().all(|kernel| KERNELS.contains(&kernel));
    if is_known { Ok(()) } else { Err(error(StoreErrorKind::Unsupported, operation)) }
}

impl OutsideCounterStore {
    /// One lock from the first look to the last write: between them no other call sees or changes a counter.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller's time, or the store's own clock where replicas share the store.
    fn time(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
    }
}

impl Kept {
    fn state(&self, slot: Slot, key: &[u8]) -> Option<State> {
        self.counters.get(&(slot, key.to_vec())).map(|counter| counter.state)
    }

    /// Charges every counter on its own, and says whether the call as a whole is admitted and which charges it takes.
    fn evaluate(&self, slot: Slot, charges: &[Charge<'_>], now: Timestamp) -> (bool, Vec<Charged>) {
        let charge = |charge: &Charge<'_>| {
            let (after, standing) = charge.limit.charge(self.state(slot, charge.key), now, charge.cost);
            Charged { after, standing, taken: standing.fits }
        };
        let mut charged: Vec<Charged> = charges.iter().map(charge).collect();
        let refuses = |(charge, charged): (&Charge<'_>, &Charged)| {
            charge.mode == Mode::Enforce && !charged.standing.fits
        };
        let admitted = !charges.iter().zip(&charged).any(refuses);
        if !admitted {
            for (charged, charge) in charged.iter_mut().zip(charges) {
                charged.taken &= charge.charge_denied;
            }
        }
        (admitted, charged)
    }

    /// Tells how the counters stand: after what was taken, and without what would have fitted and was not.
    fn standings(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        charged: &[Charged],
        now: Timestamp,
    ) -> Vec<Standing> {
        let standing = |(charge, charged): (&Charge<'_>, &Charged)| {
            if charged.taken || !charged.standing.fits {
                charged.standing
            } else {
                charge.limit.charge(self.state(slot, charge.key), now, 0).1
            }
        };
        charges.iter().zip(charged).map(standing).collect()
    }

    /// Makes room for so many new counters and holds. A store that is full refuses, rather than forget what is in use.
    fn make_room(
        &mut self,
        counters: usize,
        holds: usize,
        now: Timestamp,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        if self.counters.len() + counters > MOST {
            self.counters.retain(|_, counter| counter.fresh_at > now);
        }
        if self.holds.len() + holds > MOST {
            self.holds.retain(|_, until| *until > now);
        }
        let is_full = self.counters.len() + counters > MOST || self.holds.len() + holds > MOST;
        if is_full { Err(error(StoreErrorKind::Unavailable, operation)) } else { Ok(()) }
    }
}

#[async_trait]
impl CounterStore for OutsideCounterStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(KERNELS, false)
    }

    async fn decide(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        is_known(call.charges.iter().map(|charge| charge.limit.kernel()), "decide")?;
        let (now, mut kept) = (self.time(call.now), self.kept());
        let (admitted, charged) = kept.evaluate(slot, call.charges, now);
        let standings = kept.standings(slot, call.charges, &charged, now);
        let taken = charged.iter().filter(|charged| charged.taken).count();
        let hold = call.hold.filter(|_| admitted);
        // From here on nothing fails, so a call is taken as a whole.
        kept.make_room(taken, usize::from(hold.is_some()), now, "decide")?;
        for (charge, charged) in call.charges.iter().zip(&charged).filter(|(_, charged)| charged.taken) {
            let fresh_at = charge.limit.fresh_at(charged.after);
            kept.counters.insert((slot, charge.key.to_vec()), Counter { state: charged.after, fresh_at });
        }
        if let Some(lasts) = hold {
            kept.holds.insert((slot, call.id), now.plus(lasts));
        }
        Ok(Outcome::new(admitted, now, standings))
    }

    async fn peek(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        is_known(call.charges.iter().map(|charge| charge.limit.kernel()), "peek")?;
        let (now, kept) = (self.time(call.now), self.kept());
        let (admitted, mut charged) = kept.evaluate(slot, call.charges, now);
        charged.iter_mut().for_each(|charged| charged.taken = false);
        Ok(Outcome::new(admitted, now, kept.standings(slot, call.charges, &charged, now)))
    }

    async fn settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        is_known(corrections.iter().map(|correction| correction.limit.kernel()), "settle")?;
        let (now, mut kept) = (self.time(now), self.kept());
        let is_held = kept.holds.get(&(slot, call.id)).is_some_and(|until| *until > now);
        if call.hold && !is_held {
            return Ok(false);
        }
        kept.make_room(corrections.len(), 0, now, "settle")?;
        for Settlement { key, limit, adjustment } in corrections {
            // A counter that was never used stays so, unless something is added.
            if let Some(state) = limit.settle(kept.state(slot, key), now, call.at, *adjustment) {
                let counter = Counter { state, fresh_at: limit.fresh_at(state) };
                kept.counters.insert((slot, key.to_vec()), counter);
            }
        }
        if call.hold {
            kept.holds.remove(&(slot, call.id));
        }
        Ok(true)
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        self.kept().counters.remove(&(slot, key.to_vec()));
        Ok(())
    }
}

async fn empty() -> Arc<dyn CounterStore> {
    Arc::new(OutsideCounterStore { kept: Mutex::default(), clock: Arc::new(SystemClock) })
}

stanchion_ratelimit::counter_store_conformance!(mod outside_counter_store, empty());
