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

    /// Turns the value into another, written when this one was.
    #[must_use]
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Versioned<U> {
        let Self { value, revision, created_at, updated_at } = self;
        Versioned { value: turn(value), revision, created_at, updated_at }
    }

    /// As [`Versioned::map`], where the value may be none that can be turned.
    #[must_use]
    pub fn filter_map<U>(self, turn: impl FnOnce(T) -> Option<U>) -> Option<Versioned<U>> {
        let Self { value, revision, created_at, updated_at } = self;
        turn(value).map(|value| Versioned { value, revision, created_at, updated_at })
    }
}
