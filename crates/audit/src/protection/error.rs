use std::time::Duration;

use stanchion_core::{KeyVersion, Slug, StoreError};

use super::FieldPath;
use crate::{Error, Refused};

/// What can go wrong with protected values. None of it says what a value is.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectionError {
    /// A field that is to be protected is not there.
    #[error("there is no value at `{field}` to protect")]
    NoValue {
        /// Which one.
        field: FieldPath,
    },
    /// A value is written as if it were protected already.
    #[error("`{field}` must not have the form of a protected value")]
    Reserved {
        /// Which one.
        field: String,
    },
    /// A value cannot be protected as it is.
    #[error("`{field}`: {rule}")]
    Value {
        /// Which one.
        field: FieldPath,
        /// What it has to be.
        rule: &'static str,
    },
    /// The keys were not to be had in time. Nothing was recorded.
    #[error("the keys of protected values were not to be had within {} ms", .patience.as_millis())]
    Late {
        /// How long was waited.
        patience: Duration,
    },
    /// A key was wrapped with a version of the secret that is not in the ring.
    #[error("version {version} of the protection keys is missing")]
    NoVersion {
        /// Which one.
        version: KeyVersion,
    },
    /// A key does not open with its version of the secret: it is another secret, or the key was altered.
    #[error("a key does not open with version {version} of the protection keys")]
    WrongVersion {
        /// Which one.
        version: KeyVersion,
    },
    /// There is no exception of that name.
    #[error("there is no exception `{0}`")]
    NoException(Slug),
    /// An exception cannot be put as it is.
    #[error("{0}")]
    Exception(&'static str),
    /// The keys are destroyed, and the record of it is on its way, but could not be waited for.
    #[error("the keys are destroyed; their record follows: {0}")]
    Unconfirmed(Error),
    /// Others keep changing the keys of this subject.
    #[error("others keep changing this")]
    Busy,
    /// The ledger has no room for the record, so nothing was done.
    #[error(transparent)]
    Refused(Refused),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] Error),
    /// The store of the keys failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
