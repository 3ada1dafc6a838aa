use std::sync::Arc;

use stanchion_core::{
    Author, Change, IdGen, KeyId, PageRequest, Random, Revision, Scope, SeededRandom, StoreErrorKind,
    SubjectRef, SystemScope, Timestamp, Versioned,
};
use stanchion_replica::OutboxStore;

use crate::{ApiKey, Former, Generation, KeyChange, KeyHash, KeyStatus, KeyStore};

/// An empty store under test, and the outbox that its changes fill.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn KeyStore>,
    /// Where the events of its changes are.
    pub outbox: Arc<dyn OutboxStore>,
}

pub(super) const SYSTEM: SystemScope = SystemScope::new("conformance");

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_772_000_000_000_001 + second * 1_000_000)
}

pub(super) fn tenant(random: &SeededRandom) -> Scope {
    Scope::Tenant(random.tenant_id(at(0)))
}

pub(super) fn generation(random: &SeededRandom, number: u32, second: i64) -> Generation {
    let mut digest = [0; 32];
    random.fill(&mut digest);
    let hash = KeyHash::from_parts(2, digest);
    Generation { number, prefix: format!("stn_live_{number:04}").into(), hash, created_at: at(second) }
}

pub(super) fn key(random: &SeededRandom, scope: Scope, second: i64) -> ApiKey {
    ApiKey {
        id: random.key_id(at(second)),
        scope,
        subject: SubjectRef::service(format!("service-{second}")).expect("a subject"),
        name: format!("The key of {second}").parse().expect("a name"),
        environment: "live".parse().expect("an environment"),
        expires_at: None,
        status: KeyStatus::Active,
        cidrs: Vec::new(),
        current: generation(random, 1, second),
        former: None,
    }
}

/// The key after a rotation.
pub(super) fn rotated(random: &SeededRandom, key: &ApiKey, second: i64) -> ApiKey {
    let current = generation(random, key.current.number + 1, second);
    let former = Some(Former { generation: key.current.clone(), not_after: at(second + 60) });
    ApiKey { current, former, ..key.clone() }
}

/// A change that puts `keys`, with one event for each.
pub(super) fn puts(expected: u64, second: i64, keys: &[&ApiKey]) -> Change<KeyChange> {
    let author = Author::system("conformance");
    let ids = SeededRandom::new(expected.wrapping_mul(1_000_003) ^ second.unsigned_abs());
    let event = |key: &&ApiKey| {
        let event = author.event(&ids, at(second), key.scope, "key.update");
        event.with_detail("key", key.id.to_string())
    };
    Change {
        expected: Revision::from_number(expected),
        changes: keys.iter().map(|key| KeyChange::Put((*key).clone())).collect(),
        at: at(second),
        actor: author.actor.clone(),
        events: keys.iter().map(event).collect(),
    }
}

impl Fixture {
    pub(super) async fn put(
        &self,
        scope: Scope,
        expected: u64,
        second: i64,
        keys: &[&ApiKey],
    ) -> Result<u64, StoreErrorKind> {
        let revision = self.store.apply(scope, puts(expected, second, keys)).await;
        revision.map(Revision::number).map_err(|error| error.kind())
    }

    pub(super) async fn revision(&self, scope: Scope) -> u64 {
        self.store.revision(scope).await.expect("reads").number()
    }

    pub(super) async fn get(&self, scope: Scope, id: KeyId) -> Option<Versioned<ApiKey>> {
        self.store.get(scope, id).await.expect("reads")
    }

    pub(super) async fn find(&self, hashes: &[KeyHash]) -> Option<ApiKey> {
        self.store.find(SYSTEM, hashes).await.expect("reads").map(|key| key.value)
    }

    pub(super) async fn events(&self) -> usize {
        self.outbox.pending(SYSTEM, 1_000).await.expect("reads").len()
    }
}

pub(super) async fn everything(store: &dyn KeyStore, scope: Scope, limit: usize) -> Vec<Versioned<ApiKey>> {
    let (mut all, mut request) = (Vec::new(), PageRequest::first(limit));
    loop {
        let page = store.list(scope, &request).await.expect("reads");
        all.extend(page.items);
        match page.next {
            Some(next) => request = request.after(next),
            None => return all,
        }
    }
}
