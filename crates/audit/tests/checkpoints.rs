//! Checkpoints as their readers see them: what was committed is covered, proven with a public key alone, and nothing is signed over.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::{Either, join, select};
use stanchion_audit::tree::{Tile, TileId, verify_consistency};
use stanchion_audit::{
    AppendBatch, AppendOutcome, Chain, ChainId, Checkpoint, CheckpointConfig, CheckpointSigner, Checkpointer,
    Config, CutOutcome, Digest, Draft, Error, Fence, GrowOutcome, Growth, Head, Ledger, LedgerStore,
    MemoryLedgerStore, NoteError, Place, Prover, Query, RetentionClass, Row, Seal, Shard, TreeHead,
    TreeStore, Unproven, Writers, verify_proof,
};
use stanchion_core::{
    Actor, Category, Clock as _, Detail, Details, Event, EventId, IdGen as _, KeyRing, ManualClock,
    PageRequest, Scope, Secret, SeededRandom, Severity, StoreError, StoreErrorKind, SystemScope, Timestamp,
};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

/// A store whose answers a test can alter, as somebody who can write to the database.
#[derive(Debug)]
struct Altered {
    inner: MemoryLedgerStore,
    alter: Mutex<Option<Alteration>>,
    fails: AtomicBool,
    refuses: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
enum Alteration {
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

    fn set(&self, alteration: Alteration) {
        *self.alter.lock().unwrap() = Some(alteration);
    }
}

#[async_trait]
impl LedgerStore for Altered {
    async fn open(&self, system: SystemScope, shard: Shard, writers: Writers) -> Result<Fence, StoreError> {
        self.inner.open(system, shard, writers).await
    }
    async fn heads(&self, system: SystemScope, chains: &[ChainId]) -> Result<Vec<Head>, StoreError> {
        self.inner.heads(system, chains).await
    }
    async fn append(&self, system: SystemScope, batch: &AppendBatch) -> Result<AppendOutcome, StoreError> {
        self.inner.append(system, batch).await
    }
    async fn chains(&self, scope: Scope) -> Result<Vec<Chain>, StoreError> {
        self.inner.chains(scope).await
    }

    async fn list(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<Chain>, StoreError> {
        self.inner.list(system, after, limit).await
    }
    async fn read(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.read(chain, from, limit).await
    }
    async fn seals(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Seal>, StoreError> {
        let mut seals = self.inner.seals(chain, from, limit).await?;
        match self.now() {
            Some(Alteration::Leaf(seq)) => {
                seals.iter_mut().filter(|seal| seal.seq == seq).for_each(|seal| seal.leaf = Digest::ZERO);
            }
            Some(Alteration::Cut(seq)) => seals.retain(|seal| seal.seq < seq),
            _ => {}
        }
        Ok(seals)
    }
    async fn query(
        &self,
        scope: Scope,
        query: &Query,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.query(scope, query, before, limit).await
    }
    async fn get(&self, scope: Scope, id: EventId) -> Result<Option<Row>, StoreError> {
        self.inner.get(scope, id).await
    }

    async fn cut(
        &self,
        system: SystemScope,
        chain: ChainId,
        from: &Head,
        base: Head,
    ) -> Result<CutOutcome, StoreError> {
        self.inner.cut(system, chain, from, base).await
    }
}

#[async_trait]
impl TreeStore for Altered {
    async fn grow(&self, system: SystemScope, growth: &Growth) -> Result<GrowOutcome, StoreError> {
        if self.refuses.swap(false, Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "altered", "grow"));
        }
        if self.fails.swap(false, Ordering::SeqCst) {
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
        if matches!(self.now(), Some(Alteration::Checkpoint)) {
            latest.iter_mut().flatten().for_each(|checkpoint| checkpoint.size += 1);
        }
        Ok(latest)
    }
    async fn checkpoints(&self, scope: Scope) -> Result<Vec<Checkpoint>, StoreError> {
        self.inner.checkpoints(scope).await
    }
    async fn tiles(&self, chain: ChainId, ids: &[TileId]) -> Result<Vec<Option<Tile>>, StoreError> {
        let mut tiles = self.inner.tiles(chain, ids).await?;
        if matches!(self.now(), Some(Alteration::Tiles)) {
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

struct Setup {
    clock: Arc<ManualClock>,
    store: Arc<Altered>,
    ids: Arc<SeededRandom>,
}

impl Setup {
    fn new() -> Self {
        let inner = MemoryLedgerStore::new(100_000);
        let (alter, fails, refuses) = (Mutex::default(), AtomicBool::new(false), AtomicBool::new(false));
        let store = Altered { inner, alter, fails, refuses };
        let ids = Arc::new(SeededRandom::new(1));
        Self { clock: Arc::new(ManualClock::at(NOON)), store: Arc::new(store), ids }
    }

    /// Runs a ledger with its sequencer and checkpointer while `body` runs, closes it and waits for the last checkpoints.
    async fn run<T>(&self, body: impl AsyncFnOnce(&Ledger, &Prover) -> T) -> T {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let config = Config { linger_ms: 0, ..Config::default() };
        let store = self.store.clone();
        let (ledger, sequencer) = Ledger::new(store.clone(), keys(1), clock.clone(), clock, ids, config);
        let (prover, checkpointer) = ledger.checkpoints(store, signer(1), CheckpointConfig::default());
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

    async fn append(&self, ledger: &Ledger, scope: Scope, count: usize) -> Vec<EventId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let id = self.ids.event_id(NOON);
            let event = Event::new(id, NOON, scope, Actor::Anonymous, "thing.done", Category::Access);
            ledger.submit(scope, Draft::Event(event)).unwrap();
            ids.push(id);
        }
        let committed = async |id| ledger.get(scope, id).await.unwrap().is_some();
        while !committed(ids[count - 1]).await {
            tokio::task::yield_now().await;
        }
        ids
    }

    async fn records(&self, ledger: &Ledger, scope: Scope, action: &'static str) -> Vec<Event> {
        let query = Query { action: Some(action.into()), ..Query::default() };
        let page = ledger.query(scope, &query, &PageRequest::first(100)).await.unwrap();
        page.items.into_iter().map(|entry| entry.event).collect()
    }
}

fn keys(version: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([version; 32]))]).unwrap()
}

fn signer(version: u8) -> CheckpointSigner {
    CheckpointSigner::new(&keys(version), "audit.example.com").unwrap()
}

fn tenant(number: u8) -> Scope {
    format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap()
}

fn standard(scope: Scope) -> ChainId {
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
            clock.advance(std::time::Duration::from_millis(20));
        }
    }
}

/// Waits until a chain's checkpoint covers so many entries.
async fn covered(prover: &Prover, chain: ChainId, size: u64) -> Checkpoint {
    loop {
        let checkpoints = prover.checkpoints(chain.scope).await.unwrap();
        if let Some(found) = checkpoints.into_iter().find(|found| found.chain == chain && found.size >= size)
        {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

fn text(details: &Details, name: &str) -> String {
    match details.get(name) {
        Some(Detail::Text(text)) => text.to_string(),
        Some(Detail::Integer(number)) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_checkpointer_moves_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let setup = Setup::new();
    let store = setup.store.clone();
    let clock = setup.clock.clone();
    let (ledger, sequencer) =
        Ledger::new(store.clone(), keys(1), clock.clone(), clock, setup.ids.clone(), Config::default());
    let (_, checkpointer): (Prover, Checkpointer) =
        ledger.checkpoints(store, signer(1), CheckpointConfig::default());
    is_send(&checkpointer.run());
    drop(sequencer);
}

#[tokio::test]
async fn an_entry_is_proven_with_nothing_but_a_public_key() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            let ids = setup.append(ledger, tenant(1), 600).await;
            let chain = standard(tenant(1));
            covered(prover, chain, 600).await;
            let key = prover.verifiers(&chain)[0].to_string().parse().unwrap();
            for place in [0, 255, 256, 599] {
                let proof = prover.prove(tenant(1), ids[place]).await.unwrap().unwrap();
                let proven = verify_proof(&proof.to_text(), std::slice::from_ref(&key)).unwrap();
                assert_eq!(usize::try_from(proven.seq).unwrap(), place + 1);
                assert_eq!(proven.canonical, proof.canonical);
                assert_eq!(stanchion_audit::parse(&proven.canonical).unwrap().id, ids[place]);
                assert_eq!(proven.tree.origin, format!("audit.example.com/{chain}"));

                let (event, hash) = (
                    proof.to_text().replacen("extra e", "extra f", 1),
                    proof.to_text().replace("index ", "index 1"),
                );
                for altered in [event, hash] {
                    assert!(matches!(
                        verify_proof(&altered, std::slice::from_ref(&key)),
                        Err(Unproven::Inclusion(_))
                    ));
                }
                let stranger = signer(2).verifiers(&chain);
                let unknown = Err(Unproven::Checkpoint(NoteError::UnknownKey));
                assert_eq!(verify_proof(&proof.to_text(), &stranger), unknown);
            }
            assert_eq!(prover.prove(tenant(2), ids[0]).await.unwrap(), None, "another tenant's");
        })
        .await;
}

#[tokio::test]
async fn what_is_not_covered_yet_is_told_so_and_covered_within_the_interval() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            let chain = standard(tenant(1));
            setup.append(ledger, tenant(1), 1).await;
            let before = covered(prover, chain, 1).await;
            let id = setup.append(ledger, tenant(1), 1).await[0];
            let proof = prover.prove(tenant(1), id).await;
            assert!(matches!(proof, Err(Error::NotCovered { seq: 2, size: 1, .. })), "{proof:?}");
            let after = covered(prover, chain, 2).await;
            assert!(after.signed_at.micros() - before.signed_at.micros() <= 1_100_000);
            assert!(prover.prove(tenant(1), id).await.unwrap().is_some());
        })
        .await;
}

#[tokio::test]
async fn a_log_is_proven_to_have_only_grown_also_over_restarts() {
    let setup = Setup::new();
    let chain = standard(tenant(1));
    let mut known: Vec<TreeHead> = Vec::new();
    for count in [1, 254, 1, 1, 300, 700] {
        let head = setup
            .run(async |ledger, prover| {
                setup.append(ledger, tenant(1), count).await;
                let size = known.last().map_or(0, |head| head.size) + u64::try_from(count).unwrap();
                let checkpoint = covered(prover, chain, size).await;
                for earlier in &known {
                    let proof = prover.prove_growth(chain, earlier.size).await.unwrap().unwrap();
                    let (from, to) = ((earlier.size, &earlier.root), (checkpoint.size, &checkpoint.root));
                    assert_eq!(verify_consistency(from, to, &proof.hashes), Ok(()));
                }
                assert!(matches!(prover.prove_growth(chain, size + 1).await, Err(Error::NoProof { .. })));
                TreeHead::open(checkpoint.note.as_str(), &prover.verifiers(&chain)).unwrap()
            })
            .await;
        known.push(head);
    }
}

#[tokio::test]
async fn closing_covers_what_was_committed() {
    let setup = Setup::new();
    let prover = setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 10).await;
            prover.clone()
        })
        .await;
    assert_eq!(covered(&prover, standard(tenant(1)), 10).await.size, 10);
}

#[tokio::test]
async fn entries_that_a_process_left_uncovered_are_covered_by_the_next() {
    let setup = Setup::new();
    let (clock, ids, store) = (setup.clock.clone(), setup.ids.clone(), setup.store.clone());
    let config = Config { linger_ms: 0, ..Config::default() };
    let (ledger, sequencer) = Ledger::new(store, keys(1), clock.clone(), clock, ids, config);
    let body = async {
        setup.append(&ledger, tenant(1), 5).await;
        ledger.close();
    };
    join(sequencer.run(), body).await.0.unwrap();
    setup.run(async |_, prover| covered(prover, standard(tenant(1)), 5).await).await;
}

#[tokio::test]
async fn a_reply_that_was_lost_forks_no_tree() {
    let setup = Setup::new();
    let chain = standard(tenant(1));
    setup
        .run(async |ledger, prover| {
            setup.store.fails.store(true, Ordering::SeqCst);
            setup.append(ledger, tenant(1), 10).await;
            let first = covered(prover, chain, 10).await;
            setup.append(ledger, tenant(1), 10).await;
            let second = covered(prover, chain, 20).await;
            let proof = prover.prove_growth(chain, 10).await.unwrap().unwrap();
            let (from, to) = ((10, &first.root), (20, &second.root));
            assert_eq!(verify_consistency(from, to, &proof.hashes), Ok(()));
        })
        .await;
}

#[tokio::test]
async fn a_store_that_was_away_is_asked_again_long_before_anybody_looks_for_what_was_left() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(2), 1).await;
            covered(prover, standard(tenant(2)), 1).await;
            let began = setup.clock.now();
            setup.store.refuses.store(true, Ordering::SeqCst);
            setup.append(ledger, tenant(1), 10).await;
            covered(prover, standard(tenant(1)), 10).await;
            assert!(!setup.store.refuses.load(Ordering::SeqCst), "it was asked and refused");
            let took = setup.clock.now().since(began).as_secs();
            assert!(took < 10, "covered after {took} seconds");
        })
        .await;
}

#[tokio::test]
async fn two_checkpointers_of_one_store_make_one_tree() {
    let setup = Setup::new();
    let chain = standard(tenant(1));
    let (first, second) = join(
        setup.run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 300).await;
            covered(prover, chain, 600).await
        }),
        setup.run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 300).await;
            covered(prover, chain, 600).await
        }),
    )
    .await;
    assert_eq!((first.size, first.root), (second.size, second.root));
}

#[tokio::test]
async fn an_entry_that_was_altered_before_it_was_covered_is_not_signed_for() {
    for alteration in [Alteration::Leaf(7), Alteration::Leaf(1)] {
        let setup = Setup::new();
        setup.store.set(alteration);
        setup
            .run(async |ledger, prover| {
                setup.append(ledger, tenant(1), 10).await;
                let found = loop {
                    let found = setup.records(ledger, tenant(1), "audit.chain_broken").await;
                    if !found.is_empty() {
                        break found;
                    }
                    tokio::task::yield_now().await;
                };
                assert_eq!((found.len(), found[0].severity), (1, Severity::Critical));
                assert_eq!(text(&found[0].details, "reason"), "it is not linked to the entry before it");
                let Alteration::Leaf(seq) = alteration else { panic!() };
                assert_eq!(text(&found[0].details, "seq"), seq.to_string());
                let checkpoints = prover.checkpoints(tenant(1)).await.unwrap();
                assert!(checkpoints.iter().all(|found| found.chain != standard(tenant(1))));
            })
            .await;
    }
}

#[tokio::test]
async fn what_was_signed_for_and_is_gone_or_altered_is_noticed_at_the_next_start() {
    for (alteration, reason) in [
        (Alteration::Cut(290), "it is missing"),
        (Alteration::Leaf(280), "the tree up to it is not the one that was signed for"),
        (Alteration::Tiles, "the tree up to it is not the one that was signed for"),
        (Alteration::Checkpoint, "its checkpoint is not what was signed"),
    ] {
        let setup = Setup::new();
        let chain = standard(tenant(1));
        setup
            .run(async |ledger, prover| {
                setup.append(ledger, tenant(1), 300).await;
                covered(prover, chain, 300).await;
            })
            .await;
        setup
            .run(async |ledger, prover| {
                setup.append(ledger, tenant(1), 1).await;
                setup.store.set(alteration);
                let found = loop {
                    let found = setup.records(ledger, tenant(1), "audit.chain_broken").await;
                    if !found.is_empty() {
                        break found;
                    }
                    tokio::task::yield_now().await;
                };
                assert_eq!(text(&found[0].details, "reason"), reason, "{alteration:?}");
                assert_eq!(prover.checkpoints(tenant(1)).await.unwrap()[0].size, 300, "{alteration:?}");
            })
            .await;
    }
}

#[tokio::test]
async fn the_platform_records_the_checkpoints_of_tenants_and_that_there_were_none() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 5).await;
            setup.append(ledger, tenant(2), 7).await;
            let recorded = async |count| loop {
                let found = setup.records(ledger, Scope::Platform, "audit.checkpointed").await;
                if found.len() >= count {
                    return found;
                }
                tokio::task::yield_now().await;
            };
            let first = recorded(1).await.remove(0);
            let Some(Detail::List(checkpoints)) = first.details.get("checkpoints") else {
                panic!("{first:?}")
            };
            let told: Vec<(String, String)> = checkpoints
                .iter()
                .map(|checkpoint| match checkpoint {
                    Detail::Map(details) => (text(details, "chain"), text(details, "size")),
                    other => panic!("{other:?}"),
                })
                .collect();
            let chains = [tenant(1), tenant(2)].map(|scope| standard(scope).to_string());
            assert_eq!(told, [(chains[0].clone(), "5".to_owned()), (chains[1].clone(), "7".to_owned())]);

            let heartbeat = recorded(2).await.remove(0);
            assert_eq!(heartbeat.details.get("checkpoints"), Some(&Detail::List(Vec::new())));
            let waited = heartbeat.occurred_at.micros() - first.occurred_at.micros();
            assert!((300_000_000..302_000_000).contains(&waited), "{waited}");
            let platform = ChainId { scope: Scope::Platform, class: RetentionClass::Security };
            covered(prover, platform, 2).await;
        })
        .await;
}

#[tokio::test]
async fn tiles_are_those_of_the_checkpoint() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 700).await;
            let chain = standard(tenant(1));
            covered(prover, chain, 700).await;
            let tile = async |level, index, width| {
                let tile = prover.tile(chain, TileId { level, index }, width).await.unwrap();
                tile.map(|tile| tile.hashes.len())
            };
            assert_eq!(tile(0, 0, 256).await, Some(256));
            assert_eq!(tile(0, 2, 188).await, Some(188));
            assert_eq!(tile(0, 2, 100).await, Some(100), "an earlier checkpoint's");
            assert_eq!(tile(1, 0, 2).await, Some(2));
            for (level, index, width) in
                [(0, 2, 189), (0, 2, 256), (0, 3, 1), (1, 0, 3), (2, 0, 1), (0, 0, 0)]
            {
                assert_eq!(tile(level, index, width).await, None, "{level}/{index}.p/{width}");
            }
        })
        .await;
}
