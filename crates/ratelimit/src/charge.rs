use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use smallvec::{SmallVec, smallvec};
use stanchion_core::Timestamp;

use crate::{Adjustment, Limit, Standing};

/// Names one decision, so that what it charged can be found again: a lease, an entry of a log, a hold. Zero where nothing has to be
/// found again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u128);

impl CallId {
    /// Takes a number that no other call has.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One question to the counters: what a request asks of all its rules.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What it asks; no key stands twice.
    pub charges: &'a [Charge<'a>],
    /// Its name. It must be unique when a charge is of the kernel [`Entries`](crate::Kernel::Entries), or there is a `hold`.
    pub id: CallId,
    /// For how long the store remembers that the charges were taken, so that they can be settled once.
    pub hold: Option<Duration>,
    /// The time to decide by; `None` means the store's own clock.
    pub now: Option<Timestamp>,
}

impl<'a> Call<'a> {
    /// Asks for charges that nobody has to find again.
    #[must_use]
    pub const fn new(charges: &'a [Charge<'a>], now: Option<Timestamp>) -> Self {
        Self { charges, id: CallId::new(0), hold: None, now }
    }
}

/// What one rule asks of one counter.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// Which counter of the slot, as exact bytes. The engine writes the rule's epoch and then the identifiers, each with its kind and
    /// length, so no two different callers share a key. It is never a hash: a collision would merge two callers' counters.
    pub key: &'a [u8],
    /// What the counter allows.
    pub limit: Limit,
    /// How much is asked for.
    pub cost: u64,
    /// What happens when there is less than that.
    pub mode: Mode,
    /// Whether it is taken also when another charge refuses the call. Usually a refusal takes nothing.
    pub charge_denied: bool,
    /// How a [`LeasedCounterStore`](crate::LeasedCounterStore) may decide it without the store that is shared. All others take no
    /// notice of it.
    pub lease: Option<Lease>,
}

impl<'a> Charge<'a> {
    /// Asks for a charge that refuses the call when it does not fit, that a refusal does not take, and that the shared store decides.
    #[must_use]
    pub const fn new(key: &'a [u8], limit: Limit, cost: u64) -> Self {
        Self { key, limit, cost, mode: Mode::Enforce, charge_denied: false, lease: None }
    }
}

/// How much of a counter a replica takes at once, to give it out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How many units it takes at a time; never more than the limit's capacity.
    pub chunk: NonZeroU64,
    /// How long units that nobody asks for are kept from the other replicas, and for how long a refusal is remembered at most.
    pub ttl: Duration,
}

/// Whether a [`Charge`] can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// When it does not fit, the whole decision is a refusal.
    Enforce,
    /// When it does not fit, it is left out and the rest goes on: for shadow rules.
    Observe,
}

/// A correction of one counter, after the call that charged it.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// Which counter of the slot.
    pub key: &'a [u8],
    /// What it allows.
    pub limit: Limit,
    /// What is corrected.
    pub adjustment: Adjustment,
}

/// The call that a settlement corrects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its id.
    pub id: CallId,
    /// When it was decided, as [`Outcome::at`] told.
    pub at: Timestamp,
    /// Whether it had a hold: then it is settled once, and only while the hold lasts.
    pub hold: bool,
}

/// A store's answer to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    admitted: bool,
    at: Timestamp,
    standings: Standings,
}

/// Few enough to be moved cheaply; a decision over more rules allocates.
pub(crate) type Standings = SmallVec<[Standing; 4]>;

impl Outcome {
    /// States whether the charges were taken, when that was decided, and how each counter stands, in the order of the charges.
    pub fn new(admitted: bool, at: Timestamp, standings: impl IntoIterator<Item = Standing>) -> Self {
        Self { admitted, at, standings: standings.into_iter().collect() }
    }

    pub(crate) const fn from_standings(admitted: bool, at: Timestamp, standings: Standings) -> Self {
        Self { admitted, at, standings }
    }

    pub(crate) fn of_one(admitted: bool, at: Timestamp, standing: Standing) -> Self {
        Self { admitted, at, standings: smallvec![standing] }
    }

    /// Tells whether the charges were taken: every enforced one fitted.
    #[must_use]
    pub const fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Returns the time it was decided by: the caller's, or the store's.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns how each counter stands, in the order of the charges.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }
}
