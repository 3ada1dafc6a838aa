//! The statements that decisions come down to.

use stanchion_core::{Scope, Timestamp};
use stanchion_ratelimit::{CallId, Slot};
use uuid::Uuid;

use super::decision::Changed;
use super::state::encode;
use super::statement::{Argument, FORGET, HOLD, LOOK, MAKE, Prepared, RELEASE, Statement, TAKE, WRITE};
use crate::Error;
use crate::transaction::scope_id;

/// Which rows are a slot's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    scope_id: Uuid,
    edge: bool,
}

/// The distinct keys of a call in their order, and which of them each of its parts has.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    pub(super) sorted: Vec<&'a [u8]>,
    pub(super) numbers: Vec<usize>,
}

/// A call to be remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) id: CallId,
    /// By the clock that decided.
    pub(super) until: Timestamp,
    /// The same by the database's clock.
    pub(super) ends_at: Timestamp,
}

/// Returns whose the counters of a slot are.
pub(super) const fn scope(slot: Slot) -> Scope {
    match slot {
        Slot::Edge | Slot::Platform => Scope::Platform,
        Slot::Tenant(tenant) => Scope::Tenant(tenant),
    }
}

impl<'a> Keys<'a> {
    pub(super) fn of(keys: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut sorted: Vec<&[u8]> = keys.clone().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let numbers = keys.map(|key| sorted.binary_search(&key).unwrap_or(usize::MAX)).collect();
        Self { sorted, numbers }
    }
}

impl Rows {
    pub(super) fn of(slot: Slot) -> Result<Self, Error> {
        Ok(Self { scope_id: scope_id(scope(slot))?, edge: slot == Slot::Edge })
    }

    pub(super) fn take<'a>(self, keys: &Keys<'a>) -> Statement<'a> {
        self.statement(&TAKE, [Argument::Keys(keys.sorted.clone())])
    }

    pub(super) fn look<'a>(self, keys: &Keys<'a>) -> Statement<'a> {
        self.statement(&LOOK, [Argument::Keys(keys.sorted.clone())])
    }

    pub(super) fn forget(self, key: &[u8]) -> Statement<'_> {
        self.statement(&FORGET, [Argument::Key(key)])
    }

    pub(super) fn release(self, id: CallId, now: Option<Timestamp>) -> Statement<'static> {
        self.statement(&RELEASE, [Argument::Id(uuid(id)), Argument::Number(now.map(Timestamp::micros))])
    }

    /// Writes what was made of counters that were taken at the time `now`, which is `clock` by the database.
    pub(super) fn writing<'a>(
        self,
        keys: &Keys<'a>,
        changes: Vec<Changed>,
        (now, clock): (Timestamp, Timestamp),
        hold: Option<Hold>,
    ) -> Vec<Statement<'a>> {
        // Whoever's clock decided, a counter is new after as long by the database's.
        let fresh_at = |change: &Changed| clock.plus(change.fresh_at.since(now)).micros();
        let (there, new): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.after.is_there);
        let mut statements = Vec::new();
        for (prepared, changes) in [(&WRITE, there), (&MAKE, new)] {
            if changes.is_empty() {
                continue;
            }
            let key = |change: &Changed| keys.sorted.get(change.key).copied().unwrap_or_default();
            let state = |change: &Changed| change.after.state;
            let columns = [
                Argument::Keys(changes.iter().map(key).collect()),
                Argument::Numbers(changes.iter().map(|one| Some(state(one)?.at.micros())).collect()),
                Argument::Numbers(changes.iter().map(|one| Some(state(one)?.used.cast_signed())).collect()),
                Argument::Bytes(changes.iter().map(|one| encode(&one.after.entries)).collect()),
                Argument::Numbers(changes.iter().map(|one| Some(fresh_at(one))).collect()),
            ];
            statements.push(self.statement(prepared, columns));
        }
        if let Some(Hold { id, until, ends_at }) = hold {
            let [until, ends_at] = [until, ends_at].map(|at| Argument::Number(Some(at.micros())));
            statements.push(self.statement(&HOLD, [Argument::Id(uuid(id)), until, ends_at]));
        }
        statements
    }

    fn statement<'a>(
        self,
        prepared: &'static Prepared,
        rest: impl IntoIterator<Item = Argument<'a>>,
    ) -> Statement<'a> {
        let rows = [Argument::Id(self.scope_id), Argument::Flag(self.edge)];
        Statement { prepared, arguments: rows.into_iter().chain(rest).collect() }
    }
}

const fn uuid(id: CallId) -> Uuid {
    Uuid::from_u128(id.number())
}
