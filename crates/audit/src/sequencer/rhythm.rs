//! How many events a commit takes, and when.

use super::Sequencer;
use super::pending::Committed;
use crate::engine::Item;

/// So many events are worth a commit of their own: what a commit costs beside its events counts for less than the wait for more.
const WORTHWHILE: usize = 96;
/// So many who wait are a crowd, of which most come back at once. Of fewer the next event may be anybody's, also one that gets along
/// with its end in one record if it is lingered for.
const CROWD: usize = 16;

impl Sequencer {
    /// Takes the next events when nothing is on its way. `None` once the ledger is closed and nothing is left.
    ///
    /// What has gathered during the last commit is taken at once, if it is worth that: then the store is kept busy, and those who wait
    /// for the last commit are told during the next one. Otherwise they are told first, and waited for.
    pub(super) async fn gather(&mut self) -> Option<Vec<Item>> {
        let (waiting, awaited) = (self.queue.len(), self.committed.awaited());
        self.crowd = waiting + awaited;
        let items = if awaited > 0 && waiting >= WORTHWHILE {
            self.queue.take(half(self.crowd))
        } else {
            let (enough, most) = self.expected(awaited);
            self.committed = Committed::default();
            let shared = &self.shared;
            self.queue.next_batch_of(enough, most, &*shared.clock, &*shared.timer).await?
        };
        Some(self.shared.protected(items).await)
    }

    /// Returns how many events are worth waiting for, and how many to take. Whoever waits for a commit before they append again has
    /// to be told first, and comes back soon: to linger for more than come back is in vain.
    fn expected(&self, awaited: usize) -> (usize, usize) {
        let batch = self.shared.config.batch.max(1);
        if awaited < CROWD {
            (batch, batch)
        } else if self.crowd < 2 * WORTHWHILE {
            (self.crowd, batch)
        } else {
            (half(self.crowd), half(self.crowd))
        }
    }

    /// Returns how many events have to wait before a batch is made of them while another one is on its way, and how many to take. Half of
    /// a crowd is committed while the other half comes back. Where nobody comes back, a full batch is waited for.
    pub(super) fn expected_ahead(&self) -> (usize, usize) {
        let batch = self.shared.config.batch.max(1);
        let half = half(self.crowd);
        let outside = self.crowd.saturating_sub(self.pending.len());
        if outside.min(half) < WORTHWHILE { (batch, batch) } else { (outside.min(half).min(batch), half) }
    }
}

/// Of so many, about half is committed while the others come back.
fn half(all: usize) -> usize {
    all.div_ceil(2).max(WORTHWHILE)
}
