//! A batch that is sealed while the one before it is on its way: it stands on that one, and falls with it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, join, join_all, select};
use futures_util::poll;
use stanchion_audit::conformance::{Call, Intercept, Intercepted, Pending};
use stanchion_audit::{
    AppendBatch, Config, Draft, Error, Ledger, LedgerStore, MemoryLedgerStore, Receipt, Shard, Writers,
};
use stanchion_core::{Event, StoreError, StoreErrorKind, SystemScope, Timestamp};
use tokio::sync::Semaphore;

use crate::support::{CONFIG, NOON, Setup, beside, passing_time, tenant};

/// Two batches wait from the beginning.
const TWO: usize = 2 * TEN.batch;
const TEN: Config = Config { batch: 10, ..CONFIG };

/// What becomes of an append once it is let go.
#[derive(Clone, Copy, Debug)]
enum End {
    Written,
    Unavailable,
    LostRequest,
    LostReply,
}

/// Holds appends until they are let go, and then ends them as planned.
#[derive(Debug)]
struct Gate {
    behind: Arc<dyn LedgerStore>,
    plan: Mutex<VecDeque<End>>,
    sent: Mutex<Vec<AppendBatch>>,
    gate: Semaphore,
}

impl Gate {
    fn sent(&self) -> Vec<AppendBatch> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl Intercept for Gate {
    async fn around(&self, call: Call<'_>, pending: Pending<'_>) -> Result<(), StoreError> {
        let Call::Append(batch) = call else { return pending.await };
        self.sent.lock().unwrap().push(batch.clone());
        self.gate.acquire().await.unwrap().forget();
        let failed = |kind| Err(StoreError::new(kind, "gate", "append"));
        let end = self.plan.lock().unwrap().pop_front().unwrap_or(End::Written);
        match end {
            End::Written => pending.await,
            End::Unavailable => failed(StoreErrorKind::Unavailable),
            End::LostRequest => failed(StoreErrorKind::Timeout),
            End::LostReply => {
                pending.await?;
                failed(StoreErrorKind::Timeout)
            }
        }
    }
}

struct Gated {
    setup: Setup,
    gate: Arc<Gate>,
}

impl Gated {
    fn new(plan: impl IntoIterator<Item = End>) -> Self {
        let behind: Arc<dyn LedgerStore> = Arc::new(MemoryLedgerStore::new(1_000));
        let gate = Arc::new(Gate {
            behind: Arc::clone(&behind),
            plan: Mutex::new(plan.into_iter().collect()),
            sent: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let setup = Setup::over(Arc::new(Intercepted::new(behind, Arc::clone(&gate))));
        Self { setup, gate }
    }

    /// Events for two batches, of two tenants.
    fn events(&self) -> Vec<Event> {
        (0..TWO).map(|index| self.setup.event(tenant(u8::try_from(1 + index % 2).unwrap()))).collect()
    }

    /// Has events appended; while the first batch is held, and the next one has had time to be sealed, `meanwhile` happens.
    async fn append(
        &self,
        events: &[Event],
        meanwhile: impl Future<Output = ()>,
    ) -> (Ledger, Vec<Result<Receipt, Error>>) {
        let (ledger, sequencer) = self.setup.ledger(TEN);
        let receipts =
            join_all(events.iter().map(|event| ledger.append(event.scope, Draft::Event(event.clone()))));
        let hold = async {
            while self.gate.sent().is_empty() {
                tokio::task::yield_now().await;
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            meanwhile.await;
            self.gate.gate.add_permits(100);
        };
        let work = passing_time(&self.setup.clock, async {
            let work = pin!(join(receipts, hold));
            match select(work, pin!(sequencer.run())).await {
                Either::Left(((receipts, ()), _)) => receipts,
                Either::Right((end, work)) => {
                    assert!(matches!(end, Err(Error::Fenced)), "{end:?}");
                    work.await.0
                }
            }
        });
        let receipts = work.await;
        (ledger, receipts)
    }

    /// Lets so much time pass.
    async fn pass(&self, time: Duration) {
        self.setup.clock.advance(time);
    }
}

/// When the entries of each batch that was sent were sealed, after noon.
fn sealed_after(sent: &[AppendBatch]) -> Vec<Duration> {
    let first = |batch: &AppendBatch| batch.rows().first().map_or(Timestamp::MAX, |row| row.recorded_at);
    sent.iter().map(|batch| first(batch).since(NOON)).collect()
}

async fn is_whole(ledger: &Ledger, events: &[Event], receipts: &[Result<Receipt, Error>]) {
    for (event, receipt) in events.iter().zip(receipts) {
        let (entry, receipt) = (ledger.get(event.scope, event.id).await.unwrap(), receipt.as_ref().unwrap());
        let entry = entry.unwrap();
        assert_eq!((entry.chain, entry.seq, entry.leaf), (receipt.chain, receipt.seq, receipt.leaf));
    }
    let mut entries = 0;
    for scope in [tenant(1), tenant(2)] {
        let verified = ledger.verify(scope).await.unwrap();
        assert!(verified.is_intact(), "{:?}", verified.first_break());
        entries += verified.entries();
    }
    assert_eq!(usize::try_from(entries).unwrap(), events.len());
}

const LATER: Duration = Duration::from_millis(5);

#[tokio::test]
async fn the_next_batch_is_sealed_while_the_one_before_is_on_its_way() {
    let gated = Gated::new([]);
    let events = gated.events();
    let (ledger, receipts) = gated.append(&events, gated.pass(LATER)).await;
    is_whole(&ledger, &events, &receipts).await;
    let sent = gated.gate.sent();
    assert_eq!(sealed_after(&sent), [Duration::ZERO; 2], "both before time passed");
    for (step, next) in sent[0].moves().iter().zip(sent[1].moves()) {
        assert_eq!((step.chain, step.to), (next.chain, next.from));
    }
    assert_eq!(ledger.stats().failures, 0);
}

#[tokio::test]
async fn what_was_sealed_onto_a_batch_that_failed_is_sealed_anew() {
    let ends = [End::Unavailable, End::LostRequest, End::LostReply];
    for plan in ends.iter().flat_map(|first| [vec![*first], vec![*first, End::LostReply]]) {
        let gated = Gated::new(plan.clone());
        let events = gated.events();
        let (ledger, receipts) = gated.append(&events, gated.pass(LATER)).await;
        is_whole(&ledger, &events, &receipts).await;
        let stats = ledger.stats();
        assert_eq!((stats.committed, stats.duplicates, stats.lost), (20, 0, 0), "{plan:?}");
        let after = sealed_after(&gated.gate.sent());
        // The first batch as often as it failed and once more, then the second, each from where the one before it leads.
        assert_eq!(after.len(), 2 + plan.len(), "{plan:?}");
        assert!(after[1..].iter().all(|after| *after > LATER), "{plan:?}: {after:?}");
    }
}

#[tokio::test]
async fn a_second_batch_that_fails_is_committed_on_its_own() {
    for end in [End::Unavailable, End::LostRequest, End::LostReply] {
        let gated = Gated::new([End::Written, end]);
        let events = gated.events();
        let (ledger, receipts) = gated.append(&events, gated.pass(LATER)).await;
        is_whole(&ledger, &events, &receipts).await;
        let stats = ledger.stats();
        assert_eq!((stats.committed, stats.duplicates, stats.failures), (20, 0, 1), "{end:?}");
    }
}

#[tokio::test]
async fn who_is_fenced_with_a_batch_ahead_tells_everyone_and_writes_nothing() {
    let gated = Gated::new([]);
    let events = gated.events();
    let newer = async {
        gated.gate.behind.open(SystemScope::new("test"), Shard::ONLY, Writers::Exclusive).await.unwrap();
    };
    let (ledger, receipts) = gated.append(&events, newer).await;
    assert_eq!(receipts.len(), TWO);
    assert!(receipts.iter().all(|receipt| matches!(receipt, Err(Error::Fenced))));
    assert_eq!((ledger.stats().committed, ledger.stats().lost), (0, 20));
    assert_eq!(ledger.verify(tenant(1)).await.unwrap().entries(), 0);
    assert_eq!(gated.gate.sent().len(), 1);
}

/// The fence falls between the two: the first is committed, the second is not.
#[tokio::test]
async fn a_batch_ahead_is_fenced_by_itself() {
    let gated = Gated::new([]);
    let events = gated.events();
    let newer = async {
        gated.gate.gate.add_permits(1);
        while gated.gate.sent().len() < 2 {
            tokio::task::yield_now().await;
        }
        gated.gate.behind.open(SystemScope::new("test"), Shard::ONLY, Writers::Exclusive).await.unwrap();
    };
    let (ledger, receipts) = gated.append(&events, newer).await;
    is_whole(&ledger, &events[..10], &receipts[..10]).await;
    assert!(receipts[10..].iter().all(|receipt| matches!(receipt, Err(Error::Fenced))));
    assert_eq!((ledger.stats().committed, ledger.stats().lost), (10, 10));
}

#[tokio::test]
async fn heads_that_another_writer_moved_move_both_batches() {
    let gated = Gated::new([]);
    let events = gated.events();
    let theirs = gated.setup.event(tenant(1));
    let other = Setup::over(Arc::clone(&gated.gate.behind));
    let writes = async {
        let (ledger, sequencer) = other.ledger(CONFIG);
        beside(sequencer, ledger.append(theirs.scope, Draft::Event(theirs.clone()))).await.unwrap();
    };
    let (ledger, receipts) = gated.append(&events, writes).await;
    assert_eq!(receipts[0].as_ref().unwrap().seq, 2, "after theirs");
    let entries = ledger.verify(tenant(1)).await.unwrap();
    assert!(entries.is_intact());
    assert_eq!(entries.entries(), 11);
    assert_eq!(gated.gate.sent().len(), 3, "the first twice");
    assert_eq!((ledger.stats().committed, ledger.stats().failures), (20, 0));
}

#[tokio::test]
async fn the_same_event_in_both_batches_is_recorded_once() {
    let gated = Gated::new([]);
    let mut events = gated.events();
    let first = events[0].clone();
    events[TWO - 1] = first;
    let (ledger, receipts) = gated.append(&events, gated.pass(LATER)).await;
    assert_eq!(receipts[0].as_ref().unwrap(), receipts[TWO - 1].as_ref().unwrap());
    is_whole(&ledger, &events[..TWO - 1], &receipts[..TWO - 1]).await;
    assert_eq!((ledger.stats().committed, ledger.stats().duplicates), (19, 1));
}

/// Its entries would be dated before those that were recorded in the meantime elsewhere.
#[tokio::test]
async fn what_was_sealed_long_ago_is_sealed_anew() {
    let gated = Gated::new([]);
    let events = gated.events();
    let long = Duration::from_secs(2);
    let (ledger, receipts) = gated.append(&events, gated.pass(long)).await;
    is_whole(&ledger, &events, &receipts).await;
    assert_eq!(sealed_after(&gated.gate.sent()), [Duration::ZERO, long]);
}

#[tokio::test]
async fn a_sequencer_killed_with_a_batch_ahead_counts_both_as_lost() {
    let gated = Gated::new([]);
    let (ledger, sequencer) = gated.setup.ledger(TEN);
    let events = gated.events();
    let append = |event: &Event| ledger.append(event.scope, Draft::Event(event.clone()));
    let mut waiting = Box::pin(join_all(events.iter().map(append)));
    assert!(poll!(waiting.as_mut()).is_pending());
    let mut run = Box::pin(sequencer.run());
    for _ in 0..5 {
        assert!(poll!(run.as_mut()).is_pending());
    }
    drop(run);
    assert!(waiting.await.iter().all(|receipt| matches!(receipt, Err(Error::Closed))));
    assert_eq!((ledger.stats().committed, ledger.stats().lost), (0, 20));
}
