use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::ChainId;

/// What somebody wants of a checkpointer, outside its rounds.
#[derive(Debug)]
pub(crate) enum Asked {
    /// An entry is to be covered at once.
    Cover { chain: ChainId, seq: u64, done: oneshot::Sender<()> },
    /// All that was committed is to be covered, and that to be told in the platform's ledger.
    Settle(oneshot::Sender<()>),
}

/// Which chains a sequencer has added to since somebody last asked, and what is asked of the checkpointer that looks after them.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// `None` until somebody asks, so that nothing gathers where nobody does.
    chains: Mutex<Option<BTreeSet<ChainId>>>,
    has_ended: AtomicBool,
    ended: Notify,
    /// `None` while there is no checkpointer.
    asked: Mutex<Option<Vec<Asked>>>,
    has_asked: Notify,
}

impl Moved {
    pub(crate) fn watch(&self) {
        self.lock().get_or_insert_default();
        self.lock_asked().get_or_insert_default();
    }

    pub(crate) fn add(&self, chains: impl Iterator<Item = ChainId>) {
        if let Some(known) = &mut *self.lock() {
            known.extend(chains);
        }
    }

    pub(crate) fn take(&self) -> BTreeSet<ChainId> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Asks the checkpointer. What nobody is there to do is dropped, so that whoever waits for it learns so.
    pub(crate) fn ask(&self, asked: Asked) {
        if let Some(all) = &mut *self.lock_asked() {
            all.push(asked);
            self.has_asked.notify_one();
        }
    }

    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        self.lock_asked().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Tells that the checkpointer has ended.
    pub(crate) fn unwatch(&self) {
        *self.lock_asked() = None;
    }

    /// Completes once something was asked.
    pub(crate) async fn asked(&self) {
        self.has_asked.notified().await;
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

    fn lock_asked(&self) -> MutexGuard<'_, Option<Vec<Asked>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
