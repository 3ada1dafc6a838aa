use serde::Serialize;

use crate::{Revision, Timestamp};

/// A record as a store keeps it: the value, and when it came to be so.
///
/// The revision is the one of the change that last wrote it. It serves as the entity tag of an update that must not overwrite
/// somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Versioned<T> {
    /// The value.
    #[serde(flatten)]
    pub value: T,
    /// The revision of the scope when the value was last written.
    pub revision: Revision,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl<T> Versioned<T> {
    /// Takes a value written for the first time.
    #[must_use]
    pub const fn created(value: T, revision: Revision, at: Timestamp) -> Self {
        Self { value, revision, created_at: at, updated_at: at }
    }

    /// Takes the value that replaces this one.
    #[must_use]
    pub fn replaced(&self, value: T, revision: Revision, at: Timestamp) -> Self {
        Self { value, revision, created_at: self.created_at, updated_at: at }
    }
}
