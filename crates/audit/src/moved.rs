use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ChainId;

/// Which chains a sequencer has added to since somebody last asked.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// `None` until somebody asks, so that nothing gathers where nobody does.
    chains: Mutex<Option<BTreeSet<ChainId>>>,
    has_ended: AtomicBool,
    ended: Notify,
}

impl Moved {
    pub(crate) fn watch(&self) {
        self.lock().get_or_insert_default();
    }

    pub(crate) fn add(&self, chains: impl Iterator<Item = ChainId>) {
        if let Some(known) = &mut *self.lock() {
            known.extend(chains);
        }
    }

    pub(crate) fn take(&self) -> BTreeSet<ChainId> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
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

    fn lock(&self) -> MutexGuard<'_, Option<BTreeSet<ChainId>>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
