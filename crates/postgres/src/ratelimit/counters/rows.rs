//! The statements that decisions come down to.

use stanchion_core::{Scope, Timestamp};
use stanchion_ratelimit::{CallId, Slot};
use uuid::Uuid;

use super::decision::Changed;
use super::log::Rewritten;
use super::prepared::{
    ADD, ENTRIES, FORGET, HOLD, LOOK, MAKE, OWN, PRUNE, Prepared, RELEASE, REMOVE, SET, TAKE, WRITE,
};
use super::statement::{Argument, Statement};
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

/// Which of the keys are those of logs and leases, and how much may be held beside what each is asked for, where that can ever fit.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) keys: Vec<usize>,
    pub(super) spare: Vec<Option<i64>>,
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

    fn get(&self, number: usize) -> &'a [u8] {
        self.sorted.get(number).copied().unwrap_or_default()
    }
}

impl Logs {
    /// Takes each with its key, of which a settlement may name one more than once.
    pub(super) fn of(logs: impl Iterator<Item = (usize, Option<i64>)>) -> Self {
        let mut all = Self::default();
        for (key, spare) in logs {
            if !all.keys.contains(&key) {
                all.keys.push(key);
                all.spare.push(spare);
            }
        }
        all
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

    pub(super) fn entries<'a>(self, keys: &Keys<'a>, logs: &Logs, now: Option<Timestamp>) -> Statement<'a> {
        let names = logs.keys.iter().map(|key| keys.get(*key)).collect();
        let now = Argument::Number(now.map(Timestamp::micros));
        self.statement(&ENTRIES, [now, Argument::Keys(names), Argument::Numbers(logs.spare.clone())])
    }

    pub(super) fn own(self, id: CallId) -> Statement<'static> {
        self.statement(&OWN, [Argument::Id(uuid(id))])
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
        let (there, new): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.after.is_there);
        let mut statements = Vec::new();
        for (prepared, changes) in [(&WRITE, there), (&MAKE, new)] {
            if changes.is_empty() {
                continue;
            }
            let columns = [
                Argument::Keys(changes.iter().map(|one| keys.get(one.key)).collect()),
                Argument::Numbers(changes.iter().map(|one| Some(one.after.at?.micros())).collect()),
                Argument::Numbers(changes.iter().map(|one| Some(one.after.used?.cast_signed())).collect()),
                Argument::Amounts(changes.iter().map(|one| one.after.held).collect()),
                Argument::Numbers(changes.iter().map(|one| Some(fresh_at(one))).collect()),
            ];
            statements.push(self.statement(prepared, columns));
        }
        for change in &changes {
            statements.extend(self.entries_of(keys.get(change.key), change));
        }
        if let Some(Hold { id, until, ends_at }) = hold {
            let [until, ends_at] = [until, ends_at].map(|at| Argument::Number(Some(at.micros())));
            statements.push(self.statement(&HOLD, [Argument::Id(uuid(id)), until, ends_at]));
        }
        statements
    }

    /// Writes the entries of a counter that was written or made before.
    fn entries_of<'a>(self, key: &'a [u8], change: &Changed) -> impl Iterator<Item = Statement<'a>> {
        let pruned = change.entries.and_then(|entries| entries.pruned).map(|between| {
            let [after, until] =
                <[Timestamp; 2]>::from(between).map(|at| Argument::Number(Some(at.micros())));
            self.statement(&PRUNE, [Argument::Key(key), after, until])
        });
        let entry = change.entries.and_then(|entries| entries.entry).map(|rewritten| {
            let (prepared, entry, amount) = match rewritten {
                Rewritten::Added(entry) => (&ADD, entry, Some(entry.amount)),
                Rewritten::Set(entry) => (&SET, entry, Some(entry.amount)),
                Rewritten::Removed(entry) => (&REMOVE, entry, None),
            };
            let until = Argument::Number(Some(entry.until.micros()));
            let amount = amount.map(|amount| Argument::Amount(amount.into()));
            let named = [Argument::Key(key), until, Argument::Id(uuid(entry.id))];
            self.statement(prepared, named.into_iter().chain(amount))
        });
        pruned.into_iter().chain(entry)
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
