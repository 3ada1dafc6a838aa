//! What the audit records about itself, and what certainty somebody may wait for.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use stanchion_audit::{
    Ack, Acknowledged, BreakReason, CheckpointConfig, CheckpointSigner, Config, Draft, Error, Ledger,
    LedgerStore, MemoryLedgerStore, Process, Prover, Query, RetentionClass, Verdict, verify_chain,
    verify_key_change, verify_proof,
};
use stanchion_core::{
    Actor, Category, Detail, Event, FieldChange, IdGen as _, KeyRing, ManualClock, PageRequest, Recorded,
    Scope, Secret, SeededRandom, Timestamp,
};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

struct Setup {
    clock: Arc<ManualClock>,
    store: Arc<MemoryLedgerStore>,
    ids: Arc<SeededRandom>,
}

impl Setup {
    fn new() -> Self {
        let store = Arc::new(MemoryLedgerStore::new(100_000));
        Self { clock: Arc::new(ManualClock::at(NOON)), store, ids: Arc::new(SeededRandom::new(1)) }
    }

    fn process(&self) -> Process {
        let boot = self.ids.uuid(NOON);
        Process { boot, version: "1.2.3".into(), deployment: "audit.example.com".into() }
    }

    /// One run of a process with these versions of both keys: begins, does `body`, and ends in good order.
    async fn run<T>(&self, versions: &[u8], body: impl AsyncFnOnce(&Ledger, &Prover) -> T) -> T {
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
    async fn recorded(&self, versions: &[u8]) -> Vec<Event> {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let (ledger, _sequencer) =
            Ledger::new(self.store.clone(), keys(versions), clock.clone(), clock, ids, Config::default());
        let query = Query { class: Some(RetentionClass::Security), ..Query::default() };
        let page = ledger.query(Scope::Platform, &query, &PageRequest::first(100)).await.unwrap();
        page.items.into_iter().rev().map(|entry| entry.event).collect()
    }

    fn event(&self, scope: Scope) -> Event {
        Event::new(self.ids.event_id(NOON), NOON, scope, Actor::Anonymous, "thing.done", Category::Access)
    }
}

fn keys(versions: &[u8]) -> KeyRing {
    KeyRing::new(versions.iter().map(|version| (u32::from(*version), Secret::new([*version; 32])))).unwrap()
}

fn tenant(number: u8) -> Scope {
    format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap()
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
            clock.advance(Duration::from_millis(1));
        }
    }
}

fn text(event: &Event, name: &str) -> String {
    match event.details.get(name) {
        Some(Detail::Text(text)) => text.to_string(),
        Some(Detail::Integer(number)) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

fn actions(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.action.as_str()).collect()
}

#[tokio::test]
async fn a_run_begins_with_its_start_and_ends_with_its_stop() {
    let setup = Setup::new();
    for _ in 0..2 {
        setup
            .run(&[1], async |ledger, _| {
                let event = setup.event(Scope::Platform);
                let event = Event { category: Category::Security, ..event };
                ledger.append(Scope::Platform, Draft::Event(event)).await.unwrap();
            })
            .await;
    }
    let events = setup.recorded(&[1]).await;
    let run = ["audit.started", "thing.done", "audit.stopped"];
    assert_eq!(actions(&events), [run, run].concat());
    assert_eq!(text(&events[0], "version"), "1.2.3");
    assert_eq!(text(&events[0], "writers"), "shared");
    assert_eq!(text(&events[0], "key_epoch"), "1");
    assert_eq!(text(&events[0], "boot"), text(&events[2], "boot"));
    assert_ne!(text(&events[0], "boot"), text(&events[3], "boot"));
}

#[tokio::test]
async fn what_a_process_did_last_is_covered_and_told_before_it_stops() {
    let setup = Setup::new();
    setup
        .run(&[1], async |ledger, _| {
            let event = setup.event(tenant(1));
            ledger.append(tenant(1), Draft::Event(event)).await.unwrap();
        })
        .await;
    let events = setup.recorded(&[1]).await;
    assert_eq!(actions(&events), ["audit.started", "audit.checkpointed", "audit.stopped"]);
    let (_, prover) = idle(&setup, &[1]);
    let covered = prover.checkpoints(Scope::Platform).await.unwrap();
    assert_eq!(covered[0].size, 3);
}

fn idle(setup: &Setup, versions: &[u8]) -> (Ledger, Prover) {
    let (clock, ids) = (setup.clock.clone(), setup.ids.clone());
    let (ledger, _sequencer) =
        Ledger::new(setup.store.clone(), keys(versions), clock.clone(), clock, ids, Config::default());
    let signer = CheckpointSigner::new(&keys(versions), "audit.example.com").unwrap();
    let (prover, _checkpointer) =
        ledger.checkpoints(setup.store.clone(), signer, CheckpointConfig::default());
    (ledger, prover)
}

#[tokio::test]
async fn a_new_key_is_recorded_and_vouched_for_by_the_one_before() {
    let setup = Setup::new();
    setup.run(&[1], async |_, _| {}).await;
    let (_, prover) = idle(&setup, &[1]);
    let before = prover.verifiers(&prover.checkpoints(Scope::Platform).await.unwrap()[0].chain);
    setup.run(&[1, 2], async |_, _| {}).await;
    setup.run(&[1, 2], async |_, _| {}).await;
    let events = setup.recorded(&[1, 2]).await;
    let run = ["audit.started", "audit.stopped"];
    let rotated = ["audit.started", "audit.key_rotated", "audit.key_rotated", "audit.stopped"];
    assert_eq!(actions(&events), [&run[..], &rotated, &run].concat());
    let (signing, checkpoint) = (&events[3], &events[4]);
    assert_eq!([text(signing, "key"), text(signing, "from"), text(signing, "to")], ["signing", "1", "2"]);
    // Who knew the old public key learns the new one from it, and nobody else's.
    let new = verify_key_change(checkpoint, &before).unwrap();
    let (ledger, prover) = idle(&setup, &[2]);
    assert_eq!(prover.verifiers(&"platform/security".parse().unwrap()), [new]);
    assert!(
        ledger.verify(Scope::Platform).await.unwrap().first_break().is_some(),
        "the key of epoch 1 is gone"
    );
    let (ledger, stranger) = idle(&setup, &[1, 2, 3]);
    let stranger = stranger.verifiers(&"platform/security".parse().unwrap());
    assert!(verify_key_change(checkpoint, &stranger[..1]).is_err());
    assert!(ledger.verify(Scope::Platform).await.unwrap().is_intact());
}

#[tokio::test]
async fn a_key_that_the_one_before_did_not_vouch_for_is_found() {
    let setup = Setup::new();
    setup.run(&[1], async |_, _| {}).await;
    // Somebody who has the new key alone forges what the old one would have said.
    setup.run(&[1, 2], async |_, _| {}).await;
    let chain = setup.store.chains(Scope::Platform).await.unwrap()[0];
    let rows = setup.store.read(chain.id, 1, 100).await.unwrap();
    let other = KeyRing::new([(1, Secret::new([1; 32])), (2, Secret::new([2; 32]))]).unwrap();
    assert!(matches!(verify_chain(&chain, &rows, &other), Verdict::Intact { .. }));
    let forged = Setup::new();
    forged.run(&[1], async |_, _| {}).await;
    forged
        .run(&[1], async |ledger, _| {
            let mut event = setup.recorded(&[1, 2]).await[3].clone();
            event.id = setup.ids.event_id(NOON);
            let details = event.details.iter().filter(|(name, _)| name.as_str() != "vouched");
            event.details = details.map(|(name, value)| (name.clone(), value.clone())).collect();
            let event = event.with_detail("vouched", "00".repeat(32));
            ledger.append(Scope::Platform, Draft::Event(event)).await.unwrap();
        })
        .await;
    let (ledger, _) = idle(&forged, &[1, 2]);
    let found = ledger.verify(Scope::Platform).await.unwrap().first_break().unwrap();
    assert_eq!((found.seq, found.reason), (4, BreakReason::RotationWrong));
}

#[tokio::test]
async fn other_settings_are_recorded_with_what_they_were() {
    let setup = Setup::new();
    let change = FieldChange {
        field: "ledger.linger_ms".into(),
        before: Some(Recorded::Value(2_i64.into())),
        after: Some(Recorded::Value(5_i64.into())),
    };
    setup
        .run(&[1], async |ledger, _| {
            ledger.configured(Actor::System("operator".into()), Vec::new(), true).unwrap();
            ledger.configured(Actor::System("operator".into()), vec![change.clone()], false).unwrap();
        })
        .await;
    let events = setup.recorded(&[1]).await;
    assert_eq!(actions(&events), ["audit.started", "audit.configured", "audit.stopped"]);
    assert_eq!(events[1].changes, [change]);
}

#[tokio::test]
async fn each_level_tells_as_much_as_is_certain() {
    let setup = Setup::new();
    setup
        .run(&[1], async |ledger, prover| {
            let append = async |ack| {
                let event = setup.event(tenant(1));
                prover.append(ledger.reserve(tenant(1)).unwrap(), Draft::Event(event), ack).await.unwrap()
            };
            assert!(append(Ack::Accepted).await.receipt().is_none());
            let Acknowledged::Durable(receipt) = append(Ack::Durable).await else { panic!("not durable") };
            assert_eq!(receipt.seq, 2);
            let started = setup.clock.now();
            let Acknowledged::Checkpointed(receipt, proof) = append(Ack::Checkpointed).await else {
                panic!("not covered")
            };
            assert_eq!(receipt.seq, 3);
            let proven = verify_proof(&proof.to_text(), &prover.verifiers(&receipt.chain)).unwrap();
            assert_eq!((proven.seq, proven.tree.size), (3, 3));
            assert!(setup.clock.now() < started.plus(Duration::from_secs(5)), "it waited for no round");
        })
        .await;
}

use stanchion_core::Clock as _;

#[tokio::test]
async fn nobody_waits_for_ever_for_a_checkpoint_that_does_not_come() {
    let setup = Setup::new();
    let (clock, ids, store) = (setup.clock.clone(), setup.ids.clone(), setup.store.clone());
    let config = Config { linger_ms: 0, ..Config::default() };
    let (ledger, sequencer) = Ledger::new(store.clone(), keys(&[1]), clock.clone(), clock, ids, config);
    let signer = CheckpointSigner::new(&keys(&[1]), "audit.example.com").unwrap();
    let (prover, checkpointer) = ledger.checkpoints(store, signer, CheckpointConfig::default());
    let body = async {
        let place = ledger.reserve(tenant(1)).unwrap();
        let late = prover.append(place, Draft::Event(setup.event(tenant(1))), Ack::Checkpointed).await;
        assert!(matches!(late, Err(Error::Uncovered { seq: 1, .. })), "{late:?}");
        drop(checkpointer);
        let place = ledger.reserve(tenant(1)).unwrap();
        let none = prover.append(place, Draft::Event(setup.event(tenant(1))), Ack::Checkpointed).await;
        assert!(matches!(none, Err(Error::Uncovered { seq: 2, .. })), "{none:?}");
        ledger.settle().await;
        ledger.close();
    };
    let ((), run) = passing_time(&setup.clock, join(body, sequencer.run())).await;
    run.unwrap();
}
