use std::sync::Arc;

use stanchion_core::EventId;

use crate::engine::{Reply, yield_once};
use crate::{ChainId, Content, Error, Receipt};

/// So many are answered before the store is looked after again.
const AT_ONCE: usize = 64;

/// An event that is being committed.
pub(super) struct Pending {
    pub(super) chain: ChainId,
    pub(super) content: Arc<Content>,
    /// How many accepted events it stands for.
    pub(super) accepted: u64,
    pub(super) waiting: Vec<(Reply, Answer)>,
}

/// What somebody who waits is told once the event is committed.
pub(super) enum Answer {
    Receipt,
    IdReused(EventId),
}

/// What is durable, for those who wait to be told. They are told when it is dropped, at the latest.
#[derive(Default)]
pub(super) struct Committed(std::vec::IntoIter<(Pending, Receipt)>);

impl Committed {
    pub(super) fn new(committed: Vec<(Pending, Receipt)>) -> Self {
        Self(committed.into_iter())
    }

    /// How many of them somebody waits for.
    pub(super) fn awaited(&self) -> usize {
        self.0.as_slice().iter().filter(|(pending, _)| !pending.waiting.is_empty()).count()
    }

    /// Tells those who wait, a few at a time.
    pub(super) async fn tell(mut self) {
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
    pub(super) fn answer(self, receipt: Receipt) {
        for (reply, answer) in self.waiting {
            // Whoever no longer waits need not be told.
            drop(reply.send(match answer {
                Answer::Receipt => Ok(receipt),
                Answer::IdReused(id) => Err(Error::IdReused { id }),
            }));
        }
    }

    pub(super) fn fail(self) {
        for (reply, _) in self.waiting {
            drop(reply.send(Err(Error::Fenced)));
        }
    }
}
