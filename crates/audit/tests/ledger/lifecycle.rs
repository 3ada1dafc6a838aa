//! Starting, stopping, killing, taking over.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::poll;
use stanchion_audit::{Config, Draft, Error, Ledger, MemoryLedgerStore, Query, Refused, Verdict, Writers};
use stanchion_core::{Detail, PageRequest, Severity};

use crate::support::{CONFIG, Faults, Setup, beside, committed, is_closed, late, tenant};

#[test]
fn ledger_and_sequencer_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let (ledger, sequencer) = Setup::new().ledger(CONFIG);
    is_send(&ledger);
    is_send(&sequencer.run());
}

#[tokio::test]
async fn closing_commits_what_waits_and_ends() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let waiting = ledger.append(tenant(1), late(setup.event(tenant(1))));
    let mut waiting = Box::pin(waiting);
    assert!(poll!(waiting.as_mut()).is_pending());
    for _ in 0..70 {
        ledger.submit(tenant(1), late(setup.event(tenant(1)))).unwrap();
    }
    ledger.close();
    assert!(matches!(ledger.submit(tenant(1), late(setup.event(tenant(1)))), Err(Refused::Closed)));
    assert!(is_closed(&ledger.append(tenant(1), late(setup.event(tenant(1)))).await));
    sequencer.run().await.unwrap();
    assert_eq!(waiting.await.unwrap().seq, 1);
    let stats = ledger.stats();
    assert_eq!((stats.accepted, stats.committed, stats.refused, stats.lost), (71, 71, 2, 0));
}

#[tokio::test]
async fn a_killed_sequencer_tells_who_waits_and_the_next_one_continues_the_chain() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        ledger.append(tenant(1), late(setup.event(tenant(1)))).await.unwrap();
    })
    .await;
    // The sequencer is gone now, and with it the ledger.
    assert!(matches!(ledger.submit(tenant(1), late(setup.event(tenant(1)))), Err(Refused::Closed)));

    let (ledger, sequencer) = setup.ledger(CONFIG);
    let mut waiting = Box::pin(ledger.append(tenant(1), late(setup.event(tenant(1)))));
    assert!(poll!(waiting.as_mut()).is_pending());
    ledger.submit(tenant(1), late(setup.event(tenant(1)))).unwrap();
    drop(sequencer);
    assert!(is_closed(&waiting.await));
    assert_eq!(ledger.stats().lost, 2);

    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        let receipt = ledger.append(tenant(1), late(setup.event(tenant(1)))).await.unwrap();
        assert_eq!(receipt.seq, 2);
        let verified = ledger.verify(tenant(1)).await.unwrap();
        assert!(verified.is_intact() && verified.entries() == 2);
    })
    .await;
}

#[tokio::test]
async fn who_no_longer_waits_does_not_take_the_event_back() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let mut waiting = Box::pin(ledger.append(tenant(1), late(setup.event(tenant(1)))));
    assert!(poll!(waiting.as_mut()).is_pending());
    drop(waiting);
    beside(sequencer, committed(&ledger, 1)).await;
    assert_eq!(ledger.verify(tenant(1)).await.unwrap().entries(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_share_chains_without_losing_or_forking() {
    let setup = Setup::new();
    let replicas: Vec<(Ledger, _)> = (0..4).map(|_| setup.ledger(Config { batch: 7, ..CONFIG })).collect();
    let mut running = Vec::new();
    for (ledger, sequencer) in replicas {
        running.push(spawn(async move { sequencer.run().await.unwrap() }));
        let events: Vec<_> = (0..300).map(|_| setup.event(tenant(1))).collect();
        running.push(spawn(async move {
            for chunk in events.chunks(20) {
                let appends = chunk.iter().map(|event| ledger.append(tenant(1), Draft::Event(event.clone())));
                assert!(join_all(appends).await.iter().all(Result::is_ok));
            }
            ledger.close();
        }));
    }
    for task in running {
        task.await.unwrap();
    }
    let (ledger, _sequencer) = setup.ledger(CONFIG);
    let verified = ledger.verify(tenant(1)).await.unwrap();
    assert!(matches!(verified.chains[..], [(_, Verdict::Intact { entries: 1_200, .. })]), "{verified:?}");
}

#[tokio::test]
async fn an_exclusive_writer_stops_the_one_before() {
    let setup = Setup::new();
    let config = Config { writers: Writers::Exclusive, ..CONFIG };
    let (first, sequencer) = setup.ledger(config);
    let mut run = Box::pin(sequencer.run());
    first.submit(tenant(1), late(setup.event(tenant(1)))).unwrap();
    assert!(poll!(run.as_mut()).is_pending());
    assert_eq!(first.stats().committed, 1);

    let (second, sequencer) = setup.ledger(config);
    beside(sequencer, async {
        second.append(tenant(1), late(setup.event(tenant(1)))).await.unwrap();
        let mut waiting = Box::pin(first.append(tenant(1), late(setup.event(tenant(1)))));
        assert!(poll!(waiting.as_mut()).is_pending());
        assert!(matches!(run.await, Err(Error::Fenced)));
        assert!(matches!(waiting.await, Err(Error::Fenced)));
        assert!(matches!(first.submit(tenant(1), late(setup.event(tenant(1)))), Err(Refused::Closed)));
        assert_eq!((first.stats().committed, first.stats().lost), (1, 1));
        assert_eq!(second.append(tenant(1), late(setup.event(tenant(1)))).await.unwrap().seq, 3);
        assert!(second.verify(tenant(1)).await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn entries_lost_by_the_store_are_noticed_and_recorded() {
    let store = Faults::new([]);
    let setup = Setup::over(store.clone());
    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        let append = async || ledger.append(tenant(1), late(setup.event(tenant(1)))).await.unwrap();
        append().await;
        let last = append().await;
        store.replace(Arc::new(MemoryLedgerStore::new(100)));
        assert_eq!(append().await.seq, 1);
        let query = Query { action: Some("audit.entries_lost".into()), ..Query::default() };
        let found = ledger.query(tenant(1), &query, &PageRequest::default()).await.unwrap().items;
        let [alert] = &found[..] else { panic!("{found:?}") };
        assert_eq!(alert.event.severity, Severity::Critical);
        let detail = |name| alert.event.details.get(name).cloned();
        assert_eq!(detail("class"), Some("standard".into()));
        assert_eq!(detail("committed_seq"), Some(Detail::Integer(i64::try_from(last.seq).unwrap())));
        assert_eq!(detail("stored_seq"), Some(Detail::Integer(0)));
        append().await;
        assert_eq!(ledger.stats().committed, 5, "it is recorded once");
        assert!(ledger.verify(tenant(1)).await.unwrap().is_intact());
    })
    .await;
}

#[expect(clippy::disallowed_methods, reason = "replicas run side by side, and the test waits for them")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(task)
}
