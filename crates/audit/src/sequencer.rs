mod commit;
mod making;
mod own_events;
mod pending;
mod rhythm;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use stanchion_core::{StoreError, StoreErrorKind, SystemScope, Timestamp};
use stanchion_replica::Queue;

use self::commit::Ahead;
use self::pending::{Committed, Pending};
use crate::engine::{Item, Shared, count};
use crate::{Error, Fence, Sealer, Shard};

const SYSTEM: SystemScope = SystemScope::new("commit audit records of many tenants at once");

/// Commits what a [`Ledger`](crate::Ledger) has accepted: takes batches from its queue, links and signs them, and writes them.
///
/// While it runs, nothing that was accepted is dropped: a store that fails is asked again, with growing waits, for as long as it
/// takes. When the end of a commit is not known, the heads are read again and the events are offered once more; the store knows
/// their ids, so none is doubled. When another writer has moved a chain, the batch is linked to the new head and offered again.
///
/// While a batch is on its way, the next one is linked and signed onto where it will take the chains, if many wait for their commits.
/// At most one batch is ever on its way. If it is not committed, whatever the reason, the one behind it is thrown away and sealed anew.
///
/// Two things the sequencer records on its own account, both in class `security` and as actor `system:audit`: `audit.id_reused`
/// when an event's id was used before for something else, with the refused event in its details; and `audit.entries_lost` when a
/// chain has become shorter or another since this sequencer last committed to it.
#[must_use = "events are committed only while the sequencer runs"]
pub struct Sequencer {
    shared: Arc<Shared>,
    shard: Shard,
    queue: Arc<Queue<Item>>,
    /// Those of the other shards, until they are run.
    others: Vec<Self>,
    sealer: Sealer,
    /// What is being committed. It survives a failed attempt, and is counted as lost if the sequencer is dropped.
    pending: Vec<Pending>,
    /// What comes after that.
    ahead: Ahead,
    committed: Committed,
    /// How many events were in circulation when the batch was put together: in it, waiting, or about to come back.
    crowd: usize,
    /// What events are brought into their canonical form in.
    buffer: Vec<u8>,
    declared_at: Timestamp,
    observer: Option<Observer>,
}

pub(crate) type Observer = Box<dyn Fn(&StoreError) + Send + Sync>;

impl Sequencer {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let mut all = Shard::all(shared.config.shards).zip(&shared.queues);
        let mut first = Self::of(shared, Shard::ONLY, Arc::new(Queue::new(shared.config.queue())));
        if let Some((shard, queue)) = all.next() {
            (first.shard, first.queue) = (shard, Arc::clone(queue));
        }
        first.others = all.map(|(shard, queue)| Self::of(shared, shard, Arc::clone(queue))).collect();
        first
    }

    fn of(shared: &Arc<Shared>, shard: Shard, queue: Arc<Queue<Item>>) -> Self {
        let shared = Arc::clone(shared);
        let sealer = Sealer::new(Arc::clone(&shared.signer));
        Self {
            shared,
            shard,
            queue,
            others: Vec::new(),
            sealer,
            pending: Vec::new(),
            ahead: Ahead::default(),
            committed: Committed::default(),
            crowd: 0,
            buffer: Vec::new(),
            declared_at: Timestamp::MIN,
            observer: None,
        }
    }

    /// Lets `observer` hear of every failure of the store. It must be quick and must not block.
    pub fn on_failure(mut self, observer: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        let observer = Arc::new(observer);
        for other in &mut self.others {
            let observer = Arc::clone(&observer);
            other.observer = Some(Box::new(move |error| observer(error)));
        }
        self.observer = Some(Box::new(move |error| observer(error)));
        self
    }

    /// Divides it into the sequencers of its shards, so that each can run on a processor of its own. One that is shut out, or dropped,
    /// ends its own shard only.
    #[must_use]
    pub fn split(mut self) -> Vec<Self> {
        let others = std::mem::take(&mut self.others);
        std::iter::once(self).chain(others).collect()
    }

    /// Commits until the ledger is closed and everything accepted is durable. Dropped before that, it closes the ledger; what was
    /// accepted and not committed is lost, and counted.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a newer writer has taken the store for itself ([`Writers::Exclusive`](crate::Writers::Exclusive)).
    /// Then too the ledger is closed, or the shard that was taken; those who wait for a commit are told, and the rest is counted as
    /// lost. [`Error::Store`] when the store was begun with another number of shards.
    pub async fn run(self) -> Result<(), Error> {
        join_all(self.split().into_iter().map(Self::run_shard)).await.into_iter().collect()
    }

    async fn run_shard(mut self) -> Result<(), Error> {
        let fence = self.open().await?;
        loop {
            if self.pending.is_empty() {
                let Some(items) = self.gather().await else {
                    self.declare_last();
                    return self.commit(fence).await;
                };
                let mut pending = self.declared();
                self.make(items, &mut pending);
                self.pending = pending;
            }
            self.commit(fence).await?;
            self.pending = self.ahead.take();
            self.crowd = self.committed.awaited() + self.pending.len() + self.queue.len();
        }
    }

    async fn open(&self) -> Result<Fence, Error> {
        let mut failures = 0;
        loop {
            match self.shared.store.open(SYSTEM, self.shard, self.shared.config.writers).await {
                Ok(fence) => return Ok(fence),
                Err(error) if error.kind() == StoreErrorKind::Unsupported => return Err(error.into()),
                Err(error) => self.back_off(&error, &mut failures).await,
            }
        }
    }

    async fn back_off(&self, error: &StoreError, failures: &mut u32) {
        *failures = failures.saturating_add(1);
        count(&self.shared.counters.failures, 1);
        if let Some(observer) = &self.observer {
            observer(error);
        }
        let until = self.shared.clock.now().plus(self.shared.config.retry(*failures));
        self.shared.timer.sleep_until(until).await;
    }
}

impl Shared {
    /// Closes a queue and takes all that is left in it.
    fn drain(&self, queue: &Queue<Item>) -> Vec<Item> {
        queue.close();
        let mut rest = Vec::new();
        // A closed queue does not wait: it hands out what it has.
        while let Some(Some(items)) = queue.next_batch(&*self.clock, &*self.timer).now_or_never() {
            rest.extend(items);
        }
        rest
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        let waiting = self.shared.drain(&self.queue).len();
        let pending: u64 =
            self.pending.iter().chain(self.ahead.pending()).map(|pending| pending.accepted).sum();
        count(&self.shared.counters.lost, pending.saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX)));
        if self.shared.sequencers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.moved.end();
        }
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}
