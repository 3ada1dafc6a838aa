//! Data keys: made, wrapped, kept in memory for writers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{Either, select};
use hashbrown::HashMap;
use stanchion_core::{Clock, IdGen, KeyRing, KeyVersion, Random, Scope, SystemScope, Text, Timer, Timestamp};
use stanchion_replica::Cache;
use zeroize::Zeroizing;

use super::derive::{self, Key};
use super::{
    CipherKey, DataSubject, FieldCipher, KeyName, KeyNode, NONCE_BYTES, ProtectConfig, ProtectionError,
    Rewrapped, StoredKey, SubjectKeyId, SubjectKeyStore,
};

const WRITE: SystemScope = SystemScope::new("keys of protected values of many tenants at once");
const REWRAP: SystemScope = SystemScope::new("wrap the keys of protected values anew");
/// How often keys are made for a name whose key is destroyed at the same time.
const TRIES: usize = 8;
/// So many keys are wrapped anew at once.
const AT_ONCE: usize = 500;

/// A data key, unwrapped.
pub(super) struct DataKey {
    pub(super) id: SubjectKeyId,
    pub(super) root: Key,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("id", &self.id).finish_non_exhaustive()
    }
}

pub(super) type DataKeys = HashMap<KeyName, Arc<DataKey>>;

/// What makes, wraps and keeps data keys.
pub(super) struct Keyring {
    pub(super) store: Arc<dyn SubjectKeyStore>,
    pub(super) cipher: Arc<dyn FieldCipher>,
    pub(super) secrets: KeyRing,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timer: Arc<dyn Timer>,
    pub(super) ids: Arc<dyn IdGen>,
    pub(super) random: Arc<dyn Random>,
    pub(super) config: ProtectConfig,
    cache: Cache<KeyName, Arc<DataKey>>,
    /// Grows with every erasure that is heard of: what was read before is not kept after.
    erasures: AtomicU64,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("store", &self.store)
            .field("cached", &self.cache.len())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    #[expect(clippy::too_many_arguments, reason = "what an engine is given, once")]
    pub(super) fn new(
        store: Arc<dyn SubjectKeyStore>,
        cipher: Arc<dyn FieldCipher>,
        secrets: KeyRing,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        ids: Arc<dyn IdGen>,
        random: Arc<dyn Random>,
        config: ProtectConfig,
    ) -> Self {
        let (cache, erasures) = (Cache::new(config.cached_keys), AtomicU64::new(0));
        Self { store, cipher, secrets, clock, timer, ids, random, config, cache, erasures }
    }

    /// Finds or makes the data keys of names, and waits no longer than is configured.
    pub(super) async fn keys(&self, names: Vec<KeyName>) -> Result<DataKeys, ProtectionError> {
        let now = self.clock.now();
        let mut found = DataKeys::with_capacity(names.len());
        let mut missing = Vec::new();
        for name in names {
            match self.cache.get(&name, now) {
                Some(key) => drop(found.insert(name, key)),
                None => missing.push(name),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        // One order for all, so that nobody waits in a circle.
        missing.sort_unstable();
        missing.dedup();
        let patience = self.config.patience();
        let fetch = Box::pin(self.fetch(missing));
        match select(fetch, self.timer.sleep_until(now.plus(patience))).await {
            Either::Left((fetched, _)) => found.extend(fetched?),
            Either::Right(_) => return Err(ProtectionError::Late { patience }),
        }
        Ok(found)
    }

    async fn fetch(&self, mut missing: Vec<KeyName>) -> Result<DataKeys, ProtectionError> {
        let before = self.erasures.load(Ordering::Acquire);
        let expires_at = self.clock.now().plus(self.config.lifetime());
        let mut found = DataKeys::with_capacity(missing.len());
        let mut stored = self.store.current(WRITE, &missing).await?;
        for _ in 0..TRIES {
            let mut rest = Vec::new();
            for (name, key) in missing.into_iter().zip(stored) {
                let Some(key) = key else {
                    rest.push(name);
                    continue;
                };
                let key = Arc::new(DataKey { id: key.id, root: self.unwrapped(&key)? });
                self.cache.insert(name.clone(), Arc::clone(&key), expires_at);
                found.insert(name, key);
            }
            if rest.is_empty() {
                if self.erasures.load(Ordering::Acquire) != before {
                    found.keys().for_each(|name| self.cache.remove(name));
                }
                return Ok(found);
            }
            let made = rest.iter().map(|name| self.made(name)).collect::<Result<Vec<_>, _>>()?;
            stored = self.store.create(WRITE, &made).await?;
            missing = rest;
        }
        Err(ProtectionError::Busy)
    }

    /// Makes a data key for a name.
    fn made(&self, name: &KeyName) -> Result<StoredKey, ProtectionError> {
        let now = self.clock.now();
        let id = SubjectKeyId::from_uuid(self.ids.uuid(now));
        let mut root = Zeroizing::new([0; 32]);
        self.random.fill(root.as_mut_slice());
        self.wrapped(id, KeyNode::Root, name.clone(), now, &root)
    }

    /// Wraps a key with the current version of the secret.
    pub(super) fn wrapped(
        &self,
        id: SubjectKeyId,
        node: KeyNode,
        name: KeyName,
        created_at: Timestamp,
        key: &[u8; 32],
    ) -> Result<StoredKey, ProtectionError> {
        let (version, secret) = self.secrets.current();
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce);
        let additional = wrapping_of(id, &node, &name, version);
        let with = derive::wrapping(secret.expose(), name.scope);
        // 32 bytes are not too long for any cipher.
        let sealed = self.cipher.seal(&with, &nonce, &additional, key).ok_or(ProtectionError::Busy)?;
        let wrapped = [nonce.as_slice(), sealed.as_slice()].concat().into();
        Ok(StoredKey { id, node, name, version, wrapped, created_at })
    }

    /// Unwraps a key, with whichever version it was wrapped.
    pub(super) fn unwrapped(&self, key: &StoredKey) -> Result<Key, ProtectionError> {
        let version = key.version;
        let secret = self.secrets.get(version).ok_or(ProtectionError::NoVersion { version })?;
        let with = derive::wrapping(secret.expose(), key.name.scope);
        let additional = wrapping_of(key.id, &key.node, &key.name, version);
        let wrong = ProtectionError::WrongVersion { version };
        let Some((nonce, sealed)) = key.wrapped.split_first_chunk::<NONCE_BYTES>() else { return Err(wrong) };
        let opened = self.cipher.open(&with, nonce, &additional, sealed).map_err(|_| wrong.clone())?;
        opened.as_slice().try_into().map(Zeroizing::new).map_err(|_| wrong)
    }

    /// Wraps keys of older versions of the secret with the current one; returns how many. A version whose keys are all wrapped anew
    /// can be taken out of the ring.
    pub(super) async fn rewrap(&self) -> Result<u64, ProtectionError> {
        let (version, _) = self.secrets.current();
        let mut all = 0;
        loop {
            let outdated = self.store.outdated(REWRAP, version, AT_ONCE).await?;
            let again = |key: StoredKey| -> Result<Rewrapped, ProtectionError> {
                let (from, clear) = (key.version, self.unwrapped(&key)?);
                Ok(Rewrapped { from, key: self.wrapped(key.id, key.node, key.name, key.created_at, &clear)? })
            };
            let rewrapped = outdated.into_iter().map(again).collect::<Result<Vec<_>, _>>()?;
            let count = if rewrapped.is_empty() { 0 } else { self.store.rewrap(REWRAP, &rewrapped).await? };
            if count == 0 {
                return Ok(all);
            }
            all += count;
        }
    }

    /// Forgets the keys of subjects, as texts; of everybody if there is none.
    pub(super) fn forget(&self, scope: Scope, subject: Option<&str>) {
        self.erasures.fetch_add(1, Ordering::Release);
        self.cache.remove_if(|name, _| {
            name.scope == scope && subject.is_none_or(|subject| name.subject.as_str() == subject)
        });
    }

    pub(super) fn forget_all(&self) {
        self.erasures.fetch_add(1, Ordering::Release);
        self.cache.clear();
    }
}

/// Returns the name of the key for a subject's values at an instant.
pub(super) fn name(scope: Scope, subject: DataSubject, at: Timestamp) -> KeyName {
    let text = at.to_string();
    let period = text.get(..7).unwrap_or_default().to_owned();
    KeyName { scope, subject, period: period.into() }
}

/// Returns the name of the key for a scope's blind indexes.
pub(super) const fn index_name(scope: Scope) -> KeyName {
    KeyName { scope, subject: DataSubject::INDEX, period: Text::Static("") }
}

/// What a wrapped key is bound to: no other key, subject or scope can be given it.
fn wrapping_of(id: SubjectKeyId, node: &KeyNode, name: &KeyName, version: KeyVersion) -> Vec<u8> {
    let (scope, node, id) = (name.scope.to_string(), node.to_string(), id.uuid());
    derive::written(
        "stanchion-wrapped-key-v1",
        &[
            scope.as_bytes(),
            name.subject.as_str().as_bytes(),
            name.period.as_str().as_bytes(),
            id.as_bytes(),
            node.as_bytes(),
            &version.to_be_bytes(),
        ],
    )
}

/// The keys that a cipher is given, for one field.
pub(super) struct FieldKeys {
    pub(super) field: Key,
    pub(super) seal: CipherKey,
}

impl FieldKeys {
    pub(super) fn new(field: Key) -> Self {
        let seal = derive::sealing(&field);
        Self { field, seal }
    }
}
