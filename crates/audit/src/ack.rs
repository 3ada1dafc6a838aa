//! How much has to be certain before somebody is told that an event was recorded.

use std::pin::pin;

use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::moved::Asked;
use crate::{Draft, Error, InclusionProof, Prover, Receipt, Reserved};

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// That the event is queued. It is lost if the process ends before it is committed.
    Accepted,
    /// That the event is committed: it survives the process.
    #[default]
    Durable,
    /// That a checkpoint covers the event: whoever keeps the proof can show it to others, without the ledger.
    Checkpointed,
}

/// What is certain, with what shows it.
#[derive(Clone, Debug)]
pub enum Acknowledged {
    /// The event is queued.
    Accepted,
    /// The event is committed.
    Durable(Receipt),
    /// A checkpoint covers the event.
    Checkpointed(Receipt, Box<InclusionProof>),
}

impl Acknowledged {
    /// Returns where the event stands, if that is known.
    #[must_use]
    pub const fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Accepted => None,
            Self::Durable(receipt) | Self::Checkpointed(receipt, _) => Some(receipt),
        }
    }
}

impl Prover {
    /// Records an event in a place that was kept for it, and waits until so much is certain. Whoever asks for a checkpoint does not
    /// wait for the next round: one is made, for all who ask meanwhile.
    ///
    /// # Errors
    /// As [`Reserved::append`]; [`Error::Uncovered`] when the event is committed and no checkpoint came in time, or none can come.
    pub async fn append(&self, place: Reserved, draft: Draft, ack: Ack) -> Result<Acknowledged, Error> {
        if ack == Ack::Accepted {
            place.submit(draft);
            return Ok(Acknowledged::Accepted);
        }
        let receipt = place.append(draft).await?;
        if ack == Ack::Durable {
            return Ok(Acknowledged::Durable(receipt));
        }
        let proof = self.covered_proof(&receipt).await?;
        Ok(Acknowledged::Checkpointed(receipt, Box::new(proof)))
    }

    async fn covered_proof(&self, receipt: &Receipt) -> Result<InclusionProof, Error> {
        let Receipt { chain, seq, .. } = *receipt;
        let shared = self.ledger.shared();
        let uncovered = || Error::Uncovered { chain, seq, patience: self.patience };
        let (done, covered) = oneshot::channel();
        shared.moved.ask(Asked::Cover { chain, seq, done });
        let patience = shared.timer.sleep_until(shared.clock.now().plus(self.patience));
        match select(pin!(covered), patience).await {
            Either::Left((Ok(()), _)) => {}
            _ => return Err(uncovered()),
        }
        let row = shared.store.read(chain, seq, 1).await?.pop().filter(|row| row.seq == seq);
        self.prove_row(&row.ok_or_else(uncovered)?).await
    }
}
