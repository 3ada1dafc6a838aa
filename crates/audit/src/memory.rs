mod anchor;
mod trees;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use hashbrown::HashMap;
use stanchion_core::{EventId, Scope, StoreError, StoreErrorKind, SystemScope};

pub use self::anchor::MemoryAnchor;
use self::trees::Tree;
use crate::{
    AppendBatch, AppendOutcome, Chain, ChainId, CutOutcome, Fence, Head, KnownRow, LedgerStore, Place, Query,
    RetentionClass, Row, Seal, Shard, SubjectKeyId, Withdrawn, Writers,
};

/// The ledger in memory: the reference that other adapters must equal. It ends with the process.
///
/// Each chain keeps its newest entries, up to a bound, and twice as many while its tree does not cover the oldest of them yet. Of
/// what is dropped the last link stays, so the rest still verifies: the oldest entry kept is linked to it and signed.
pub struct MemoryLedgerStore {
    capacity: usize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    chains: HashMap<ChainId, Kept>,
    ids: HashMap<(Scope, EventId), (RetentionClass, u64)>,
    /// What entries are no longer found by.
    withdrawn: HashMap<Scope, Withdrawn>,
    /// How many shards there are, once that is settled.
    shards: Option<u16>,
    /// Of each shard the last fence given out, and the least that may still write.
    fences: HashMap<u16, (u64, u64)>,
}

struct Kept {
    base: Head,
    head: Head,
    /// The rows after the base, without gaps.
    rows: VecDeque<Row>,
    tree: Tree,
}

impl Kept {
    fn empty() -> Self {
        Self { base: Head::EMPTY, head: Head::EMPTY, rows: VecDeque::new(), tree: Tree::default() }
    }

    /// Tells whether the oldest entry makes room for a new one.
    fn is_full(&self, capacity: usize) -> bool {
        let is_needed = self.tree.needs(self.base.seq + 1) && self.rows.len() < capacity.saturating_mul(2);
        self.rows.len() >= capacity && !is_needed
    }

    /// The place in `rows` of the entry with this number, or of the first one after it.
    fn index(&self, seq: u64) -> usize {
        let index = seq.saturating_sub(self.base.seq).saturating_sub(1);
        usize::try_from(index).unwrap_or(usize::MAX).min(self.rows.len())
    }
}

impl MemoryLedgerStore {
    /// Makes an empty store that keeps the newest `capacity` entries of each chain (at least 1).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), state: RwLock::default() }
    }

    fn lock(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refusal(&self, batch: &AppendBatch) -> Option<AppendOutcome> {
        let least = self.fences.get(&batch.fence().shard()).map_or(0, |(_, least)| *least);
        if batch.fence().number() < least {
            return Some(AppendOutcome::Fenced);
        }
        let head = |chain| self.chains.get(chain).map_or(Head::EMPTY, |kept| kept.head);
        let heads = batch.moves().iter().map(|step| (step.chain, head(&step.chain), step.from));
        let moved = heads.filter(|(_, is, expected)| (is.seq, is.link) != (expected.seq, expected.link));
        let moved: Vec<_> = moved.map(|(chain, is, _)| (chain, is)).collect();
        if !moved.is_empty() {
            return Some(AppendOutcome::HeadsMoved(moved));
        }
        let known = batch.rows().iter().enumerate().filter_map(|(index, row)| {
            let Row { chain, seq, content, .. } = self.find(row.chain.scope, row.content.id)?;
            Some(KnownRow { index, chain: *chain, seq: *seq, leaf: content.leaf })
        });
        let known: Vec<_> = known.collect();
        if known.is_empty() { None } else { Some(AppendOutcome::Known(known)) }
    }

    fn write(&mut self, batch: &AppendBatch, capacity: usize) {
        let Self { chains, ids, .. } = self;
        for row in batch.rows() {
            let kept = chains.entry(row.chain).or_insert_with(Kept::empty);
            while kept.is_full(capacity)
                && let Some(oldest) = kept.rows.pop_front()
            {
                ids.remove(&(oldest.chain.scope, oldest.content.id));
                kept.base = Head { seq: oldest.seq, link: oldest.link, recorded_at: oldest.recorded_at };
            }
            ids.insert((row.chain.scope, row.content.id), (row.chain.class, row.seq));
            kept.rows.push_back(row.clone());
        }
        for step in batch.moves() {
            if let Some(kept) = chains.get_mut(&step.chain) {
                kept.head = step.to;
            }
        }
    }

    fn find(&self, scope: Scope, id: EventId) -> Option<&Row> {
        let (class, seq) = *self.ids.get(&(scope, id))?;
        let kept = self.chains.get(&ChainId { scope, class })?;
        kept.rows.get(kept.index(seq))
    }

    fn chains_of(&self, scope: Scope) -> impl Iterator<Item = (ChainId, &Kept)> {
        let ids = RetentionClass::ALL.into_iter().map(move |class| ChainId { scope, class });
        ids.filter_map(|id| Some((id, self.chains.get(&id)?)))
    }
}

#[async_trait]
impl LedgerStore for MemoryLedgerStore {
    async fn open(&self, _system: SystemScope, shard: Shard, writers: Writers) -> Result<Fence, StoreError> {
        let mut state = self.lock_mut();
        if *state.shards.get_or_insert(shard.count()) != shard.count() {
            return Err(StoreError::new(StoreErrorKind::Unsupported, "memory", "open"));
        }
        let (fence, least) = state.fences.entry(shard.index()).or_default();
        *fence += 1;
        if writers == Writers::Exclusive {
            *least = *fence;
        }
        Ok(Fence::of(shard, *fence))
    }

    async fn heads(&self, _system: SystemScope, chains: &[ChainId]) -> Result<Vec<Head>, StoreError> {
        let state = self.lock();
        Ok(chains.iter().map(|id| state.chains.get(id).map_or(Head::EMPTY, |kept| kept.head)).collect())
    }

    async fn append(&self, _system: SystemScope, batch: &AppendBatch) -> Result<AppendOutcome, StoreError> {
        let mut state = self.lock_mut();
        if let Some(refusal) = state.refusal(batch) {
            return Ok(refusal);
        }
        state.write(batch, self.capacity);
        Ok(AppendOutcome::Committed)
    }

    async fn chains(&self, scope: Scope) -> Result<Vec<Chain>, StoreError> {
        let state = self.lock();
        let chain = |(id, kept): (ChainId, &Kept)| Chain { id, base: kept.base, head: kept.head };
        Ok(state.chains_of(scope).map(chain).collect())
    }

    async fn list(
        &self,
        _system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<Chain>, StoreError> {
        let state = self.lock();
        let known = state
            .chains
            .iter()
            .filter(|(id, kept)| kept.head.seq > 0 && after.is_none_or(|after| **id > after));
        let mut chains: Vec<Chain> =
            known.map(|(id, kept)| Chain { id: *id, base: kept.base, head: kept.head }).collect();
        chains.sort_unstable_by_key(|chain| chain.id);
        chains.truncate(limit);
        Ok(chains)
    }

    async fn read(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let state = self.lock();
        let Some(kept) = state.chains.get(&chain) else { return Ok(Vec::new()) };
        let first = kept.index(from);
        let last = first.saturating_add(limit).min(kept.rows.len());
        Ok(kept.rows.range(first..last).cloned().collect())
    }

    async fn seals(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Seal>, StoreError> {
        Ok(self.read(chain, from, limit).await?.iter().map(Seal::from).collect())
    }

    async fn query(
        &self,
        scope: Scope,
        query: &Query,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let state = self.lock();
        let none = Withdrawn::default();
        let withdrawn = state.withdrawn.get(&scope).filter(|_| query.asks_for_protected()).unwrap_or(&none);
        // A chain is in the order of places, so each class is walked from where the page begins, newest first.
        let wanted = state.chains_of(scope).filter(|(id, _)| query.may_match(id.class));
        let mut newest: Vec<_> = wanted
            .map(|(_, kept)| {
                let is_before = |row: &Row| {
                    before.is_none_or(|before| Place::from(row) < before)
                        && query.until.is_none_or(|until| row.recorded_at < until)
                };
                let end = kept.rows.partition_point(is_before);
                let since = |row: &&Row| query.since.is_none_or(|since| row.recorded_at >= since);
                let rows = kept.rows.range(..end).rev().take_while(since);
                rows.filter(|row| query.matches_without(row, withdrawn)).peekable()
            })
            .collect();
        let mut found = Vec::new();
        while found.len() < limit {
            let next = newest.iter_mut().filter_map(|rows| Some((Place::from(*rows.peek()?), rows)));
            let Some((_, rows)) = next.max_by_key(|(place, _)| *place) else { break };
            found.extend(rows.next().cloned());
        }
        Ok(found)
    }

    async fn get(&self, scope: Scope, id: EventId) -> Result<Option<Row>, StoreError> {
        Ok(self.lock().find(scope, id).cloned())
    }

    async fn withdraw(
        &self,
        _system: SystemScope,
        scope: Scope,
        withdrawn: &Withdrawn,
    ) -> Result<(), StoreError> {
        self.lock_mut().withdrawn.entry(scope).or_default().extend(withdrawn);
        Ok(())
    }

    async fn withdrawn(&self, scope: Scope, keys: &[SubjectKeyId]) -> Result<Withdrawn, StoreError> {
        Ok(self.lock().withdrawn.get(&scope).map(|withdrawn| withdrawn.among(keys)).unwrap_or_default())
    }

    async fn unfinished(&self, scope: Scope, withdrawn: &Withdrawn) -> Result<u64, StoreError> {
        Ok(withdrawn.beyond(self.lock().withdrawn.get(&scope).unwrap_or(&Withdrawn::default())))
    }

    async fn cut(
        &self,
        _system: SystemScope,
        chain: ChainId,
        from: &Head,
        base: Head,
    ) -> Result<CutOutcome, StoreError> {
        let mut state = self.lock_mut();
        let State { chains, ids, .. } = &mut *state;
        let Some(kept) = chains.get_mut(&chain) else { return Ok(CutOutcome::Moved(Head::EMPTY)) };
        let is_there = (kept.base.seq, kept.base.link) == (from.seq, from.link);
        if !is_there || !(from.seq..=kept.head.seq).contains(&base.seq) {
            return Ok(CutOutcome::Moved(kept.base));
        }
        let cut = kept.index(base.seq.saturating_add(1));
        for row in kept.rows.drain(..cut) {
            ids.remove(&(row.chain.scope, row.content.id));
        }
        kept.base = base;
        Ok(CutOutcome::Cut)
    }
}

impl fmt::Debug for MemoryLedgerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedgerStore").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}
