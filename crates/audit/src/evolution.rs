//! Signing keys that a running process replaces by those that follow from them, and forgets.

mod evolver;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use stanchion_core::{KeyRing, KeyVersion, Secret, Timestamp};
use zeroize::Zeroizing;

pub use self::evolver::{EvolveTrouble, Evolver};

use crate::evolve::{MOST, evolved};
use crate::hash::SigningKeys;

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
