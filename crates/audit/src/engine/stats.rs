use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::Ledger;
use crate::engine::Shared;

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

impl Ledger {
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
    fn lags(&self) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        self.lags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where another anchor's lag is told, in seconds.
    pub(crate) fn new_lag(&self) -> Arc<AtomicU64> {
        let lag = Arc::new(AtomicU64::new(0));
        self.lags().push(Arc::clone(&lag));
        lag
    }
}
