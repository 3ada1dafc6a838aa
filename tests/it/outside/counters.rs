//! A counter port: counters in one map behind one lock.
//!
//! The arithmetic is not the adapter's: [`Limit::charge`](stanchion_ratelimit::Limit::charge) says what a charge makes of a counter. A
//! store that cannot call it, because it counts in another language, has to give the same numbers; the suite compares to the
//! microsecond. What an adapter adds is that a decision over several counters is one step: all that fit are taken, or none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use stanchion_core::{Clock, StoreError, StoreErrorKind, SystemClock, Timestamp};
use stanchion_ratelimit::{
    Algorithm, Capabilities, Charge, CounterStore, Mode, Outcome, Slot, Standing, State,
};

/// The counters of this store are bounded: nobody can fill the memory by asking under ever new names.
const MOST: usize = 10_000;

#[derive(Debug)]
struct OutsideCounterStore {
    counters: Mutex<Counters>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Counters(HashMap<(Slot, Vec<u8>), Counter>);

#[derive(Clone, Copy, Debug)]
struct Counter {
    state: State,
    /// From here on it is as good as new and may be forgotten; never before.
    fresh_at: Timestamp,
}

/// What became of a decision, before anything is written.
struct Evaluation {
    admitted: bool,
    charged: Vec<(State, Standing)>,
}

impl OutsideCounterStore {
    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller's time, or the store's own clock where replicas share the store.
    fn time(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
    }
}

impl Counters {
    fn state(&self, slot: Slot, charge: &Charge<'_>) -> Option<State> {
        self.0.get(&(slot, charge.key.to_vec())).map(|counter| counter.state)
    }

    fn evaluate(&self, slot: Slot, charges: &[Charge<'_>], now: Timestamp) -> Evaluation {
        let charge = |charge: &Charge<'_>| charge.limit.charge(self.state(slot, charge), now, charge.cost);
        let charged: Vec<(State, Standing)> = charges.iter().map(charge).collect();
        let refuses = |(charge, (_, standing)): (&Charge<'_>, &(State, Standing))| {
            charge.mode == Mode::Enforce && !standing.fits
        };
        Evaluation { admitted: !charges.iter().zip(&charged).any(refuses), charged }
    }

    /// Takes the charges that fit.
    fn take(
        &mut self,
        slot: Slot,
        charges: &[Charge<'_>],
        charged: &[(State, Standing)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let fitting = || charges.iter().zip(charged).filter(|(_, (_, standing))| standing.fits);
        if self.0.len() + fitting().count() > MOST {
            self.0.retain(|_, counter| counter.fresh_at > now);
        }
        if self.0.len() + fitting().count() > MOST {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "outside", "decide"));
        }
        for (charge, (state, _)) in fitting() {
            let counter = Counter { state: *state, fresh_at: charge.limit.fresh_at(*state) };
            self.0.insert((slot, charge.key.to_vec()), counter);
        }
        Ok(())
    }

    /// Tells how the counters stand when nothing was taken: those that would have fitted, as if nothing had been asked.
    fn untouched(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        charged: Vec<(State, Standing)>,
        now: Timestamp,
    ) -> Vec<Standing> {
        let untouched = |(charge, (_, standing)): (&Charge<'_>, (State, Standing))| {
            if standing.fits { charge.limit.charge(self.state(slot, charge), now, 0).1 } else { standing }
        };
        charges.iter().zip(charged).map(untouched).collect()
    }
}

#[async_trait]
impl CounterStore for OutsideCounterStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(&[Algorithm::TokenBucket, Algorithm::FixedWindow], false)
    }

    async fn decide(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Option<Timestamp>,
    ) -> Result<Outcome, StoreError> {
        let now = self.time(now);
        // One lock from the first look to the last write: between them no other call sees or changes a counter.
        let mut counters = self.counters();
        let Evaluation { admitted, charged } = counters.evaluate(slot, charges, now);
        if !admitted {
            return Ok(Outcome::new(false, counters.untouched(slot, charges, charged, now)));
        }
        counters.take(slot, charges, &charged, now)?;
        Ok(Outcome::new(true, charged.into_iter().map(|(_, standing)| standing)))
    }

    async fn peek(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Option<Timestamp>,
    ) -> Result<Outcome, StoreError> {
        let now = self.time(now);
        let counters = self.counters();
        let Evaluation { admitted, charged } = counters.evaluate(slot, charges, now);
        Ok(Outcome::new(admitted, counters.untouched(slot, charges, charged, now)))
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        self.counters().0.remove(&(slot, key.to_vec()));
        Ok(())
    }
}

async fn empty() -> Arc<dyn CounterStore> {
    Arc::new(OutsideCounterStore { counters: Mutex::default(), clock: Arc::new(SystemClock) })
}

stanchion_ratelimit::counter_store_conformance!(mod outside_counter_store, empty());
