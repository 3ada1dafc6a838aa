use smallvec::SmallVec;
use stanchion_core::{StoreError, StoreErrorKind};

use super::LeasedCounterStore;
use super::account::Account;
use super::survey::is_leased;
use crate::{Call, Charge, Outcome, Slot, Standing};

impl LeasedCounterStore {
    /// Asks the shared store what it has beside what is here.
    pub(super) async fn look(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        let now = self.now(call);
        // What is here of each counter.
        let here: SmallVec<[u64; 8]> = call
            .charges
            .iter()
            .map(|charge| {
                let account = |account: &mut Account| {
                    if *account.limit() == charge.limit { account.left(now) } else { 0 }
                };
                if is_leased(charge) { self.with_account(slot, charge.key, account).unwrap_or(0) } else { 0 }
            })
            .collect();
        let charges: SmallVec<[Charge<'_>; 8]> = call
            .charges
            .iter()
            .zip(&here)
            .map(|(charge, here)| {
                // What costs more than the limit ever gives at once is not helped by what is here.
                let helps = charge.cost <= charge.limit.capacity();
                let cost = if helps { charge.cost.saturating_sub(*here) } else { charge.cost };
                Charge { cost, lease: None, ..*charge }
            })
            .collect();
        let outcome = self.shared.peek(slot, &Call { charges: &charges, ..*call }).await?;
        if outcome.standings().len() != charges.len() {
            return Err(StoreError::new(StoreErrorKind::Corrupt, "leased", "peek"));
        }
        let standings =
            outcome.standings().iter().zip(call.charges).zip(here).map(|((standing, charge), here)| {
                let remaining = standing.remaining.saturating_add(here);
                let remaining = if here > 0 { remaining.min(charge.limit.capacity()) } else { remaining };
                Standing { remaining, ..*standing }
            });
        Ok(Outcome::new(outcome.is_admitted(), outcome.at(), standings))
    }
}
