use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use stanchion_core::{
    Clock, Event, EventId, EventSink, IdGen, KeyRing, Page, PageRequest, ProducerNumber, Scope, StoreError,
    StoreErrorKind, Timer,
};
use stanchion_replica::{self as replica, Deliver, FullReason, Queue};
use tokio::sync::oneshot;

use crate::draft::Work;
use crate::moved::Moved;
use crate::numbers::Numbers;
use crate::prover::Covered;
use crate::verify::ChainVerifier;
use crate::{
    Break, BreakReason, Chain, CheckpointConfig, CheckpointSigner, Checkpointer, Config, Draft, Entry, Error,
    LedgerStore, Place, Projector, Protection, Prover, Query, Receipt, Row, SearchRow, Sequencer, Shard,
    Signer, TreeStore, Verdict, Verification,
};

/// The audit ledger: takes events, finds them again and proves that they are what was recorded. Clones share it.
///
/// Events are committed by a [`Sequencer`], which the owner runs.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

/// What the ledger and its sequencer have in common.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn LedgerStore>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) ids: Arc<dyn IdGen>,
    pub(crate) config: Config,
    /// The queue of each shard.
    pub(crate) queues: Vec<Arc<Queue<Item>>>,
    /// How many sequencers have not ended.
    pub(crate) sequencers: AtomicUsize,
    pub(crate) counters: Counters,
    /// What the sequencer has added to, for a checkpointer.
    pub(crate) moved: Moved,
    /// The same for a projector.
    pub(crate) unprojected: Moved,
    /// What protects values before they are hashed.
    pub(crate) protection: OnceLock<Protection>,
    /// The numbers of the events that this process makes, once it has said who it is.
    pub(crate) numbers: OnceLock<Numbers>,
    /// How far behind each anchor is.
    lags: Mutex<Vec<Arc<AtomicU64>>>,
}

/// A draft in the queue, and who waits for it.
pub(crate) struct Item {
    pub(crate) work: Work,
    /// The number of an event that is not made yet, and the scope whose number it is.
    pub(crate) number: Option<(Scope, ProducerNumber)>,
    pub(crate) reply: Option<Reply>,
}

pub(crate) type Reply = oneshot::Sender<Result<Receipt, Error>>;

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) reduced: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) broken_chains: AtomicU64,
    pub(crate) anchored: AtomicU64,
    pub(crate) anchor_failures: AtomicU64,
    pub(crate) anchor_conflicts: AtomicU64,
    pub(crate) projected: AtomicU64,
    pub(crate) unprojected: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Why an event was not accepted. Each is counted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The queue is full.
    #[error("the audit queue is full")]
    QueueFull,
    /// The scope's share of the queue is full.
    #[error("the tenant's share of the audit queue is full")]
    TenantShare,
    /// The ledger was closed, or its sequencer has ended.
    #[error("the ledger takes no more events")]
    Closed,
    /// The event has no canonical form.
    #[error(transparent)]
    Invalid(Error),
}

/// What a ledger has done since it was made. The numbers are read one by one, so they need not fit together exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events accepted.
    pub accepted: u64,
    /// Events refused, for whichever reason.
    pub refused: u64,
    /// Entries committed.
    pub committed: u64,
    /// Events that were in the ledger already, and so were not written again.
    pub duplicates: u64,
    /// Events whose id was used before for something else; each left a record of its content.
    pub conflicts: u64,
    /// Late events that had to be changed to be recorded.
    pub reduced: u64,
    /// Accepted events that were not committed because the sequencer was dropped.
    pub lost: u64,
    /// Failures of the store; each was retried.
    pub failures: u64,
    /// Checkpoints signed by this process's checkpointer.
    pub checkpoints: u64,
    /// Chains that it found broken, and covers no more.
    pub broken_chains: u64,
    /// Checkpoints published to anchors.
    pub anchored: u64,
    /// Attempts to publish one that failed; each was repeated.
    pub anchor_failures: u64,
    /// Times that an anchor held what the log does not lead to.
    pub anchor_conflicts: u64,
    /// For how many seconds the anchor that is furthest behind could not be reached.
    pub anchor_lag_seconds: u64,
    /// Entries for which this process's projector has made what queries look at.
    pub projected: u64,
    /// Entries that were without it when the projector last looked.
    pub unprojected: u64,
    /// Events that wait in the queue now.
    pub queued: usize,
}

impl From<FullReason> for Refused {
    fn from(reason: FullReason) -> Self {
        match reason {
            FullReason::Capacity => Self::QueueFull,
            FullReason::Share => Self::TenantShare,
            FullReason::Closed => Self::Closed,
        }
    }
}

/// A place in the ledger's queue that is kept for one event.
pub struct Reserved {
    shared: Arc<Shared>,
    scope: Scope,
    place: replica::Place<Item>,
}

impl Reserved {
    /// Accepts the event and numbers it, as [`Ledger::submit`]. One without a canonical form is cut down to what identifies it, as a late one is.
    pub fn submit(self, draft: Draft) {
        self.put(draft, None);
    }

    /// Commits the event, as [`Ledger::append`], and waits no longer for that than the configuration says. A late event is numbered; a
    /// complete one is not, since its maker may offer it again.
    ///
    /// # Errors
    /// As [`Ledger::append`], and [`Error::Late`].
    pub async fn append(self, draft: Draft) -> Result<Receipt, Error> {
        let (reply, committed) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.put(draft, Some(reply));
        let Shared { clock, timer, config, .. } = &*shared;
        let patience = config.commit_timeout();
        match select(committed, timer.sleep_until(clock.now().plus(patience))).await {
            Either::Left((answer, _)) => answer.unwrap_or(Err(Error::Closed)),
            Either::Right(_) => Err(Error::Late { patience }),
        }
    }

    fn put(self, draft: Draft, reply: Option<Reply>) {
        count(&self.shared.counters.accepted, 1);
        let (make, number): (Box<dyn FnOnce() -> Event + Send>, _) = match draft {
            Draft::Event(event) => {
                let number = if reply.is_none() { self.shared.number(&event) } else { None };
                let scope = event.scope;
                (Box::new(move || event), number.map(|number| (scope, number)))
            }
            Draft::Late(make) => (make, self.shared.next_number(self.scope)),
        };
        self.place.push(Item { work: Work::Late(make), number, reply });
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserved").finish_non_exhaustive()
    }
}

impl Ledger {
    /// Sets up a ledger over a store, and its sequencer. Nothing is committed until [`Sequencer::run`] runs. Settings out of their
    /// range are taken as the nearest one within; [`Config::validate`] names them.
    pub fn new(
        store: Arc<dyn LedgerStore>,
        keys: KeyRing,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        ids: Arc<dyn IdGen>,
        config: Config,
    ) -> (Self, Sequencer) {
        let signer = Arc::new(Signer::new(&keys));
        let shards: Vec<Shard> = Shard::all(config.shards).collect();
        let queues: Vec<_> = shards.iter().map(|_| Arc::new(Queue::new(config.queue()))).collect();
        let sequencers = AtomicUsize::new(shards.len());
        let counters = Counters::default();
        let (moved, unprojected) = (Moved::default(), Moved::default());
        let (numbers, lags) = (OnceLock::new(), Mutex::default());
        let shared = Arc::new(Shared {
            store,
            signer,
            clock,
            timer,
            ids,
            config,
            queues,
            sequencers,
            counters,
            moved,
            protection: OnceLock::new(),
            numbers,
            lags,
            unprojected,
        });
        (Self { shared: Arc::clone(&shared) }, Sequencer::new(&shared))
    }

    /// Has trees grown over the chains: returns what proves entries by them, and what grows and signs them, a future that you run.
    /// Settings out of their range are taken as the nearest one within; [`CheckpointConfig::validate`] names them.
    pub fn checkpoints(
        &self,
        trees: Arc<dyn TreeStore>,
        signer: CheckpointSigner,
        config: CheckpointConfig,
    ) -> (Prover, Checkpointer) {
        self.shared.moved.watch();
        let signer = Arc::new(signer);
        let patience = config.ack_timeout();
        let prover = Prover {
            ledger: self.clone(),
            trees: Arc::clone(&trees),
            signer: Arc::clone(&signer),
            patience,
            anchors: Vec::new(),
        };
        (prover, Checkpointer::new(self.clone(), trees, signer, config))
    }

    /// Returns what keeps up to date what queries look at, in a store that keeps it apart: a future that you run. Queries see all that
    /// is committed without it too, and take longer the further it is behind.
    pub fn projector(&self) -> Projector {
        Projector::new(self.clone())
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Accepts an event: it is queued and will be committed while the sequencer runs, but is lost with the process. Never blocks.
    ///
    /// `scope` says whose share of the queue it takes; whose chain it belongs to says the event itself.
    ///
    /// Once the process has said who it is ([`begin`](Self::begin)), the event is numbered: it must not be submitted again.
    ///
    /// # Errors
    /// [`Refused`] when there is no room, the ledger is closed or the event has no canonical form.
    pub fn submit(&self, scope: Scope, draft: Draft) -> Result<(), Refused> {
        let counters = &self.shared.counters;
        let (draft, number) = match draft {
            Draft::Event(mut event) => {
                let number = self.shared.number(&event);
                event.producer = number.clone().or(event.producer);
                let of = number.map(|number| (event.scope, number));
                (Draft::Event(event), of)
            }
            late => (late, self.shared.next_number(scope)),
        };
        let shard = self.shared.shard(scope, &draft);
        let queued = self.shared.work(draft).map_err(Refused::Invalid).and_then(|work| {
            let item = Item { work, number: number.clone(), reply: None };
            let queue = self.shared.queue(shard).ok_or(Refused::Closed)?;
            queue.try_push(scope, item).map_err(|full| full.reason.into())
        });
        if queued.is_err() {
            self.shared.leave(number);
        }
        count(if queued.is_ok() { &counters.accepted } else { &counters.refused }, 1);
        queued
    }

    /// Commits an event: completes once it is durable, waiting for room in the queue if need be. An event that is in the ledger
    /// already is not written again; its receipt is the first one's.
    ///
    /// Dropping the future does not take the event back.
    ///
    /// # Errors
    /// [`Error::IdReused`] when another event has its id, [`Error::Closed`] when the ledger was closed before it was committed,
    /// [`Error::Fenced`] when a newer writer shut the sequencer out, or the error of [`canonical`](crate::canonical).
    pub async fn append(&self, scope: Scope, draft: Draft) -> Result<Receipt, Error> {
        let counters = &self.shared.counters;
        let (reply, committed) = oneshot::channel();
        let shard = self.shared.shard(scope, &draft);
        let work = self.shared.work(draft).inspect_err(|_| count(&counters.refused, 1))?;
        let item = Item { work, number: None, reply: Some(reply) };
        let queue = self.shared.queue(shard).ok_or(Error::Closed)?;
        if queue.push(scope, item).await.is_err() {
            count(&counters.refused, 1);
            return Err(Error::Closed);
        }
        count(&counters.accepted, 1);
        committed.await.unwrap_or(Err(Error::Closed))
    }

    /// Keeps a place in the queue for an event that comes later, so that what must be recorded is known to find room before it is
    /// begun. A place never fails to take its event; a dropped one is free again.
    ///
    /// # Errors
    /// [`Refused`] when there is no room or the ledger is closed.
    pub fn reserve(&self, scope: Scope) -> Result<Reserved, Refused> {
        let queue = self.shared.queue(Shard::of(scope, self.shared.config.shards)).ok_or(Refused::Closed)?;
        match queue.reserve(scope) {
            Ok(place) => Ok(Reserved { shared: Arc::clone(&self.shared), scope, place }),
            Err(reason) => {
                count(&self.shared.counters.refused, 1);
                Err(reason.into())
            }
        }
    }

    /// Refuses new events from now on. The sequencer commits what waits, and ends.
    pub fn close(&self) {
        self.shared.queues.iter().for_each(|queue| queue.close());
    }

    /// Returns the entries of a scope that a query asks for, newest first by the time of recording.
    ///
    /// Entries that are recorded meanwhile do not move a page. Filters are answered from the store's columns; the entries returned
    /// are read from the signed bytes. Whether both agree, [`verify`](Self::verify) tells.
    ///
    /// # Errors
    /// [`Error::InvalidPageKey`] for a page key that is none of ours, [`Error::Unreadable`] for an entry whose bytes are no event,
    /// [`Error::Store`] when the store cannot be read.
    pub async fn query(&self, scope: Scope, query: &Query, page: &PageRequest) -> Result<Page<Entry>, Error> {
        let Page { items, next } = self.rows(scope, query, page).await?;
        let items = items.iter().map(Entry::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// Returns what [`query`](Self::query) does, as it is stored.
    pub(crate) async fn rows(
        &self,
        scope: Scope,
        query: &Query,
        page: &PageRequest,
    ) -> Result<Page<Row>, Error> {
        let before = page.key().map(str::parse).transpose()?;
        let limit = page.limit();
        let mut items = self.shared.store.query(scope, query, before, limit + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|row| Place::from(row).to_string());
        Ok(Page { items, next })
    }

    /// Finds the entry of an event.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn get(&self, scope: Scope, id: EventId) -> Result<Option<Entry>, Error> {
        let row = self.shared.store.get(scope, id).await?;
        row.as_ref().map(Entry::try_from).transpose()
    }

    /// Verifies every chain of a scope from its stored bytes: hashes, links, signatures, numbers and columns. Entries committed after
    /// the call are not looked at. What is proven and what is not says [`verify_chain`](crate::verify_chain).
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read. A broken chain is a [`Verdict`], not an error.
    pub async fn verify(&self, scope: Scope) -> Result<Verification, Error> {
        let mut chains = Vec::new();
        for chain in self.shared.store.chains(scope).await? {
            chains.push((chain.id, self.verify_chain(chain, None).await?));
        }
        Ok(Verification { scope, chains })
    }

    pub(crate) async fn verify_chain(
        &self,
        mut chain: Chain,
        mut covered: Option<Covered>,
    ) -> Result<Verdict, Error> {
        const PAGE: usize = 1_000;
        let Shared { store, signer, .. } = &*self.shared;
        let mut verifier = ChainVerifier::new(chain.id, chain.base, signer);
        let mut tiles = Vec::new();
        while verifier.at().seq < chain.head.seq {
            let next = verifier.at().seq + 1;
            let rows = store.read(chain.id, next, PAGE).await?;
            if rows.first().is_none_or(|row| row.seq != next) {
                let now = store.chains(chain.id.scope).await?.into_iter().find(|now| now.id == chain.id);
                let Some(now) = now.filter(|now| now.base.seq >= next) else {
                    return Ok(Verdict::Broken(Break {
                        chain: chain.id,
                        seq: next,
                        reason: BreakReason::Gap,
                    }));
                };
                // The store has dropped its oldest entries meanwhile: what it now keeps is verified.
                chain = now;
                covered = None;
                verifier = ChainVerifier::new(chain.id, chain.base, signer);
                continue;
            }
            let page = store.projected(chain.id, next, rows.len()).await?;
            let mut beside = page.rows.iter().peekable();
            for row in rows.iter().filter(|row| row.seq <= chain.head.seq) {
                if let Err(found) = verifier.check(row) {
                    return Ok(Verdict::Broken(found));
                }
                let stored = beside.next_if(|stored| stored.seq == row.seq);
                if !is_found_as_it_is(row, stored, page.until) {
                    let (seq, reason) = (row.seq, BreakReason::ProjectionAltered);
                    return Ok(Verdict::Broken(Break { chain: chain.id, seq, reason }));
                }
                if let Some(Covered { checkpoint, edge }) = &mut covered
                    && row.seq <= checkpoint.size
                {
                    edge.push(row.content.leaf, &mut tiles);
                    tiles.clear();
                }
            }
            yield_once().await;
        }
        let broken = |seq, reason| Ok(Verdict::Broken(Break { chain: chain.id, seq, reason }));
        match covered {
            Some(Covered { checkpoint, .. }) if checkpoint.size > chain.head.seq => {
                broken(chain.head.seq + 1, BreakReason::Gap)
            }
            Some(Covered { checkpoint, edge }) if edge.root() != checkpoint.root => {
                broken(checkpoint.size, BreakReason::TreeWrong)
            }
            _ => Ok(verifier.finish(&chain.head)),
        }
    }

    /// Returns what the ledger has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            accepted: read(&counters.accepted),
            refused: read(&counters.refused),
            committed: read(&counters.committed),
            duplicates: read(&counters.duplicates),
            conflicts: read(&counters.conflicts),
            reduced: read(&counters.reduced),
            lost: read(&counters.lost),
            failures: read(&counters.failures),
            checkpoints: read(&counters.checkpoints),
            broken_chains: read(&counters.broken_chains),
            anchored: read(&counters.anchored),
            anchor_failures: read(&counters.anchor_failures),
            anchor_conflicts: read(&counters.anchor_conflicts),
            anchor_lag_seconds: self.shared.lags().iter().map(|lag| read(lag)).max().unwrap_or(0),
            projected: read(&counters.projected),
            unprojected: read(&counters.unprojected),
            queued: self.shared.queues.iter().map(|queue| queue.len()).sum(),
        }
    }
}

impl Shared {
    /// Returns the shard that a draft's event is committed in. An event that turns out to be of another scope than whose share it takes is
    /// committed by that one's: heads keep it right.
    fn shard(&self, scope: Scope, draft: &Draft) -> Shard {
        let scope = if let Draft::Event(event) = draft { event.scope } else { scope };
        Shard::of(scope, self.config.shards)
    }

    fn queue(&self, shard: Shard) -> Option<&Arc<Queue<Item>>> {
        self.queues.get(usize::from(shard.index()))
    }

    /// Takes the number of an event that is made, unless it has one.
    fn number(&self, event: &Event) -> Option<ProducerNumber> {
        if event.producer.is_some() { None } else { self.numbers.get()?.take(event.scope) }
    }

    /// Takes the number of a scope's next event.
    fn next_number(&self, scope: Scope) -> Option<(Scope, ProducerNumber)> {
        Some((scope, self.numbers.get()?.take(scope)?))
    }

    fn lags(&self) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        self.lags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where another anchor's lag is told, in seconds.
    pub(crate) fn new_lag(&self) -> Arc<AtomicU64> {
        let lag = Arc::new(AtomicU64::new(0));
        self.lags().push(Arc::clone(&lag));
        lag
    }

    /// Tells that the event of a number is not recorded.
    pub(crate) fn leave(&self, number: Option<(Scope, ProducerNumber)>) {
        if let (Some(numbers), Some((scope, number))) = (self.numbers.get(), number) {
            numbers.leave(scope, &number);
        }
    }
}

/// Tells whether queries find an entry as what it is: what is kept for them of an entry up to `until` follows from its bytes.
fn is_found_as_it_is(row: &Row, stored: Option<&SearchRow>, until: u64) -> bool {
    match stored {
        None => row.seq > until,
        Some(stored) => {
            SearchRow::of(row.chain.scope, row.seq, &row.content).is_ok_and(|made| made == *stored)
        }
    }
}

/// Lets other tasks run: a long verification of a store in memory would not.
pub(crate) async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("store", &self.shared.store).field("stats", &self.stats()).finish()
    }
}

/// Events that are not part of a stored change: accepted like [`Ledger::submit`], refused ones are counted.
impl EventSink for Ledger {
    fn emit(&self, event: Event) {
        // Late, so that an event without canonical form is recorded as far as it can be.
        drop(self.submit(event.scope, Draft::Late(Box::new(move || event))));
    }
}

/// Events of stored changes, from an outbox: each is committed before it is acknowledged.
///
/// An event that cannot be recorded as it is never holds up those behind it: it is recorded as [`Draft::Late`] says, or, when its id
/// was used before, inside the record of that conflict.
#[async_trait]
impl Deliver for Ledger {
    async fn deliver(&self, event: &Event) -> Result<(), StoreError> {
        let (scope, event) = (event.scope, event.clone());
        match self.append(scope, Draft::Late(Box::new(move || event))).await {
            Ok(_) | Err(Error::IdReused { .. }) => Ok(()),
            Err(Error::Store(error)) => Err(error),
            Err(error) => {
                Err(StoreError::new(StoreErrorKind::Unavailable, "ledger", "append").with_source(error))
            }
        }
    }
}
