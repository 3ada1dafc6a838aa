//! What the audit records about itself, and what certainty somebody may wait for.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, join, select};
use stanchion_audit::{
    Ack, Acknowledged, Anchor, AnchorError, AnchorReceipt, BreakReason, CheckpointConfig, CheckpointSigner,
    Config, Draft, Error, GapCause, Ledger, LedgerStore, MemoryAnchor, MemoryLedgerStore, NumberGap, Process,
    ProducerNumbers, Prover, Publication, PublishConfig, Query, RetentionClass, RunState, Runs, Verdict,
    verify_chain, verify_key_change, verify_proof,
};
use stanchion_core::{
    Actor, Category, Clock as _, Detail, Event, FieldChange, IdGen as _, KeyRing, ManualClock, PageRequest,
    Recorded, Scope, Secret, SeededRandom, StoreError, StoreErrorKind, Text, Timestamp,
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
        Process {
            boot,
            version: "1.2.3".into(),
            deployment: "audit.example.com".into(),
            producer: "p".into(),
        }
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

/// What the events of a scope say of who made them, oldest first.
async fn numbered(setup: &Setup, ledger: &Ledger, scope: Scope) -> Vec<(String, Option<u64>)> {
    let mut found = Vec::new();
    for chain in setup.store.chains(scope).await.unwrap() {
        for row in setup.store.read(chain.id, 1, 1_000).await.unwrap() {
            let event = stanchion_audit::parse(&row.content.canonical).unwrap();
            found.push((event.action.to_string(), event.producer.map(|number| number.number())));
        }
    }
    assert!(ledger.verify(scope).await.unwrap().is_intact());
    found
}

#[tokio::test]
async fn what_a_process_makes_is_numbered_and_what_may_be_offered_again_is_not() {
    let setup = Setup::new();
    setup
        .run(&[1], async |ledger, prover| {
            ledger.submit(tenant(1), Draft::Event(setup.event(tenant(1)))).unwrap();
            ledger.reserve(tenant(1)).unwrap().submit(Draft::Event(setup.event(tenant(1))));
            let late = setup.event(tenant(1));
            ledger.reserve(tenant(1)).unwrap().append(Draft::Late(Box::new(move || late))).await.unwrap();
            // Offered again, it is the same event.
            let event = setup.event(tenant(1));
            for _ in 0..2 {
                let place = ledger.reserve(tenant(1)).unwrap();
                place.append(Draft::Event(event.clone())).await.unwrap();
            }
            let numbers: Vec<_> =
                numbered(&setup, ledger, tenant(1)).await.into_iter().map(|(_, number)| number).collect();
            assert_eq!(numbers, [Some(1), Some(2), Some(3), None]);
            let [run] = prover.producers(tenant(1)).await.unwrap().try_into().unwrap();
            assert_eq!((run.events, run.last, run.state, run.gaps), (3, 3, RunState::Running, Vec::new()));
        })
        .await;
    let (ledger, prover) = idle(&setup, &[1]);
    let own = numbered(&setup, &ledger, Scope::Platform).await;
    let expected = [("audit.started", 1), ("audit.checkpointed", 2), ("audit.stopped", 3)];
    assert_eq!(own, expected.map(|(action, number)| (action.to_owned(), Some(number))));
    let [run] = prover.producers(tenant(1)).await.unwrap().try_into().unwrap();
    assert_eq!(run.state, RunState::Stopped);
}

#[tokio::test]
async fn what_was_refused_is_declared_and_what_was_kept_back_shows() {
    let setup = Setup::new();
    setup
        .run(&[1], async |ledger, prover| {
            let place = ledger.reserve(tenant(1)).unwrap();
            // No canonical form.
            let bad = setup.event(tenant(1)).with_detail("n", i64::MAX);
            assert!(ledger.submit(tenant(1), Draft::Event(bad)).is_err());
            place.append(late(&setup)).await.unwrap();
            // Made in the name of one scope, and recorded in another's.
            let place = ledger.reserve(tenant(1)).unwrap();
            let other = setup.event(tenant(2));
            place.append(Draft::Late(Box::new(move || other))).await.unwrap();
            ledger.reserve(tenant(1)).unwrap().append(late(&setup)).await.unwrap();
            setup.clock.advance(Duration::from_secs(61));
            ledger.reserve(tenant(1)).unwrap().append(late(&setup)).await.unwrap();
            let [run] = prover.producers(tenant(1)).await.unwrap().try_into().unwrap();
            let gap = |number| NumberGap { first: number, last: number, cause: GapCause::Refused };
            assert_eq!(run.gaps, [gap(1), gap(4)], "{run:?}");
            assert!(!run.is_suspect());
        })
        .await;
}

fn late(setup: &Setup) -> Draft {
    let event = setup.event(tenant(1));
    Draft::Late(Box::new(move || event))
}

/// Numbers as somebody reads them from the ledger: each with the seconds at which it was recorded.
fn gathered(entries: &[(u64, i64)]) -> ProducerNumbers {
    let mut numbers = ProducerNumbers::default();
    for (number, seconds) in entries {
        numbers.add(&made(*number), at(*seconds));
    }
    numbers
}

fn made(number: u64) -> Event {
    let id = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
    let mut event = Event::new(id, NOON, tenant(1), Actor::Anonymous, "a.b", Category::Access);
    event.producer = Some(format!("p/0192f0c1-2345-7abc-8def-000000000009/{number}").parse().unwrap());
    event
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOON.micros() + seconds * 1_000_000)
}

fn runs(is_stopped: bool) -> Runs {
    let mut runs = Runs::default();
    let actions: &[&str] = if is_stopped { &["audit.started", "audit.stopped"] } else { &["audit.started"] };
    for action in actions {
        let mut event = made(1).with_detail("boot", "0192f0c1-2345-7abc-8def-000000000009");
        event.action = (*action).to_owned().into();
        runs.add(&event, NOON);
    }
    runs
}

#[test]
fn a_gap_is_explained_as_far_as_that_can_be_told() {
    let gaps = |numbers: ProducerNumbers, is_stopped, now| {
        let [run] = numbers.report(&runs(is_stopped), at(now)).try_into().unwrap();
        run.gaps.iter().map(|gap| (gap.first, gap.last, gap.cause)).collect::<Vec<_>>()
    };
    let some = || gathered(&[(3, 10), (1, 0), (2, 5), (7, 20), (6, 19)]);
    assert_eq!(gaps(some(), false, 30), [(4, 5, GapCause::InFlight)]);
    assert_eq!(gaps(some(), true, 100), [(4, 5, GapCause::Suppressed)], "a run that ended well lost nothing");
    assert_eq!(gaps(some(), false, 100), [(4, 5, GapCause::Suppressed)], "it still runs, and has gone on");
    assert_eq!(gaps(some(), false, 10_000), [(4, 5, GapCause::Crashed)]);
    let far = gathered(&[(1, 0), (3, 1), (29_998, 49), (30_000, 50)]);
    let far: Vec<_> = gaps(far, false, 10_000).iter().map(|gap| gap.2).collect();
    assert_eq!(
        far,
        [GapCause::Suppressed, GapCause::Suppressed, GapCause::Crashed],
        "a crash takes the last ones only"
    );
    let mut aged = some();
    aged.dropped_until(at(12));
    assert_eq!(gaps(aged, true, 100), [(4, 5, GapCause::Dropped)]);
    let mut told = some();
    let mut refused = made(8).with_detail("ranges", "4,9-11");
    refused.action = "audit.events_refused".into();
    told.add(&refused, at(21));
    assert_eq!(gaps(told, true, 100), [(4, 4, GapCause::Refused), (5, 5, GapCause::Suppressed)]);
    // Who reports events cannot fill the gaps of another, nor explain them.
    let mut filled = some();
    filled.add(&Event { reported: true, ..made(4) }, at(30));
    filled.add(&Event { reported: true, ..refused }, at(30));
    let all = filled.report(&runs(true), at(100));
    assert_eq!(all.len(), 2);
    assert!(all[0].is_suspect() && all[1].reported);
}

/// An anchor that can be out of reach.
#[derive(Debug, Default)]
struct Remote {
    inner: MemoryAnchor,
    is_away: AtomicBool,
}

#[async_trait]
impl Anchor for Remote {
    fn name(&self) -> &str {
        "remote"
    }

    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "remote", "publish").into());
        }
        self.inner.publish(publication).await
    }

    async fn latest(&self, origin: &str) -> Result<Option<Text>, StoreError> {
        self.inner.latest(origin).await
    }
}

const OWN: &str = "audit.example.com/platform/security";

/// Lets a publisher run beside a ledger for so long; then both end in good order.
async fn anchored(setup: &Setup, remote: &Arc<Remote>, seconds: u64) {
    setup
        .run(&[1], async |ledger, prover| {
            let config = PublishConfig { interval_seconds: 10, alarm_seconds: 60 };
            let publisher = prover.publish_to(Arc::clone(remote) as _, config);
            let until = setup.clock.now().plus(Duration::from_secs(seconds));
            let stop = async {
                while setup.clock.now() < until {
                    setup.clock.advance(Duration::from_millis(500));
                    ledger.settle().await;
                    tokio::task::yield_now().await;
                }
            };
            publisher.run(stop).await;
        })
        .await;
}

#[tokio::test]
async fn checkpoints_reach_an_anchor_and_its_absence_is_told_once() {
    let setup = Setup::new();
    let remote = Arc::new(Remote::default());
    anchored(&setup, &remote, 25).await;
    let held = async || remote.latest(OWN).await.unwrap().unwrap().to_string();
    let first = held().await;
    remote.is_away.store(true, Ordering::Relaxed);
    anchored(&setup, &remote, 200).await;
    assert_eq!(held().await, first);
    let late =
        |events: &[Event]| actions(events).iter().filter(|action| **action == "audit.anchor_late").count();
    assert_eq!(late(&setup.recorded(&[1]).await), 1);
    remote.is_away.store(false, Ordering::Relaxed);
    anchored(&setup, &remote, 25).await;
    assert_ne!(held().await, first);
    assert_eq!(late(&setup.recorded(&[1]).await), 1);
    let (_, prover) = idle(&setup, &[1]);
    assert_eq!(prover.verify_anchor(&*remote).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_log_that_was_cut_off_or_replaced_with_all_beside_it_is_told_from_what_was_anchored() {
    let setup = Setup::new();
    let remote = Arc::new(Remote::default());
    for _ in 0..3 {
        anchored(&setup, &remote, 25).await;
    }
    // Whoever owns the database and the keys begins another, which is intact in itself.
    let forged = Setup::new();
    anchored(&forged, &remote, 25).await;
    let (ledger, prover) = idle(&forged, &[1]);
    assert!(ledger.verify(Scope::Platform).await.unwrap().is_intact());
    let found = prover.verify_anchor(&*remote).await.unwrap().unwrap_err();
    assert_eq!(found.reason, BreakReason::AnchorConflict);
    for _ in 0..10 {
        anchored(&forged, &remote, 25).await;
    }
    let found = prover.verify_anchor(&*remote).await.unwrap().unwrap_err();
    assert_eq!(found.reason, BreakReason::AnchorConflict);
    let events = forged.recorded(&[1]).await;
    let told = events.iter().filter(|event| event.action.as_str() == "audit.anchor_conflict");
    let told: Vec<String> = told.map(|event| text(event, "why")).collect();
    assert!(
        told.contains(&"the log has fewer".to_owned()) && told.contains(&"the log has others".to_owned()),
        "{told:?}"
    );
}
