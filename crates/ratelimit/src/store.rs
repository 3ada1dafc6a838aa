use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{Change, Page, PageRequest, Revision, Scope, StoreError, Timestamp, Versioned};
use stanchion_replica::ChangeFeed;

use crate::{Call, Control, ControlId, Kernel, Outcome, RuleId, Settled, Settlement, Slot, StoredRule};

/// One write to the rules of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleChange {
    /// Writes a rule, replacing the one with its id.
    Put(StoredRule),
    /// Removes a rule; one that is not there is no error.
    Delete(RuleId),
    /// Writes a control, replacing the one with its id.
    PutControl(Control),
    /// Removes a control; one that is not there is no error.
    DeleteControl(ControlId),
}

impl RuleChange {
    /// Returns the feed key of what is written or removed: the id of a rule, or of a control, which has a `/` or is `reset`.
    #[must_use]
    pub fn key(&self) -> Arc<str> {
        match self {
            Self::Put(stored) => stored.rule.id.shared(),
            Self::Delete(id) => id.shared(),
            Self::PutControl(control) => control.id().shared(),
            Self::DeleteControl(id) => id.shared(),
        }
    }
}

/// Everything that a scope's decisions are made by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// The rules, in the order of their ids' bytes.
    pub rules: Vec<Versioned<StoredRule>>,
    /// The controls, in the order of their ids' bytes, those that have no effect any more included.
    pub controls: Vec<Versioned<Control>>,
}

/// Where rules and controls are kept: a record port, whose consistency boundary is one scope.
///
/// 1. A scope without a change has revision zero, no rules and no controls. Scopes do not see each other.
/// 2. [`apply`](RuleStore::apply) is atomic: it writes all changes in order, bumps the revision by one and commits the events, or,
///    when the scope is not at the expected revision, does nothing at all and fails with `Conflict`.
/// 3. What was written has the new revision, and the change's time as `updated_at`; `created_at` is that of the change that
///    first wrote the id since it was last deleted.
/// 4. [`list`](RuleStore::list) and [`load`](RuleStore::load) are in the order of the ids' bytes; the id is the sort key of pages.
/// 5. Rules and controls come back as they were written, whatever they say; only the engine judges them. Controls stay until they are
///    deleted, also when they have no effect any more.
/// 6. Feed entries have the [keys](RuleChange::key) of what was changed, in order.
#[async_trait]
pub trait RuleStore: ChangeFeed {
    /// Returns a rule.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read, `Corrupt` when what it holds cannot be understood.
    async fn get(&self, scope: Scope, id: &RuleId) -> Result<Option<Versioned<StoredRule>>, StoreError>;

    /// Returns a page of a scope's rules.
    ///
    /// # Errors
    /// As [`get`](RuleStore::get).
    async fn list(&self, scope: Scope, page: &PageRequest)
    -> Result<Page<Versioned<StoredRule>>, StoreError>;

    /// Returns everything of a scope and the revision it is read at, as one consistent snapshot.
    ///
    /// # Errors
    /// As [`get`](RuleStore::get).
    async fn load(&self, scope: Scope) -> Result<(Revision, RuleSet), StoreError>;

    /// Writes one atomic change and returns the revision it made.
    ///
    /// # Errors
    /// `Conflict` when the scope is not at the expected revision; `Unavailable` or `Timeout` when the store cannot be written.
    async fn apply(&self, scope: Scope, change: Change<RuleChange>) -> Result<Revision, StoreError>;
}

/// What a counter store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Which kernels it counts by.
    pub kernels: &'static [Kernel],
    /// Whether other processes count on the same counters. Then decisions are best made by the store's clock.
    pub shared: bool,
    /// Whether it takes [leased](crate::Lease) charges in chunks, so that what all processes admit may be more than was allowed.
    pub leases: bool,
}

impl Capabilities {
    /// States which kernels a store counts by, and whether other processes count on the same counters.
    #[must_use]
    pub const fn new(kernels: &'static [Kernel], shared: bool) -> Self {
        Self { kernels, shared, leases: false }
    }

    /// States that it takes leased charges in chunks.
    #[must_use]
    pub const fn with_leases(self) -> Self {
        Self { leases: true, ..self }
    }
}

/// Where usage is counted: a counter port, whose consistency boundary is one slot.
///
/// 1. A counter is a slot and a key, compared byte for byte; keys are up to 1 KiB. The keys of one call are distinct. A key is used
///    with one kernel, and for windows with one kind of window, for as long as it lives; its numbers may change.
/// 2. [`decide`](CounterStore::decide) is atomic over all its charges, and linearizable per slot: when every enforced charge fits,
///    each that fits is taken; else those that fit and have `charge_denied`. There is no moment at which another call sees part of
///    it.
/// 3. The arithmetic is that of [`Limit::charge`](crate::Limit::charge) and [`Limit::settle`](crate::Limit::settle), and for entries
///    that of [`EntryLimit::standing`](crate::EntryLimit::standing) and [`Entries`](crate::Entries). A counter may be forgotten from its [`fresh_at`](crate::Limit::fresh_at) on, by the limit it was
///    last charged with, and not before; an entry when it has ended.
/// 4. Standings come in the order of the charges. They tell what is left after those that were taken, and without those that were
///    not.
/// 5. The outcome tells the time it was decided by: the caller's, or the store's own, which production uses where replicas share a
///    store.
/// 6. A full store refuses with `Unavailable` rather than forget a counter that is in use, and then has taken nothing.
/// 7. A call that was admitted with a `hold` is remembered for that long, with its charges, as one atomic step.
///    [`settle`](CounterStore::settle) forgets it with its corrections, as one atomic step, and does nothing when it is not
///    remembered. What nobody settles stays as it was charged.
/// 8. What a crash loses is the adapter's to say. There is no outbox.
#[async_trait]
pub trait CounterStore: fmt::Debug + Send + Sync {
    /// Tells what the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Takes the charges if they fit, all or nothing.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be reached or is full, `Unsupported` for a kernel it does not count by.
    /// After a `Timeout` the charges may have been taken.
    async fn decide(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError>;

    /// Decides as [`decide`](CounterStore::decide) does, when that takes no waiting; `None` asks the caller to wait.
    fn try_decide(&self, slot: Slot, call: &Call<'_>) -> Option<Result<Outcome, StoreError>> {
        let _ = (slot, call);
        None
    }

    /// Answers as [`decide`](CounterStore::decide) would, and takes nothing; standings tell what is left without the charges.
    ///
    /// # Errors
    /// As [`decide`](CounterStore::decide).
    async fn peek(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError>;

    /// Corrects what an earlier call of the slot has charged. Tells whether it did: a call with a hold is settled once.
    ///
    /// # Errors
    /// As [`decide`](CounterStore::decide).
    async fn settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Corrects as [`settle`](CounterStore::settle) does, when that takes no waiting; `None` asks the caller to wait.
    fn try_settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Option<Result<bool, StoreError>> {
        let _ = (slot, call, corrections, now);
        None
    }

    /// Forgets a counter; one that is not there is no error.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be reached.
    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError>;
}
