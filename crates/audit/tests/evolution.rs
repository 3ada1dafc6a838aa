//! Signing keys that evolve while a ledger runs.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, join, select};
use stanchion_audit::{
    BreakReason, CheckpointConfig, CheckpointSigner, Config, Draft, Epochs, Evolution, EvolvedKey, Ledger,
    LedgerStore as _, MemoryLedgerStore, Process, Prover, Query, RetentionClass, Verdict, evolved,
    verify_chain, with_evolved,
};
use stanchion_core::{
    Actor, Category, Clock as _, Detail, Event, IdGen as _, KeyRing, ManualClock, PageRequest, Scope, Secret,
    SeededRandom, Timestamp,
};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
const EPOCHS: Epochs = Epochs { since: NOON, every: Duration::from_secs(60), grace: Duration::from_secs(5) };

/// What lasts over the runs of a process.
struct World {
    clock: Arc<ManualClock>,
    store: Arc<MemoryLedgerStore>,
    ids: Arc<SeededRandom>,
    /// What is kept of the signing key, each time that it was.
    kept: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        Self {
            clock: Arc::new(ManualClock::at(NOON)),
            store: Arc::new(MemoryLedgerStore::new(100_000)),
            ids: Arc::new(SeededRandom::new(1)),
            kept: Arc::default(),
        }
    }

    /// What a process finds: the key that was kept, or the root.
    fn oldest(&self) -> EvolvedKey {
        let kept = self.kept.lock().unwrap();
        kept.last().map_or_else(|| EvolvedKey::root(1, root()), |kept| kept.parse().unwrap())
    }

    /// A run of a process, from the key that was kept.
    async fn run<T>(&self, body: impl AsyncFnOnce(&Ledger, &Prover) -> T) -> T {
        let evolution = Evolution::new(EPOCHS, &self.oldest(), [], self.clock.now()).unwrap();
        let (clock, ids, store) = (self.clock.clone(), self.ids.clone(), self.store.clone());
        let config = Config { linger_ms: 0, ..Config::default() };
        let ring = evolution.ring().unwrap();
        let (ledger, sequencer) = Ledger::new(store.clone(), ring, clock.clone(), clock, ids, config);
        let checkpoints = CheckpointConfig { interval_ms: 100, ..CheckpointConfig::default() };
        let (prover, checkpointer) = ledger.checkpoints(store, checkpoint_signer(), checkpoints);
        let kept = Arc::clone(&self.kept);
        let evolver = prover.evolve(evolution, move |key| {
            kept.lock().unwrap().push(key.to_text().to_string());
            Ok(())
        });
        let process = Process {
            boot: self.ids.uuid(NOON),
            version: "1.2.3".into(),
            deployment: "audit.example.com".into(),
            producer: "p".into(),
        };
        let body = async {
            ledger.begin(&process, prover.key_changes().await.unwrap()).unwrap();
            let value = body(&ledger, &prover).await;
            ledger.finish(&process).await.unwrap();
            value
        };
        let work = join(sequencer.run(), checkpointer.run());
        let served = async {
            match select(pin!(join(body, work)), pin!(evolver.run())).await {
                Either::Left((served, _)) => served,
                Either::Right(_) => panic!("keys no longer evolve"),
            }
        };
        let (value, (run, ())) = passing_time(&self.clock, served).await;
        run.unwrap();
        value
    }

    async fn wait(&self, seconds: u64) {
        let until = self.clock.now().plus(Duration::from_secs(seconds));
        while self.clock.now() < until {
            tokio::task::yield_now().await;
        }
    }

    async fn record(&self, ledger: &Ledger) {
        let now = self.clock.now();
        let id = self.ids.event_id(now);
        let event = Event::new(id, now, Scope::Platform, Actor::Anonymous, "thing.done", Category::Security);
        ledger.append(Scope::Platform, Draft::Event(event)).await.unwrap();
    }

    fn idle(&self, ring: KeyRing) -> Ledger {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        Ledger::new(self.store.clone(), ring, clock.clone(), clock, ids, Config::default()).0
    }

    async fn rotations(&self) -> Vec<(String, String)> {
        let query = Query { class: Some(RetentionClass::Security), ..Query::default() };
        let ledger = self.idle(KeyRing::new([(1, root())]).unwrap());
        let page = ledger.query(Scope::Platform, &query, &PageRequest::first(1_000)).await.unwrap();
        let events = page.items.into_iter().rev().map(|entry| entry.event);
        let of = |event: &Event, name: &str| match event.details.get(name) {
            Some(Detail::Integer(number)) => number.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        events
            .filter(|event| event.action.as_str() == "audit.key_rotated")
            .map(|event| (of(&event, "from"), of(&event, "to")))
            .collect()
    }

    async fn epochs(&self) -> Vec<u32> {
        let chain = self.store.chains(Scope::Platform).await.unwrap()[0];
        let mut epochs: Vec<u32> =
            self.store.seals(chain.id, 1, 1_000).await.unwrap().iter().map(|seal| seal.key_epoch).collect();
        epochs.dedup();
        epochs
    }

    async fn verdict(&self, ring: KeyRing) -> Verdict {
        let chain = self.store.chains(Scope::Platform).await.unwrap()[0];
        let rows = self.store.read(chain.id, 1, 1_000).await.unwrap();
        verify_chain(&chain, &rows, &ring)
    }
}

fn root() -> Secret {
    Secret::new([7; 32])
}

fn checkpoint_signer() -> CheckpointSigner {
    CheckpointSigner::new(&KeyRing::new([(1, Secret::new([9; 32]))]).unwrap(), "audit.example.com").unwrap()
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
            clock.advance(Duration::from_millis(10));
        }
    }
}

fn steps(range: std::ops::Range<u32>) -> Vec<(String, String)> {
    range.map(|from| (from.to_string(), (from + 1).to_string())).collect()
}

#[tokio::test]
async fn the_key_evolves_each_epoch_and_the_root_verifies_all_of_them() {
    let world = World::new();
    world
        .run(async |ledger, _| {
            for _ in 0..3 {
                world.record(ledger).await;
                world.wait(60).await;
            }
        })
        .await;
    assert_eq!(world.epochs().await, [1, 2, 3, 4]);
    assert_eq!(world.rotations().await, steps(1..4));
    let first = KeyRing::new([(1, root())]).unwrap();
    assert!(matches!(world.verdict(with_evolved(&first)).await, Verdict::Intact { unsigned_to: 0, .. }));
    let Verdict::Broken(found) = world.verdict(first).await else { panic!("a key was not needed") };
    assert_eq!(found.reason, BreakReason::UnknownKeyEpoch(2));
}

#[tokio::test]
async fn a_key_is_destroyed_after_its_grace_and_what_is_kept_leads_to_none_before() {
    let world = World::new();
    let seen = world
        .run(async |ledger, prover| {
            world.record(ledger).await;
            world.wait(61).await;
            let within = prover.verify(Scope::Platform).await.unwrap().chains[0].1;
            world.wait(10).await;
            world.record(ledger).await;
            world.wait(1).await;
            (within, prover.verify(Scope::Platform).await.unwrap().chains[0].1)
        })
        .await;
    let (Verdict::Intact { unsigned_to: 0, .. }, Verdict::Intact { unsigned_to, head, .. }) = seen else {
        panic!("{seen:?}")
    };
    // The start, what was done, and checkpoints that were told of stand before the second key was taken into use.
    assert!(unsigned_to > 1 && unsigned_to < head.seq, "{unsigned_to} of {}", head.seq);
    let kept: Vec<EvolvedKey> = world.kept.lock().unwrap().iter().map(|kept| kept.parse().unwrap()).collect();
    assert_eq!(kept.iter().map(EvolvedKey::epoch).collect::<Vec<_>>(), [1, 2]);
    assert!(kept[1].follows_from(&root()) && !kept[1].follows_from(&evolved(&root())));
    let captured = world.kept.lock().unwrap()[1].clone();
    let hex: String = root().expose().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!captured.contains(&hex));
}

#[tokio::test]
async fn after_a_restart_the_epoch_is_found_without_the_root_and_each_step_is_recorded_once() {
    let world = World::new();
    for _ in 0..3 {
        world
            .run(async |ledger, _| {
                world.record(ledger).await;
                world.wait(70).await;
            })
            .await;
    }
    // A long rest: epochs passed that nobody was there for.
    world.clock.advance(Duration::from_secs(200));
    assert!(world.oldest().epoch() > 1);
    world
        .run(async |ledger, _| {
            world.record(ledger).await;
            world.wait(1).await;
        })
        .await;
    let last = EPOCHS.at(1, world.clock.now());
    assert_eq!(world.rotations().await, steps(1..last));
    let ring = with_evolved(&KeyRing::new([(1, root())]).unwrap());
    assert!(matches!(world.verdict(ring).await, Verdict::Intact { unsigned_to: 0, .. }));
}

#[tokio::test]
async fn a_key_stays_while_something_that_it_signed_waits_for_a_checkpoint_but_not_for_ever() {
    let world = World::new();
    // Somebody breaks a chain, so that no checkpoint ever covers its end.
    world.run(async |ledger, _| world.record(ledger).await).await;
    let tenant: Scope = "0192f0c1-2345-7abc-8def-000000000001".parse().unwrap();
    let (clock, ids) = (world.clock.clone(), world.ids.clone());
    let config = Config { linger_ms: 0, ..Config::default() };
    let (forger, sequencer) = Ledger::new(
        world.store.clone(),
        KeyRing::new([(1, Secret::new([6; 32]))]).unwrap(),
        clock.clone(),
        clock,
        ids,
        config,
    );
    let forged = async {
        let now = world.clock.now();
        let event =
            Event::new(world.ids.event_id(now), now, tenant, Actor::Anonymous, "a.b", Category::Security);
        forger.append(tenant, Draft::Event(event)).await.unwrap();
        forger.close();
    };
    let (run, ()) = passing_time(&world.clock, join(sequencer.run(), forged)).await;
    run.unwrap();
    let epochs = world
        .run(async |_, _| {
            world.wait(90).await;
            let within = world.oldest().epoch();
            world.wait(60).await;
            (within, world.oldest().epoch())
        })
        .await;
    assert_eq!(epochs, (1, 2));
}

#[test]
fn epochs_follow_from_the_time() {
    let at = |seconds| EPOCHS.at(5, NOON.plus(Duration::from_secs(seconds)));
    assert_eq!([at(0), at(59), at(60), at(600)], [5, 5, 6, 15]);
    assert_eq!(EPOCHS.at(5, NOON.minus(Duration::from_secs(1))), 5);
    assert_eq!(EPOCHS.beginning(5, 7), NOON.plus(Duration::from_secs(120)));
}

#[test]
fn what_is_kept_is_read_back_and_nothing_else_is() {
    let key = EvolvedKey::root(3, Secret::new([0xa5; 33]));
    let text = key.to_text();
    let read: EvolvedKey = text.parse().unwrap();
    assert_eq!(read.to_text(), text);
    assert!(!format!("{read:?}").contains("a5"));
    let good = text.trim_end();
    for bad in [
        "",
        "stanchion-evolved-key-v1 1 1 00",
        &good.replace("v1 3 3", "v1 3 2"),
        &good.replace("v1 3 3", "v1 0 3"),
        &good.replace("v1", "v2"),
        &format!("{good} 1"),
        &good.replace("a5a5", "a5ä"),
    ] {
        assert!(bad.parse::<EvolvedKey>().is_err(), "{bad}");
    }
}
