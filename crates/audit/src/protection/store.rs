use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, InvalidId, KeyVersion, Revision, Scope, Slug, StoreError, SystemScope, Text, Timestamp, Versioned,
};
use stanchion_replica::ChangeFeed;

use super::{DataSubject, Exception, SubjectKeyId};
use crate::RetentionClass;

/// What a data key is for: a subject of a scope, in a period.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName {
    /// Whose events.
    pub scope: Scope,
    /// Whom the values are about.
    pub subject: DataSubject,
    /// The month in which the events happened, in UTC: `2026-03`.
    pub period: Text,
}

/// Which part of what a data key protects a stored key opens. As a text: empty, `CLASS`, or `CLASS/FIELD`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyNode {
    /// All of it: the data key itself, with which new values are protected.
    Root,
    /// Records of one class: what is left of a key that was destroyed but for an exception.
    Class(RetentionClass),
    /// One field in records of one class, likewise.
    Field(RetentionClass, Text),
}

impl KeyNode {
    /// Tells whether it opens a field in records of a class.
    #[must_use]
    pub fn opens(&self, class: RetentionClass, field: &str) -> bool {
        match self {
            Self::Root => true,
            Self::Class(of) => *of == class,
            Self::Field(of, named) => *of == class && named.as_str() == field,
        }
    }

    /// Tells whether it opens all that another one opens.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match other {
            Self::Root => *self == Self::Root,
            Self::Class(class) => matches!(self, Self::Root) || *self == Self::Class(*class),
            Self::Field(class, field) => self.opens(*class, field.as_str()),
        }
    }
}

impl fmt::Display for KeyNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Class(class) => write!(f, "{class}"),
            Self::Field(class, field) => write!(f, "{class}/{field}"),
        }
    }
}

impl FromStr for KeyNode {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let class = |name: &str| {
            let invalid = || InvalidId::new("key node", "expected CLASS or CLASS/FIELD", text);
            RetentionClass::from_name(name).ok_or_else(invalid)
        };
        match text.split_once('/') {
            None if text.is_empty() => Ok(Self::Root),
            None => class(text).map(Self::Class),
            Some((name, field)) => Ok(Self::Field(class(name)?, field.to_owned().into())),
        }
    }
}

/// A key as a store keeps it: wrapped, so that it is of no use without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The id of the data key that it is, or is a part of.
    pub id: SubjectKeyId,
    /// Which part of it.
    pub node: KeyNode,
    /// What the data key is for.
    pub name: KeyName,
    /// The version of the secret that it is wrapped with.
    pub version: KeyVersion,
    /// The wrapped key: nonce and ciphertext.
    pub wrapped: Arc<[u8]>,
    /// When the data key was made.
    pub created_at: Timestamp,
}

impl StoredKey {
    /// Returns where it is kept.
    #[must_use]
    pub fn place(&self) -> KeyPlace {
        KeyPlace { id: self.id, node: self.node.clone() }
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, node, name, version, .. } = self;
        let mut debug = f.debug_struct("StoredKey");
        debug.field("id", id).field("node", node).field("name", name).field("version", version);
        debug.finish_non_exhaustive()
    }
}

/// Where a key is kept within its scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPlace {
    /// The data key.
    pub id: SubjectKeyId,
    /// Which part of it.
    pub node: KeyNode,
}

/// A key that was wrapped anew.
#[derive(Clone, Debug)]
pub struct Rewrapped {
    /// The version it was wrapped with before.
    pub from: KeyVersion,
    /// The key as it is now.
    pub key: StoredKey,
}

/// One write of a [`Change`].
#[derive(Clone, Debug)]
pub enum ProtectionChange {
    /// Writes an exception, in place of the one of its name if there is one.
    PutException(Exception),
    /// Takes an exception away.
    LiftException(Slug),
    /// Destroys the keys of a subject.
    Erase {
        /// Whose.
        subject: DataSubject,
        /// Every key that the subject had when the erasure was judged. If it now has another or lacks one, that is a conflict.
        had: Vec<KeyPlace>,
        /// What it has afterwards, and nothing else.
        keeps: Vec<StoredKey>,
    },
}

impl ProtectionChange {
    /// Returns the key that the feed names it by: `exception/ID` or `subject/SUBJECT`.
    #[must_use]
    pub fn key(&self) -> Arc<str> {
        match self {
            Self::PutException(exception) => format!("exception/{}", exception.id),
            Self::LiftException(id) => format!("exception/{id}"),
            Self::Erase { subject, .. } => format!("subject/{subject}"),
        }
        .into()
    }
}

/// Where the keys of protected values are kept, and the exceptions from their destruction.
///
/// Exceptions and erasures of a scope share its revision; keys that are made do not move it, so that writers do not wait for each other.
///
/// 1. **One key for a name.** Of keys that are made for one name at once, one is kept, and all who made one are told which. A name whose
///    keys were destroyed is free: what is made for it then is a new key, with a new id.
/// 2. **Erasure** is one atomic unit with its events, and final: the keys that are not among `keeps` are in no answer ever again. It is a
///    `Conflict` if the scope's revision is not the expected one, or if the subject's keys are not exactly `had`.
/// 3. **Bytes.** Keys are returned as they were written.
/// 4. **Scopes.** What takes a [`Scope`] returns nothing of another's; what takes a [`SystemScope`] works for many. A key's id names it
///    within its scope only.
/// 5. **Rewrapping** replaces a key's wrapping if it is still there and of that version, and never brings back one that was destroyed.
/// 6. **Exceptions** are read back as they were written, in the order of their names.
/// 7. A read that begins after a write sees it. The feed names what changes have written, as [`ProtectionChange::key`] does.
#[async_trait]
pub trait SubjectKeyStore: ChangeFeed {
    /// Finds the data keys of names, in the order asked.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read, `Corrupt` for what is no key. The same holds for the other reads.
    async fn current(
        &self,
        system: SystemScope,
        names: &[KeyName],
    ) -> Result<Vec<Option<StoredKey>>, StoreError>;

    /// Keeps data keys for names that have none, and returns those that the names have now, in the order given; `None` where one was
    /// destroyed meanwhile. All of them are for different names.
    ///
    /// # Errors
    /// `Unavailable`, or `Timeout` when they may have been written, which harms nobody.
    async fn create(
        &self,
        system: SystemScope,
        keys: &[StoredKey],
    ) -> Result<Vec<Option<StoredKey>>, StoreError>;

    /// Finds everything that is kept of data keys, by their ids, in no order.
    ///
    /// # Errors
    /// As [`current`](Self::current).
    async fn by_id(&self, scope: Scope, ids: &[SubjectKeyId]) -> Result<Vec<StoredKey>, StoreError>;

    /// Finds everything that is kept of a subject's keys, in the order of their periods, ids and nodes.
    ///
    /// # Errors
    /// As [`current`](Self::current).
    async fn of_subject(&self, scope: Scope, subject: &DataSubject) -> Result<Vec<StoredKey>, StoreError>;

    /// Returns the scope's revision and its exceptions.
    ///
    /// # Errors
    /// As [`current`](Self::current).
    async fn exceptions(&self, scope: Scope) -> Result<(Revision, Vec<Versioned<Exception>>), StoreError>;

    /// Writes a change and returns the revision it made.
    ///
    /// # Errors
    /// `Conflict` as rule 2 says; `Unavailable`, or `Timeout` when the change may have been written.
    async fn apply(&self, scope: Scope, change: Change<ProtectionChange>) -> Result<Revision, StoreError>;

    /// Finds at most `limit` keys that are wrapped with an older version than this one.
    ///
    /// # Errors
    /// As [`current`](Self::current).
    async fn outdated(
        &self,
        system: SystemScope,
        version: KeyVersion,
        limit: usize,
    ) -> Result<Vec<StoredKey>, StoreError>;

    /// Replaces the wrapping of keys, and returns of how many.
    ///
    /// # Errors
    /// `Unavailable`, or `Timeout` when some may have been written.
    async fn rewrap(&self, system: SystemScope, keys: &[Rewrapped]) -> Result<u64, StoreError>;
}
