use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stanchion_core::{EventId, Scope, StoreError, SystemScope};

use crate::{
    AppendBatch, Chain, ChainId, Digest, Head, Place, Projected, Query, Row, Seal, SearchPage, SubjectKeyId,
    Withdrawn,
};

/// Where the ledger's chains are kept. The ledger links and signs; a store keeps what it is given, whole or not at all.
///
/// 1. **Batches.** [`append`](Self::append) writes all rows and new heads of a batch durably, or nothing. After `Committed` every
///    read shows them, also after a crash.
/// 2. **Heads.** A batch is written only if every chain it adds to stands at the head the batch expects, by number and link. Of
///    writers that expect the same head exactly one is committed. So the numbers of a chain are dense, from 1.
/// 3. **Ids.** Within a scope an event id is written once, at least as long as its entry is kept; the same id in two scopes is two
///    events. The ids within one batch are different, its maker sees to it.
/// 4. **Fences.** Every [`open`](Self::open) of a shard returns a greater fence than all before of that shard. Once a fence was opened
///    for an [exclusive](Writers::Exclusive) writer, batches of smaller fences of its shard are refused, and of no other.
/// 5. **Refusals** leave no trace. Where several apply, the fence is told before heads, heads before ids.
/// 6. **Bytes.** Rows are returned as they were written, canonical bytes verbatim. The projection may live in columns of its own; it
///    is returned as it stands there, not made again from the bytes, so that verification can compare the two. What is kept apart from
///    the rows for queries may be behind them, and is compared through [`projected`](Self::projected); a query sees all that is committed.
/// 7. **Scopes.** What takes a [`Scope`] or [`ChainId`] never returns another scope's rows. What takes a [`SystemScope`] works for
///    many scopes at once.
/// 8. **Retention.** Entries go from the front of a chain, never from elsewhere: by [`cut`](Self::cut), and from a store that is bounded
///    also when it is full. [`chains`](Self::chains) tells the head before the oldest entry kept. What is below it no read returns,
///    whether its room was [reclaimed](Self::reclaim) or not. Of a chain that had entries, the head stays.
/// 9. **Unknown ends.** After `Timeout`, and only then, a batch may have been written, or may still be. `Unavailable` means it was
///    not and will not be.
/// 10. **Withdrawn words.** After [`withdraw`](Self::withdraw) no query finds an entry of the scope by the word of a value that is withdrawn,
///    whenever the entry was written or is written. What is kept apart for queries is rid of such words, also of those that were there
///    before. It only grows, as [`Withdrawn`] does, and outlives a restart.
#[async_trait]
pub trait LedgerStore: fmt::Debug + Send + Sync {
    /// Admits a writer of a shard. The first one of all settles how many shards there are.
    ///
    /// # Errors
    /// `Unsupported` when the store was begun with another number of shards, `Unavailable` or `Timeout` when it cannot be written.
    async fn open(&self, system: SystemScope, shard: Shard, writers: Writers) -> Result<Fence, StoreError>;

    /// Returns the heads of chains, in the order asked; [`Head::EMPTY`] for a chain without entries.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn heads(&self, system: SystemScope, chains: &[ChainId]) -> Result<Vec<Head>, StoreError>;

    /// Writes a batch, or tells why it was not written.
    ///
    /// # Errors
    /// `Unavailable` when nothing was written, `Timeout` when that is not known.
    async fn append(&self, system: SystemScope, batch: &AppendBatch) -> Result<AppendOutcome, StoreError>;

    /// Returns the chains of a scope that ever had an entry, in the order of their classes.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn chains(&self, scope: Scope) -> Result<Vec<Chain>, StoreError>;

    /// Returns at most `limit` chains of all scopes that ever had an entry, in their order, beginning after `after`.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn list(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<Chain>, StoreError>;

    /// Returns at most `limit` rows of a chain in the order of their numbers, beginning at `from` or the first one after it.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read; `Corrupt` for a row that is not one.
    async fn read(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Row>, StoreError>;

    /// Returns what stands of at most `limit` rows of a chain without their contents, as [`read`](Self::read) does.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read; `Corrupt` for a row that is not one.
    async fn seals(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Seal>, StoreError>;

    /// Returns at most `limit` rows of a scope for which [`Query::matches_without`] what is withdrawn holds and whose [`Place`] is less than `before`, greatest
    /// place first.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read; `Corrupt` for a row that is not one.
    async fn query(
        &self,
        scope: Scope,
        query: &Query,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// Finds the row of an event.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read; `Corrupt` for a row that is not one.
    async fn get(&self, scope: Scope, id: EventId) -> Result<Option<Row>, StoreError>;

    /// Brings what [`query`](Self::query) looks at up to the ends of chains, in a store that keeps it apart, for about `limit` entries;
    /// tells what is left. Several may do so at once; a chain that somebody else is at is left to them. No read depends on it. What the
    /// entries tell to be [withdrawn](Withdrawn::told_by) is, and what was begun to be withdrawn is finished.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be written; `Corrupt` for an entry that is none.
    async fn project(
        &self,
        system: SystemScope,
        chains: &[ChainId],
        limit: usize,
    ) -> Result<Projected, StoreError> {
        let _ = (system, chains, limit);
        Ok(Projected::default())
    }

    /// Returns at most `limit` chains for which that is not up to date, or not rid of what is withdrawn, in order, beginning after `after`.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn unprojected(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<ChainId>, StoreError> {
        let _ = (system, after, limit);
        Ok(Vec::new())
    }

    /// Returns what is kept apart for queries of at most `limit` entries of a chain, beginning at `from`, as it stands there, so that
    /// verification can compare it with the entries. A row that is not one is left out.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn projected(&self, chain: ChainId, from: u64, limit: usize) -> Result<SearchPage, StoreError> {
        let _ = (chain, from, limit);
        Ok(SearchPage::default())
    }

    /// Withdraws words of a scope; see rule 10.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be written; then it may be done in part, and is to be done again.
    async fn withdraw(
        &self,
        system: SystemScope,
        scope: Scope,
        withdrawn: &Withdrawn,
    ) -> Result<(), StoreError>;

    /// Returns what is withdrawn of keys of a scope.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn withdrawn(&self, scope: Scope, keys: &[SubjectKeyId]) -> Result<Withdrawn, StoreError>;

    /// Returns of how many of these keys words may still be kept for queries: the store was not told yet, or not all that it keeps was
    /// gone through.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn unfinished(&self, scope: Scope, withdrawn: &Withdrawn) -> Result<u64, StoreError>;

    /// Moves the base of a chain from `from` to `base`, the number, link and time of an entry of the chain: that entry and those before
    /// it are no longer read by anybody. Of those who cut from the same base one succeeds. Whether the base is a true one is the
    /// caller's to know; a store sees only that it lies within the chain.
    ///
    /// # Errors
    /// `Unavailable` when the chain was not cut, `Timeout` when that is not known.
    async fn cut(
        &self,
        system: SystemScope,
        chain: ChainId,
        from: &Head,
        base: Head,
    ) -> Result<CutOutcome, StoreError>;

    /// Frees the room of entries below the bases, as far as the store can, and returns how many entries that were. It may be stopped
    /// and called again at any time; no read depends on it. A store that frees at once has nothing to do.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be written.
    async fn reclaim(&self, system: SystemScope) -> Result<u64, StoreError> {
        let _ = system;
        Ok(0)
    }
}

/// What became of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutOutcome {
    /// The chain begins after the new base, durably.
    Cut,
    /// Nothing was cut: the chain's base is this one, or the new one does not lie between it and the head.
    Moved(Head),
}

/// How a sequencer shares a store with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Writers {
    /// Several replicas write the same chains. Who finds a head moved links its entries to the new one and tries again.
    #[default]
    Shared,
    /// This one alone writes: every writer opened before is shut out for good, and stops.
    Exclusive,
}

/// A part of a ledger's scopes, which has a sequencer of its own. All chains of a scope are in one shard: an event's id is its scope's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u16,
    count: u16,
}

impl Shard {
    /// The only one there is.
    pub const ONLY: Self = Self { index: 0, count: 1 };
    /// The most that there may be.
    pub const MOST: u16 = 64;

    /// Returns all shards, of so many; 0 is taken as 1, and more than [`MOST`](Self::MOST) as that.
    pub fn all(count: u16) -> impl Iterator<Item = Self> {
        let count = count.clamp(1, Self::MOST);
        (0..count).map(move |index| Self { index, count })
    }

    /// Returns the shard of a scope, of as many as there are. It stays the same for good.
    #[must_use]
    pub fn of(scope: Scope, count: u16) -> Self {
        let count = count.clamp(1, Self::MOST);
        if count == 1 {
            return Self::ONLY;
        }
        let hash = Sha256::digest(scope.to_string());
        let first = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Self { index: u16::try_from(first % u64::from(count)).unwrap_or(0), count }
    }

    /// Tells whether a scope is in it.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        Self::of(scope, self.count) == self
    }

    /// Returns which one it is, from 0.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.index
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.count
    }
}

/// A writer's admission to a store; see rule 4 of [`LedgerStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    shard: u16,
    number: u64,
}

impl Fence {
    /// Takes the number of the only shard's fence.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self { shard: 0, number }
    }

    /// Takes a stored number.
    #[must_use]
    pub const fn of(shard: Shard, number: u64) -> Self {
        Self { shard: shard.index, number }
    }

    /// Returns which shard's it is, from 0.
    #[must_use]
    pub const fn shard(self) -> u16 {
        self.shard
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// All of it is durable.
    Committed,
    /// Nothing was written: a newer writer has taken the store for itself.
    Fenced,
    /// Nothing was written: chains of the batch stand elsewhere; all of those, and where.
    HeadsMoved(Vec<(ChainId, Head)>),
    /// Nothing was written: ids of the batch are known; all of those.
    Known(Vec<KnownRow>),
}

/// A row of a batch whose id was written before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownRow {
    /// Which row of the batch, from 0.
    pub index: usize,
    /// The chain of the entry that has the id.
    pub chain: ChainId,
    /// That entry's number.
    pub seq: u64,
    /// That entry's leaf: the same event when it is the row's, another one otherwise.
    pub leaf: Digest,
}
