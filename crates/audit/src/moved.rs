use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ChainId;

/// Which chains a sequencer has added to since each of those who watch last asked.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// One for each who watches, so that nothing gathers where nobody does.
    chains: Mutex<Vec<BTreeSet<ChainId>>>,
    has_ended: AtomicBool,
    ended: Notify,
}

/// Somebody who watches.
#[derive(Debug)]
pub(crate) struct Watch(usize);

impl Moved {
    /// Begins to gather for somebody more.
    pub(crate) fn watch(&self) -> Watch {
        let mut chains = self.lock();
        chains.push(BTreeSet::new());
        Watch(chains.len() - 1)
    }

    pub(crate) fn add(&self, chains: impl Iterator<Item = ChainId> + Clone) {
        for known in &mut *self.lock() {
            known.extend(chains.clone());
        }
    }

    pub(crate) fn take(&self, watch: &Watch) -> BTreeSet<ChainId> {
        self.lock().get_mut(watch.0).map(std::mem::take).unwrap_or_default()
    }

    /// Tells that nothing more will be added.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Completes once nothing more will be added.
    pub(crate) async fn ended(&self) {
        let notified = self.ended.notified();
        let mut notified = std::pin::pin!(notified);
        notified.as_mut().enable();
        if !self.has_ended.load(Ordering::SeqCst) {
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BTreeSet<ChainId>>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
