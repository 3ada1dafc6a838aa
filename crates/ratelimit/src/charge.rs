use smallvec::{SmallVec, smallvec};

use crate::{Limit, Standing};

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
}

/// Whether a [`Charge`] can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// When it does not fit, the whole decision is a refusal.
    Enforce,
    /// When it does not fit, it is left out and the rest goes on: for shadow rules.
    Observe,
}

/// A store's answer to one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    admitted: bool,
    standings: Standings,
}

/// Few enough to be moved cheaply; a decision over more rules allocates.
pub(crate) type Standings = SmallVec<[Standing; 4]>;

impl Outcome {
    /// States whether the charges were taken, and how each counter stands, in the order of the charges.
    pub fn new(admitted: bool, standings: impl IntoIterator<Item = Standing>) -> Self {
        Self { admitted, standings: standings.into_iter().collect() }
    }

    pub(crate) const fn from_standings(admitted: bool, standings: Standings) -> Self {
        Self { admitted, standings }
    }

    pub(crate) fn of_one(admitted: bool, standing: Standing) -> Self {
        Self { admitted, standings: smallvec![standing] }
    }

    /// Tells whether the charges were taken: every enforced one fitted.
    #[must_use]
    pub const fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Returns how each counter stands, in the order of the charges.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }
}
