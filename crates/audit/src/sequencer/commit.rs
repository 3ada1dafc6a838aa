use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use stanchion_core::{StoreError, Timestamp};

use super::pending::{Committed, Pending};
use super::{SYSTEM, Sequencer};
use crate::engine::{Item, count};
use crate::{AppendBatch, AppendOutcome, ChainId, Error, Fence, Head, KnownRow, Receipt, Row};

/// A batch that was sealed longer ago is sealed anew before it is sent: its entries would bear too early a time, and a key that may have
/// been exchanged.
const FRESH: Duration = Duration::from_secs(1);

/// The batch behind the one that is on its way.
#[derive(Default)]
pub(super) struct Ahead {
    pending: Vec<Pending>,
    /// It sealed, unless a head was not known. It holds only if the batch before it is committed as it is.
    sealed: Option<(Timestamp, AppendBatch)>,
}

impl Ahead {
    /// Takes its events. What is sealed of them stays, for when they are committed.
    pub(super) fn take(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.pending)
    }

    pub(super) fn pending(&self) -> &[Pending] {
        &self.pending
    }
}

impl Sequencer {
    /// Commits what is pending, however often it takes.
    pub(super) async fn commit(&mut self, fence: Fence) -> Result<(), Error> {
        let mut failures = 0;
        let mut is_unsure = false;
        while !self.pending.is_empty() {
            if let Err(error) = self.read_heads().await {
                self.back_off(&error, &mut failures).await;
                continue;
            }
            let batch = self.sealed(fence);
            let outcome = self.write(&batch, fence).await;
            if !matches!(outcome, Ok(AppendOutcome::Committed)) {
                // What was sealed onto this batch has nothing to stand on.
                self.ahead.sealed = None;
                self.sealer.retreat(&batch);
            }
            match outcome {
                Ok(AppendOutcome::Committed) => self.committed(&batch),
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

    /// Returns the pending events sealed: ahead of time, or now.
    fn sealed(&mut self, fence: Fence) -> AppendBatch {
        let now = self.shared.clock.now();
        let is_usable = |(at, batch): &(Timestamp, AppendBatch)| {
            now.since(*at) <= FRESH && batch.rows().len() == self.pending.len()
        };
        if let Some((_, batch)) = self.ahead.sealed.take().filter(is_usable) {
            return batch;
        }
        let contents = self.pending.iter().map(|pending| (pending.chain, &pending.content));
        self.sealer.seal(fence, now, contents)
    }

    /// Writes a batch. While it is on its way, those who waited for the one before are told, and the next one is made if enough come.
    async fn write(&mut self, batch: &AppendBatch, fence: Fence) -> Result<AppendOutcome, StoreError> {
        // From here on heads are those that the batch leads to.
        self.sealer.advance(batch);
        let (shared, queue) = (Arc::clone(&self.shared), Arc::clone(&self.queue));
        let (enough, most) = self.expected_ahead();
        let told = std::mem::take(&mut self.committed).tell();
        let is_full = !self.ahead.pending.is_empty();
        let is_taken = AtomicBool::new(false);
        let next = async {
            told.await;
            if is_full {
                return Vec::new();
            }
            queue.gathered(enough).await;
            is_taken.store(true, Ordering::Relaxed);
            shared.protected(queue.take(most)).await
        };
        // The store first, so that it works meanwhile.
        let (outcome, items) = match select(shared.store.append(SYSTEM, batch), pin!(next)).await {
            // What was taken out of the queue is not let go again.
            Either::Left((outcome, next)) if is_taken.load(Ordering::Relaxed) => (outcome, next.await),
            Either::Left((outcome, _)) => return outcome,
            Either::Right((items, append)) => {
                if !items.is_empty() {
                    self.make_ahead(items, fence);
                }
                return append.await;
            }
        };
        self.make_ahead(items, fence);
        outcome
    }

    /// Makes the events of the next batch, and seals them onto where the one on its way takes the chains.
    fn make_ahead(&mut self, items: Vec<Item>, fence: Fence) {
        let mut pending = self.declared();
        self.make(items, &mut pending);
        self.ahead.pending = pending;
        if self.ahead.pending.iter().all(|pending| self.sealer.knows(&pending.chain)) {
            let now = self.shared.clock.now();
            let contents = self.ahead.pending.iter().map(|pending| (pending.chain, &pending.content));
            self.ahead.sealed = Some((now, self.sealer.seal(fence, now, contents)));
        }
    }

    fn committed(&mut self, batch: &AppendBatch) {
        for gathering in [&self.shared.moved, &self.shared.unprojected] {
            gathering.add(batch.moves().iter().map(|step| step.chain));
        }
        let receipt = |row: &Row| Receipt { chain: row.chain, seq: row.seq, leaf: row.content.leaf };
        let pending = std::mem::take(&mut self.pending).into_iter();
        let committed: Vec<_> = pending.zip(batch.rows().iter().map(receipt)).collect();
        count(&self.shared.counters.committed, u64::try_from(committed.len()).unwrap_or(u64::MAX));
        self.committed = Committed::new(committed);
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
            let lost = self.entries_lost(chain, before, head);
            self.pending.push(lost);
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
                Some(_) => {
                    let record = self.refuse_reused(pending);
                    self.pending.push(record);
                }
            }
        }
    }

    /// Tells everyone who waits, in both batches and in the queue, that a newer writer has taken over.
    fn fenced(&mut self) {
        let mut lost = 0;
        // Closed before anyone is told, so that whoever was and asks again is not taken in.
        let waiting = self.shared.drain(&self.queue);
        for pending in std::mem::take(&mut self.pending).into_iter().chain(self.ahead.take()) {
            lost += pending.accepted;
            pending.fail();
        }
        for item in waiting {
            lost += 1;
            if let Some(reply) = item.reply {
                drop(reply.send(Err(Error::Fenced)));
            }
        }
        count(&self.shared.counters.lost, lost);
    }
}
