//! What the tests share: a store that can be held up, engines over it, and a clock that is moved by hand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use stanchion_core::{
    Author, Change, FeedCursor, FeedPage, KeyId, KeyRing, ManualClock, Page, PageRequest, Revision, Scope,
    Secret, SeededRandom, StoreError, StoreErrorKind, SubjectRef, SystemScope, Timestamp, Versioned,
};
use stanchion_identity::{
    ApiKey, Config, Engine, KeyChange, KeyHash, KeyStore, MemoryKeyStore, NewKey, Outcome, PlainKey,
    RejectionReason,
};
use stanchion_replica::{ChangeFeed, Follower, FollowerConfig, MemoryOutboxStore};
use tokio::sync::Semaphore;

/// A store that counts look-ups, and can be made to fail, or to hold answers back until they are let through.
#[derive(Debug)]
pub(crate) struct Probe {
    store: MemoryKeyStore,
    finds: AtomicUsize,
    down: AtomicBool,
    holds_finds: AtomicBool,
    holds_applies: AtomicBool,
    passes: Semaphore,
    others: Mutex<Vec<ApiKey>>,
}

impl Probe {
    pub(crate) fn finds(&self) -> usize {
        self.finds.load(Ordering::SeqCst)
    }

    /// Makes every call fail, or work again.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Holds back the answers of look-ups: the store has been read by then.
    pub(crate) fn hold_finds(&self, hold: bool) {
        self.holds_finds.store(hold, Ordering::SeqCst);
    }

    /// Holds back the answers of writes: they are written by then.
    pub(crate) fn hold_applies(&self, hold: bool) {
        self.holds_applies.store(hold, Ordering::SeqCst);
    }

    /// Lets answers through.
    pub(crate) fn pass(&self, count: usize) {
        self.passes.add_permits(count);
    }

    /// Has somebody else write these keys, one just before each of the next changes.
    pub(crate) fn have_written(&self, keys: Vec<ApiKey>) {
        *self.others.lock().unwrap() = keys;
    }

    fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "probe", operation));
        }
        Ok(())
    }

    async fn hold(&self, hold: &AtomicBool) {
        if hold.load(Ordering::SeqCst) {
            self.passes.acquire().await.unwrap().forget();
        }
    }
}

#[async_trait]
impl ChangeFeed for Probe {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.check("changes")?;
        self.store.changes(system, cursor, limit).await
    }
}

#[async_trait]
impl KeyStore for Probe {
    async fn revision(&self, scope: Scope) -> Result<Revision, StoreError> {
        self.check("revision")?;
        self.store.revision(scope).await
    }

    async fn get(&self, scope: Scope, id: KeyId) -> Result<Option<Versioned<ApiKey>>, StoreError> {
        self.check("get")?;
        self.store.get(scope, id).await
    }

    async fn list(&self, scope: Scope, page: &PageRequest) -> Result<Page<Versioned<ApiKey>>, StoreError> {
        self.check("list")?;
        self.store.list(scope, page).await
    }

    async fn find(
        &self,
        system: SystemScope,
        hashes: &[KeyHash],
    ) -> Result<Option<Versioned<ApiKey>>, StoreError> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        self.check("find")?;
        let found = self.store.find(system, hashes).await;
        self.hold(&self.holds_finds).await;
        found
    }

    async fn apply(&self, scope: Scope, change: Change<KeyChange>) -> Result<Revision, StoreError> {
        self.check("apply")?;
        let other = self.others.lock().unwrap().pop();
        if let Some(other) = other {
            let changes = vec![KeyChange::Put(other)];
            self.store.apply(scope, Change { changes, events: Vec::new(), ..change.clone() }).await?;
        }
        let applied = self.store.apply(scope, change).await;
        self.hold(&self.holds_applies).await;
        applied
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Probe>,
    pub(crate) outbox: Arc<MemoryOutboxStore>,
    pub(crate) author: Author,
    pub(crate) tenant: Scope,
}

impl World {
    pub(crate) fn new() -> Self {
        let outbox = Arc::new(MemoryOutboxStore::default());
        let store = Probe {
            store: MemoryKeyStore::new(Some(Arc::clone(&outbox))),
            finds: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            holds_finds: AtomicBool::new(false),
            holds_applies: AtomicBool::new(false),
            passes: Semaphore::new(0),
            others: Mutex::default(),
        };
        let start = Timestamp::parse_rfc3339("2026-03-01T00:00:00Z").unwrap();
        Self {
            clock: Arc::new(ManualClock::at(start)),
            store: Arc::new(store),
            outbox,
            author: Author::system("test"),
            tenant: "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap(),
        }
    }

    pub(crate) fn engine(&self, seed: u64) -> Arc<Engine> {
        self.engine_with(seed, &[1], Config::default())
    }

    pub(crate) fn engine_with(&self, seed: u64, peppers: &[u8], config: Config) -> Arc<Engine> {
        let versions = peppers.iter().map(|version| (u32::from(*version), Secret::new([*version; 32])));
        let random = Arc::new(SeededRandom::new(seed));
        let peppers = KeyRing::new(versions).unwrap();
        Arc::new(Engine::new(self.store.clone(), peppers, self.clock.clone(), random, config))
    }

    pub(crate) fn follower(&self, engine: &Arc<Engine>) -> Follower {
        let config = FollowerConfig::default();
        Follower::new(self.store.clone(), engine.clone(), self.clock.clone(), self.clock.clone(), config)
    }

    pub(crate) fn new_key(&self) -> NewKey {
        NewKey {
            scope: self.tenant,
            subject: SubjectRef::service("etl").unwrap(),
            name: "nightly".parse().unwrap(),
            environment: None,
            expires_at: None,
            cidrs: Vec::new(),
        }
    }

    pub(crate) async fn issue(&self, engine: &Engine) -> (ApiKey, PlainKey) {
        let (key, plain) = engine.issue(&self.author, self.new_key()).await.unwrap();
        (key.value, plain)
    }

    pub(crate) async fn revoke(&self, engine: &Engine, key: &ApiKey) {
        engine.revoke(&self.author, key.scope, key.id).await.unwrap();
    }
}

/// What `outcome` says, in one word.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    outcome.rejection().map_or("authenticated", |rejection| rejection.reason.as_str())
}

/// What memory says in one word; `ask` when it does not know.
pub(crate) fn recall(engine: &Engine, plain: &PlainKey) -> &'static str {
    engine.try_authenticate(plain.expose(), None).map_or("ask", |outcome| word(&outcome))
}

/// What the engine says in one word.
pub(crate) async fn ask(engine: &Engine, plain: &PlainKey) -> &'static str {
    word(&engine.authenticate(plain.expose(), None).await.unwrap())
}

pub(crate) const REVOKED: &str = RejectionReason::Revoked.as_str();
pub(crate) const EXPIRED: &str = RejectionReason::Expired.as_str();
pub(crate) const UNKNOWN: &str = RejectionReason::Unknown.as_str();
