use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, KeyId, Page, PageRequest, Revision, Scope, StoreError, StoreErrorKind,
    SystemScope, Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore, Records};

use crate::{ApiKey, KeyChange, KeyHash, KeyStore};

type Keys = BTreeMap<KeyId, Versioned<ApiKey>>;
type Owner = (Scope, KeyId);

/// Keys in memory: the reference that every other adapter equals. They are gone with the process.
#[derive(Debug)]
pub struct MemoryKeyStore {
    records: Records<Keys>,
    /// Whose each hash is. Locked from the check of a change to its write, and always before the records.
    owners: RwLock<HashMap<KeyHash, Owner>>,
}

impl MemoryKeyStore {
    /// Makes an empty store. Without an outbox the events of changes are discarded.
    #[must_use]
    pub fn new(outbox: Option<Arc<MemoryOutboxStore>>) -> Self {
        Self { records: Records::new(outbox), owners: RwLock::new(HashMap::new()) }
    }

    fn owner(&self, hash: &KeyHash) -> Option<Owner> {
        self.owners.read().unwrap_or_else(PoisonError::into_inner).get(hash).copied()
    }

    fn check(
        &self,
        scope: Scope,
        change: &Change<KeyChange>,
        owners: &HashMap<KeyHash, Owner>,
    ) -> Result<(), StoreErrorKind> {
        if self.records.read(scope, |revision, _| revision) != change.expected {
            return Err(StoreErrorKind::Conflict);
        }
        if change.changes.iter().any(|KeyChange::Put(key)| key.scope != scope) {
            return Err(StoreErrorKind::Internal);
        }
        self.records.read(scope, |_, keys| {
            let mut written: HashMap<KeyHash, Option<KeyId>> = HashMap::new();
            let mut latest: HashMap<KeyId, &ApiKey> = HashMap::new();
            for KeyChange::Put(key) in &change.changes {
                let before = latest.insert(key.id, key).or_else(|| keys.get(&key.id).map(|key| &key.value));
                for generation in before.into_iter().flat_map(ApiKey::generations) {
                    written.insert(generation.hash, None);
                }
                for generation in key.generations() {
                    let stored = || owners.get(&generation.hash).copied();
                    let owner = match written.get(&generation.hash) {
                        Some(owner) => owner.map(|id| (scope, id)),
                        None => stored(),
                    };
                    if owner.is_some_and(|owner| owner != (scope, key.id)) {
                        return Err(StoreErrorKind::AlreadyExists);
                    }
                    written.insert(generation.hash, Some(key.id));
                }
            }
            Ok(())
        })
    }
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn revision(&self, scope: Scope) -> Result<Revision, StoreError> {
        Ok(self.records.read(scope, |revision, _| revision))
    }

    async fn get(&self, scope: Scope, id: KeyId) -> Result<Option<Versioned<ApiKey>>, StoreError> {
        Ok(self.records.read(scope, |_, keys| keys.get(&id).cloned()))
    }

    async fn list(&self, scope: Scope, page: &PageRequest) -> Result<Page<Versioned<ApiKey>>, StoreError> {
        let corrupt = |_| StoreError::new(StoreErrorKind::Corrupt, "memory", "list");
        let after = page.key().map(str::parse::<KeyId>).transpose().map_err(corrupt)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.records.read(scope, |_, keys| {
            let rest = keys.range((from, Bound::Unbounded)).map(|(_, key)| key);
            Page::cut(rest, page, |key| key.value.id.to_string())
        }))
    }

    async fn find(
        &self,
        _system: SystemScope,
        hashes: &[KeyHash],
    ) -> Result<Option<Versioned<ApiKey>>, StoreError> {
        Ok(hashes.iter().find_map(|hash| {
            let (scope, id) = self.owner(hash)?;
            let key = self.records.read(scope, |_, keys| keys.get(&id).cloned())?;
            // Between the two looks the key may have been rotated.
            let has = key.value.generations().any(|generation| generation.hash == *hash);
            has.then_some(key)
        }))
    }

    async fn apply(&self, scope: Scope, change: Change<KeyChange>) -> Result<Revision, StoreError> {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        self.check(scope, &change, &owners).map_err(|kind| StoreError::new(kind, "memory", "apply"))?;
        let (revision, at) = (change.expected.next(), change.at);
        let write = |keys: &mut Keys, KeyChange::Put(key): KeyChange| {
            let id = key.id;
            let before = keys.get(&id);
            for generation in before.into_iter().flat_map(|before| before.value.generations()) {
                owners.remove(&generation.hash);
            }
            for generation in key.generations() {
                owners.insert(generation.hash, (scope, id));
            }
            let written = match before {
                Some(before) => before.replaced(key, revision, at),
                None => Versioned::created(key, revision, at),
            };
            keys.insert(id, written);
        };
        let key = |KeyChange::Put(key): &KeyChange| key.id.to_string().into();
        self.records.apply("apply", scope, change, write, key)
    }
}

#[async_trait]
impl ChangeFeed for MemoryKeyStore {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.records.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        self.records.arrived().await;
    }
}
