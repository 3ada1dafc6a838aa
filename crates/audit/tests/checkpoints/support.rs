use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::{Either, join, select};
use stanchion_audit::conformance::{Answer, Call, Intercept, Intercepted, Pending};
use stanchion_audit::tree::{Tile, TileId};
use stanchion_audit::{
    ChainId, Checkpoint, CheckpointConfig, CheckpointSigner, Config, Digest, Draft, GrowOutcome, Growth,
    Ledger, LedgerStore, MemoryLedgerStore, Prover, Query, RetentionClass, TreeStore,
};
use stanchion_core::{
    Actor, Category, Detail, Details, Event, EventId, IdGen as _, KeyRing, ManualClock, PageRequest, Scope,
    Secret, SeededRandom, StoreError, StoreErrorKind, SystemScope, Timestamp,
};

pub(crate) const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

/// What somebody who can write to the database, or a network, does to what is read and written.
#[derive(Debug, Default)]
pub(crate) struct Altered {
    alter: Mutex<Option<Alteration>>,
    /// The next growth of a tree is written, and nobody knows.
    pub(crate) fails: AtomicBool,
    /// Appends wait.
    pub(crate) stands: AtomicBool,
    /// Another process is first to grow trees so often.
    pub(crate) moved: AtomicUsize,
    /// The next growth of a tree is refused.
    pub(crate) refuses: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Alteration {
    /// This entry's leaf is another one.
    Leaf(u64),
    /// Entries from this one on are gone.
    Cut(u64),
    /// Tiles have another first hash.
    Tiles,
    /// The checkpoint says one entry more.
    Checkpoint,
}

impl Altered {
    fn now(&self) -> Option<Alteration> {
        *self.alter.lock().unwrap()
    }

    pub(crate) fn set(&self, alteration: Alteration) {
        *self.alter.lock().unwrap() = Some(alteration);
    }
}

#[async_trait]
impl Intercept for Altered {
    async fn around(&self, call: Call<'_>, pending: Pending<'_>) -> Result<(), StoreError> {
        while matches!(call, Call::Append(_)) && self.stands.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        pending.await
    }

    fn alter(&self, answer: Answer<'_>) {
        let Answer::Seals(seals) = answer else { return };
        match self.now() {
            Some(Alteration::Leaf(seq)) => {
                seals.iter_mut().filter(|seal| seal.seq == seq).for_each(|seal| seal.leaf = Digest::ZERO);
            }
            Some(Alteration::Cut(seq)) => seals.retain(|seal| seal.seq < seq),
            _ => {}
        }
    }
}

/// The trees of a store, with the same between.
#[derive(Debug)]
struct Trees {
    inner: Arc<MemoryLedgerStore>,
    by: Arc<Altered>,
}

#[async_trait]
impl TreeStore for Trees {
    async fn grow(&self, system: SystemScope, growth: &Growth) -> Result<GrowOutcome, StoreError> {
        let less = |left: usize| left.checked_sub(1);
        if self.by.moved.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Ok(GrowOutcome::Moved);
        }
        if self.by.refuses.swap(false, Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "altered", "grow"));
        }
        if self.by.fails.swap(false, Ordering::SeqCst) {
            // It is written, and nobody knows.
            self.inner.grow(system, growth).await?;
            return Err(StoreError::new(StoreErrorKind::Timeout, "altered", "grow"));
        }
        self.inner.grow(system, growth).await
    }
    async fn latest(
        &self,
        system: SystemScope,
        chains: &[ChainId],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let mut latest = self.inner.latest(system, chains).await?;
        if matches!(self.by.now(), Some(Alteration::Checkpoint)) {
            latest.iter_mut().flatten().for_each(|checkpoint| checkpoint.size += 1);
        }
        Ok(latest)
    }
    async fn checkpoints(&self, scope: Scope) -> Result<Vec<Checkpoint>, StoreError> {
        self.inner.checkpoints(scope).await
    }
    async fn tiles(&self, chain: ChainId, ids: &[TileId]) -> Result<Vec<Option<Tile>>, StoreError> {
        let mut tiles = self.inner.tiles(chain, ids).await?;
        if matches!(self.by.now(), Some(Alteration::Tiles)) {
            tiles.iter_mut().flatten().for_each(|tile| tile.hashes.fill(Digest::ZERO));
        }
        Ok(tiles)
    }
    async fn uncovered(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<ChainId>, StoreError> {
        self.inner.uncovered(system, after, limit).await
    }
}

pub(crate) struct Setup {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn LedgerStore>,
    pub(crate) trees: Arc<dyn TreeStore>,
    pub(crate) altered: Arc<Altered>,
    pub(crate) ids: Arc<SeededRandom>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let (inner, altered) = (Arc::new(MemoryLedgerStore::new(100_000)), Arc::new(Altered::default()));
        let store = Arc::new(Intercepted::new(inner.clone(), altered.clone()));
        let trees = Arc::new(Trees { inner, by: altered.clone() });
        let ids = Arc::new(SeededRandom::new(1));
        Self { clock: Arc::new(ManualClock::at(NOON)), store, trees, altered, ids }
    }

    /// Runs a ledger with its sequencer and checkpointer while `body` runs, closes it and waits for the last checkpoints.
    pub(crate) async fn run<T>(&self, body: impl AsyncFnOnce(&Ledger, &Prover) -> T) -> T {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let config = Config { linger_ms: 0, ..Config::default() };
        let (ledger, sequencer) = Ledger::new(self.store.clone(), keys(1), clock.clone(), clock, ids, config);
        let trees = self.trees.clone();
        let (prover, checkpointer) = ledger.checkpoints(trees, signer(1), CheckpointConfig::default());
        let body = async {
            let value = body(&ledger, &prover).await;
            ledger.close();
            value
        };
        let work = join(sequencer.run(), checkpointer.run());
        let (value, (run, ())) = passing_time(&self.clock, join(body, work)).await;
        run.unwrap();
        value
    }

    pub(crate) fn event(&self, scope: Scope) -> Event {
        let id = self.ids.event_id(NOON);
        Event::new(id, NOON, scope, Actor::Anonymous, "thing.done", Category::Access)
    }

    pub(crate) async fn append(&self, ledger: &Ledger, scope: Scope, count: usize) -> Vec<EventId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let event = self.event(scope);
            ids.push(event.id);
            ledger.submit(scope, Draft::Event(event)).unwrap();
        }
        let committed = async |id| ledger.get(scope, id).await.unwrap().is_some();
        while !committed(ids[count - 1]).await {
            tokio::task::yield_now().await;
        }
        ids
    }

    pub(crate) async fn records(&self, ledger: &Ledger, scope: Scope, action: &'static str) -> Vec<Event> {
        let query = Query { action: Some(action.into()), ..Query::default() };
        let page = ledger.query(scope, &query, &PageRequest::first(100)).await.unwrap();
        page.items.into_iter().map(|entry| entry.event).collect()
    }
}

pub(crate) fn keys(version: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([version; 32]))]).unwrap()
}

pub(crate) fn signer(version: u8) -> CheckpointSigner {
    CheckpointSigner::new(&keys(version), "audit.example.com").unwrap()
}

pub(crate) fn tenant(number: u8) -> Scope {
    format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap()
}

pub(crate) fn standard(scope: Scope) -> ChainId {
    ChainId { scope, class: RetentionClass::Standard }
}

/// Lets time pass whenever somebody waits for it, while `work` runs.
pub(crate) async fn passing_time<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        match select(work, pin!(tokio::task::yield_now())).await {
            Either::Left((value, _)) => return value,
            Either::Right(((), rest)) => work = rest,
        }
        if clock.sleepers() > 0 {
            clock.advance(std::time::Duration::from_millis(20));
        }
    }
}

/// Waits until a chain's checkpoint covers so many entries.
pub(crate) async fn covered(prover: &Prover, chain: ChainId, size: u64) -> Checkpoint {
    loop {
        let checkpoints = prover.checkpoints(chain.scope).await.unwrap();
        if let Some(found) = checkpoints.into_iter().find(|found| found.chain == chain && found.size >= size)
        {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) fn text(details: &Details, name: &str) -> String {
    match details.get(name) {
        Some(Detail::Text(text)) => text.to_string(),
        Some(Detail::Integer(number)) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}
