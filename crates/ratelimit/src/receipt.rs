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
    /// How long it waits for its turn: it begins to come back only then.
    pub(crate) delay: Duration,
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

    /// The corrections that are to be made: first of what was charged at once, then of each place in a queue, as of its turn.
    pub(crate) fn corrections<'a>(&'a self, settle: Settle) -> SmallVec<[Correction<'a>; 2]> {
        let due = |item: &&'a Item| {
            let adjustment = settle.of(item)?;
            Some(Settlement { key: &item.key, limit: item.limit, adjustment })
        };
        let (at_once, waiting): (SmallVec<[&'a Item; 2]>, SmallVec<[&'a Item; 2]>) =
            self.items.iter().partition(|item| item.delay.is_zero());
        let first = Correction { call: self.call, settlements: at_once.iter().filter_map(due).collect() };
        let later = waiting.iter().filter_map(|item| {
            let call = Settled { at: self.call.at.plus(item.delay), hold: false, ..self.call };
            Some(Correction { call, settlements: std::iter::once(due(item)?).collect() })
        });
        std::iter::once(first).chain(later).collect()
    }
}

/// Corrections of charges that were made at one time.
#[derive(Debug)]
pub(crate) struct Correction<'a> {
    pub(crate) call: Settled,
    pub(crate) settlements: SmallVec<[Settlement<'a>; 2]>,
}

impl Correction<'_> {
    /// Tells whether the store has nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.settlements.is_empty() && !self.call.hold
    }
}

impl Settle {
    /// What it makes of one charge.
    fn of(self, item: &Item) -> Option<Adjustment> {
        match self {
            Self::Finish | Self::Cost(_) if item.lease => Some(Adjustment::Return(item.cost)),
            Self::Finish => None,
            Self::Cost(actual) if actual > item.cost => Some(Adjustment::Add(actual - item.cost)),
            Self::Cost(actual) if actual < item.cost => Some(Adjustment::Return(item.cost - actual)),
            Self::Cost(_) => None,
            Self::Refund(_) if item.lease => None,
            Self::Refund(units) => Some(Adjustment::Return(units.min(item.cost))),
            Self::Release => Some(Adjustment::Return(item.cost)),
        }
    }
}
