use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use stanchion_core::{Clock, Timer};

use crate::{Decision, Engine, Receipt, RequestOutcome, Settle};

/// What an admitted request has charged and still owes, kept beside it while it is served. However it ends, dropped or told, its
/// leases are given back; who leaves while it waits for its turn gives back everything.
#[derive(Debug)]
pub struct Charged {
    engine: Arc<Engine>,
    receipts: SmallVec<[Box<Receipt>; 2]>,
    is_waiting: bool,
}

impl Charged {
    /// Begins with nothing.
    #[must_use]
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: Arc::clone(engine), receipts: SmallVec::new(), is_waiting: false }
    }

    /// Takes over what a decision has charged.
    pub fn add(&mut self, decision: &mut Decision) {
        self.receipts.extend(decision.receipt.take());
    }

    /// Tells whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }

    /// Gives back everything that was charged and can be: the request was not served.
    pub fn release(mut self) {
        self.is_waiting = true;
    }

    /// Leaves everything charged: how the request ends is not known here, and its leases end by themselves.
    pub fn keep(mut self) {
        self.receipts.clear();
    }

    /// Waits for the request's turn. Dropped meanwhile, the request gives its place back.
    pub async fn wait(&mut self, delay: Duration, clock: &dyn Clock, timer: &dyn Timer) {
        if !delay.is_zero() {
            self.is_waiting = true;
            timer.sleep_until(clock.now().plus(delay)).await;
            self.is_waiting = false;
        }
    }

    /// Tells how the request ended. One that still waited for its turn has not been served, and gives everything back.
    pub fn end(mut self, outcome: RequestOutcome) {
        if self.is_waiting {
            return;
        }
        for receipt in self.receipts.drain(..) {
            self.engine.record_outcome_soon(*receipt, outcome);
        }
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        let settle = if self.is_waiting { Settle::Release } else { Settle::Finish };
        for receipt in self.receipts.drain(..) {
            self.engine.settle_soon(*receipt, settle);
        }
    }
}
