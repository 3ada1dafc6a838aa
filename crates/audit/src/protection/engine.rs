use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use stanchion_core::{Clock, Detail, Event, FeedEntry, IdGen, KeyRing, Random, Scope, StoreError, Timer};
use stanchion_replica::Follow;
use zeroize::Zeroizing;

use super::derive::{self, Bound};
use super::keyring::{DataKey, DataKeys, FieldKeys, Keyring, index_name, name};
use super::path::At;
use super::sealed::absent;
use super::{
    BlindIndex, DataSubject, ErasureHolds, FieldCipher, FieldPath, KeyName, KeyNode, Mark, Marked,
    ProtectConfig, ProtectionError, Sealed, SubjectKeyId, SubjectKeyStore, is_reserved,
};
use crate::RetentionClass;
use crate::canonical::write_value;

/// Texts of values are filled up to a multiple of so many bytes, so that their length says little.
const BLOCK: usize = 32;

/// Protects values of events, opens them again, and erases them. Clones share it.
///
/// New values are protected with keys from a bounded memory; a key that is not there is fetched or made, for a whole batch at once. What
/// was erased here is forgotten at once, what was erased elsewhere once the change was [followed](Follow), and in any case after
/// [`ProtectConfig::key_lifetime_seconds`]. Values are opened with keys that were just read, so what is erased is closed everywhere at once.
#[derive(Clone)]
pub struct Protection {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) keys: Keyring,
    pub(super) holds: Option<Arc<dyn ErasureHolds>>,
    sealed: AtomicU64,
    withheld: AtomicU64,
}

/// What was done since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtectionStats {
    /// Values protected.
    pub sealed: u64,
    /// Values of accepted events that are lost, since their keys were not to be had in time.
    pub withheld: u64,
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protection").field("keys", &self.shared.keys).finish_non_exhaustive()
    }
}

impl Protection {
    /// Sets it up over a store of keys. `secrets` wrap the data keys: without them nothing opens. Settings out of their range are for
    /// [`ProtectConfig::validate`] to refuse.
    #[expect(clippy::too_many_arguments, reason = "what an engine is given, once")]
    #[must_use]
    pub fn new(
        store: Arc<dyn SubjectKeyStore>,
        cipher: Arc<dyn FieldCipher>,
        secrets: KeyRing,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        ids: Arc<dyn IdGen>,
        random: Arc<dyn Random>,
        config: ProtectConfig,
    ) -> Self {
        let keys = Keyring::new(store, cipher, secrets, clock, timer, ids, random, config);
        let (sealed, withheld) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { keys, holds: None, sealed, withheld }) }
    }

    /// Asks `holds` before every erasure, beside the register of exceptions. To be called before it is shared.
    #[must_use]
    pub fn with_holds(mut self, holds: Arc<dyn ErasureHolds>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.holds = Some(holds);
        }
        self
    }

    /// Protects the marked fields of an event. Offered again, the same event gives the same bytes, unless its subject was erased between.
    ///
    /// # Errors
    /// [`ProtectionError`]; then nothing of the event may be recorded.
    pub async fn seal(&self, marked: Marked) -> Result<Event, ProtectionError> {
        let Marked { mut event, marks } = marked;
        refuse_reserved(&event)?;
        if let Some(absent) = marks.iter().find(|mark| !mark.field.is_in(&event)) {
            return Err(ProtectionError::NoValue { field: absent.field.clone() });
        }
        let keys = self.shared.keys.keys(wanted(&event, &marks)).await?;
        for mark in &marks {
            self.seal_one(&mut event, mark, &keys)?;
        }
        Ok(event)
    }

    /// Returns the word by which values like this one are found in a field.
    ///
    /// # Errors
    /// [`ProtectionError`] for a value that none is found by, and when the key cannot be had.
    pub async fn index(
        &self,
        scope: Scope,
        field: &FieldPath,
        value: &Detail,
    ) -> Result<BlindIndex, ProtectionError> {
        let name = index_name(scope);
        let keys = self.shared.keys.keys(vec![name.clone()]).await?;
        let key = keys.get(&name).ok_or(ProtectionError::Busy)?;
        word(key, field, value)
    }

    /// Wraps the keys of older versions of the secret with the current one, and returns how many there were. After that the older
    /// versions can go.
    ///
    /// # Errors
    /// [`ProtectionError::NoVersion`] for a key whose version is gone already, and failures of the store.
    pub async fn rewrap(&self) -> Result<u64, ProtectionError> {
        self.shared.keys.rewrap().await
    }

    /// Returns what was done.
    #[must_use]
    pub fn stats(&self) -> ProtectionStats {
        ProtectionStats {
            sealed: self.shared.sealed.load(Ordering::Relaxed),
            withheld: self.shared.withheld.load(Ordering::Relaxed),
        }
    }

    /// Returns what of an event is protected whoever records it.
    pub(super) fn configured(&self, event: &Event) -> Vec<Mark> {
        let ProtectConfig { fields, searchable, .. } = &self.shared.keys.config;
        let there = fields.iter().filter(|field| field.is_in(event));
        let mark = |field: &FieldPath| Mark {
            field: field.clone(),
            subject: None,
            searchable: searchable.contains(field),
        };
        there.map(mark).collect()
    }

    /// Returns what is there of keys.
    pub(crate) async fn kept_of(
        &self,
        scope: Scope,
        ids: &[SubjectKeyId],
    ) -> Result<Vec<(SubjectKeyId, KeyNode)>, StoreError> {
        let kept = self.shared.keys.store.by_id(scope, ids).await?;
        Ok(kept.into_iter().map(|key| (key.id, key.node)).collect())
    }

    /// Finds the keys for marks of many events.
    pub(super) async fn keys(&self, names: Vec<KeyName>) -> Result<DataKeys, ProtectionError> {
        self.shared.keys.keys(names).await
    }

    /// Protects a field of an event that was accepted already: what cannot be protected is withheld.
    pub(super) fn seal_or_withhold(&self, event: &mut Event, mark: &Mark, keys: &DataKeys) {
        let mut mark = mark.clone();
        loop {
            match self.seal_one(event, &mark, keys) {
                Ok(()) => return,
                // What none is found by is protected all the same.
                Err(ProtectionError::Value { .. }) if mark.searchable => mark.searchable = false,
                Err(_) => break,
            }
        }
        let mut count = 0;
        let withhold = &mut |_: At<'_>, value: &Detail| {
            // One of several values may have been protected before another failed.
            if is_reserved(value) {
                return Ok::<_, std::convert::Infallible>(value.clone());
            }
            count += 1;
            Ok(absent("withheld"))
        };
        let (Ok(_) | Err(_)) = mark.field.replace(event, withhold);
        self.shared.withheld.fetch_add(count, Ordering::Relaxed);
    }

    fn seal_one(&self, event: &mut Event, mark: &Mark, keys: &DataKeys) -> Result<(), ProtectionError> {
        let missing = || ProtectionError::Busy;
        let scope = event.scope;
        let key = keys.get(&key_name(event, mark)).ok_or_else(missing)?;
        let index = mark.searchable.then(|| keys.get(&index_name(scope)).ok_or_else(missing)).transpose()?;
        let class = RetentionClass::of(event.category);
        let stored = mark.field.stored();
        let field = FieldKeys::new(derive::field(&derive::class(&key.root, class), stored));
        let cipher = &self.shared.keys.cipher;
        let id = event.id;
        let seal = &mut |at: At<'_>, value: &Detail| {
            // Recorded again, or by a configuration that says the same as the producer.
            if is_reserved(value) {
                return Ok(value.clone());
            }
            let bound = Bound {
                scope,
                class,
                event: id,
                field: at.field,
                side: at.side,
                key: key.id,
                cipher: cipher.name(),
            };
            let additional = bound.additional();
            let index = index.map(|index| word(index, &mark.field, value)).transpose()?;
            let clear = text_of(value).ok_or_else(|| ProtectionError::Value {
                field: mark.field.clone(),
                rule: "numbers are within ±(2^53 − 1), and nothing is nested too deep",
            })?;
            let nonce = derive::nonce(&field.field, &additional, &clear);
            let ciphertext = cipher.seal(&field.seal, &nonce, &additional, &clear);
            let ciphertext = ciphertext.ok_or_else(|| ProtectionError::Value {
                field: mark.field.clone(),
                rule: "it is too long",
            })?;
            let sealed = Sealed { cipher: cipher.name().into(), key: key.id, nonce, ciphertext, index };
            Ok(sealed.to_detail())
        };
        let count = mark.field.replace::<ProtectionError>(event, seal)?;
        self.shared.sealed.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(())
    }
}

/// Returns the names of the keys for marks of an event.
pub(super) fn wanted(event: &Event, marks: &[Mark]) -> Vec<KeyName> {
    let mut names: Vec<KeyName> = marks.iter().map(|mark| key_name(event, mark)).collect();
    if marks.iter().any(|mark| mark.searchable) {
        names.push(index_name(event.scope));
    }
    names
}

fn key_name(event: &Event, mark: &Mark) -> KeyName {
    let subject = mark.subject.clone().unwrap_or_else(|| DataSubject::of(event));
    name(event.scope, subject, event.occurred_at)
}

/// Whoever could write a value in the form of a protected one could have it taken for one.
pub(super) fn refuse_reserved(event: &Event) -> Result<(), ProtectionError> {
    let mut copy = event.clone();
    let mut found = None;
    super::path::each(&mut copy, &is_reserved, &mut |at, value| {
        found.get_or_insert_with(|| at.field.to_owned());
        value.clone()
    });
    found.map_or(Ok(()), |field| Err(ProtectionError::Reserved { field }))
}

/// The text that is encrypted: canonical JSON, filled up with spaces.
fn text_of(value: &Detail) -> Option<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(4 * BLOCK));
    write_value(&mut text, value)?;
    let filled = text.len().next_multiple_of(BLOCK);
    text.resize(filled, b' ');
    Some(text)
}

/// The word that a value is found by: of texts without what people write differently.
fn word(key: &DataKey, field: &FieldPath, value: &Detail) -> Result<BlindIndex, ProtectionError> {
    let text = Zeroizing::new(match value {
        Detail::Text(text) => text.as_str().trim().to_lowercase(),
        Detail::Integer(number) => number.to_string(),
        Detail::Bool(value) => value.to_string(),
        Detail::Null | Detail::List(_) | Detail::Map(_) => {
            let rule = "only texts, whole numbers and booleans can be searched for";
            return Err(ProtectionError::Value { field: field.clone(), rule });
        }
    });
    Ok(derive::index(&key.root, field.stored(), &text))
}

#[async_trait]
impl Follow for Protection {
    async fn changed(&self, entries: &[FeedEntry]) -> Result<(), StoreError> {
        for entry in entries {
            for subject in entry.keys.iter().filter_map(|key| key.strip_prefix("subject/")) {
                self.shared.keys.forget(entry.scope, Some(subject));
            }
        }
        Ok(())
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.shared.keys.forget_all();
        Ok(())
    }
}
