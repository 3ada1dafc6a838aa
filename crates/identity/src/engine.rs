use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stanchion_core::{
    Author, Change, Clock, Detail, Details, Event, FeedEntry, FieldChange, IdGen, KeyId, KeyRing, Page,
    PageRequest, Random, ResourceRef, Revision, Scope, Severity, StoreError, StoreErrorKind, Timestamp,
    Versioned,
};
use stanchion_replica::Follow;

use crate::api_key::NewSecret;
use crate::hash::Peppers;
use crate::known::Known;
use crate::{
    ApiKey, Config, Environment, Error, KeyChange, KeyStatus, KeyStore, NewKey, Outcome, PlainKey,
    PresentedKey, Rejection, RejectionReason,
};

/// How often a write is tried when others write at the same time; each try that fails means that another has succeeded.
const TRIES: u32 = 64;

/// Tells who calls with an API key, and issues, rotates and revokes keys.
///
/// Keys that were presented before are answered from a bounded cache, and each answer is checked anew against the key's expiry, the grace
/// of its former secret, its revocation and its networks. What this engine writes counts from its return on; what others write counts
/// once this engine has [followed](Follow) the change. While the store cannot be followed, keys that are in memory are accepted for
/// [`Config::max_stale_seconds`].
#[derive(Debug)]
pub struct Engine {
    store: Arc<dyn KeyStore>,
    peppers: Peppers,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    config: Config,
    known: Known,
}

impl Engine {
    /// Sets up an engine over a store. New secrets are hashed with the newest version of `peppers`, and found under any of them.
    /// `random` makes secrets and ids. Settings out of their range are for [`Config::validate`] to refuse.
    #[must_use]
    pub fn new(
        store: Arc<dyn KeyStore>,
        peppers: KeyRing,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        config: Config,
    ) -> Self {
        let known = Known::new(&config);
        Self { store, peppers: Peppers::new(&peppers), clock, random, config, known }
    }

    /// Answers from memory who calls with `presented` from `ip`: at once when the text is no key, or the key is known. `None` when
    /// memory does not know and [`Engine::authenticate`] has to be awaited.
    #[must_use]
    pub fn try_authenticate(&self, presented: &str, ip: Option<IpAddr>) -> Option<Outcome> {
        let Some(key) = PresentedKey::parse(presented) else { return Some(malformed()) };
        self.known.get(&self.peppers.newest(&key), self.clock.now(), ip)
    }

    /// Tells who calls with `presented` from `ip`, from memory or from the store. A text that has not the form of a key is rejected
    /// without a look at the store.
    ///
    /// However many present a key at once, it is read once. How long to wait for the store is the caller's to bound: the future may be
    /// dropped, and the next caller takes over the reading.
    ///
    /// # Errors
    /// [`Error::Store`] when memory does not know and the store cannot be read. Nobody is authenticated then.
    pub async fn authenticate(&self, presented: &str, ip: Option<IpAddr>) -> Result<Outcome, Error> {
        let Some(key) = PresentedKey::parse(presented) else { return Ok(malformed()) };
        let hash = self.peppers.newest(&key);
        if let Some(outcome) = self.known.get(&hash, self.clock.now(), ip) {
            return Ok(outcome);
        }
        let older = || self.peppers.older(&key).collect();
        let read = self.known.look_up(&*self.store, &*self.clock, &self.config, hash, older, ip);
        Ok(read.await?)
    }

    /// Issues a key. The plain key is returned here and nowhere else, ever.
    ///
    /// # Errors
    /// [`Error::ExpiryPassed`] and [`Error::TooManyCidrs`] for a key that cannot be; [`Error::Store`].
    pub async fn issue(&self, author: &Author, new: NewKey) -> Result<(Versioned<ApiKey>, PlainKey), Error> {
        let began = self.clock.now();
        let NewKey { scope, subject, name, environment, expires_at, cidrs } = new.checked(began)?;
        let environment = environment.unwrap_or_else(|| self.config.environment.clone());
        let (secret, plain) = self.make_secret(&environment);
        let key = ApiKey {
            id: self.random.key_id(began),
            scope,
            subject,
            name,
            environment,
            expires_at,
            status: KeyStatus::Active,
            cidrs,
            current: secret.generation(1, began),
            former: None,
        };
        let mut tries = 1;
        loop {
            let expected = self.store.revision(scope).await?;
            let at = self.clock.now();
            let event = self
                .event(author, at, "key.issue", &key)
                .with_detail("subject", key.subject.to_string())
                .with_detail("name", key.name.text().clone())
                .with_detail("environment", key.environment.to_string())
                .with_detail("expires_at", time(key.expires_at))
                .with_detail("cidrs", key.cidrs.iter().map(|net| net.to_string().into()).collect::<Vec<_>>());
            match self.commit(author, expected, at, key.clone(), event).await {
                Err(error) if is_conflict(&error) && tries < TRIES => tries += 1,
                written => return Ok((Versioned::created(key, written?, at), plain)),
            }
        }
    }

    /// Revokes a key with all of its secrets, for good. From the return on this engine rejects it. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] when the scope has no such key; [`Error::Store`].
    pub async fn revoke(&self, author: &Author, scope: Scope, id: KeyId) -> Result<Versioned<ApiKey>, Error> {
        self.change(author, scope, id, |before, at, event| {
            event.action = "key.revoke".into();
            event.severity = Severity::Notice;
            Ok(before.revoked(at))
        })
        .await
    }

    /// Gives a key a new secret and returns it; the present one works for `grace` longer, but not beyond the key's expiry, which stays
    /// what it is. With no grace every older secret is over at once.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] when the scope has no such key; [`Error::Revoked`] and [`Error::Expired`] for a key that does not work any
    /// more; [`Error::InGrace`] when the secret before the present one still works and `grace` is not zero; [`Error::Store`].
    pub async fn rotate(
        &self,
        author: &Author,
        scope: Scope,
        id: KeyId,
        grace: Duration,
    ) -> Result<(Versioned<ApiKey>, PlainKey), Error> {
        let found = self.get(scope, id).await?.ok_or(Error::UnknownKey(id))?;
        let (secret, plain) = self.make_secret(&found.value.environment);
        let rotated = self
            .change(author, scope, id, |before, at, event| {
                let key = before.rotated(secret.clone(), at, grace)?;
                event.action = "key.rotate".into();
                event.details.push("prefix", key.current.prefix.clone());
                event.details.push("generation", key.current.number);
                event
                    .details
                    .push("former_not_after", time(key.former.as_ref().map(|former| former.not_after)));
                Ok(key)
            })
            .await?;
        Ok((rotated, plain))
    }

    /// Finds a key of a scope.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn get(&self, scope: Scope, id: KeyId) -> Result<Option<Versioned<ApiKey>>, Error> {
        Ok(self.store.get(scope, id).await?)
    }

    /// Lists the keys of a scope, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read, or the page begins after a key that is none of its own.
    pub async fn list(&self, scope: Scope, page: &PageRequest) -> Result<Page<Versioned<ApiKey>>, Error> {
        Ok(self.store.list(scope, page).await?)
    }

    /// Reads a key, lets `rule` make the new one and complete the event, and writes it; again from the start when others wrote to the
    /// scope meanwhile.
    async fn change(
        &self,
        author: &Author,
        scope: Scope,
        id: KeyId,
        rule: impl Fn(&ApiKey, Timestamp, &mut Event) -> Result<ApiKey, Error>,
    ) -> Result<Versioned<ApiKey>, Error> {
        let mut tries = 1;
        loop {
            let expected = self.store.revision(scope).await?;
            let before = self.store.get(scope, id).await?.ok_or(Error::UnknownKey(id))?;
            let at = self.clock.now();
            let mut event = self.event(author, at, "key.update", &before.value);
            let key = rule(&before.value, at, &mut event)?;
            if key == before.value {
                return Ok(before);
            }
            event.changes = changes(&before.value, &key);
            match self.commit(author, expected, at, key.clone(), event).await {
                Err(error) if is_conflict(&error) && tries < TRIES => tries += 1,
                written => return Ok(before.replaced(key, written?, at)),
            }
        }
    }

    async fn commit(
        &self,
        author: &Author,
        expected: Revision,
        at: Timestamp,
        key: ApiKey,
        event: Event,
    ) -> Result<Revision, Error> {
        // Dropped while it waits, or failed without an answer, the change may have been written all the same.
        let _forget = Forget { known: &self.known, key: key.id };
        let (scope, hash) = (key.scope, key.current.hash);
        let change = Change {
            expected,
            changes: vec![KeyChange::Put(key)],
            at,
            actor: author.actor.clone(),
            events: vec![event],
        };
        let revision = self.store.apply(scope, change).await?;
        self.known.forget_unknown(&hash);
        Ok(revision)
    }

    fn make_secret(&self, environment: &Environment) -> (NewSecret, PlainKey) {
        let plain = PlainKey::generate(environment, &*self.random);
        let presented = plain.presented();
        let prefix = presented.prefix().to_owned().into();
        (NewSecret { prefix, hash: self.peppers.newest(&presented) }, plain)
    }

    fn event(&self, author: &Author, at: Timestamp, action: &'static str, key: &ApiKey) -> Event {
        let mut event = author.event(&self.random, at, key.scope, action);
        event.targets.extend(ResourceRef::new("key", key.id.to_string()));
        event.with_detail("prefix", key.current.prefix.clone())
    }
}

#[async_trait]
impl Follow for Engine {
    async fn changed(&self, entries: &[FeedEntry]) -> Result<(), StoreError> {
        for key in entries.iter().flat_map(|entry| &entry.keys) {
            match key.parse() {
                Ok(id) => self.known.forget(id),
                Err(_) => self.known.forget_all(),
            }
        }
        Ok(())
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.known.forget_all();
        Ok(())
    }

    fn caught_up(&self, as_of: Timestamp) {
        self.known.trust_until(as_of.plus(self.config.max_stale()));
    }
}

/// Makes memory forget a key when it goes out of scope.
struct Forget<'a> {
    known: &'a Known,
    key: KeyId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.known.forget(self.key);
    }
}

fn malformed() -> Outcome {
    Outcome::Rejected(Rejection::of_nobody(RejectionReason::Malformed))
}

fn time(at: Option<Timestamp>) -> Detail {
    at.map_or(Detail::Null, |at| at.to_string().into())
}

/// What a change has made of a key. Of a secret it tells that there is another one.
fn changes(before: &ApiKey, after: &ApiKey) -> Vec<FieldChange> {
    let fields = |key: &ApiKey| {
        let status = match key.status {
            KeyStatus::Active => "active",
            KeyStatus::Revoked { .. } => "revoked",
        };
        let secret = (key.current.number, key.current.prefix.clone());
        Details::from_iter([
            ("status", Detail::from(status)),
            ("generation", secret.0.into()),
            ("secret", secret.1.into()),
        ])
    };
    let kept =
        |change: FieldChange| if change.field.as_str() == "secret" { change.redacted() } else { change };
    FieldChange::between(&fields(before), &fields(after)).into_iter().map(kept).collect()
}

fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Store(error) if error.kind() == StoreErrorKind::Conflict)
}
