use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, join, select};
use stanchion_audit::archive::{ArchiveVerdict, PREFIX, verify_archive};
use stanchion_audit::conformance::{Call, Intercept, Intercepted, Pending};
use stanchion_audit::{
    Chain, ChainId, CheckpointConfig, CheckpointSigner, Config, Draft, Hold, HoldStore, Keeper, Ledger,
    LedgerStore as _, MemoryHoldStore, MemoryLedgerStore, MemoryObjectStore, ObjectName, ObjectStore, Prover,
    PutOutcome, Query, RetentionClass, RetentionConfig, VerifierKey,
};
use stanchion_core::{
    Actor, Category, Clock as _, Detail, Event, IdGen as _, KeyRing, ManualClock, PageRequest, Scope, Secret,
    SeededRandom, StoreError, Text, Timestamp,
};
use tokio::sync::Notify;
use uuid::Uuid;

/// 2026-03-01T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Stands still for ever at one of the operations that go through it, as a process that is killed there.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    /// How many operations are left; 0 is never reached from above twice.
    left: AtomicUsize,
    pub(crate) is_after: std::sync::atomic::AtomicBool,
    blown: Notify,
}

impl Fuse {
    pub(crate) fn set(&self, operations: usize) {
        self.left.store(operations, Ordering::SeqCst);
    }

    pub(crate) async fn blown(&self) {
        self.blown.notified().await;
    }

    async fn guard<T>(&self, work: impl Future<Output = T>) -> T {
        let left = self.left.load(Ordering::SeqCst);
        if left != 1 {
            self.left.store(left.saturating_sub(1), Ordering::SeqCst);
            return work.await;
        }
        self.left.store(0, Ordering::SeqCst);
        if self.is_after.load(Ordering::SeqCst) {
            drop(work.await);
        }
        self.blown.notify_one();
        pending().await
    }
}

#[async_trait]
impl Intercept for Fuse {
    async fn around(&self, call: Call<'_>, pending: Pending<'_>) -> Result<(), StoreError> {
        // What nobody but a keeper does.
        let is_keepers = matches!(call, Call::List | Call::Cut { .. } | Call::Reclaim);
        if is_keepers { self.guard(pending).await } else { pending.await }
    }
}

/// Stores behind a fuse. What a keeper alone does goes through it.
#[derive(Debug)]
pub(crate) struct Stores {
    /// Chains and trees, which no fuse concerns.
    pub(crate) ledger: Arc<MemoryLedgerStore>,
    pub(crate) objects: MemoryObjectStore,
    pub(crate) holds: MemoryHoldStore,
    pub(crate) fuse: Arc<Fuse>,
}

#[async_trait]
impl ObjectStore for Stores {
    async fn put_new(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        keep_until: Option<Timestamp>,
    ) -> Result<PutOutcome, StoreError> {
        self.fuse.guard(self.objects.put_new(name, bytes, keep_until)).await
    }
    async fn get(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, StoreError> {
        self.fuse.guard(self.objects.get(name)).await
    }
    async fn list(
        &self,
        prefix: &ObjectName,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectName>, StoreError> {
        self.fuse.guard(self.objects.list(prefix, after, limit)).await
    }
}

#[async_trait]
impl HoldStore for Stores {
    async fn put(&self, hold: &Hold) -> Result<Hold, StoreError> {
        self.holds.put(hold).await
    }
    async fn list(&self, scope: Scope) -> Result<Vec<Hold>, StoreError> {
        self.fuse.guard(self.holds.list(scope)).await
    }
    async fn lift(
        &self,
        scope: Scope,
        id: Uuid,
        by: &Text,
        at: Timestamp,
    ) -> Result<Option<Hold>, StoreError> {
        self.holds.lift(scope, id, by, at).await
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ids: Arc<SeededRandom>,
    pub(crate) stores: Arc<Stores>,
}

impl World {
    pub(crate) fn new() -> Self {
        let stores = Stores {
            ledger: Arc::new(MemoryLedgerStore::new(100_000)),
            objects: MemoryObjectStore::default(),
            holds: MemoryHoldStore::default(),
            fuse: Arc::default(),
        };
        let ids = Arc::new(SeededRandom::new(1));
        Self { clock: Arc::new(ManualClock::at(NOON)), stores: Arc::new(stores), ids }
    }

    /// Runs a ledger with its sequencer and checkpointer while `body` runs.
    pub(crate) async fn run<T>(&self, body: impl AsyncFnOnce(&Ledger, &Prover) -> T) -> T {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let config = Config { linger_ms: 0, ..Config::default() };
        let (trees, fuse) = (self.stores.ledger.clone(), self.stores.fuse.clone());
        let store = Arc::new(Intercepted::new(trees.clone(), fuse));
        let (ledger, sequencer) = Ledger::new(store, keys(1), clock.clone(), clock, ids, config);
        let (prover, checkpointer) = ledger.checkpoints(trees, signer(), CheckpointConfig::default());
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

    /// Runs a ledger whose entries no checkpoint covers, while `body` runs.
    pub(crate) async fn run_uncovered<T>(&self, body: impl AsyncFnOnce(&Ledger, &Prover) -> T) -> T {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let config = Config { linger_ms: 0, ..Config::default() };
        let trees = self.stores.ledger.clone();
        let (ledger, sequencer) = Ledger::new(trees.clone(), keys(1), clock.clone(), clock, ids, config);
        let (prover, _checkpointer) = ledger.checkpoints(trees, signer(), CheckpointConfig::default());
        let body = async {
            let value = body(&ledger, &prover).await;
            ledger.close();
            value
        };
        let (value, run) = passing_time(&self.clock, join(body, sequencer.run())).await;
        run.unwrap();
        value
    }

    /// Appends entries of class `standard`, and waits until all are covered.
    pub(crate) async fn append(&self, ledger: &Ledger, prover: &Prover, scope: Scope, count: usize) {
        self.record(ledger, scope, count, Category::Access).await;
        self.covered(prover, standard(scope)).await;
    }

    /// Appends entries of a category, and waits until all are committed.
    pub(crate) async fn record(&self, ledger: &Ledger, scope: Scope, count: usize, category: Category) {
        let chain = ChainId { scope, class: RetentionClass::of(category) };
        let head = async || {
            let chains = self.stores.ledger.chains(scope).await.unwrap();
            chains.into_iter().find(|kept| kept.id == chain).map_or(0, |kept| kept.head.seq)
        };
        let until = head().await + u64::try_from(count).unwrap();
        for _ in 0..count {
            let now = self.clock.now();
            let id = self.ids.event_id(now);
            let event = Event::new(id, now, scope, Actor::Anonymous, "thing.done", category);
            ledger.submit(scope, Draft::Event(event.with_detail("said", "\u{2603}"))).unwrap();
        }
        while head().await < until {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn covered(&self, prover: &Prover, chain: ChainId) {
        let head = self.chain(chain).await.head.seq;
        while prover.checkpoint(chain).await.unwrap().is_none_or(|checkpoint| checkpoint.size < head) {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn chain(&self, chain: ChainId) -> Chain {
        let chains = self.stores.ledger.chains(chain.scope).await.unwrap();
        chains.into_iter().find(|kept| kept.id == chain).unwrap()
    }

    pub(crate) fn keeper(&self, prover: &Prover, config: RetentionConfig) -> Keeper {
        Keeper::new(prover.clone(), self.stores.clone(), Some(self.stores.clone()), config)
            .on_failure(|chain, error| panic!("{chain:?}: {error} {:?}", std::error::Error::source(error)))
    }

    pub(crate) async fn records(&self, ledger: &Ledger, scope: Scope, action: &'static str) -> Vec<Event> {
        let query = Query { action: Some(action.into()), ..Query::default() };
        let page = ledger.query(scope, &query, &PageRequest::first(100)).await.unwrap();
        page.items.into_iter().rev().map(|entry| entry.event).collect()
    }

    pub(crate) async fn archive(&self) -> BTreeMap<ObjectName, Vec<u8>> {
        let names = self.stores.objects.list(&PREFIX.parse().unwrap(), None, usize::MAX).await.unwrap();
        let mut archive = BTreeMap::new();
        for name in names {
            let bytes = self.stores.objects.get(&name).await.unwrap().unwrap();
            archive.insert(name, bytes);
        }
        archive
    }
}

pub(crate) fn verified(archive: &BTreeMap<ObjectName, Vec<u8>>, macs: Option<&KeyRing>) -> ArchiveVerdict {
    let read = |name: &ObjectName| Ok(archive.get(name).cloned());
    verify_archive(archive.keys().cloned(), read, &verifiers(), macs).unwrap()
}

pub(crate) fn verifiers() -> Vec<VerifierKey> {
    let chain = |class| ChainId { scope: tenant(1), class };
    RetentionClass::ALL.into_iter().flat_map(|class| signer().verifiers(&chain(class))).collect()
}

pub(crate) fn number(event: &Event, name: &str) -> u64 {
    match event.details.get(name) {
        Some(Detail::Integer(number)) => (*number).try_into().unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn text(event: &Event, name: &str) -> String {
    match event.details.get(name) {
        Some(Detail::Text(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn keys(version: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([version; 32]))]).unwrap()
}

fn signer() -> CheckpointSigner {
    CheckpointSigner::new(&keys(9), "audit.example.com").unwrap()
}

pub(crate) fn tenant(number: u8) -> Scope {
    format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap()
}

pub(crate) fn standard(scope: Scope) -> ChainId {
    ChainId { scope, class: RetentionClass::Standard }
}

/// Lets time pass whenever somebody waits for it, while `work` runs.
async fn passing_time<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        match select(work, pin!(tokio::task::yield_now())).await {
            Either::Left((value, _)) => return value,
            Either::Right(((), rest)) => work = rest,
        }
        if clock.sleepers() > 0 {
            clock.advance(Duration::from_millis(20));
        }
    }
}
