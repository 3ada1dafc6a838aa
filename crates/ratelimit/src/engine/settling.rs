//! What is charged before it is known what it costs, and what comes back.

use std::time::Duration;

use stanchion_core::Scope;

use super::errands::Errand;
use super::plan::Plan;
use super::{Ask, Engine};
use crate::receipt::{Correction, LONGEST_HOLD};
use crate::snapshot::Stage;
use crate::{CounterStore as _, Decision, Error, Receipt, Request, Reservation, Settle, Slot};

/// How a request ended, as far as limits ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It did what it was to do: a log-in with the right password.
    Success,
    /// It did not.
    Failure,
}

impl Engine {
    /// Decides as [`decide`](Engine::decide) does, by an estimate of what the request will cost, and keeps the charge apart so that
    /// it can be [committed](Engine::commit) or [released](Engine::release), once, within `ttl` (at most a day). A refusal has no
    /// reservation. What is neither committed nor released by then has cost the estimate.
    ///
    /// # Errors
    /// As [`decide`](Engine::decide).
    pub async fn reserve(
        &self,
        stage: Stage,
        request: &Request<'_>,
        ttl: Duration,
    ) -> Result<(Decision, Option<Reservation>), Error> {
        let ttl = ttl.min(LONGEST_HOLD);
        let mut decision = self.run_stage(stage, Ask::Hold(ttl), request).await?;
        let reservation = decision.receipt.take().filter(|_| decision.is_admitted()).map(|receipt| {
            let expires_at = receipt.call.at.plus(ttl);
            Reservation { receipt: *receipt, expires_at }
        });
        Ok((decision, reservation))
    }

    /// Settles a reservation by what the request has really cost, which may be more than was reserved. Tells whether it did: a
    /// reservation is settled once, and not after it has expired.
    ///
    /// # Errors
    /// [`Error::Store`] when the counters cannot be reached.
    pub async fn commit(&self, reservation: &Reservation, actual: u64) -> Result<bool, Error> {
        self.settle(&reservation.receipt, Settle::Cost(actual)).await
    }

    /// Gives a reservation back. Tells whether it did, as [`commit`](Engine::commit).
    ///
    /// # Errors
    /// [`Error::Store`] when the counters cannot be reached.
    pub async fn release(&self, reservation: &Reservation) -> Result<bool, Error> {
        self.settle(&reservation.receipt, Settle::Release).await
    }

    /// Corrects what a decision has charged. Tells whether it did: a receipt of a reservation is settled once.
    ///
    /// # Errors
    /// [`Error::Store`] when the counters cannot be reached.
    pub async fn settle(&self, receipt: &Receipt, settle: Settle) -> Result<bool, Error> {
        if let Some(settled) = self.try_settle(receipt, settle) {
            return settled;
        }
        let now = self.time(self.clock.now());
        for Correction { call, settlements } in receipt.corrections(settle).into_iter().filter(is_owed) {
            if !self.counters.settle(receipt.slot, call, &settlements, now).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Corrects what a decision has charged, without waiting: at once where counters are memory, else by [`run`](Engine::run).
    pub fn settle_soon(&self, receipt: Receipt, settle: Settle) {
        if self.try_settle(&receipt, settle).is_none() {
            self.errands.add(scope_of(receipt.slot), Errand::Settle(receipt, settle));
        }
    }

    /// Tells how a request ended: a success clears the counters of the rules that say `reset_on_success`, and their ladders.
    ///
    /// # Errors
    /// [`Error::Store`] when the rules cannot be read or the counters cannot be reached; some may have been cleared then.
    pub async fn record_outcome(
        &self,
        stage: Stage,
        request: &Request<'_>,
        outcome: RequestOutcome,
    ) -> Result<(), Error> {
        if outcome == RequestOutcome::Success {
            let now = self.clock.now();
            let plan = Plan::new(self.rules_for(stage, request, now).await?, stage, request, now);
            for key in plan.keys_where(|rule| rule.reset_on_success) {
                self.counters.reset(plan.slot, &key).await?;
            }
        }
        Ok(())
    }

    /// Tells how a request ended that has a receipt, without waiting: its leases are given back, and a success clears what it is to
    /// clear, at once where counters are memory, else by [`run`](Engine::run).
    pub fn record_outcome_soon(&self, receipt: Receipt, outcome: RequestOutcome) {
        if outcome == RequestOutcome::Success {
            for item in &receipt.items {
                if let Some(ladder) = &item.cleared {
                    for key in [&item.key, ladder] {
                        self.errands.add(scope_of(receipt.slot), Errand::Reset(receipt.slot, (**key).into()));
                    }
                }
            }
        }
        self.settle_soon(receipt, Settle::Finish);
    }

    /// Clears what the counters of a request have counted: for a caller who was wronged, or who has proved to be no robot.
    ///
    /// # Errors
    /// [`Error::Store`] when the rules cannot be read or the counters cannot be reached; some may have been cleared then.
    pub async fn reset(&self, stage: Stage, request: &Request<'_>) -> Result<(), Error> {
        let now = self.clock.now();
        let plan = Plan::new(self.rules_for(stage, request, now).await?, stage, request, now);
        for key in plan.keys_where(|_| true) {
            self.counters.reset(plan.slot, &key).await?;
        }
        Ok(())
    }

    /// Settles in memory; `None` when that takes waiting, and then nothing has been settled.
    fn try_settle(&self, receipt: &Receipt, settle: Settle) -> Option<Result<bool, Error>> {
        let now = self.clock.now();
        for Correction { call, settlements } in receipt.corrections(settle).into_iter().filter(is_owed) {
            let settled = if receipt.local {
                self.local.try_settle(receipt.slot, call, &settlements, Some(now))
            } else {
                self.counters.try_settle(receipt.slot, call, &settlements, self.time(now))
            };
            match settled? {
                Ok(true) => {}
                Ok(false) => return Some(Ok(false)),
                Err(error) => return Some(Err(error.into())),
            }
        }
        Some(Ok(true))
    }
}

fn is_owed(correction: &Correction<'_>) -> bool {
    !correction.is_empty()
}

/// Whose share of the errands it takes.
const fn scope_of(slot: Slot) -> Scope {
    match slot {
        Slot::Tenant(tenant) => Scope::Tenant(tenant),
        Slot::Edge | Slot::Platform => Scope::Platform,
    }
}
