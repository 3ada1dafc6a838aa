//! What a decision sets going and does not wait for.

use std::sync::atomic::{AtomicU64, Ordering};

use stanchion_core::{Author, Scope, Timer};
use stanchion_replica::{Queue, QueueConfig};

use super::Engine;
use crate::key::KeyBytes;
use crate::{Quarantine, Receipt, Settle, Slot};

/// One thing to be done.
#[derive(Debug)]
pub(super) enum Errand {
    /// Correct what was charged.
    Settle(Receipt, Settle),
    /// Clear a counter.
    Reset(Slot, KeyBytes),
    /// Let the rule store and so all replicas know who is shut out.
    Quarantine(Scope, Quarantine),
}

/// The errands that wait, with a share for each tenant.
#[derive(Debug)]
pub(super) struct Errands {
    queue: Queue<Errand>,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Errands {
    pub(super) fn new(capacity: usize) -> Self {
        let config =
            QueueConfig { capacity, share: (capacity / 4).max(1), batch: 256, ..QueueConfig::default() };
        Self { queue: Queue::new(config), dropped: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    /// Sets one going. What finds no room is counted and left: leases end by themselves, and other replicas find out for themselves.
    pub(super) fn add(&self, scope: Scope, errand: Errand) {
        if self.queue.try_push(scope, errand).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Engine {
    /// Does what decisions have set going and not waited for, until [`close`](Engine::close). The owner runs it once beside the
    /// decisions.
    ///
    /// If it is not run, and counters or rules are not kept in memory: leases are given back when they time out, a success clears no
    /// counter, what a ladder refuses stays charged, and callers that were shut out are so on this replica alone.
    pub async fn run(&self, timer: &dyn Timer) {
        while let Some(errands) = self.errands.queue.next_batch(&*self.clock, timer).await {
            for errand in errands {
                if !self.run_errand(errand).await {
                    self.errands.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Lets [`run`](Engine::run) end when it has done what waits.
    pub fn close(&self) {
        self.errands.queue.close();
    }

    async fn run_errand(&self, errand: Errand) -> bool {
        match errand {
            Errand::Settle(receipt, settle) => self.settle(&receipt, settle).await.is_ok(),
            Errand::Reset(slot, key) => self.counters.reset(slot, &key).await.is_ok(),
            Errand::Quarantine(scope, quarantine) => {
                let author = Author::system("ratelimit");
                let caller = quarantine.identifiers.clone();
                let is_kept = self.put_quarantine(&author, scope, quarantine).await.is_ok();
                if is_kept {
                    // From now on the rules in memory say it, and an administrator can lift it.
                    self.shut.remove(scope, &caller);
                }
                is_kept
            }
        }
    }
}
