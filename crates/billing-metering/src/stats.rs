use std::sync::atomic::{AtomicU64, Ordering};

use crate::Outcome;

/// What an [`Engine`](crate::Engine) has counted since it was made. The numbers are read one by one, so they may be some events apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events taken into the queue, places included once they are filled.
    pub submitted: u64,
    /// Events and places refused because the queue or the tenant's share was full, or the engine closed.
    pub refused: u64,
    /// Events that wait in the queue now.
    pub waiting: u64,
    /// Events counted.
    pub accepted: u64,
    /// Events that had been counted before.
    pub duplicates: u64,
    /// Events whose source and id another event has. Somebody should look into these.
    pub conflicts: u64,
    /// Events that cannot be counted. Somebody should look into these.
    pub rejected: u64,
    /// Appends that failed; submitted events are appended again.
    pub failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    submitted: AtomicU64,
    refused: AtomicU64,
    accepted: AtomicU64,
    duplicates: AtomicU64,
    conflicts: AtomicU64,
    rejected: AtomicU64,
    failures: AtomicU64,
}

impl Counters {
    pub(crate) fn submitted(&self) {
        self.submitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a batch with one addition per kind.
    pub(crate) fn came_out(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        let mut batch = Stats::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Accepted { .. } => batch.accepted += 1,
                Outcome::Duplicate => batch.duplicates += 1,
                Outcome::Conflict => batch.conflicts += 1,
                Outcome::Rejected { .. } => batch.rejected += 1,
            }
        }
        self.accepted.fetch_add(batch.accepted, Ordering::Relaxed);
        self.duplicates.fetch_add(batch.duplicates, Ordering::Relaxed);
        self.conflicts.fetch_add(batch.conflicts, Ordering::Relaxed);
        self.rejected.fetch_add(batch.rejected, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, waiting: usize) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            submitted: read(&self.submitted),
            refused: read(&self.refused),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
            accepted: read(&self.accepted),
            duplicates: read(&self.duplicates),
            conflicts: read(&self.conflicts),
            rejected: read(&self.rejected),
            failures: read(&self.failures),
        }
    }
}
