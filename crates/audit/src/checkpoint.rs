//! Checkpoints: what a chain's tree was when somebody signed for it.

use std::fmt;

use base64::Engine as _;
use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;
use stanchion_core::{KeyRing, Text, Timestamp};

use crate::note::{self, BASE64, NoteError, VerifierKey};
use crate::{ChainId, Digest, Error};

const SEED: &[u8] = b"stanchion-checkpoint-key-v1";
/// With how many versions of the key a checkpoint is signed: who follows the one before the current one can go on.
const SIGNATURES: usize = 2;

/// The tree that a checkpoint speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Which log: `<deployment>/<chain>`, such as `audit.example.com/platform/security`.
    pub origin: String,
    /// How many entries the tree covers.
    pub size: u64,
    /// Its root.
    pub root: Digest,
}

impl TreeHead {
    /// Opens a checkpoint that one of the keys signed: a note as C2SP's tlog-checkpoint says. Extension lines are passed over.
    ///
    /// # Errors
    /// [`NoteError`] when it is no such note, or not signed by any of the keys.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, NoteError> {
        let text = note::open(note, keys)?;
        let mut lines = text.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(NoteError::NoCheckpoint);
        let (origin, size, root) = (line()?, line()?, line()?);
        let number = size.parse().map_err(|_| NoteError::NoCheckpoint)?;
        let root = BASE64.decode(root).map_err(|_| NoteError::NoCheckpoint)?;
        let root: [u8; 32] = root.try_into().map_err(|_| NoteError::NoCheckpoint)?;
        let head = Self { origin: origin.to_owned(), size: number, root: Digest::from_bytes(root) };
        // A key signs for its own log only, and a number has one text.
        let is_own = keys.iter().any(|key| key.name() == origin) && number.to_string() == size;
        if is_own { Ok(head) } else { Err(NoteError::NoCheckpoint) }
    }

    fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.bytes()))
    }
}

/// A checkpoint of a chain, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// The chain.
    pub chain: ChainId,
    /// How many entries it covers: those with numbers 1 to `size`.
    pub size: u64,
    /// The root of the tree over their leaves.
    pub root: Digest,
    /// When it was signed, by the clock of the process that did. The signature does not cover it.
    pub signed_at: Timestamp,
    /// The signed note.
    pub note: Text,
}

/// Signs checkpoints: Ed25519 with the keys of a ring, the newest two of them.
#[derive(Clone)]
pub struct CheckpointSigner {
    deployment: Text,
    /// Newest first.
    keys: Vec<SigningKey>,
}

impl CheckpointSigner {
    /// Prepares the keys of a ring. From each secret an Ed25519 key is derived, as [`format`](crate::format) says; secrets that sign
    /// checkpoints should sign nothing else.
    ///
    /// # Errors
    /// [`Error::Config`] unless `deployment` can begin the name of a log: not empty, without spaces and plus signs, at most 200 bytes.
    pub fn new(keys: &KeyRing, deployment: impl Into<Text>) -> Result<Self, Error> {
        let deployment = deployment.into();
        Self::check_name(&deployment)?;
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
        let derived = |secret: &[u8]| {
            let mut seed = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key");
            seed.update(SEED);
            SigningKey::from_bytes(&seed.finalize().into_bytes().into())
        };
        let keys = keys.iter().map(|(_, secret)| derived(secret.expose())).collect();
        Ok(Self { deployment, keys })
    }

    /// Checks that a text can begin the names of logs.
    ///
    /// # Errors
    /// [`Error::Config`] as [`new`](Self::new).
    pub fn check_name(deployment: &Text) -> Result<(), Error> {
        if note::is_key_name(deployment.as_str()) && deployment.as_str().len() <= 200 {
            return Ok(());
        }
        let rule = "use a name such as audit.example.com: 1 to 200 bytes, no spaces, no plus sign";
        Err(Error::Config { setting: "deployment", rule })
    }

    /// Returns the name of a chain's log.
    #[must_use]
    pub fn origin(&self, chain: &ChainId) -> String {
        format!("{}/{chain}", self.deployment)
    }

    /// Returns what verifies the checkpoints of a chain, newest first.
    #[must_use]
    pub fn verifiers(&self, chain: &ChainId) -> Vec<VerifierKey> {
        let origin = self.origin(chain);
        self.keys.iter().map(|key| VerifierKey::new(&origin, key.verifying_key())).collect()
    }

    /// Signs for a tree of a chain.
    #[must_use]
    pub fn sign(&self, chain: ChainId, size: u64, root: Digest, signed_at: Timestamp) -> Checkpoint {
        let head = TreeHead { origin: self.origin(&chain), size, root };
        let note = note::sign(&head.to_text(), &head.origin, self.keys.iter().take(SIGNATURES));
        Checkpoint { chain, size, root, signed_at, note: note.into() }
    }

    /// Checks that a checkpoint is what one of the ring's keys signed.
    ///
    /// # Errors
    /// [`NoteError`] when it is not, or its note speaks of another tree than it does.
    pub fn verify(&self, checkpoint: &Checkpoint) -> Result<(), NoteError> {
        let Checkpoint { chain, size, root, .. } = checkpoint;
        let head = TreeHead::open(checkpoint.note.as_str(), &self.verifiers(chain))?;
        let same = (head.size, head.root) == (*size, *root);
        if same { Ok(()) } else { Err(NoteError::NoCheckpoint) }
    }
}

/// Another checkpoint key than before.
#[derive(Clone, Debug)]
pub(crate) struct KeyChange {
    /// The key before, or its id alone when it is not in the ring.
    pub(crate) from: String,
    pub(crate) to: VerifierKey,
    /// A note in which the old key, if it is at hand, and the new one sign that the one takes the other's place.
    pub(crate) note: String,
}

impl CheckpointSigner {
    /// Tells whether a checkpoint was signed with an older key than would be signed with now, and which.
    pub(crate) fn change_since(&self, checkpoint: &Checkpoint) -> Option<KeyChange> {
        let origin = self.origin(&checkpoint.chain);
        let signed = note::key_ids(checkpoint.note.as_str(), &origin);
        let verifiers = self.verifiers(&checkpoint.chain);
        let to = verifiers.first()?.clone();
        // The newest key signs first.
        let before = signed.first().filter(|id| **id != to.id())?;
        let place = verifiers.iter().position(|key| key.id() == *before);
        let from = place.and_then(|place| verifiers.get(place));
        let from = from.map_or_else(|| format!("{:08x}", u32::from_be_bytes(*before)), ToString::to_string);
        let text = Self::change_text(&origin, &from, &to.to_string());
        let old = place.and_then(|place| self.keys.get(place));
        let note = note::sign(&text, &origin, self.keys.first().into_iter().chain(old));
        Some(KeyChange { from, to, note })
    }

    pub(crate) fn change_text(origin: &str, from: &str, to: &str) -> String {
        format!("{}\n{origin}\n{from}\n{to}\n", crate::rotation::NOTE)
    }
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointSigner").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
