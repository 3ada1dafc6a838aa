use std::sync::Arc;

use stanchion_core::{
    Actor, Category, Event, EventId, IdGen as _, KeyRing, Scope, Secret, SeededRandom, SystemScope, TenantId,
    Timestamp,
};

use crate::{
    AppendBatch, AppendOutcome, Chain, ChainId, Content, Fence, Head, LedgerStore, RetentionClass, Row,
    Sealer, Shard, Signer, Verdict, Writers, verify_chain,
};

/// A store under test, and what the cases write to it.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn LedgerStore>,
    pub(super) ids: Arc<SeededRandom>,
}

/// The chain and content of one event.
pub(super) type Prepared = (ChainId, Arc<Content>);

pub(super) const SYSTEM: SystemScope = SystemScope::new("conformance");

/// 2026-03-01T12:00:00Z.
pub(super) const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

impl Fixture {
    /// Takes an empty store.
    #[must_use]
    pub fn new(store: Arc<dyn LedgerStore>) -> Self {
        Self { store, ids: Arc::new(SeededRandom::new(7)) }
    }

    pub(super) fn scope(&self) -> Scope {
        Scope::Tenant(TenantId::from_uuid(self.ids.uuid(NOON)))
    }

    pub(super) fn event(&self, scope: Scope, category: Category) -> Event {
        let id = self.ids.event_id(NOON);
        Event::new(id, NOON, scope, Actor::Anonymous, "test.happened", category)
    }

    /// Events of class `standard`.
    pub(super) fn some(&self, scope: Scope, count: usize) -> Vec<Prepared> {
        (0..count).map(|_| prepared(self.event(scope, Category::Access))).collect()
    }

    pub(super) async fn open(&self) -> Fence {
        self.store.open(SYSTEM, Shard::ONLY, Writers::Shared).await.expect("opens")
    }

    /// Seals contents onto the heads as the store tells them.
    pub(super) async fn seal(&self, fence: Fence, contents: &[Prepared]) -> AppendBatch {
        self.seal_at(fence, NOON, contents).await
    }

    pub(super) async fn seal_at(&self, fence: Fence, now: Timestamp, contents: &[Prepared]) -> AppendBatch {
        let chains: Vec<ChainId> = contents.iter().map(|(chain, _)| *chain).collect();
        let heads = self.heads(&chains).await;
        let mut sealer = Sealer::new(Arc::new(Signer::new(&keys())));
        for (chain, head) in chains.into_iter().zip(heads) {
            sealer.set_head(chain, head);
        }
        sealer.seal(fence, now, contents.iter().map(|(chain, content)| (*chain, content)))
    }

    pub(super) async fn append(&self, batch: &AppendBatch) -> AppendOutcome {
        self.store.append(SYSTEM, batch).await.expect("answers")
    }

    /// Seals and appends, which must succeed; returns the rows.
    pub(super) async fn write(&self, contents: &[Prepared]) -> Vec<Row> {
        self.write_at(NOON, contents).await
    }

    pub(super) async fn write_at(&self, now: Timestamp, contents: &[Prepared]) -> Vec<Row> {
        let fence = self.open().await;
        let batch = self.seal_at(fence, now, contents).await;
        assert_eq!(self.append(&batch).await, AppendOutcome::Committed);
        batch.rows().to_vec()
    }

    pub(super) async fn heads(&self, chains: &[ChainId]) -> Vec<Head> {
        self.store.heads(SYSTEM, chains).await.expect("reads")
    }

    pub(super) async fn chains(&self, scope: Scope) -> Vec<Chain> {
        self.store.chains(scope).await.expect("reads")
    }

    pub(super) async fn all(&self, chain: ChainId) -> Vec<Row> {
        self.store.read(chain, 1, usize::MAX >> 1).await.expect("reads")
    }

    pub(super) async fn get(&self, scope: Scope, id: EventId) -> Option<Row> {
        self.store.get(scope, id).await.expect("reads")
    }

    /// Verifies every chain of a scope; returns how many entries they have.
    pub(super) async fn verified(&self, scope: Scope) -> u64 {
        let mut verified = 0;
        for chain in self.chains(scope).await {
            let rows = self.all(chain.id).await;
            match verify_chain(&chain, &rows, &keys()) {
                Verdict::Intact { entries, .. } => verified += entries,
                Verdict::Broken(found) => panic!("{found}"),
            }
        }
        verified
    }
}

pub(super) fn prepared(event: Event) -> Prepared {
    let (chain, content) = Content::new(event).expect("has a canonical form");
    (chain, Arc::new(content))
}

pub(super) fn standard(scope: Scope) -> ChainId {
    ChainId { scope, class: RetentionClass::Standard }
}

pub(super) fn keys() -> KeyRing {
    KeyRing::new([(1, Secret::new([7; 32]))]).expect("32 bytes are a key")
}
