use async_trait::async_trait;
use stanchion_core::{Change, KeyId, Page, PageRequest, Revision, Scope, StoreError, SystemScope, Versioned};
use stanchion_replica::ChangeFeed;

use crate::{ApiKey, KeyHash};

/// One write of a [`Change`] to a scope's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Writes a key with all of its secrets, in place of the one with this id if there is one.
    Put(ApiKey),
}

/// Where API keys are kept, each in its scope. Every scope has a revision of its own.
///
/// 1. Before the first change a scope has no key and its revision is zero. Each change makes the scope's next revision and touches no
///    other scope.
/// 2. `apply` is one atomic unit: all of the change and its events, or nothing. It succeeds only if the scope is still at the revision
///    that the change expects, else it is a `Conflict`.
/// 3. A hash belongs to one key, over all scopes. A change that would give it to a second one is refused with `AlreadyExists`; of several
///    writes in one change each is checked against those before it. A hash that a write drops is free.
/// 4. Keys are written to the scope they name. A change that has a key of another scope is refused with `Internal`.
/// 5. A key is read back as it was written. Its revision and the time of its last write are those of the change, the time of its first
///    write never changes.
/// 6. `get` and `list` see the keys of their scope only. `list` is in the order of the ids; the pages cover all keys once, unless they
///    change meanwhile. A page key that is no key id is `Corrupt`.
/// 7. `find` sees the keys of every scope, whatever their status: revoked and expired ones are found as what they are. This is the
///    look-up that discovers whose a credential is.
/// 8. A read that begins after a change was applied sees that change.
/// 9. The feed names the id of each key that a change wrote.
#[async_trait]
pub trait KeyStore: ChangeFeed {
    /// Returns the revision that a scope's keys are at.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read. The same holds for the other reads.
    async fn revision(&self, scope: Scope) -> Result<Revision, StoreError>;

    /// Finds a key of a scope.
    ///
    /// # Errors
    /// As [`KeyStore::revision`], and `Corrupt` when the record breaks the format.
    async fn get(&self, scope: Scope, id: KeyId) -> Result<Option<Versioned<ApiKey>>, StoreError>;

    /// Lists the keys of a scope in the order of their ids.
    ///
    /// # Errors
    /// As [`KeyStore::get`].
    async fn list(&self, scope: Scope, page: &PageRequest) -> Result<Page<Versioned<ApiKey>>, StoreError>;

    /// Finds the key, in whatever scope, that has a secret with one of these hashes: one secret under each version of the pepper. When
    /// several keys match, the one of the first hash.
    ///
    /// # Errors
    /// As [`KeyStore::get`].
    async fn find(
        &self,
        system: SystemScope,
        hashes: &[KeyHash],
    ) -> Result<Option<Versioned<ApiKey>>, StoreError>;

    /// Writes a change and returns the revision it made.
    ///
    /// # Errors
    /// `Conflict` when the scope has moved on; `AlreadyExists` for a hash that another key has; `Internal` for a key of another scope;
    /// `Unavailable`, or `Timeout` when the change may have been written.
    async fn apply(&self, scope: Scope, change: Change<KeyChange>) -> Result<Revision, StoreError>;
}
