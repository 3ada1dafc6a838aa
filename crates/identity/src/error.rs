use stanchion_core::{KeyId, StoreError, Timestamp};

use crate::NewKey;

/// Why an operation did not happen. That a credential is rejected is no error but an [`Outcome`](crate::Outcome).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. A conflict means that others kept changing keys of the scope meanwhile; the same call may succeed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The scope has no key with this id.
    #[error("there is no key {0} in this scope")]
    UnknownKey(KeyId),
    /// The key was revoked.
    #[error("the key {0} was revoked")]
    Revoked(KeyId),
    /// The key has expired.
    #[error("the key {0} has expired")]
    Expired(KeyId),
    /// Two secrets of the key work at present, and a rotation with grace would make them three.
    #[error("the former secret of the key {key} works until {until}: rotate then, or without grace")]
    InGrace {
        /// The key.
        key: KeyId,
        /// When the former secret is over.
        until: Timestamp,
    },
    /// The expiry of a new key does not lie in the future.
    #[error("a new key must expire in the future")]
    ExpiryPassed,
    /// A new key names too many networks.
    #[error("a key takes at most {} networks", NewKey::MAX_CIDRS)]
    TooManyCidrs,
    /// A setting lies outside its range.
    #[error("`{setting}` must be {rule}")]
    InvalidConfig {
        /// Its name.
        setting: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
}
