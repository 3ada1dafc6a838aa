//! A ledger over a store, with everything in the test's hands.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use stanchion_audit::conformance::{Call, Intercept, Intercepted, Pending};
use stanchion_audit::{
    AppendBatch, Config, Draft, Error, Ledger, LedgerStore, MemoryLedgerStore, Sequencer, Writers,
};
use stanchion_core::{
    Actor, Category, Event, IdGen as _, KeyRing, ManualClock, Scope, Secret, SeededRandom, StoreError,
    StoreErrorKind, SystemScope, TenantId, Timestamp,
};

pub(crate) const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

pub(crate) const CONFIG: Config = Config {
    capacity: 1_000,
    share: 100,
    batch: 50,
    linger_ms: 0,
    retry_min_ms: 10,
    retry_max_ms: 1_000,
    commit_timeout_ms: 1_000,
    writers: Writers::Shared,
    shards: 1,
};

pub(crate) fn keys() -> KeyRing {
    KeyRing::new([(1, Secret::new([7; 32]))]).unwrap()
}

pub(crate) fn tenant(number: u8) -> Scope {
    let id: TenantId = format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap();
    Scope::Tenant(id)
}

pub(crate) struct Setup {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn LedgerStore>,
    pub(crate) ids: Arc<SeededRandom>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryLedgerStore::new(100_000)))
    }

    pub(crate) fn over(store: Arc<dyn LedgerStore>) -> Self {
        Self { clock: Arc::new(ManualClock::at(NOON)), store, ids: Arc::new(SeededRandom::new(1)) }
    }

    pub(crate) fn ledger(&self, config: Config) -> (Ledger, Sequencer) {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        Ledger::new(self.store.clone(), keys(), clock.clone(), clock, ids, config)
    }

    pub(crate) fn event(&self, scope: Scope) -> Event {
        Event::new(self.ids.event_id(NOON), NOON, scope, Actor::Anonymous, "thing.done", Category::Access)
    }
}

/// Runs a body beside a sequencer, which is killed when the body ends.
pub(crate) async fn beside<T>(sequencer: Sequencer, body: impl Future<Output = T>) -> T {
    match select(pin!(body), pin!(sequencer.run())).await {
        Either::Left((value, _)) => value,
        Either::Right((end, _)) => panic!("the sequencer ended: {end:?}"),
    }
}

pub(crate) fn late(event: Event) -> Draft {
    Draft::Late(Box::new(move || event))
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

/// What becomes of one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It works.
    None,
    /// Nothing is written.
    Unavailable,
    /// Nothing is written, and nobody knows.
    LostRequest,
    /// It is written, and nobody knows.
    LostReply,
    /// Nobody knows; it is written after heads were read again.
    Delayed,
    /// It does not end.
    Endless,
}

/// Has appends fail as planned, and then work.
#[derive(Debug)]
pub(crate) struct Faults {
    /// The store, for what somebody else writes, or comes late.
    behind: Arc<dyn LedgerStore>,
    plan: Mutex<VecDeque<Fault>>,
    pub(crate) heads_fail: AtomicBool,
    /// How often heads were read.
    pub(crate) reads: AtomicUsize,
    delayed: Mutex<Option<AppendBatch>>,
    /// Written by somebody else just before the next read.
    pub(crate) before_read: Mutex<Option<AppendBatch>>,
}

impl Faults {
    pub(crate) fn new(plan: impl IntoIterator<Item = Fault>) -> Arc<Intercepted<Self>> {
        Self::over(MemoryLedgerStore::new(100_000), plan)
    }

    pub(crate) fn over(
        store: MemoryLedgerStore,
        plan: impl IntoIterator<Item = Fault>,
    ) -> Arc<Intercepted<Self>> {
        let behind: Arc<dyn LedgerStore> = Arc::new(store);
        let faults = Self {
            behind: Arc::clone(&behind),
            plan: Mutex::new(plan.into_iter().collect()),
            heads_fail: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            delayed: Mutex::default(),
            before_read: Mutex::default(),
        };
        Arc::new(Intercepted::new(behind, faults))
    }

    async fn write(&self, batch: &Mutex<Option<AppendBatch>>) -> Result<(), StoreError> {
        let batch = batch.lock().unwrap().take();
        if let Some(batch) = batch {
            self.behind.append(SystemScope::new("test"), &batch).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Intercept for Faults {
    async fn around(&self, call: Call<'_>, pending: Pending<'_>) -> Result<(), StoreError> {
        let failed = |kind| Err(StoreError::new(kind, "faults", "call"));
        match call {
            Call::Heads => {
                self.reads.fetch_add(1, Ordering::SeqCst);
                if self.heads_fail.swap(false, Ordering::SeqCst) {
                    return failed(StoreErrorKind::Timeout);
                }
                pending.await?;
                self.write(&self.delayed).await
            }
            Call::Read { .. } => {
                self.write(&self.before_read).await?;
                pending.await
            }
            Call::Append(batch) => {
                let fault = self.plan.lock().unwrap().pop_front().unwrap_or(Fault::None);
                match fault {
                    Fault::None => pending.await,
                    Fault::Unavailable => failed(StoreErrorKind::Unavailable),
                    Fault::LostRequest => failed(StoreErrorKind::Timeout),
                    Fault::LostReply => {
                        pending.await?;
                        failed(StoreErrorKind::Timeout)
                    }
                    Fault::Delayed => {
                        *self.delayed.lock().unwrap() = Some(batch.clone());
                        failed(StoreErrorKind::Timeout)
                    }
                    Fault::Endless => std::future::pending().await,
                }
            }
            _ => pending.await,
        }
    }
}

pub(crate) async fn committed(ledger: &Ledger, count: u64) {
    while ledger.stats().committed < count {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn is_closed(result: &Result<impl Sized, Error>) -> bool {
    matches!(result, Err(Error::Closed))
}
