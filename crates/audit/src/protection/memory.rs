use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use hashbrown::HashMap;
use stanchion_core::{
    Change, FeedCursor, FeedPage, KeyVersion, Revision, Scope, Slug, StoreError, StoreErrorKind, SystemScope,
    Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore, Records};

use super::{
    DataSubject, Exception, KeyName, KeyNode, KeyPlace, ProtectionChange, Rewrapped, StoredKey, SubjectKeyId,
    SubjectKeyStore,
};

type Exceptions = BTreeMap<Slug, Versioned<Exception>>;
type Keys = HashMap<Scope, BTreeMap<KeyPlace, StoredKey>>;

/// The keys of protected values in memory: the reference that other adapters must equal. They end with the process, and with them what
/// they open.
#[derive(Debug)]
pub struct MemorySubjectKeyStore {
    exceptions: Records<Exceptions>,
    keys: Mutex<Keys>,
}

impl MemorySubjectKeyStore {
    /// Makes an empty store. Without an outbox the events of changes are discarded.
    #[must_use]
    pub fn new(outbox: Option<Arc<MemoryOutboxStore>>) -> Self {
        Self { exceptions: Records::new(outbox), keys: Mutex::default() }
    }

    fn with<R>(&self, work: impl FnOnce(&mut Keys) -> R) -> R {
        work(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn root(keys: &Keys, name: &KeyName) -> Option<StoredKey> {
    let mut of_scope = keys.get(&name.scope)?.values();
    of_scope.find(|key| key.node == KeyNode::Root && key.name == *name).cloned()
}

fn of<'k>(keys: &'k Keys, scope: Scope, subject: &DataSubject) -> Vec<&'k StoredKey> {
    keys.get(&scope)
        .into_iter()
        .flat_map(BTreeMap::values)
        .filter(|key| key.name.subject == *subject)
        .collect()
}

#[async_trait]
impl SubjectKeyStore for MemorySubjectKeyStore {
    async fn current(
        &self,
        _system: SystemScope,
        names: &[KeyName],
    ) -> Result<Vec<Option<StoredKey>>, StoreError> {
        Ok(self.with(|keys| names.iter().map(|name| root(keys, name)).collect()))
    }

    async fn create(
        &self,
        _system: SystemScope,
        made: &[StoredKey],
    ) -> Result<Vec<Option<StoredKey>>, StoreError> {
        Ok(self.with(|keys| {
            let keep = |key: &StoredKey| {
                if let Some(known) = root(keys, &key.name) {
                    return Some(known);
                }
                keys.entry(key.name.scope).or_default().insert(key.place(), key.clone());
                Some(key.clone())
            };
            made.iter().map(keep).collect()
        }))
    }

    async fn by_id(&self, scope: Scope, ids: &[SubjectKeyId]) -> Result<Vec<StoredKey>, StoreError> {
        let wanted = |key: &&StoredKey| ids.contains(&key.id);
        Ok(self.with(|keys| {
            keys.get(&scope).into_iter().flat_map(BTreeMap::values).filter(wanted).cloned().collect()
        }))
    }

    async fn of_subject(&self, scope: Scope, subject: &DataSubject) -> Result<Vec<StoredKey>, StoreError> {
        let mut found: Vec<StoredKey> =
            self.with(|keys| of(keys, scope, subject).into_iter().cloned().collect());
        found.sort_by_key(|key| (key.name.period.clone(), key.id, key.node.to_string()));
        Ok(found)
    }

    async fn exceptions(&self, scope: Scope) -> Result<(Revision, Vec<Versioned<Exception>>), StoreError> {
        Ok(self.exceptions.read(scope, |revision, all| (revision, all.values().cloned().collect())))
    }

    async fn apply(&self, scope: Scope, change: Change<ProtectionChange>) -> Result<Revision, StoreError> {
        let conflict = || StoreError::new(StoreErrorKind::Conflict, "memory", "apply");
        let (revision, at) = (change.expected.next(), change.at);
        self.with(|keys| {
            // What is checked here holds below too: whoever writes keys has to wait.
            let is_at = self.exceptions.read(scope, |revision, _| revision == change.expected);
            let holds = change.changes.iter().all(|part| match part {
                ProtectionChange::Erase { subject, had, .. } => {
                    let now: Vec<KeyPlace> =
                        of(keys, scope, subject).into_iter().map(StoredKey::place).collect();
                    now.len() == had.len() && now.iter().all(|place| had.contains(place))
                }
                _ => true,
            });
            if !is_at || !holds {
                return Err(conflict());
            }
            let write = |all: &mut Exceptions, part: ProtectionChange| match part {
                ProtectionChange::PutException(exception) => {
                    let id = exception.id.clone();
                    let written = match all.get(&id) {
                        Some(before) => before.replaced(exception, revision, at),
                        None => Versioned::created(exception, revision, at),
                    };
                    all.insert(id, written);
                }
                ProtectionChange::LiftException(id) => drop(all.remove(&id)),
                ProtectionChange::Erase { subject, keeps, .. } => {
                    let of_scope = keys.entry(scope).or_default();
                    of_scope.retain(|_, key| key.name.subject != subject);
                    of_scope.extend(keeps.into_iter().map(|key| (key.place(), key)));
                }
            };
            self.exceptions.apply("apply", scope, change, write, ProtectionChange::key)
        })
    }

    async fn outdated(
        &self,
        _system: SystemScope,
        version: KeyVersion,
        limit: usize,
    ) -> Result<Vec<StoredKey>, StoreError> {
        let is_older = |key: &&StoredKey| key.version < version;
        Ok(self.with(|keys| {
            keys.values().flat_map(BTreeMap::values).filter(is_older).take(limit).cloned().collect()
        }))
    }

    async fn rewrap(&self, _system: SystemScope, rewrapped: &[Rewrapped]) -> Result<u64, StoreError> {
        Ok(self.with(|keys| {
            let mut count = 0;
            for Rewrapped { from, key } in rewrapped {
                let kept = keys.get_mut(&key.name.scope).and_then(|of_scope| of_scope.get_mut(&key.place()));
                if let Some(kept) = kept.filter(|kept| kept.version == *from) {
                    *kept = key.clone();
                    count += 1;
                }
            }
            count
        }))
    }
}

#[async_trait]
impl ChangeFeed for MemorySubjectKeyStore {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.exceptions.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        self.exceptions.arrived().await;
    }
}
