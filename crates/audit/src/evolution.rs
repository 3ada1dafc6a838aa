//! Signing keys that a running process replaces by those that follow from them, and forgets.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use sha2::{Digest as _, Sha256};
use stanchion_core::{
    Event, EventId, KeyRing, KeyVersion, Scope, Secret, StoreError, SystemScope, Timestamp,
};
use zeroize::Zeroizing;

use crate::evolve::{MOST, evolved};
use crate::hash::SigningKeys;
use crate::lifecycle::own_at;
use crate::rotation;
use crate::{Digest, Draft, Prover};

const SYSTEM: SystemScope =
    SystemScope::new("see whether anything that a signing key has signed waits for a checkpoint");
/// How soon it is looked again when a key cannot be destroyed yet, or the file cannot be written.
const AGAIN: Duration = Duration::from_secs(10);

/// When the signing key evolves. It follows from the time alone, so replicas need not agree on anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// When the first epoch began: that of the root, the key that all others follow from.
    pub since: Timestamp,
    /// How long an epoch is.
    pub every: Duration,
    /// For how long after its end the key of an epoch is kept, so that what it signed last can be covered; shorter than an epoch.
    pub grace: Duration,
}

impl Epochs {
    /// Returns the epoch of a moment. The root's number is that of the first.
    #[must_use]
    pub fn at(&self, root: KeyVersion, now: Timestamp) -> KeyVersion {
        let passed = now.since(self.since).as_micros() / self.every.as_micros().max(1);
        root.saturating_add(KeyVersion::try_from(passed).unwrap_or(KeyVersion::MAX))
    }

    /// Returns when an epoch begins.
    #[must_use]
    pub fn beginning(&self, root: KeyVersion, epoch: KeyVersion) -> Timestamp {
        self.since.plus(self.every.saturating_mul(epoch.saturating_sub(root)))
    }
}

/// The key of an epoch, from which those of all later ones follow and none before it. Its text is what a process keeps of it: two
/// numbers and the key in hexadecimal digits.
#[derive(Clone)]
pub struct EvolvedKey {
    root: KeyVersion,
    epoch: KeyVersion,
    key: Secret,
}

/// The text is none of an [`EvolvedKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no evolved key: expected stanchion-evolved-key-v1, two numbers and 64 or more hexadecimal digits"
)]
pub struct InvalidEvolvedKey;

const FORM: &str = "stanchion-evolved-key-v1";

impl EvolvedKey {
    /// Begins with a root: the key of the first epoch, whose number is its version.
    #[must_use]
    pub const fn root(version: KeyVersion, key: Secret) -> Self {
        Self { root: version, epoch: version, key }
    }

    /// Returns the version of the root that it follows from.
    #[must_use]
    pub const fn root_version(&self) -> KeyVersion {
        self.root
    }

    /// Returns its epoch.
    #[must_use]
    pub const fn epoch(&self) -> KeyVersion {
        self.epoch
    }

    /// Tells whether it follows from a key that is said to be its root.
    #[must_use]
    pub fn follows_from(&self, root: &Secret) -> bool {
        let mut key = root.clone();
        (self.root..self.epoch).for_each(|_| key = evolved(&key));
        key.expose() == self.key.expose()
    }

    /// Writes it down. The text is as secret as the key.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(128 + 2 * self.key.expose().len()));
        text.push_str(&format!("{FORM} {} {} ", self.root, self.epoch));
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
        self.key.expose().iter().for_each(|byte| text.extend([digit(byte >> 4), digit(byte & 15)]));
        text.push('\n');
        text
    }
}

impl FromStr for EvolvedKey {
    type Err = InvalidEvolvedKey;

    fn from_str(text: &str) -> Result<Self, InvalidEvolvedKey> {
        let mut parts = text.trim_end_matches('\n').split(' ');
        let mut next = || parts.next().ok_or(InvalidEvolvedKey);
        let form = next()?;
        let mut number = || next()?.parse::<KeyVersion>().map_err(|_| InvalidEvolvedKey);
        let (root, epoch) = (number()?, number()?);
        let digits = next()?;
        if form != FORM || parts.next().is_some() || root == 0 || epoch < root || digits.len() % 2 != 0 {
            return Err(InvalidEvolvedKey);
        }
        let mut key = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
        for pair in digits.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidEvolvedKey)?;
            key.push(u8::from_str_radix(pair, 16).map_err(|_| InvalidEvolvedKey)?);
        }
        if key.len() < KeyRing::MIN_BYTES {
            return Err(InvalidEvolvedKey);
        }
        Ok(Self { root, epoch, key: Secret::new(key.as_slice()) })
    }
}

impl fmt::Debug for EvolvedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvolvedKey")
            .field("root", &self.root)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The keys of the epochs from the oldest that is left to the one after the current, whose number is told apart.
#[derive(Clone, Debug)]
pub struct Evolution {
    epochs: Epochs,
    root: KeyVersion,
    current: KeyVersion,
    held: BTreeMap<KeyVersion, Secret>,
    /// Keys that were there before the root, to verify with.
    before: Vec<(KeyVersion, Secret)>,
}

impl Evolution {
    /// Goes on from the oldest key that is left. `before` are keys of versions below the root's, which verify what was signed before.
    /// `None` when more than 65,536 epochs have passed, or the root's version is 0.
    #[must_use]
    pub fn new(
        epochs: Epochs,
        oldest: &EvolvedKey,
        before: impl IntoIterator<Item = (KeyVersion, Secret)>,
        now: Timestamp,
    ) -> Option<Self> {
        let current = epochs.at(oldest.root, now).max(oldest.epoch);
        if oldest.root == 0 || current - oldest.root >= MOST {
            return None;
        }
        let before = before.into_iter().filter(|(version, _)| *version < oldest.root).collect();
        let held = BTreeMap::from([(oldest.epoch, oldest.key.clone())]);
        let mut evolution = Self { epochs, root: oldest.root, current, held, before };
        evolution.reach(current);
        Some(evolution)
    }

    /// Returns the keys of this moment, as a ledger is set up with.
    #[must_use]
    pub fn ring(&self) -> Option<KeyRing> {
        let held = self.held.range(..=self.current).map(|(epoch, key)| (*epoch, key.clone()));
        KeyRing::new(self.before.iter().cloned().chain(held))
    }

    /// Returns the oldest key that is left.
    #[must_use]
    pub fn oldest(&self) -> Option<EvolvedKey> {
        let (epoch, key) = self.held.first_key_value()?;
        Some(EvolvedKey { root: self.root, epoch: *epoch, key: key.clone() })
    }

    /// Takes an epoch into use, and makes the key after it: another replica's clock may be ahead of this one's.
    fn reach(&mut self, epoch: KeyVersion) {
        self.current = self.current.max(epoch);
        while let Some((last, key)) = self.held.last_key_value().filter(|(last, _)| **last <= self.current) {
            let next = (last.saturating_add(1), evolved(key));
            if next.0 == *last {
                break;
            }
            self.held.insert(next.0, next.1);
        }
    }

    /// Destroys the keys before the current one.
    fn forget(&mut self) {
        self.held = self.held.split_off(&self.current);
    }

    fn keys(&self) -> SigningKeys {
        let before = self.before.iter().map(|(version, key)| (*version, key));
        let held = self.held.iter().map(|(epoch, key)| (*epoch, key));
        let oldest = self.held.keys().next().copied().unwrap_or(self.current);
        SigningKeys::new(self.current, before.chain(held), self.root..oldest)
    }
}

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
