use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use stanchion_audit::{
    CheckpointConfig, CheckpointSigner, Config, Ledger, MemoryLedgerStore, Process, Prover, Query,
    RetentionClass,
};
use stanchion_core::{
    Actor, Category, Detail, Event, IdGen as _, KeyRing, ManualClock, PageRequest, Scope, Secret,
    SeededRandom, Timestamp,
};

pub(crate) const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

pub(crate) struct Setup {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryLedgerStore>,
    pub(crate) ids: Arc<SeededRandom>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let store = Arc::new(MemoryLedgerStore::new(100_000));
        Self { clock: Arc::new(ManualClock::at(NOON)), store, ids: Arc::new(SeededRandom::new(1)) }
    }

    pub(crate) fn process(&self) -> Process {
        let boot = self.ids.uuid(NOON);
        Process {
            boot,
            version: "1.2.3".into(),
            deployment: "audit.example.com".into(),
            producer: "p".into(),
        }
    }

    /// One run of a process with these versions of both keys: begins, does `body`, and ends in good order.
    pub(crate) async fn run<T>(&self, versions: &[u8], body: impl AsyncFnOnce(&Ledger, &Prover) -> T) -> T {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let config = Config { linger_ms: 0, ..Config::default() };
        let store = self.store.clone();
        let (ledger, sequencer) =
            Ledger::new(store.clone(), keys(versions), clock.clone(), clock, ids, config);
        let signer = CheckpointSigner::new(&keys(versions), "audit.example.com").unwrap();
        // No round comes by itself within a test.
        let hourly = CheckpointConfig { interval_ms: 3_600_000, ..CheckpointConfig::default() };
        let (prover, checkpointer) = ledger.checkpoints(store, signer, hourly);
        let process = self.process();
        let body = async {
            let changes = prover.key_changes().await.unwrap();
            ledger.begin(&process, changes).unwrap();
            let value = body(&ledger, &prover).await;
            ledger.finish(&process).await.unwrap();
            value
        };
        let work = join(sequencer.run(), checkpointer.run());
        let (value, (run, ())) = passing_time(&self.clock, join(body, work)).await;
        run.unwrap();
        value
    }

    /// The platform's security events, oldest first.
    pub(crate) async fn recorded(&self, versions: &[u8]) -> Vec<Event> {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let (ledger, _sequencer) =
            Ledger::new(self.store.clone(), keys(versions), clock.clone(), clock, ids, Config::default());
        let query = Query { class: Some(RetentionClass::Security), ..Query::default() };
        let page = ledger.query(Scope::Platform, &query, &PageRequest::first(100)).await.unwrap();
        page.items.into_iter().rev().map(|entry| entry.event).collect()
    }

    pub(crate) fn event(&self, scope: Scope) -> Event {
        Event::new(self.ids.event_id(NOON), NOON, scope, Actor::Anonymous, "thing.done", Category::Access)
    }
}

pub(crate) fn keys(versions: &[u8]) -> KeyRing {
    KeyRing::new(versions.iter().map(|version| (u32::from(*version), Secret::new([*version; 32])))).unwrap()
}

pub(crate) fn tenant(number: u8) -> Scope {
    format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap()
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
            clock.advance(Duration::from_millis(1));
        }
    }
}

pub(crate) fn text(event: &Event, name: &str) -> String {
    match event.details.get(name) {
        Some(Detail::Text(text)) => text.to_string(),
        Some(Detail::Integer(number)) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn actions(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.action.as_str()).collect()
}

pub(crate) fn idle(setup: &Setup, versions: &[u8]) -> (Ledger, Prover) {
    let (clock, ids) = (setup.clock.clone(), setup.ids.clone());
    let (ledger, _sequencer) =
        Ledger::new(setup.store.clone(), keys(versions), clock.clone(), clock, ids, Config::default());
    let signer = CheckpointSigner::new(&keys(versions), "audit.example.com").unwrap();
    let (prover, _checkpointer) =
        ledger.checkpoints(setup.store.clone(), signer, CheckpointConfig::default());
    (ledger, prover)
}
