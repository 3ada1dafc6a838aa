//! Replaces the signing key of a ledger that runs.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use sha2::{Digest as _, Sha256};
use stanchion_core::{Event, EventId, KeyVersion, Scope, StoreError, SystemScope, Timestamp};

use super::{Evolution, EvolvedKey};
use crate::evolve::MOST;
use crate::lifecycle::own_at;
use crate::rotation;
use crate::{Digest, Draft, Prover};

const SYSTEM: SystemScope =
    SystemScope::new("see whether anything that a signing key has signed waits for a checkpoint");
/// How soon it is looked again when a key cannot be destroyed yet, or the file cannot be written.
const AGAIN: Duration = Duration::from_secs(10);
/// Where the oldest key that is left is kept over restarts.
type Keep = Box<dyn Fn(&EvolvedKey) -> io::Result<()> + Send + Sync>;

/// Hears of what goes wrong.
type Complain = Box<dyn Fn(EvolveTrouble<'_>) + Send + Sync>;

/// What goes wrong while keys evolve. Each is tried again.
#[derive(Debug)]
#[non_exhaustive]
pub enum EvolveTrouble<'a> {
    /// The oldest key cannot be kept; the one before stays where it is.
    NotKept(&'a io::Error),
    /// The store cannot tell what waits for a checkpoint, so older keys stay.
    NotRead(&'a StoreError),
    /// A key was destroyed though entries that it signed wait for a checkpoint: those can be verified with the root alone.
    Uncovered,
}

/// Replaces the signing key of a ledger at the beginning of each epoch, records that, and destroys the one before once nothing that it signed
/// waits for a checkpoint.
#[must_use = "keys evolve only while this runs"]
pub struct Evolver {
    prover: Prover,
    evolution: Evolution,
    keep: Keep,
    complain: Option<Complain>,
    /// Steps that are not known to be recorded.
    unrecorded: Vec<Event>,
    /// When keys before the current one may be destroyed.
    due: Option<Timestamp>,
    /// What is kept where restarts find it.
    kept: Option<KeyVersion>,
}

impl Prover {
    /// Has the signing key of the ledger evolve: from now on the keys of `evolution` are used, and no others. `keep` is given the oldest
    /// key that is left whenever it is another; it has to last, and what was kept before has to be destroyed. It is called in the future
    /// that is returned, so it must be quick.
    pub fn evolve(
        &self,
        evolution: Evolution,
        keep: impl Fn(&EvolvedKey) -> io::Result<()> + Send + Sync + 'static,
    ) -> Evolver {
        let shared = self.ledger.shared();
        shared.signer.exchange(evolution.keys());
        let due = (evolution.held.len() > 2).then(|| {
            let beginning = evolution.epochs.beginning(evolution.root, evolution.current);
            // What an ended run has left may take as long to be covered as what others sign.
            beginning.max(shared.clock.now()).plus(evolution.epochs.grace)
        });
        Evolver {
            prover: self.clone(),
            evolution,
            keep: Box::new(keep),
            complain: None,
            unrecorded: Vec::new(),
            due,
            kept: None,
        }
    }
}

impl Evolver {
    /// Lets `complain` hear of what goes wrong. It must be quick and must not block.
    pub fn on_trouble(mut self, complain: impl Fn(EvolveTrouble<'_>) + Send + Sync + 'static) -> Self {
        self.complain = Some(Box::new(complain));
        self
    }

    /// Evolves the key for as long as it runs. Dropped, the key stays what it is; the next run goes on from what was kept.
    pub async fn run(mut self) {
        self.keep_oldest();
        // A key is kept until the step after it is recorded, so no others can be missing; what is recorded is not recorded twice.
        let held: Vec<KeyVersion> =
            self.evolution.held.range(..=self.evolution.current).map(|(epoch, _)| *epoch).collect();
        self.unrecorded = held.into_iter().filter_map(|epoch| self.step(epoch)).collect();
        loop {
            let shared = Arc::clone(self.prover.ledger.shared());
            let now = shared.clock.now();
            self.advance(now);
            let next = self
                .evolution
                .epochs
                .beginning(self.evolution.root, self.evolution.current.saturating_add(1));
            self.record(next).await;
            let now = shared.clock.now();
            if self.due.is_some_and(|due| due <= now) {
                self.destroy(now).await;
            }
            let is_kept = self.keep_oldest();
            let again = (!is_kept).then(|| now.plus(AGAIN));
            let wake = [Some(next), self.due, again].into_iter().flatten().min().unwrap_or(next);
            shared.timer.sleep_until(wake.max(now.plus(Duration::from_millis(1)))).await;
        }
    }

    /// Takes the epoch of now into use.
    fn advance(&mut self, now: Timestamp) {
        let epoch = self.evolution.epochs.at(self.evolution.root, now);
        let before = self.evolution.current;
        if epoch <= before || epoch - self.evolution.root >= MOST {
            return;
        }
        // Keys that were left because something waited are destroyed at the latest now: a chain that never gets a checkpoint must not keep them.
        if self.due.take().is_some() {
            self.evolution.forget();
            self.tell(EvolveTrouble::Uncovered);
        }
        self.evolution.reach(epoch);
        self.prover.ledger.shared().signer.exchange(self.evolution.keys());
        let steps: Vec<Event> = (before + 1..=epoch).filter_map(|epoch| self.step(epoch)).collect();
        self.unrecorded.extend(steps);
        self.due = Some(
            self.evolution.epochs.beginning(self.evolution.root, epoch).plus(self.evolution.epochs.grace),
        );
    }

    /// Makes the event of a step. It is the same bytes whichever replica makes it, so that it is recorded once.
    fn step(&self, to: KeyVersion) -> Option<Event> {
        let from = to.checked_sub(1).filter(|from| *from >= self.evolution.root)?;
        let shared = self.prover.ledger.shared();
        let (commitment, vouched) = (shared.signer.commitment(to)?, shared.signer.vouch(from, to)?);
        let at = self.evolution.epochs.beginning(self.evolution.root, to);
        let event = own_at(id(at, &commitment), at, rotation::ACTION)
            .with_detail("key", "signing")
            .with_detail("evolved", true)
            .with_detail("from", i64::from(from))
            .with_detail("to", i64::from(to))
            .with_detail("commitment", commitment.to_string())
            .with_detail("vouched", vouched.to_string());
        Some(rotation::noticed(event))
    }

    /// Records the steps that are not recorded yet, until then.
    async fn record(&mut self, until: Timestamp) {
        while let Some(event) = self.unrecorded.first().cloned() {
            let shared = self.prover.ledger.shared();
            let append = Box::pin(self.prover.ledger.append(Scope::Platform, Draft::Event(event)));
            match select(append, shared.timer.sleep_until(until)).await {
                // What cannot be recorded now will not be later: the ledger is closed, or somebody used the event's id.
                Either::Left(_) => drop(self.unrecorded.remove(0)),
                Either::Right(_) => return,
            }
        }
    }

    /// Destroys the keys before the current one, if nothing that they signed waits for a checkpoint.
    async fn destroy(&mut self, now: Timestamp) {
        self.prover.ledger.settle().await;
        match self.is_covered().await {
            Ok(true) if self.unrecorded.is_empty() => {
                self.evolution.forget();
                self.prover.ledger.shared().signer.exchange(self.evolution.keys());
                self.due = None;
            }
            Ok(_) => self.due = Some(now.plus(AGAIN)),
            Err(error) => {
                self.tell(EvolveTrouble::NotRead(&error));
                self.due = Some(now.plus(AGAIN));
            }
        }
    }

    /// Tells whether checkpoints cover everything that keys before the current one have signed.
    async fn is_covered(&self) -> Result<bool, StoreError> {
        const CHAINS: usize = 1_000;
        let (store, trees) = (&self.prover.ledger.shared().store, &self.prover.trees);
        let mut after = None;
        loop {
            let chains = trees.uncovered(SYSTEM, after, CHAINS).await?;
            for (chain, covered) in chains.iter().zip(trees.latest(SYSTEM, &chains).await?) {
                let next = covered.map_or(0, |checkpoint| checkpoint.size).saturating_add(1);
                let waiting = store.seals(*chain, next, 1).await?;
                if waiting.first().is_some_and(|seal| seal.key_epoch < self.evolution.current) {
                    return Ok(false);
                }
            }
            if chains.len() < CHAINS {
                return Ok(true);
            }
            after = chains.last().copied();
        }
    }

    /// Has the oldest key kept, unless it is.
    fn keep_oldest(&mut self) -> bool {
        let Some(oldest) = self.evolution.oldest().filter(|oldest| self.kept != Some(oldest.epoch)) else {
            return true;
        };
        match (self.keep)(&oldest) {
            Ok(()) => self.kept = Some(oldest.epoch),
            Err(error) => {
                self.tell(EvolveTrouble::NotKept(&error));
                return false;
            }
        }
        true
    }

    fn tell(&self, trouble: EvolveTrouble<'_>) {
        if let Some(complain) = &self.complain {
            complain(trouble);
        }
    }
}

/// The id of a step: a UUID of version 7, of its time and of what names the new key.
fn id(at: Timestamp, commitment: &Digest) -> EventId {
    let hash = Sha256::digest([b"stanchion-evolved-v1".as_slice(), commitment.bytes()].concat());
    let milliseconds = u64::try_from(at.micros() / 1_000).unwrap_or_default().to_be_bytes();
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(milliseconds.iter().skip(2).chain(hash.iter()))
        .for_each(|(byte, part)| *byte = *part);
    EventId::from_uuid(
        uuid::Builder::from_custom_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid(),
    )
}

impl fmt::Debug for Evolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evolver")
            .field("evolution", &self.evolution)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}
