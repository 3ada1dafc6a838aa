use smallvec::SmallVec;
use stanchion_core::{StoreError, Timestamp};

use super::LeasedCounterStore;
use super::account::Account;
use super::lot::returnable;
use super::table::Guards;
use crate::memory::name::SlotId;
use crate::{Adjustment, Limit, Settled, Settlement, Slot};

/// What becomes of a correction here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// There is no lot that it could be made to.
    Elsewhere,
    /// So much is made here, and so much more at the shared store.
    Here { here: u64, elsewhere: u64 },
}

type Corrections<'a> = SmallVec<[Settlement<'a>; 8]>;

impl LeasedCounterStore {
    /// Corrects here, when that is all there is to do. `None` when the shared store has to be told.
    pub(super) fn settle_here(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Option<bool> {
        if call.hold || corrections.is_empty() {
            return None;
        }
        let now = now.unwrap_or_else(|| self.clock.now());
        let (slot, mut shards) = (SlotId::from(slot), SmallVec::<[usize; 8]>::new());
        shards.extend(corrections.iter().map(|one| self.table.address(slot, one.key).shard));
        shards.sort_unstable();
        shards.dedup();
        let mut guards = self.table.lock_all(&shards);
        for correction in corrections {
            let account = self.find(slot, correction, &shards, &mut guards)?;
            if !matches!(share(account, call, correction, now), Share::Here { elsewhere: 0, .. }) {
                return None;
            }
        }
        for correction in corrections {
            let account = self.find(slot, correction, &shards, &mut guards)?;
            if let Share::Here { here, .. } = share(account, call, correction, now) {
                correct(account, correction, here, now);
            }
        }
        Some(true)
    }

    /// Corrects here what can be, and the rest at the shared store, which also tells whether a hold still lasts.
    pub(super) async fn settle_both(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let here = now.unwrap_or_else(|| self.clock.now());
        let (own, other) = self.split(slot, call, corrections, here);
        if (call.hold || !other.is_empty() || own.is_empty())
            && !self.shared.settle(slot, call, &other, now).await?
        {
            return Ok(false);
        }
        self.has_changed(slot, &other);
        let rest = self.correct_here(slot, call, &own, here);
        if !rest.is_empty() {
            let call = Settled { hold: false, ..call };
            if self.shared.settle(slot, call, &rest, now).await.is_err() {
                self.lose(rest.iter().map(|one| units(one.adjustment)).sum());
            }
        }
        Ok(true)
    }

    /// Which corrections can be made here, at least in part, and which cannot.
    fn split<'c>(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'c>],
        now: Timestamp,
    ) -> (Corrections<'c>, Corrections<'c>) {
        let (mut own, mut other) = (Corrections::new(), Corrections::new());
        for correction in corrections {
            let share =
                self.with_account(slot, correction.key, |account| share(account, call, correction, now));
            match share {
                Some(Share::Here { .. }) => own.push(*correction),
                Some(Share::Elsewhere) | None => other.push(*correction),
            }
        }
        (own, other)
    }

    /// Makes corrections here as far as that goes, and returns what is left of them.
    fn correct_here<'c>(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'c>],
        now: Timestamp,
    ) -> Corrections<'c> {
        let mut rest = Corrections::new();
        for correction in corrections {
            let left = self.with_account(slot, correction.key, |account| {
                match share(account, call, correction, now) {
                    Share::Here { here, elsewhere } => {
                        correct(account, correction, here, now);
                        elsewhere
                    }
                    Share::Elsewhere => units(correction.adjustment),
                }
            });
            let left = left.unwrap_or_else(|| units(correction.adjustment));
            let adjustment = match correction.adjustment {
                Adjustment::Add(_) => Adjustment::Add(left),
                Adjustment::Return(_) => Adjustment::Return(left),
            };
            if left > 0 {
                rest.push(Settlement { adjustment, ..*correction });
            }
        }
        rest
    }

    /// Notes that the shared store may have more now than it said.
    fn has_changed(&self, slot: Slot, corrections: &[Settlement<'_>]) {
        for correction in corrections {
            self.with_account(slot, correction.key, Account::forget);
        }
    }

    pub(super) fn with_account<T>(
        &self,
        slot: Slot,
        key: &[u8],
        work: impl FnOnce(&mut Account) -> T,
    ) -> Option<T> {
        let slot = SlotId::from(slot);
        let address = self.table.address(slot, key);
        self.table.lock(address.shard).get_mut(address.hash, slot.with(key)).map(work)
    }

    fn find<'g>(
        &self,
        slot: SlotId,
        correction: &Settlement<'_>,
        shards: &[usize],
        guards: &'g mut Guards<'_>,
    ) -> Option<&'g mut Account> {
        let address = self.table.address(slot, correction.key);
        let guard = shards.iter().position(|shard| *shard == address.shard)?;
        guards.get_mut(guard)?.get_mut(address.hash, slot.with(correction.key))
    }
}

/// How much of a correction can be made to the lot that an account has.
///
/// What comes back goes to the lot until that is as large as when it came, so no replica ever keeps more than a chunk; what is added
/// is taken from the lot as long as there is any. What was charged to a window that is over, or has drained meanwhile, does not come
/// back: the store would not give it back either.
fn share(account: &Account, call: Settled, correction: &Settlement<'_>, now: Timestamp) -> Share {
    if *account.limit() != correction.limit || !account.is_stocked(now) {
        return Share::Elsewhere;
    }
    let (units, here) = match correction.adjustment {
        Adjustment::Add(units) => (units, units.min(account.left(now))),
        Adjustment::Return(units) => {
            let back = returnable(&correction.limit, account.store_time(now), call.at, units);
            match correction.limit {
                Limit::Level(_) => (back, back.min(account.room(now))),
                _ if back == units => (back, back.min(account.room(now))),
                // It was charged to another window, and how much that still counts is the store's to say.
                _ => return Share::Elsewhere,
            }
        }
    };
    Share::Here { here, elsewhere: units - here }
}

fn correct(account: &mut Account, correction: &Settlement<'_>, here: u64, now: Timestamp) {
    match correction.adjustment {
        Adjustment::Add(_) => drop(account.take(here, now)),
        Adjustment::Return(_) => account.refund(here),
    }
}

const fn units(adjustment: Adjustment) -> u64 {
    match adjustment {
        Adjustment::Add(units) | Adjustment::Return(units) => units,
    }
}
