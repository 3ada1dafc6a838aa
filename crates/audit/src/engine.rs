mod stats;
mod verification;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use stanchion_core::{
    Clock, Event, EventId, EventSink, IdGen, KeyRing, Page, PageRequest, ProducerNumber, Scope, StoreError,
    StoreErrorKind, Timer,
};
use stanchion_replica::{self as replica, Deliver, FullReason, Queue};
use tokio::sync::oneshot;

pub use self::stats::Stats;
pub(crate) use self::stats::{Counters, count};
pub(crate) use self::verification::yield_once;
use crate::draft::Work;
use crate::moved::Moved;
use crate::numbers::Numbers;
use crate::{
    CheckpointConfig, CheckpointSigner, Checkpointer, Config, Draft, Entry, Error, LedgerStore, Place,
    Projector, Protection, Prover, Query, Receipt, Row, Sequencer, Shard, Signer, TreeStore,
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

    /// Tells that the event of a number is not recorded.
    pub(crate) fn leave(&self, number: Option<(Scope, ProducerNumber)>) {
        if let (Some(numbers), Some((scope, number))) = (self.numbers.get(), number) {
            numbers.leave(scope, &number);
        }
    }
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
