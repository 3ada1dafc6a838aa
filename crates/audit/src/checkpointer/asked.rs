//! What others ask of a checkpointer, between its rounds.

use std::pin::pin;

use futures_util::future::{Either, select};
use stanchion_core::Timestamp;
use tokio::sync::oneshot;

use super::{Checkpointer, Round};
use crate::ChainId;
use crate::engine::Shared;
use crate::moved::Asked;

/// What a checkpointer is woken for.
pub(super) enum Wake {
    Due,
    Asked,
    Ended,
}

/// Somebody who waits for an entry to be covered.
pub(super) struct Waiting {
    chain: ChainId,
    seq: u64,
    done: oneshot::Sender<()>,
}

/// Waits until something is asked, the next round is due, or the sequencer has ended.
pub(super) async fn wake(shared: &Shared, next: Timestamp) -> Wake {
    let asked = pin!(shared.moved.asked());
    let ended = pin!(shared.moved.ended());
    match select(ended, select(asked, shared.timer.sleep_until(next))).await {
        Either::Left(_) => Wake::Ended,
        Either::Right((Either::Left(_), _)) => Wake::Asked,
        Either::Right((Either::Right(_), _)) => Wake::Due,
    }
}

impl Checkpointer {
    /// Does what was asked since the last time. However many ask, each chain is covered once.
    pub(super) async fn answer(&mut self) {
        let mut settled = Vec::new();
        let mut chains = Vec::new();
        for asked in self.ledger.shared().moved.take_asked() {
            match asked {
                Asked::Settle(done) => settled.push(done),
                Asked::Cover { chain, seq, done } => {
                    chains.push(chain);
                    self.waiting.push(Waiting { chain, seq, done });
                }
            }
        }
        if settled.is_empty() {
            chains.sort_unstable();
            chains.dedup();
            for chain in chains {
                self.look_at(chain).await;
            }
        } else {
            self.due.extend(chains);
            self.round(Round::Settling).await;
        }
        for done in settled {
            // Whoever no longer waits need not be told.
            let _ = done.send(());
        }
    }

    /// Tells those whose entries are covered. Those of a chain that is broken learn that nothing will come.
    pub(super) fn tell(&mut self) {
        for Waiting { chain, seq, done } in std::mem::take(&mut self.waiting) {
            let covers =
                self.known.get(&chain).and_then(|known| known.checkpoint).map_or(0, |(size, _)| size);
            if covers >= seq {
                let _ = done.send(());
            } else if !done.is_closed() && !self.broken.contains(&chain) {
                self.due.insert(chain);
                self.waiting.push(Waiting { chain, seq, done });
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.ledger.shared().moved.unwatch();
    }
}
