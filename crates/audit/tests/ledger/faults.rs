//! A store that fails and loses replies loses nothing and doubles nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use stanchion_audit::{Draft, Error, Ledger, Receipt};
use stanchion_core::{Event, StoreErrorKind};

use crate::support::{CONFIG, Fault, Faults, Setup, beside, late, passing_time, tenant};

/// Ten events of two tenants under a plan of faults: every one is committed once, with the receipt of its entry.
async fn survives(plan: &[Fault]) {
    let store = Faults::new(plan.iter().copied());
    let setup = Setup::over(store.clone());
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let events: Vec<Event> = (0..10).map(|index| setup.event(tenant(1 + index % 2))).collect();
    let receipts = passing_time(&setup.clock, beside(sequencer, append_all(&ledger, &events))).await;
    check(&ledger, &events, &receipts).await;
    let stats = ledger.stats();
    assert_eq!((stats.committed, stats.duplicates, stats.conflicts), (10, 0, 0), "{plan:?}");
    assert_eq!(usize::try_from(stats.failures).unwrap(), plan.len(), "{plan:?}");
}

async fn append_all(ledger: &Ledger, events: &[Event]) -> Vec<Receipt> {
    let append = |event: &Event| ledger.append(event.scope, Draft::Event(event.clone()));
    join_all(events.iter().map(append)).await.into_iter().map(Result::unwrap).collect()
}

async fn check(ledger: &Ledger, events: &[Event], receipts: &[Receipt]) {
    for (event, receipt) in events.iter().zip(receipts) {
        let entry = ledger.get(event.scope, event.id).await.unwrap().unwrap();
        assert_eq!((entry.chain, entry.seq, entry.leaf), (receipt.chain, receipt.seq, receipt.leaf));
        assert_eq!(entry.event, *event);
    }
    for scope in [tenant(1), tenant(2)] {
        let verified = ledger.verify(scope).await.unwrap();
        let expected = events.iter().filter(|event| event.scope == scope).count();
        assert!(verified.is_intact(), "{:?}", verified.first_break());
        assert_eq!(usize::try_from(verified.entries()).unwrap(), expected);
    }
}

#[tokio::test]
async fn each_fault_and_each_pair_of_faults() {
    let faults = [Fault::Unavailable, Fault::LostRequest, Fault::LostReply, Fault::Delayed];
    for first in faults {
        survives(&[first]).await;
        for second in faults {
            survives(&[first, second]).await;
        }
    }
}

#[tokio::test]
async fn a_long_outage_is_waited_out_with_growing_pauses_and_nothing_is_dropped() {
    let store = Faults::new([Fault::Unavailable; 9]);
    let setup = Setup::over(store);
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    let clock = setup.clock.clone();
    let sequencer = sequencer.on_failure(move |error| {
        let at = stanchion_core::Clock::now(&*clock).since(crate::support::NOON).as_millis();
        log.lock().unwrap().push((at, error.kind()));
    });
    let append = ledger.append(tenant(1), late(setup.event(tenant(1))));
    let receipt = passing_time(&setup.clock, beside(sequencer, append)).await.unwrap();
    assert_eq!(receipt.seq, 1);
    let heard = heard.lock().unwrap();
    assert!(heard.iter().all(|(_, kind)| *kind == StoreErrorKind::Unavailable));
    let at: Vec<u128> = heard.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [0, 10, 30, 70, 150, 310, 630, 1270, 2270]);
}

#[tokio::test]
async fn after_an_unknown_end_the_heads_are_read_again_and_otherwise_never() {
    let store = Faults::new([Fault::None, Fault::None, Fault::LostReply]);
    let setup = Setup::over(store.clone());
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let events: Vec<Event> = (0..4).map(|_| setup.event(tenant(1))).collect();
    let work = async {
        let mut reads = Vec::new();
        for event in &events {
            ledger.append(event.scope, Draft::Event(event.clone())).await.unwrap();
            reads.push(store.by.reads.load(Ordering::SeqCst));
        }
        reads
    };
    let reads = passing_time(&setup.clock, beside(sequencer, work)).await;
    assert_eq!(reads, [1, 1, 2, 2]);
}

#[tokio::test]
async fn heads_that_cannot_be_read_are_read_again() {
    let store = Faults::new([Fault::LostReply]);
    store.by.heads_fail.store(true, Ordering::SeqCst);
    let setup = Setup::over(store.clone());
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let events = [setup.event(tenant(1)), setup.event(tenant(2))];
    let receipts = passing_time(&setup.clock, beside(sequencer, append_all(&ledger, &events))).await;
    check(&ledger, &events, &receipts).await;
    assert_eq!(ledger.stats().failures, 2);
}

#[tokio::test]
async fn a_sequencer_killed_in_an_outage_loses_and_counts_what_was_not_committed() {
    let store = Faults::new([Fault::None, Fault::Unavailable, Fault::Unavailable]);
    let setup = Setup::over(store);
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let mut run = Box::pin(sequencer.run());
    ledger.submit(tenant(1), late(setup.event(tenant(1)))).unwrap();
    assert!(poll!(run.as_mut()).is_pending());
    let mut waiting = Box::pin(ledger.append(tenant(1), late(setup.event(tenant(1)))));
    assert!(poll!(waiting.as_mut()).is_pending());
    assert!(poll!(run.as_mut()).is_pending());
    ledger.submit(tenant(1), late(setup.event(tenant(1)))).unwrap();
    assert!(poll!(run.as_mut()).is_pending());
    drop(run);
    assert!(matches!(waiting.await, Err(Error::Closed)));
    let stats = ledger.stats();
    assert_eq!((stats.accepted, stats.committed, stats.lost), (3, 1, 2));
}

#[tokio::test]
async fn random_faults_under_load_lose_and_double_nothing() {
    for seed in 0..20 {
        let random = stanchion_core::SeededRandom::new(seed);
        let fault = |_| match random.next_u64() % 8 {
            0 => Fault::Unavailable,
            1 => Fault::LostRequest,
            2 => Fault::LostReply,
            3 => Fault::Delayed,
            _ => Fault::None,
        };
        let store = Faults::new((0..60).map(fault).collect::<Vec<_>>());
        let setup = Setup::over(store);
        let (ledger, sequencer) = setup.ledger(stanchion_audit::Config { batch: 7, ..CONFIG });
        let events: Vec<Event> = (0..180)
            .map(|_| setup.event(tenant(1 + u8::from(random.next_u64().is_multiple_of(3)))))
            .collect();
        let work = async {
            let mut receipts = Vec::new();
            for chunk in events.chunks(30) {
                receipts.extend(append_all(&ledger, chunk).await);
                setup.clock.advance(Duration::from_millis(1));
            }
            receipts
        };
        let receipts = passing_time(&setup.clock, beside(sequencer, work)).await;
        check(&ledger, &events, &receipts).await;
        assert_eq!((ledger.stats().committed, ledger.stats().lost), (180, 0), "seed {seed}");
    }
}
