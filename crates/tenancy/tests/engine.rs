//! The engine as its users meet it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stanchion_core::{
    Author, Change, Detail, Event, FeedCursor, FeedPage, ManualClock, Page, PageRequest, Revision,
    SeededRandom, Severity, Slug, StoreError, SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::{ChangeFeed, Follow, Follower, FollowerConfig, MemoryOutboxStore, OutboxStore};
use stanchion_tenancy::{
    Config, Engine, Error, MemoryTenantStore, NewTenant, Tenant, TenantChange, TenantStatus, TenantStore,
    TenantUpdate,
};

struct World {
    clock: Arc<ManualClock>,
    store: Arc<MemoryTenantStore>,
    outbox: Arc<MemoryOutboxStore>,
    author: Author,
}

impl World {
    fn new() -> Self {
        let outbox = Arc::new(MemoryOutboxStore::default());
        let store = Arc::new(MemoryTenantStore::new(Some(Arc::clone(&outbox))));
        let start = Timestamp::parse_rfc3339("2026-03-01T00:00:00Z").unwrap();
        Self { clock: Arc::new(ManualClock::at(start)), store, outbox, author: Author::system("test") }
    }

    fn engine(&self, seed: u64) -> Arc<Engine> {
        let ids = Arc::new(SeededRandom::new(seed));
        Arc::new(Engine::new(self.store.clone(), self.clock.clone(), ids, Config::default()))
    }

    fn follower(&self, engine: &Arc<Engine>) -> Follower {
        let config = FollowerConfig::default();
        Follower::new(self.store.clone(), engine.clone(), self.clock.clone(), self.clock.clone(), config)
    }

    async fn actions(&self) -> Vec<String> {
        let pending = self.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
        pending.iter().map(|record| record.event.action.to_string()).collect()
    }
}

fn new(slug: &str) -> NewTenant {
    NewTenant { slug: slug.parse().unwrap(), name: "Acme".parse().unwrap(), tier: "basic".parse().unwrap() }
}

const ACTIVE: Option<TenantStatus> = Some(TenantStatus::Active);
const SUSPENDED: Option<TenantStatus> = Some(TenantStatus::Suspended);

#[tokio::test]
async fn own_writes_are_answered_from_memory_at_once() {
    let world = World::new();
    let engine = world.engine(1);
    let acme = engine.create(&world.author, new("acme")).await.unwrap().value.id;
    assert_eq!(engine.try_status(acme), Some(ACTIVE));
    engine.suspend(&world.author, acme, "unpaid").await.unwrap();
    assert_eq!(engine.try_status(acme), Some(SUSPENDED));
    engine.resume(&world.author, acme, "paid").await.unwrap();
    assert_eq!(engine.try_status(acme), Some(ACTIVE));
}

#[tokio::test]
async fn an_unknown_tenant_is_known_not_to_be_served_for_a_short_time() {
    let world = World::new();
    let engine = world.engine(1);
    let nobody: TenantId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
    assert_eq!(engine.try_status(nobody), None);
    assert_eq!(engine.status(nobody).await.unwrap(), None);
    assert_eq!(engine.try_status(nobody), Some(None));
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(engine.try_status(nobody), None);
}

#[tokio::test]
async fn another_engine_sees_a_suspension_when_it_follows_or_by_its_staleness_bound() {
    let world = World::new();
    let (here, there) = (world.engine(1), world.engine(2));
    let mut follower = world.follower(&there);
    follower.catch_up().await.unwrap();
    let acme = here.create(&world.author, new("acme")).await.unwrap().value.id;
    assert_eq!(there.status(acme).await.unwrap(), ACTIVE);

    here.suspend(&world.author, acme, "unpaid").await.unwrap();
    assert_eq!(there.try_status(acme), Some(ACTIVE), "it cannot know yet");
    follower.catch_up().await.unwrap();
    assert_eq!(there.try_status(acme), None);
    assert_eq!(there.status(acme).await.unwrap(), SUSPENDED);

    // Followed, it needs no reading again.
    world.clock.advance(Duration::from_secs(3_600));
    follower.catch_up().await.unwrap();
    assert_eq!(there.try_status(acme), Some(SUSPENDED));

    here.resume(&world.author, acme, "paid").await.unwrap();
    world.clock.advance(Duration::from_micros(59_999_999));
    assert_eq!(there.try_status(acme), Some(SUSPENDED));
    world.clock.advance(Duration::from_micros(1));
    assert_eq!(there.try_status(acme), None, "60 s without a look are over");
    assert_eq!(there.status(acme).await.unwrap(), ACTIVE);
}

#[tokio::test]
async fn a_tenant_that_was_unknown_is_served_once_it_is_created() {
    let world = World::new();
    // The same seed: both make the same id.
    let (here, there) = (world.engine(1), world.engine(1));
    let mut follower = world.follower(&there);
    follower.catch_up().await.unwrap();
    let id = World::new().engine(1).create(&world.author, new("acme")).await.unwrap().value.id;
    assert_eq!((here.status(id).await.unwrap(), there.status(id).await.unwrap()), (None, None));
    assert_eq!(here.create(&world.author, new("acme")).await.unwrap().value.id, id);
    assert_eq!(here.try_status(id), Some(ACTIVE));
    follower.catch_up().await.unwrap();
    assert_eq!(there.status(id).await.unwrap(), ACTIVE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slug_goes_to_one_of_many_engines() {
    let world = World::new();
    let mut creations = tokio::task::JoinSet::new();
    for seed in 0..16 {
        let (engine, author) = (world.engine(seed), world.author.clone());
        creations.spawn(async move {
            let other = new(&format!("other-{seed}"));
            engine.create(&author, other).await.unwrap();
            engine.create(&author, new("acme")).await
        });
    }
    let results = creations.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let taken =
        |result: &&Result<_, Error>| matches!(result, Err(Error::SlugTaken(slug)) if slug.as_str() == "acme");
    assert_eq!(results.iter().filter(taken).count(), 15);
    assert_eq!(world.engine(99).list(&PageRequest::first(100)).await.unwrap().items.len(), 17);
}

/// A store to which somebody else writes just before each of the first changes that come to it.
#[derive(Debug)]
struct Busy {
    store: Arc<MemoryTenantStore>,
    others: Mutex<Vec<Tenant>>,
}

#[async_trait]
impl ChangeFeed for Busy {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.store.changes(system, cursor, limit).await
    }
}

#[async_trait]
impl TenantStore for Busy {
    async fn revision(&self, system: SystemScope) -> Result<Revision, StoreError> {
        self.store.revision(system).await
    }

    async fn get(&self, system: SystemScope, id: TenantId) -> Result<Option<Versioned<Tenant>>, StoreError> {
        self.store.get(system, id).await
    }

    async fn by_slug(
        &self,
        system: SystemScope,
        slug: &Slug,
    ) -> Result<Option<Versioned<Tenant>>, StoreError> {
        self.store.by_slug(system, slug).await
    }

    async fn list(
        &self,
        system: SystemScope,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Tenant>>, StoreError> {
        self.store.list(system, page).await
    }

    async fn apply(&self, system: SystemScope, change: Change<TenantChange>) -> Result<Revision, StoreError> {
        let other = self.others.lock().unwrap().pop();
        if let Some(other) = other {
            let changes = vec![TenantChange::Put(other)];
            self.store.apply(system, Change { changes, events: Vec::new(), ..change.clone() }).await?;
        }
        self.store.apply(system, change).await
    }
}

#[tokio::test]
async fn a_write_that_met_another_is_decided_anew() {
    let world = World::new();
    let mut others = Vec::new();
    for seed in 1..=3 {
        let engine = World::new().engine(seed);
        others.push(engine.create(&world.author, new(&format!("other-{seed}"))).await.unwrap().value);
    }
    let suspended = Tenant { status: TenantStatus::Suspended, ..others[0].clone() };
    let busy = Arc::new(Busy { store: world.store.clone(), others: Mutex::new(others) });
    let ids = Arc::new(SeededRandom::new(9));
    let engine = Engine::new(busy.clone(), world.clock.clone(), ids, Config::default());
    assert_eq!(engine.create(&world.author, new("acme")).await.unwrap().revision.number(), 4);

    *busy.others.lock().unwrap() = vec![suspended.clone()];
    let twice = engine.suspend(&world.author, suspended.id, "unpaid").await;
    assert!(matches!(twice, Err(Error::IllegalTransition(_))), "the other suspended it first");

    let thief = Tenant { slug: "wanted".parse().unwrap(), ..suspended };
    *busy.others.lock().unwrap() = vec![thief];
    assert!(matches!(engine.create(&world.author, new("wanted")).await, Err(Error::SlugTaken(_))));
}

#[tokio::test]
async fn a_reset_forgets_every_status() {
    let world = World::new();
    let (here, there) = (world.engine(1), world.engine(2));
    let acme = here.create(&world.author, new("acme")).await.unwrap().value.id;
    assert_eq!(there.status(acme).await.unwrap(), ACTIVE);
    here.suspend(&world.author, acme, "unpaid").await.unwrap();
    there.reset().await.unwrap();
    assert_eq!(there.try_status(acme), None);
    assert_eq!(there.status(acme).await.unwrap(), SUSPENDED);
}

#[tokio::test]
async fn a_suspended_tenant_keeps_its_slug() {
    let world = World::new();
    let engine = world.engine(1);
    let acme = engine.create(&world.author, new("acme")).await.unwrap().value;
    engine.suspend(&world.author, acme.id, "unpaid").await.unwrap();
    assert!(matches!(engine.create(&world.author, new("acme")).await, Err(Error::SlugTaken(_))));
    assert_eq!(engine.by_slug(&acme.slug).await.unwrap().unwrap().value.id, acme.id);
}

#[tokio::test]
async fn illegal_steps_are_refused_by_name_and_write_nothing() {
    let world = World::new();
    let engine = world.engine(1);
    let acme = engine.create(&world.author, new("acme")).await.unwrap().value.id;
    let resumed = engine.resume(&world.author, acme, "paid").await;
    assert!(
        matches!(resumed, Err(Error::IllegalTransition(refused)) if refused.from == TenantStatus::Active)
    );
    engine.suspend(&world.author, acme, "unpaid").await.unwrap();
    let suspended = engine.suspend(&world.author, acme, "unpaid").await;
    assert!(matches!(suspended, Err(Error::IllegalTransition(_))));
    let nobody: TenantId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
    let unknown = engine.suspend(&world.author, nobody, "unpaid").await;
    assert!(matches!(unknown, Err(Error::UnknownTenant(id)) if id == nobody));
    assert_eq!(world.actions().await, ["tenant.create", "tenant.suspend"]);
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_refuses_a_stale_reader() {
    let world = World::new();
    let engine = world.engine(1);
    let created = engine.create(&world.author, new("acme")).await.unwrap();
    let id = created.value.id;
    world.clock.advance(Duration::from_secs(1));
    let tier = TenantUpdate { tier: Some("premium".parse().unwrap()), ..TenantUpdate::default() };
    let updated = engine.update(&world.author, id, tier.clone(), Some(created.revision)).await.unwrap();
    assert_eq!((updated.value.tier.as_str(), updated.value.name.as_str()), ("premium", "Acme"));
    assert_eq!((updated.created_at, updated.revision.number()), (created.created_at, 2));
    assert_eq!(engine.get(id).await.unwrap(), Some(updated.clone()));

    let name = TenantUpdate { name: Some("Acme 2".parse().unwrap()), ..TenantUpdate::default() };
    let stale = engine.update(&world.author, id, name, Some(created.revision)).await;
    assert!(
        matches!(stale, Err(Error::Stale { expected, actual }) if (expected.number(), actual.number()) == (1, 2))
    );

    // Nothing to change, nothing written.
    assert_eq!(engine.update(&world.author, id, tier, None).await.unwrap(), updated);
    assert_eq!(world.actions().await, ["tenant.create", "tenant.update"]);
}

#[tokio::test]
async fn events_say_who_did_what_to_whom_and_why() {
    let world = World::new();
    let engine = world.engine(1);
    let acme = engine.create(&world.author, new("acme")).await.unwrap().value.id;
    let update =
        TenantUpdate { name: Some("Acme 2".parse().unwrap()), tier: Some("premium".parse().unwrap()) };
    engine.update(&world.author, acme, update, None).await.unwrap();
    engine.suspend(&world.author, acme, "unpaid").await.unwrap();
    let pending = world.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
    let [created, updated, suspended] = pending.as_slice() else { panic!("{pending:?}") };
    for record in &pending {
        assert_eq!(record.event.actor, world.author.actor);
        assert_eq!(record.event.targets[0].to_string(), format!("tenant/{acme}"));
    }
    assert_eq!(
        serde_json::to_string(&created.event.details).unwrap(),
        r#"{"slug":"acme","name":"Acme","tier":"basic"}"#
    );
    let changes = |event: &Event| serde_json::to_string(&event.changes).unwrap();
    assert_eq!(
        changes(&updated.event),
        concat!(
            r#"[{"field":"name","before":{"value":"Acme"},"after":{"value":"Acme 2"}},"#,
            r#"{"field":"tier","before":{"value":"basic"},"after":{"value":"premium"}}]"#
        )
    );
    assert_eq!(
        changes(&suspended.event),
        r#"[{"field":"status","before":{"value":"active"},"after":{"value":"suspended"}}]"#
    );
    assert_eq!(suspended.event.details.get("reason"), Some(&Detail::from("unpaid")));
    assert_eq!(
        (suspended.event.action.as_str(), suspended.event.severity),
        ("tenant.suspend", Severity::Notice)
    );
}
