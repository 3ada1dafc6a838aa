use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use stanchion_audit::{
    Aes256GcmCipher, Config, DataSubject, Exception, FieldPath, KeyName, Ledger, Mark, Marked,
    MemoryLedgerStore, MemorySubjectKeyStore, ProtectConfig, Protection, ProtectionChange, Rewrapped,
    Sequencer, StoredKey, SubjectKeyId, SubjectKeyStore,
};
use stanchion_core::{
    Actor, AuthenticationMethod, Category, Change, Event, FeedCursor, FeedPage, IdGen as _, KeyRing,
    KeyVersion, ManualClock, Revision, Scope, Secret, SeededRandom, StoreError, StoreErrorKind, SubjectRef,
    SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::ChangeFeed;

pub(crate) const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
pub(crate) const EMAIL: &str = "alice.liddell@example.org";

pub(crate) fn tenant(number: u8) -> Scope {
    let id: TenantId = format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap();
    Scope::Tenant(id)
}

pub(crate) fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

pub(crate) fn ring(versions: &[u32]) -> KeyRing {
    KeyRing::new(
        versions.iter().map(|version| (*version, Secret::new([u8::try_from(*version).unwrap(); 32]))),
    )
    .unwrap()
}

/// Protection over keys in memory that can be taken away.
pub(crate) struct Setup {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ids: Arc<SeededRandom>,
    pub(crate) store: Arc<Away>,
    pub(crate) config: ProtectConfig,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let store = Away {
            inner: MemorySubjectKeyStore::new(None),
            is_away: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        };
        Self {
            clock: Arc::new(ManualClock::at(NOON)),
            ids: Arc::new(SeededRandom::new(1)),
            store: Arc::new(store),
            config: ProtectConfig::default(),
        }
    }

    /// Another replica over the same store.
    pub(crate) fn protection(&self) -> Protection {
        self.protection_with(ring(&[1]))
    }

    pub(crate) fn protection_with(&self, secrets: KeyRing) -> Protection {
        Protection::new(
            self.store.clone(),
            Arc::new(Aes256GcmCipher),
            secrets,
            self.clock.clone(),
            self.clock.clone(),
            self.ids.clone(),
            self.ids.clone(),
            self.config.clone(),
        )
    }

    pub(crate) fn ledger(&self) -> (Ledger, Sequencer) {
        let store = Arc::new(MemoryLedgerStore::new(100_000));
        let config = Config { linger_ms: 0, ..Config::default() };
        Ledger::new(store, ring(&[7]), self.clock.clone(), self.clock.clone(), self.ids.clone(), config)
    }

    pub(crate) fn event(&self, scope: Scope) -> Event {
        let subject = SubjectRef::user("alice").unwrap();
        let actor = Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key: None };
        let event =
            Event::new(self.ids.event_id(NOON), NOON, scope, actor, "data.read", Category::DataAccess);
        event.with_detail("email", EMAIL).with_detail("rows", 7_i64)
    }
}

pub(crate) fn email(event: Event) -> Marked {
    Marked::new(event, [Mark::new(path("details.email")).searchable()])
}

/// Runs a body beside a sequencer, which is killed when the body ends.
pub(crate) async fn beside<T>(sequencer: Sequencer, body: impl Future<Output = T>) -> T {
    match select(pin!(body), pin!(sequencer.run())).await {
        Either::Left((value, _)) => value,
        Either::Right((end, _)) => panic!("the sequencer ended: {end:?}"),
    }
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
            clock.advance(std::time::Duration::from_millis(1));
        }
    }
}

/// A store of keys that can be away.
#[derive(Debug)]
pub(crate) struct Away {
    inner: MemorySubjectKeyStore,
    /// It says so.
    pub(crate) is_away: AtomicBool,
    /// It says nothing.
    pub(crate) hangs: AtomicBool,
}

impl Away {
    async fn there(&self) -> Result<(), StoreError> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "test", "keys"));
        }
        Ok(())
    }
}

#[async_trait]
impl SubjectKeyStore for Away {
    async fn current(
        &self,
        system: SystemScope,
        names: &[KeyName],
    ) -> Result<Vec<Option<StoredKey>>, StoreError> {
        self.there().await?;
        self.inner.current(system, names).await
    }

    async fn create(
        &self,
        system: SystemScope,
        keys: &[StoredKey],
    ) -> Result<Vec<Option<StoredKey>>, StoreError> {
        self.there().await?;
        self.inner.create(system, keys).await
    }

    async fn by_id(&self, scope: Scope, ids: &[SubjectKeyId]) -> Result<Vec<StoredKey>, StoreError> {
        self.there().await?;
        self.inner.by_id(scope, ids).await
    }

    async fn of_subject(&self, scope: Scope, subject: &DataSubject) -> Result<Vec<StoredKey>, StoreError> {
        self.there().await?;
        self.inner.of_subject(scope, subject).await
    }

    async fn exceptions(&self, scope: Scope) -> Result<(Revision, Vec<Versioned<Exception>>), StoreError> {
        self.there().await?;
        self.inner.exceptions(scope).await
    }

    async fn apply(&self, scope: Scope, change: Change<ProtectionChange>) -> Result<Revision, StoreError> {
        self.there().await?;
        self.inner.apply(scope, change).await
    }

    async fn outdated(
        &self,
        system: SystemScope,
        version: KeyVersion,
        limit: usize,
    ) -> Result<Vec<StoredKey>, StoreError> {
        self.inner.outdated(system, version, limit).await
    }

    async fn rewrap(&self, system: SystemScope, keys: &[Rewrapped]) -> Result<u64, StoreError> {
        self.inner.rewrap(system, keys).await
    }
}

#[async_trait]
impl ChangeFeed for Away {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.inner.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        self.inner.arrived().await;
    }
}
