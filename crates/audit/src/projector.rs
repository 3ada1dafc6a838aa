use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{Either, select};
use stanchion_core::{StoreError, SystemScope, Timestamp};

use crate::engine::count;
use crate::sequencer::Observer;
use crate::{ChainId, Ledger};

const SYSTEM: SystemScope = SystemScope::new("bring what queries look at up to date");
/// How often what was committed is looked for.
const INTERVAL: Duration = Duration::from_millis(200);
/// How often all chains are looked through for what another process has left.
const SWEEP: Duration = Duration::from_secs(60);
/// How many chains are brought up to date at a time, and for about how many entries.
const CHAINS: usize = 64;
const ENTRIES: usize = 4_096;

/// Keeps what queries look at up to date, in a store that keeps it apart from the chains: after each commit of its [`Ledger`], and now
/// and then for chains that other processes left behind. Several may work on one store.
///
/// No query waits for it: what it has not come to is read from the chains.
#[must_use = "what queries look at is made only while the projector runs"]
pub struct Projector {
    ledger: Ledger,
    /// Chains that are to be looked at.
    due: BTreeSet<ChainId>,
    /// How many entries chains have that were not come to, as far as that is known.
    waiting: BTreeMap<ChainId, u64>,
    swept_at: Timestamp,
    observer: Option<Observer>,
}

impl Projector {
    pub(crate) fn new(ledger: Ledger) -> Self {
        ledger.shared().unprojected.watch();
        Self {
            ledger,
            due: BTreeSet::new(),
            waiting: BTreeMap::new(),
            swept_at: Timestamp::MIN,
            observer: None,
        }
    }

    /// Lets `observer` hear of every failure of the store. It must be quick and must not block.
    pub fn on_failure(mut self, observer: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Works until the ledger's sequencer has ended and what it committed was come to, or the store fails then. Dropped before that,
    /// the next process goes on.
    pub async fn run(mut self) {
        let shared = Arc::clone(self.ledger.shared());
        loop {
            let next = shared.timer.sleep_until(shared.clock.now().plus(INTERVAL));
            let is_last = matches!(select(std::pin::pin!(shared.moved.ended()), next).await, Either::Left(_));
            if let Err(error) = self.round(is_last).await
                && let Some(observer) = &self.observer
            {
                observer(&error);
            }
            if is_last {
                return;
            }
        }
    }

    async fn round(&mut self, is_last: bool) -> Result<(), StoreError> {
        let shared = Arc::clone(self.ledger.shared());
        self.due.extend(shared.unprojected.take());
        let now = shared.clock.now();
        if !is_last && (self.swept_at == Timestamp::MIN || now >= self.swept_at.plus(SWEEP)) {
            self.sweep().await?;
            self.swept_at = now;
        }
        let mut rest = std::mem::take(&mut self.due);
        while !rest.is_empty() {
            let chains: Vec<ChainId> = rest.iter().take(CHAINS).copied().collect();
            let projected = match shared.store.project(SYSTEM, &chains, ENTRIES).await {
                Ok(projected) => projected,
                Err(error) => {
                    self.due.extend(rest);
                    return Err(error);
                }
            };
            for chain in &chains {
                rest.remove(chain);
                self.waiting.remove(chain);
            }
            for (chain, entries) in projected.left {
                self.waiting.insert(chain, entries);
                // Where nothing was done somebody else is at it; it is asked for again later.
                let again = if projected.entries > 0 { &mut rest } else { &mut self.due };
                again.insert(chain);
            }
            count(&shared.counters.projected, projected.entries);
            shared.counters.unprojected.store(self.waiting.values().sum(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Finds the chains that nobody brought up to date.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        const AT_ONCE: usize = 1_000;
        let mut after = None;
        loop {
            let found = self.ledger.shared().store.unprojected(SYSTEM, after, AT_ONCE).await?;
            let is_all = found.len() < AT_ONCE;
            after = found.last().copied();
            self.due.extend(found);
            if is_all {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Projector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projector").field("due", &self.due.len()).finish_non_exhaustive()
    }
}
