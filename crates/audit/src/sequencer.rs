use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Slot;
use stanchion_core::{
    Actor, Category, Event, EventId, Outcome, ProducerNumber, Scope, Severity, StoreError, StoreErrorKind,
    SystemScope, Timestamp,
};
use stanchion_replica::Queue;

use crate::draft::{Work, content_of};
use crate::engine::{Item, Reply, Shared, count, yield_once};
use crate::numbers::Unused;
use crate::{
    AppendOutcome, ChainId, Content, Error, Fence, Head, KnownRow, Receipt, Row, Sealer, Shard, parse,
};

const SYSTEM: SystemScope = SystemScope::new("commit audit records of many tenants at once");
/// The largest refused event that is kept whole in the record of its refusal, as text within JSON it may double.
const MAX_QUOTED: usize = 16_384;
/// So many events are worth a commit of their own: what a commit costs beside its events no longer counts.
const WORTHWHILE: usize = 256;
/// So many who wait are a crowd, of which most come back at once. Of fewer the next event may be anybody's, also one that gets along
/// with its end in one record if it is lingered for.
const CROWD: usize = 16;
/// So many are answered before the store is looked after again.
const AT_ONCE: usize = 64;

/// Commits what a [`Ledger`](crate::Ledger) has accepted: takes batches from its queue, links and signs them, and writes them.
///
/// While it runs, nothing that was accepted is dropped: a store that fails is asked again, with growing waits, for as long as it
/// takes. When the end of a commit is not known, the heads are read again and the events are offered once more; the store knows
/// their ids, so none is doubled. When another writer has moved a chain, the batch is linked to the new head and offered again.
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
    committed: Committed,
    declared_at: Timestamp,
    observer: Option<Observer>,
}

/// What is durable, for those who wait to be told. They are told when it is dropped, at the latest.
#[derive(Default)]
struct Committed(std::vec::IntoIter<(Pending, Receipt)>);

pub(crate) type Observer = Box<dyn Fn(&StoreError) + Send + Sync>;

/// An event that is being committed.
struct Pending {
    chain: ChainId,
    content: Arc<Content>,
    /// How many accepted events it stands for.
    accepted: u64,
    waiting: Vec<(Reply, Answer)>,
}

/// What somebody who waits is told once the event is committed.
enum Answer {
    Receipt,
    IdReused(EventId),
}

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
            committed: Committed::default(),
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
        let (shared, queue) = (Arc::clone(&self.shared), Arc::clone(&self.queue));
        let mut buffer = Vec::new();
        loop {
            let following = self.following();
            let items = if following.is_empty() {
                let (enough, most) = self.expected();
                self.committed = Committed::default();
                let next = queue.next_batch_of(enough, most, &*shared.clock, &*shared.timer);
                match next.await {
                    Some(items) => items,
                    None => {
                        self.declare(true);
                        return self.commit(fence).await;
                    }
                }
            } else {
                following
            };
            self.declare(false);
            self.take(shared.protected(items).await, &mut buffer);
            self.commit(fence).await?;
        }
    }

    /// Takes what has gathered during the last commit, if that is worth the next one. Then the store is kept busy: those who wait for
    /// the last commit are told during the next one, and what they append then gathers for the one after it.
    fn following(&self) -> Vec<Item> {
        let (waiting, awaited) = (self.queue.len(), self.committed.awaited());
        if awaited == 0 || waiting < WORTHWHILE {
            return Vec::new();
        }
        self.queue.take(half(awaited + waiting))
    }

    /// Returns how many events are worth waiting for, and how many to take. Whoever waits for a commit before they append again has
    /// to be told first, and comes back soon: to linger for more than come back is in vain.
    fn expected(&self) -> (usize, usize) {
        let (batch, awaited) = (self.shared.config.batch.max(1), self.committed.awaited());
        if awaited < CROWD {
            return (batch, batch);
        }
        let all = awaited + self.queue.len();
        if all < 2 * WORTHWHILE { (all, batch) } else { (half(all), half(all)) }
    }

    /// Gives an event its number, if that is of its scope.
    fn numbered(&self, mut event: Event, number: Option<(Scope, ProducerNumber)>) -> Event {
        match number {
            Some((scope, number)) if event.producer.is_none() && event.scope == scope => {
                event.producer = Some(number);
            }
            // It was numbered before it was queued.
            Some((_, number)) if event.producer.as_ref() == Some(&number) => {}
            unused => self.shared.leave(unused),
        }
        event
    }

    /// Records which numbers were given to events that are not recorded, at most once a second for each scope.
    fn declare(&mut self, is_last: bool) {
        /// So many ranges of one event.
        const RANGES: usize = 500;
        let Some(numbers) = self.shared.numbers.get().filter(|numbers| numbers.has_unused()) else { return };
        let now = self.shared.clock.now();
        if !is_last && now < self.declared_at.plus(Duration::from_secs(1)) {
            return;
        }
        self.declared_at = now;
        for Unused { scope, ranges } in numbers.take_unused(self.shard) {
            for part in ranges.chunks(RANGES) {
                let count: u64 = part.iter().map(|(first, last)| last - first + 1).sum();
                let text = |(first, last): &(u64, u64)| match first == last {
                    true => first.to_string(),
                    false => format!("{first}-{last}"),
                };
                let text: Vec<String> = part.iter().map(text).collect();
                let event = self
                    .own_event(scope, "audit.events_refused", Severity::Warning)
                    .with_detail("count", count)
                    .with_detail("ranges", text.join(","));
                self.record(event, 0, Vec::new());
            }
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

    /// Makes the events of a batch and brings them into their canonical form; events of one id become one.
    fn take(&mut self, items: Vec<Item>, buffer: &mut Vec<u8>) {
        let mut places: HashMap<(Scope, EventId), usize> = HashMap::with_capacity(items.len());
        for Item { work, number, reply } in items {
            let (chain, content) = match work {
                Work::Ready(chain, content) => (chain, content),
                Work::Late(make) => {
                    let event = self.numbered(make(), number);
                    let (chain, content, is_changed) = content_of(event, buffer);
                    count(&self.shared.counters.reduced, is_changed.into());
                    (chain, Arc::new(content))
                }
            };
            let waiting = reply.map(|reply| (reply, Answer::Receipt));
            match places.entry((chain.scope, content.id)) {
                Slot::Vacant(place) => {
                    place.insert(self.pending.len());
                    let waiting = waiting.into_iter().collect();
                    self.pending.push(Pending { chain, content, accepted: 1, waiting });
                }
                Slot::Occupied(place) => match self.pending.get_mut(*place.get()) {
                    Some(first) if first.content.leaf == content.leaf => {
                        count(&self.shared.counters.duplicates, 1);
                        first.accepted += 1;
                        first.waiting.extend(waiting);
                    }
                    _ => {
                        let waiting = waiting.into_iter().collect();
                        self.refuse_reused(Pending { chain, content, accepted: 1, waiting });
                    }
                },
            }
        }
    }

    async fn commit(&mut self, fence: Fence) -> Result<(), Error> {
        let mut failures = 0;
        let mut is_unsure = false;
        while !self.pending.is_empty() {
            if let Err(error) = self.read_heads().await {
                self.back_off(&error, &mut failures).await;
                continue;
            }
            let contents = self.pending.iter().map(|pending| (pending.chain, &pending.content));
            let batch = self.sealer.seal(fence, self.shared.clock.now(), contents);
            // The store first, so that it works while those who waited for the commit before are told.
            let append = self.shared.store.append(SYSTEM, &batch);
            let (outcome, ()) = join(append, std::mem::take(&mut self.committed).tell()).await;
            match outcome {
                Ok(AppendOutcome::Committed) => {
                    self.sealer.advance(&batch);
                    for gathering in [&self.shared.moved, &self.shared.unprojected] {
                        gathering.add(batch.moves().iter().map(|step| step.chain));
                    }
                    let receipt =
                        |row: &Row| Receipt { chain: row.chain, seq: row.seq, leaf: row.content.leaf };
                    let pending = std::mem::take(&mut self.pending).into_iter();
                    let committed: Vec<_> = pending.zip(batch.rows().iter().map(receipt)).collect();
                    let entries = u64::try_from(committed.len()).unwrap_or(u64::MAX);
                    count(&self.shared.counters.committed, entries);
                    self.committed = Committed(committed.into_iter());
                }
                Ok(AppendOutcome::HeadsMoved(heads)) => {
                    for (chain, head) in heads {
                        self.set_head(chain, head);
                    }
                }
                Ok(AppendOutcome::Known(known)) => self.settle_known(&known, is_unsure),
                Ok(AppendOutcome::Fenced) => {
                    self.fenced();
                    return Err(Error::Fenced);
                }
                Err(error) => {
                    is_unsure = true;
                    self.sealer.doubt(&batch);
                    self.back_off(&error, &mut failures).await;
                }
            }
        }
        Ok(())
    }

    /// Reads the heads of those chains of the batch whose heads are not known.
    async fn read_heads(&mut self) -> Result<(), StoreError> {
        let mut chains: Vec<ChainId> = self.pending.iter().map(|pending| pending.chain).collect();
        chains.retain(|chain| !self.sealer.knows(chain));
        if chains.is_empty() {
            return Ok(());
        }
        self.committed = Committed::default();
        chains.sort_unstable();
        chains.dedup();
        let heads = self.shared.store.heads(SYSTEM, &chains).await?;
        for (chain, head) in chains.into_iter().zip(heads) {
            self.set_head(chain, head);
        }
        // The loss of entries is recorded in a chain that may have to be read as well.
        if self.pending.iter().all(|pending| self.sealer.knows(&pending.chain)) {
            return Ok(());
        }
        Box::pin(self.read_heads()).await
    }

    fn set_head(&mut self, chain: ChainId, head: Head) {
        if let Some(before) = self.sealer.set_head(chain, head) {
            let event = self
                .own_event(chain.scope, "audit.entries_lost", Severity::Critical)
                .with_detail("class", chain.class.as_str())
                .with_detail("committed_link", before.link.to_string())
                .with_detail("committed_seq", before.seq)
                .with_detail("stored_link", head.link.to_string())
                .with_detail("stored_seq", head.seq);
            self.record(event, 0, Vec::new());
        }
    }

    /// Answers for what the store knows. After a commit of unknown end, what it knows with the same content was written then.
    fn settle_known(&mut self, known: &[KnownRow], is_unsure: bool) {
        let mut known = known.iter().peekable();
        for (index, pending) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            match known.next_if(|known| known.index == index) {
                None => self.pending.push(pending),
                Some(first) if first.leaf == pending.content.leaf => {
                    let counters = &self.shared.counters;
                    count(if is_unsure { &counters.committed } else { &counters.duplicates }, 1);
                    pending.answer(Receipt { chain: first.chain, seq: first.seq, leaf: first.leaf });
                }
                Some(_) => self.refuse_reused(pending),
            }
        }
    }

    /// Records that an event's id was used before for something else. Those who wait for the event are told once that is durable.
    fn refuse_reused(&mut self, refused: Pending) {
        count(&self.shared.counters.conflicts, 1);
        let event = parse(&refused.content.canonical).ok();
        self.shared.leave(event.and_then(|event| Some((event.scope, event.producer?))));
        let Pending { chain, content, accepted, waiting } = refused;
        let mut event = self
            .own_event(chain.scope, "audit.id_reused", Severity::High)
            .with_detail("leaf", content.leaf.to_string());
        event.correlation.parent = Some(content.id);
        event.correlation.request = content.projection.request;
        if content.canonical.len() <= MAX_QUOTED {
            event = event.with_detail("event", String::from_utf8_lossy(&content.canonical).into_owned());
        }
        let waiting = waiting.into_iter().map(|(reply, _)| (reply, Answer::IdReused(content.id))).collect();
        self.record(event, accepted, waiting);
    }

    fn own_event(&self, scope: Scope, action: &'static str, severity: Severity) -> Event {
        let now = self.shared.clock.now();
        let actor = Actor::System("audit".into());
        let mut event =
            Event::new(self.shared.ids.event_id(now), now, scope, actor, action, Category::Security);
        event.severity = severity;
        event.outcome = Outcome::Failure;
        event.producer = self.shared.numbers.get().and_then(|numbers| numbers.take(scope));
        event
    }

    fn record(&mut self, event: Event, accepted: u64, waiting: Vec<(Reply, Answer)>) {
        let (chain, content, _) = content_of(event, &mut Vec::new());
        self.pending.push(Pending { chain, content: Arc::new(content), accepted, waiting });
    }

    /// Tells everyone who waits, in the batch and in the queue, that a newer writer has taken over.
    fn fenced(&mut self) {
        let mut lost = 0;
        for pending in std::mem::take(&mut self.pending) {
            lost += pending.accepted;
            pending.fail();
        }
        for item in self.shared.drain(&self.queue) {
            lost += 1;
            if let Some(reply) = item.reply {
                drop(reply.send(Err(Error::Fenced)));
            }
        }
        count(&self.shared.counters.lost, lost);
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

/// Of so many, about half is committed while the others come back.
fn half(all: usize) -> usize {
    all.div_ceil(2).max(WORTHWHILE)
}

impl Committed {
    /// How many of them somebody waits for.
    fn awaited(&self) -> usize {
        self.0.as_slice().iter().filter(|(pending, _)| !pending.waiting.is_empty()).count()
    }

    /// Tells those who wait, a few at a time.
    async fn tell(mut self) {
        while self.0.len() > 0 {
            self.0.by_ref().take(AT_ONCE).for_each(|(pending, receipt)| pending.answer(receipt));
            yield_once().await;
        }
    }
}

impl Drop for Committed {
    fn drop(&mut self) {
        self.0.by_ref().for_each(|(pending, receipt)| pending.answer(receipt));
    }
}

impl Pending {
    fn answer(self, receipt: Receipt) {
        for (reply, answer) in self.waiting {
            // Whoever no longer waits need not be told.
            drop(reply.send(match answer {
                Answer::Receipt => Ok(receipt),
                Answer::IdReused(id) => Err(Error::IdReused { id }),
            }));
        }
    }

    fn fail(self) {
        for (reply, _) in self.waiting {
            drop(reply.send(Err(Error::Fenced)));
        }
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        let waiting = self.shared.drain(&self.queue).len();
        let pending: u64 = self.pending.iter().map(|pending| pending.accepted).sum();
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
