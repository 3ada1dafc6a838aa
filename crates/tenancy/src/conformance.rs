//! The suite of [`TenantStore`]: every adapter passes it, ours and yours.
//!
//! The factory returns an empty store, and the outbox that its changes fill.

#![expect(clippy::expect_used, reason = "a suite fails by panicking")]

use std::sync::Arc;

use stanchion_core::{
    Author, Change, IdGen, Page, PageRequest, Revision, Scope, SeededRandom, Slug, StoreError,
    StoreErrorKind, SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::OutboxStore;

use crate::{MemoryTenantStore, Tenant, TenantChange, TenantStatus, TenantStore};

/// An empty store under test, and the outbox that its changes fill.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn TenantStore>,
    /// Where the events of its changes are.
    pub outbox: Arc<dyn OutboxStore>,
}

const SYSTEM: SystemScope = SystemScope::new("conformance");

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_772_000_000_000_000 + second * 1_000_000)
}

fn tenant(ids: &SeededRandom, second: i64, slug: &str) -> Tenant {
    Tenant {
        id: ids.tenant_id(at(second)),
        slug: slug.parse().expect("a slug"),
        name: format!("The tenant {slug}").parse().expect("a name"),
        status: TenantStatus::Active,
        tier: "basic".parse().expect("a slug"),
    }
}

/// A change that puts `tenants`, with one event for each.
fn puts(expected: u64, second: i64, tenants: &[&Tenant]) -> Change<TenantChange> {
    let author = Author::system("conformance");
    let ids = SeededRandom::new(expected.wrapping_mul(1_000_003) ^ second.unsigned_abs());
    let event = |tenant: &&Tenant| {
        let event = author.event(&ids, at(second), Scope::Platform, "tenant.update");
        event.with_detail("slug", tenant.slug.to_string())
    };
    Change {
        expected: Revision::from_number(expected),
        changes: tenants.iter().map(|tenant| TenantChange::Put((*tenant).clone())).collect(),
        at: at(second),
        actor: author.actor.clone(),
        events: tenants.iter().map(event).collect(),
    }
}

impl Fixture {
    async fn put(&self, expected: u64, second: i64, tenants: &[&Tenant]) -> Result<u64, StoreErrorKind> {
        let revision = self.store.apply(SYSTEM, puts(expected, second, tenants)).await;
        revision.map(Revision::number).map_err(|error| error.kind())
    }

    async fn revision(&self) -> u64 {
        self.store.revision(SYSTEM).await.expect("reads").number()
    }

    async fn get(&self, id: TenantId) -> Option<Versioned<Tenant>> {
        self.store.get(SYSTEM, id).await.expect("reads")
    }

    async fn owner(&self, slug: &Slug) -> Option<TenantId> {
        self.store.by_slug(SYSTEM, slug).await.expect("reads").map(|tenant| tenant.value.id)
    }

    async fn events(&self) -> usize {
        self.outbox.pending(SYSTEM, 1_000).await.expect("reads").len()
    }
}

async fn everything(store: &dyn TenantStore, limit: usize) -> Vec<Versioned<Tenant>> {
    let (mut all, mut request) = (Vec::new(), PageRequest::first(limit));
    loop {
        let page: Page<_> = store.list(SYSTEM, &request).await.expect("reads");
        all.extend(page.items);
        match page.next {
            Some(next) => request = request.after(next),
            None => return all,
        }
    }
}

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $fixture:ident => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($fixture: Fixture) $body)+

        /// Runs the suite of `TenantStore`: `tenant_store_conformance!(mod memory_tenant_store, factory());`, where the factory is an
        /// expression that returns a future of a [`Fixture`](crate::conformance::Fixture) whose store is empty.
        #[macro_export]
        macro_rules! tenant_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() { $crate::conformance::$case($dollar factory.await).await; })+
                }
            };
        }
    };
}

suite! { $
    /// An empty store is at revision zero and finds nothing.
    empty_is_at_revision_zero: fixture => {
        let ids = SeededRandom::new(1);
        assert_eq!(fixture.revision().await, 0);
        assert_eq!(fixture.get(ids.tenant_id(at(0))).await, None);
        assert_eq!(fixture.owner(&tenant(&ids, 0, "acme").slug).await, None);
        assert_eq!(everything(&*fixture.store, 10).await, []);
    }

    /// A tenant is read back by id and by slug as it was written.
    reads_back_what_was_written: fixture => {
        let acme = Tenant { status: TenantStatus::Suspended, ..tenant(&SeededRandom::new(2), 0, "acme") };
        assert_eq!(fixture.put(0, 1, &[&acme]).await, Ok(1));
        let expected = Versioned::created(acme.clone(), Revision::from_number(1), at(1));
        assert_eq!(fixture.get(acme.id).await, Some(expected.clone()));
        assert_eq!(fixture.store.by_slug(SYSTEM, &acme.slug).await.expect("reads"), Some(expected));
        assert_eq!(fixture.revision().await, 1);
    }

    /// A replaced tenant keeps the time of its first write; others keep their revision.
    replacing_keeps_the_first_time: fixture => {
        let ids = SeededRandom::new(3);
        let (acme, other) = (tenant(&ids, 0, "acme"), tenant(&ids, 0, "other"));
        fixture.put(0, 1, &[&acme, &other]).await.expect("writes");
        let changed = Tenant { name: "Acme 2".parse().expect("a name"), tier: "premium".parse().expect("a slug"), ..acme.clone() };
        assert_eq!(fixture.put(1, 5, &[&changed]).await, Ok(2));
        let first = Versioned::created(acme, Revision::from_number(1), at(1));
        let second = first.replaced(changed, Revision::from_number(2), at(5));
        assert_eq!(fixture.get(second.value.id).await, Some(second));
        assert_eq!(fixture.get(other.id).await.expect("is there").revision.number(), 1);
    }

    /// A change against another revision than the present one is a conflict and leaves no trace.
    a_stale_change_leaves_no_trace: fixture => {
        let ids = SeededRandom::new(4);
        let (acme, other) = (tenant(&ids, 0, "acme"), tenant(&ids, 0, "other"));
        fixture.put(0, 1, &[&acme]).await.expect("writes");
        for expected in [0, 2, 7] {
            assert_eq!(fixture.put(expected, 2, &[&other]).await, Err(StoreErrorKind::Conflict), "{expected}");
        }
        let thief = Tenant { slug: acme.slug, ..other.clone() };
        assert_eq!(fixture.put(0, 2, &[&thief]).await, Err(StoreErrorKind::Conflict));
        assert_eq!((fixture.revision().await, fixture.events().await), (1, 1));
        assert_eq!(fixture.get(other.id).await, None);
        assert_eq!(fixture.owner(&other.slug).await, None);
    }

    /// A slug that belongs to another tenant is refused, and nothing of the change is written.
    a_taken_slug_is_refused_whole: fixture => {
        let ids = SeededRandom::new(5);
        let (acme, thief, innocent) = (tenant(&ids, 0, "acme"), tenant(&ids, 0, "acme"), tenant(&ids, 0, "new"));
        fixture.put(0, 1, &[&acme]).await.expect("writes");
        assert_eq!(fixture.put(1, 2, &[&innocent, &thief]).await, Err(StoreErrorKind::AlreadyExists));
        assert_eq!((fixture.revision().await, fixture.events().await), (1, 1));
        assert_eq!(fixture.get(innocent.id).await, None);
        assert_eq!(fixture.owner(&acme.slug).await, Some(acme.id));
    }

    /// Writes of one change are checked against those before them.
    one_change_cannot_give_a_slug_twice: fixture => {
        let ids = SeededRandom::new(6);
        let (first, second) = (tenant(&ids, 0, "acme"), tenant(&ids, 0, "acme"));
        assert_eq!(fixture.put(0, 1, &[&first, &second]).await, Err(StoreErrorKind::AlreadyExists));
        assert_eq!((fixture.revision().await, fixture.events().await), (0, 0));
        let renamed = Tenant { slug: "renamed".parse().expect("a slug"), ..first.clone() };
        assert_eq!(fixture.put(0, 1, &[&first, &renamed, &second]).await, Ok(1));
        assert_eq!(fixture.owner(&renamed.slug).await, Some(first.id));
        assert_eq!(fixture.owner(&second.slug).await, Some(second.id));
    }

    /// A slug that its tenant gave up is nobody's.
    a_dropped_slug_is_free: fixture => {
        let ids = SeededRandom::new(12);
        let acme = tenant(&ids, 0, "acme");
        let renamed = Tenant { slug: "renamed".parse().expect("a slug"), ..acme.clone() };
        fixture.put(0, 1, &[&acme]).await.expect("writes");
        fixture.put(1, 2, &[&renamed]).await.expect("writes");
        assert_eq!(fixture.owner(&acme.slug).await, None);
        let next = tenant(&ids, 0, "acme");
        assert_eq!(fixture.put(2, 3, &[&next]).await, Ok(3));
        assert_eq!(fixture.owner(&acme.slug).await, Some(next.id));
        assert_eq!(fixture.owner(&renamed.slug).await, Some(renamed.id));
    }

    /// The list is in the order of the ids and its pages cover it once.
    pages_cover_the_list_once: fixture => {
        let ids = SeededRandom::new(7);
        let mut tenants: Vec<Tenant> =
            [5, 1, 4, 2, 3, 0, 6].into_iter().map(|second| tenant(&ids, second, &format!("t{second}"))).collect();
        fixture.put(0, 9, &tenants.iter().collect::<Vec<_>>()).await.expect("writes");
        tenants.sort_by_key(|tenant| tenant.id);
        for limit in [1, 3, 7, 10] {
            let listed = everything(&*fixture.store, limit).await;
            assert!(listed.iter().map(|tenant| &tenant.value).eq(tenants.iter()), "pages of {limit}");
        }
        let nonsense = PageRequest::first(10).after("nonsense");
        let error = fixture.store.list(SYSTEM, &nonsense).await.expect_err("is no page key");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }

    /// The events of a change are in the outbox, in order, and only theirs.
    events_are_committed_with_their_change: fixture => {
        let ids = SeededRandom::new(8);
        let (a, b) = (tenant(&ids, 0, "a"), tenant(&ids, 0, "b"));
        let changes = [puts(0, 1, &[&a, &b]), puts(1, 2, &[&b])];
        let expected: Vec<_> = changes.iter().flat_map(|change| change.events.clone()).collect();
        for change in changes {
            fixture.store.apply(SYSTEM, change).await.expect("writes");
        }
        let pending = fixture.outbox.pending(SYSTEM, 10).await.expect("reads");
        assert_eq!(pending.into_iter().map(|record| record.event).collect::<Vec<_>>(), expected);
    }

    /// The feed begins at the present, names what each change wrote, and leaves none out between two pages.
    the_feed_names_what_changed: fixture => {
        let ids = SeededRandom::new(9);
        let (a, b) = (tenant(&ids, 0, "a"), tenant(&ids, 0, "b"));
        fixture.put(0, 1, &[&a]).await.expect("writes");
        let start = fixture.store.changes(SYSTEM, None, 10).await.expect("reads");
        assert!(start.reset && start.entries.is_empty());
        fixture.put(1, 2, &[&a, &b]).await.expect("writes");
        fixture.put(2, 3, &[&b]).await.expect("writes");
        let (mut cursor, mut seen) = (start.cursor, Vec::new());
        for _ in 0..3 {
            let page = fixture.store.changes(SYSTEM, Some(&cursor), 1).await.expect("reads");
            assert!(!page.reset);
            cursor = page.cursor;
            seen.extend(page.entries.into_iter().map(|entry| {
                assert_eq!(entry.scope, Scope::Platform);
                let keys: Vec<TenantId> = entry.keys.iter().map(|key| key.parse().expect("a tenant id")).collect();
                (entry.revision.number(), keys)
            }));
        }
        assert_eq!(seen, [(2, vec![a.id, b.id]), (3, vec![b.id])]);
    }

    /// Of those who write against one revision at the same time, one succeeds: no write builds on one that was lost.
    writers_at_once_lose_nothing: fixture => {
        let random = SeededRandom::new(10);
        let named = |tenant: &Tenant, number: u64| Tenant { name: number.to_string().parse().expect("a name"), ..tenant.clone() };
        let first = named(&tenant(&random, 0, "acme"), 0);
        fixture.put(0, 0, &[&first]).await.expect("writes");
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (fixture, id) = (fixture.clone(), first.id);
            writers.spawn(async move {
                let mut won = 0;
                for _ in 0..300 {
                    let expected = fixture.revision().await;
                    let present = fixture.get(id).await.expect("is there").value;
                    let number: u64 = present.name.as_str().parse().expect("a number");
                    match fixture.put(expected, 1, &[&named(&present, number + 1)]).await {
                        Ok(revision) => {
                            assert_eq!(revision, expected + 1);
                            won += 1;
                        }
                        Err(kind) => assert_eq!(kind, StoreErrorKind::Conflict),
                    }
                }
                won
            });
        }
        let won: u64 = writers.join_all().await.into_iter().sum();
        assert_eq!(fixture.get(first.id).await.expect("is there").value, named(&first, won));
        assert_eq!(fixture.revision().await, won + 1);
    }

    /// Of many who want one slug at the same time and try until they are answered, one gets it.
    one_of_many_gets_a_slug: fixture => {
        let ids = Arc::new(SeededRandom::new(11));
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (fixture, ids) = (fixture.clone(), Arc::clone(&ids));
            writers.spawn(async move {
                let tenant = tenant(&ids, 0, "acme");
                loop {
                    let expected = fixture.revision().await;
                    match fixture.put(expected, 1, &[&tenant]).await {
                        Err(StoreErrorKind::Conflict) => {}
                        result => return result,
                    }
                }
            });
        }
        let results = writers.join_all().await;
        assert_eq!(results.iter().filter(|result| **result == Ok(1)).count(), 1, "{results:?}");
        let refused = results.iter().filter(|result| **result == Err(StoreErrorKind::AlreadyExists)).count();
        assert_eq!(refused, 7, "{results:?}");
    }

    /// Random operations have the same outcome as in the memory reference.
    equals_the_memory_reference: fixture => {
        for seed in 0..4 {
            let revision = fixture.revision().await;
            model(&fixture.store, revision, seed).await;
        }
    }
}

/// Runs 300 random operations on the store and on the reference, which starts from what the store holds.
async fn model(store: &Arc<dyn TenantStore>, revision: u64, seed: u64) {
    let random = SeededRandom::new(0x7e4a_0000 + seed);
    let pick = |bound: u64| random.next_u64() % bound;
    let reference = MemoryTenantStore::new(None);
    for expected in 0..revision {
        reference.apply(SYSTEM, puts(expected, 0, &[])).await.expect("writes");
    }
    let outcome = |result: Result<Revision, StoreError>| result.map_err(|error| error.kind());
    let mut known: Vec<Tenant> = Vec::new();
    for step in 0..300_i64 {
        let mut parts = Vec::new();
        for _ in 0..=pick(2) {
            let slug = format!("s{seed}-{}", pick(12));
            let chosen = usize::try_from(random.next_u64() % 16).ok().and_then(|index| known.get(index));
            let mut part = chosen.cloned().unwrap_or_else(|| tenant(&random, step, &slug));
            if pick(3) == 0 {
                part.slug = slug.parse().expect("a slug");
            }
            part.status = if pick(2) == 0 { TenantStatus::Active } else { TenantStatus::Suspended };
            parts.push(part);
        }
        let at = reference.revision(SYSTEM).await.expect("reads").number();
        let expected = if pick(5) == 0 { at.saturating_sub(1) } else { at };
        let change = puts(expected, step, &parts.iter().collect::<Vec<_>>());
        let ours = outcome(reference.apply(SYSTEM, change.clone()).await);
        assert_eq!(outcome(store.apply(SYSTEM, change).await), ours, "seed {seed}, step {step}");
        if ours.is_ok() {
            known.retain(|tenant| parts.iter().all(|part| part.id != tenant.id));
            known.extend(parts);
        }
        let slug: Slug = format!("s{seed}-{}", pick(12)).parse().expect("a slug");
        let theirs = store.by_slug(SYSTEM, &slug).await.expect("reads");
        assert_eq!(
            theirs,
            reference.by_slug(SYSTEM, &slug).await.expect("reads"),
            "seed {seed}, step {step}"
        );
    }
    for tenant in everything(&reference, 7).await {
        let theirs = store.get(SYSTEM, tenant.value.id).await.expect("reads");
        assert_eq!(theirs, Some(tenant), "seed {seed}");
    }
    assert_eq!(
        store.revision(SYSTEM).await.expect("reads"),
        reference.revision(SYSTEM).await.expect("reads")
    );
}
