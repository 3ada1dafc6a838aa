use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stanchion_core::{
    Authentication, AuthenticationMethod, Clock, KeyId, Principal, StoreError, SystemScope, Timestamp,
};
use stanchion_replica::Cache;

use crate::api_key::Terms;
use crate::{ApiKey, Config, KeyHash, KeyStore, Outcome, Rejection, RejectionReason};

const LOOK_UP: SystemScope = SystemScope::new("credential look-up");

/// The secrets that memory knows, by their hash under the newest pepper, and the texts known to be none.
#[derive(Debug)]
pub(crate) struct Known {
    secrets: Cache<KeyHash, KnownSecret>,
    /// What is looked up just now, and what was found to be no key.
    looked_up: Cache<KeyHash, Option<KnownSecret>>,
    changes: Changes,
}

/// A secret as it was read from the store.
#[derive(Clone, Debug)]
pub(crate) struct KnownSecret {
    principal: Arc<Principal>,
    key: KeyId,
    terms: Terms,
    /// The number of changes that were known when the reading began.
    read_at_change: u64,
}

impl KnownSecret {
    fn new(key: &ApiKey, hash: &KeyHash, read_at_change: u64) -> Option<Self> {
        let principal = Principal {
            scope: key.scope,
            subject: key.subject.clone(),
            authentication: Authentication { method: AuthenticationMethod::ApiKey, key: Some(key.id) },
        };
        Some(Self { principal: Arc::new(principal), key: key.id, terms: key.terms(hash)?, read_at_change })
    }

    fn outcome(&self, now: Timestamp, ip: Option<IpAddr>) -> Outcome {
        match self.terms.check(now, ip) {
            Ok(()) => Outcome::Authenticated(Arc::clone(&self.principal)),
            Err(reason) => {
                let scope = Some(self.principal.scope);
                Outcome::Rejected(Rejection { reason, key: Some(self.key), scope })
            }
        }
    }
}

impl Known {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            secrets: Cache::new(config.cached_keys),
            looked_up: Cache::new(config.cached_unknown),
            changes: Changes::new(config.cached_keys),
        }
    }

    /// Answers from memory; `None` when it does not know.
    pub(crate) fn get(&self, hash: &KeyHash, now: Timestamp, ip: Option<IpAddr>) -> Option<Outcome> {
        let look = |secret: &KnownSecret| self.is_current(secret).then(|| secret.outcome(now, ip));
        if let Some(outcome) = self.secrets.with(hash, now, look).flatten() {
            return Some(outcome);
        }
        let nothing = self.looked_up.with(hash, now, Option::is_none)?;
        nothing.then(|| Outcome::Rejected(Rejection::of_nobody(RejectionReason::Unknown)))
    }

    /// Answers from the store, and keeps the answer. `older` are the hashes under the older peppers.
    pub(crate) async fn look_up(
        &self,
        store: &dyn KeyStore,
        clock: &dyn Clock,
        config: &Config,
        hash: KeyHash,
        older: impl Fn() -> Vec<KeyHash>,
        ip: Option<IpAddr>,
    ) -> Result<Outcome, StoreError> {
        let asked_at_change = self.changes.count();
        loop {
            let load = || async {
                let (began, read_at_change) = (clock.now(), self.changes.count());
                let kept = self.secrets.get(&hash, began).filter(|secret| self.is_current(secret));
                if kept.is_some() {
                    // Another call has read it since this one looked.
                    return Ok((kept, Timestamp::MIN));
                }
                let hashes: Vec<KeyHash> = std::iter::once(hash).chain(older()).collect();
                let found = store.find(LOOK_UP, &hashes).await?;
                let secret = found.and_then(|key| {
                    let secret = |hash| KnownSecret::new(&key.value, hash, read_at_change);
                    hashes.iter().find_map(secret)
                });
                // Only what is no key stays among the looked-up: what is one has its place among the secrets.
                let until = match &secret {
                    None => began.plus(config.unknown_for()),
                    Some(secret) => {
                        self.secrets.insert(hash, secret.clone(), began.plus(config.max_stale()));
                        Timestamp::MIN
                    }
                };
                Ok((secret, until))
            };
            let Some(secret) = self.looked_up.get_or_load(&hash, clock, load).await? else {
                return Ok(Outcome::Rejected(Rejection::of_nobody(RejectionReason::Unknown)));
            };
            // The reading may have begun before this call did, and missed a revocation that the caller knows of. Then the next one
            // cannot have.
            if secret.read_at_change >= asked_at_change || self.is_current(&secret) {
                return Ok(secret.outcome(clock.now(), ip));
            }
        }
    }

    /// Makes memory forget what it knows of a key.
    pub(crate) fn forget(&self, key: KeyId) {
        self.changes.note(key);
    }

    /// Makes memory forget that this is no key.
    pub(crate) fn forget_unknown(&self, hash: &KeyHash) {
        self.looked_up.remove(hash);
    }

    /// Makes memory forget everything.
    pub(crate) fn forget_all(&self) {
        self.changes.note_all();
        self.looked_up.clear();
    }

    /// Keeps what is known of keys until `instant`, since the owner has followed their changes.
    pub(crate) fn trust_until(&self, instant: Timestamp) {
        self.secrets.trust_until(instant);
    }

    fn is_current(&self, secret: &KnownSecret) -> bool {
        self.changes.last(secret.key) <= secret.read_at_change
    }
}

/// Numbers the changes of keys, and remembers the last one of each key; of keys that share a place, the last one of any. What was read
/// before a key's last change is out of date, also when the reading ends after it.
#[derive(Debug)]
struct Changes {
    count: AtomicU64,
    last: Box<[AtomicU64]>,
}

impl Changes {
    fn new(keys: usize) -> Self {
        let places = keys.next_power_of_two().clamp(1 << 10, 1 << 17);
        Self { count: AtomicU64::new(0), last: (0..places).map(|_| AtomicU64::new(0)).collect() }
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    fn last(&self, key: KeyId) -> u64 {
        self.place(key).map_or(u64::MAX, |last| last.load(Ordering::SeqCst))
    }

    fn note(&self, key: KeyId) {
        let number = self.count.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        if let Some(last) = self.place(key) {
            last.fetch_max(number, Ordering::SeqCst);
        }
    }

    fn note_all(&self) {
        let number = self.count.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        for last in &self.last {
            last.fetch_max(number, Ordering::SeqCst);
        }
    }

    fn place(&self, key: KeyId) -> Option<&AtomicU64> {
        // The low 32 bits of a version 7 UUID are random (RFC 9562 section 5.7).
        let (_, low) = key.uuid().as_u64_pair();
        let place = usize::try_from(low & 0xFFFF_FFFF).ok()?;
        self.last.get(place & self.last.len().checked_sub(1)?)
    }
}
