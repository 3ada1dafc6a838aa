use std::time::Duration;

use smallvec::SmallVec;
use stanchion_core::Timestamp;

use crate::{Adjustment, CallId, Limit, Settled, Settlement, Slot};

/// What a decision has charged, for whoever has to correct it later: leases that end, costs that turn out otherwise, work that was
/// not done.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub(crate) slot: Slot,
    pub(crate) call: Settled,
    /// Whether it was counted by this replica alone, while the counters could not be reached.
    pub(crate) local: bool,
    pub(crate) items: SmallVec<[Item; 2]>,
}

/// One counter that was charged.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) key: Box<[u8]>,
    pub(crate) limit: Limit,
    pub(crate) cost: u64,
    pub(crate) lease: bool,
    /// The counter of the ladder, where a success clears both.
    pub(crate) cleared: Option<Box<[u8]>>,
}

/// What becomes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// The work has ended: leases are given back, everything else stays charged.
    Finish,
    /// The work has ended and has cost so much, more or less than was charged; leases are given back.
    Cost(u64),
    /// So many units were not used; leases go on.
    Refund(u64),
    /// Nothing was done: everything is given back.
    Release,
}

/// A charge of an estimate, to be [committed](crate::Engine::commit) with what it has really cost, or [released](crate::Engine::release).
#[derive(Clone, Debug)]
pub struct Reservation {
    pub(crate) receipt: Receipt,
    pub(crate) expires_at: Timestamp,
}

impl Reservation {
    /// Returns its name.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.receipt.call.id
    }

    /// Returns until when it can be settled. What is not settled by then has cost what was estimated.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// How long a reservation may last.
pub(crate) const LONGEST_HOLD: Duration = Duration::from_secs(86_400);

impl Receipt {
    /// Returns whether a lease has to be given back.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.items.iter().any(|item| item.lease)
    }

    /// The corrections that are to be made.
    pub(crate) fn corrections(&self, settle: Settle) -> SmallVec<[Settlement<'_>; 4]> {
        let correct = |item: &Item| match settle {
            Settle::Finish if item.lease => Some(Adjustment::Return(item.cost)),
            Settle::Finish => None,
            Settle::Cost(_) if item.lease => Some(Adjustment::Return(item.cost)),
            Settle::Cost(actual) if actual > item.cost => Some(Adjustment::Add(actual - item.cost)),
            Settle::Cost(actual) if actual < item.cost => Some(Adjustment::Return(item.cost - actual)),
            Settle::Cost(_) => None,
            Settle::Refund(_) if item.lease => None,
            Settle::Refund(units) => Some(Adjustment::Return(units.min(item.cost))),
            Settle::Release => Some(Adjustment::Return(item.cost)),
        };
        let items = self.items.iter().filter_map(|item| {
            Some(Settlement { key: &item.key, limit: item.limit, adjustment: correct(item)? })
        });
        items.collect()
    }
}
