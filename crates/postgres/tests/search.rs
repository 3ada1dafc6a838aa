//! What the ledger keeps for queries follows from its entries: whatever else is put there is found out, and it can be made anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use sqlx::PgConnection;
use stanchion_audit::conformance::{Call, Intercept, Intercepted, Pending};
use stanchion_audit::{
    Aes256GcmCipher, Break, BreakReason, Config, DataSubject, Draft, Erased, Ledger, LedgerStore, Mark,
    Marked, ProtectConfig, Protection, Query, RetentionClass, Words,
};
use stanchion_core::{
    Actor, AuthenticationMethod, Author, Category, Clock as _, Event, IdGen as _, KeyRing, ManualClock,
    PageRequest, ResourceRef, Scope, Secret, SeededRandom, StoreError, StoreErrorKind, SubjectRef,
    SystemClock, SystemRandom, SystemScope, Timestamp,
};
use stanchion_postgres::{Database, PgLedgerStore, PgSubjectKeyStore, testing};
use tokio::task::JoinSet;

const SYSTEM: SystemScope = SystemScope::new("test the search");

/// A store that may fail to be told what is withdrawn.
#[derive(Debug, Default)]
struct Away(AtomicBool);

#[async_trait]
impl Intercept for Away {
    async fn around(&self, call: Call<'_>, pending: Pending<'_>) -> Result<(), StoreError> {
        if matches!(call, Call::Withdraw) && self.0.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "test", "withdraw"));
        }
        pending.await
    }
}

struct World {
    admin: PgConnection,
    store: Arc<Intercepted<Away>>,
    protection: Protection,
    ledger: Ledger,
    scope: Scope,
    tasks: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let url = testing::fresh_admin_url().await;
        let admin = testing::connect(&url).await;
        let database = Database::new(&url.with_login(testing::LOGIN), testing::config());
        let store = Arc::new(PgLedgerStore::new(database.clone()));
        let store = Arc::new(Intercepted::new(store, Away::default()));
        let clock = Arc::new(ManualClock::default());
        let keys = KeyRing::new([(1, Secret::new([7; 32]))]).unwrap();
        let (ledger, sequencer) = Ledger::new(
            Arc::clone(&store) as _,
            keys.clone(),
            clock.clone(),
            clock.clone(),
            Arc::new(SystemRandom::default()),
            // The clock stands, so nothing may wait for it.
            Config { linger_ms: 0, ..Config::default() },
        );
        let random = Arc::new(SystemRandom::default());
        let protection = Protection::new(
            Arc::new(PgSubjectKeyStore::new(database)),
            Arc::new(Aes256GcmCipher),
            keys,
            clock.clone(),
            clock,
            random.clone(),
            random,
            ProtectConfig::default(),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { sequencer.run().await.unwrap() });
        let scope = Scope::Tenant(SeededRandom::new(1).tenant_id(Timestamp::EPOCH));
        Self { admin, store, protection, ledger, scope, tasks }
    }

    async fn write(&self, count: usize) {
        for _ in 0..count {
            let now = SystemClock.now();
            let ids = SystemRandom::default();
            let subject = SubjectRef::user("alice").unwrap();
            let actor =
                Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key: Some(ids.key_id(now)) };
            let mut event =
                Event::new(ids.event_id(now), now, self.scope, actor, "invoice.approved", Category::Billing)
                    .with_target(ResourceRef::new("invoice", "2026-0042").unwrap());
            event.correlation.request = Some(ids.request_id(now));
            event.correlation.session = Some("s-1".into());
            event.correlation.trace = Some("4bf92f3577b34da6a3ce929d0e0e4736".into());
            self.ledger.append(self.scope, Draft::Event(event)).await.unwrap();
        }
    }

    async fn project(&self) {
        let chains = RetentionClass::ALL.map(|class| stanchion_audit::ChainId { scope: self.scope, class });
        while !self.store.project(SYSTEM, &chains, 100).await.unwrap().left.is_empty() {}
    }

    /// Records an event with a protected value, and returns by which word it is found.
    async fn protect(&self, user: &'static str) -> Query {
        let ids = SystemRandom::default();
        let now = SystemClock.now();
        let subject = SubjectRef::user(user).unwrap();
        let actor = Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key: None };
        let event = Event::new(ids.event_id(now), now, self.scope, actor, "invoice.sent", Category::Billing);
        let field = "details.email".parse().unwrap();
        let marked = Marked::new(event.with_detail("email", user), [Mark::new(field).searchable()]);
        let sealed = self.protection.seal(marked).await.unwrap();
        self.ledger.append(self.scope, Draft::Event(sealed)).await.unwrap();
        let field = "details.email".parse().unwrap();
        let word = self.protection.index(self.scope, &field, &user.into()).await.unwrap();
        Query { text: Some(word.to_string().into()), ..Query::default() }
    }

    async fn erase(&self, subject: &'static str) -> Erased {
        let subject: DataSubject = subject.parse().unwrap();
        let author = Author::system("test");
        self.protection.erase(&self.ledger, &author, self.scope, &subject, &"asked".into()).await.unwrap()
    }

    async fn found(&self, query: &Query) -> usize {
        self.ledger.query(self.scope, query, &PageRequest::first(100)).await.unwrap().items.len()
    }

    async fn first_break(&self) -> Option<(u64, BreakReason)> {
        let found = self.ledger.verify(self.scope).await.unwrap().first_break();
        found.map(|Break { seq, reason, .. }| (seq, reason))
    }
}

#[tokio::test]
async fn whatever_is_altered_of_what_queries_look_at_is_found_out() {
    let mut world = World::new().await;
    world.write(3).await;
    world.project().await;
    assert_eq!(world.first_break().await, None);
    let alterations = [
        "occurred_at = occurred_at + interval '1 s'",
        "actor_kind = 'service'",
        "actor_id = 'bob'",
        "actor_method = 'none of those that there are'",
        "actor_key = gen_random_uuid()",
        "action = 'invoice.rejected'",
        "category = 'access'",
        "outcome = 'denied'",
        "severity = 'high'",
        "request_id = NULL",
        "session = 's-2'",
        "trace = NULL",
        "targets = ''",
        "terms = terms[2:]",
        "terms = array_append(terms, 1)",
    ];
    for alteration in alterations {
        testing::run(&mut world.admin, "CREATE TABLE before AS SELECT * FROM stanchion.audit_search").await;
        testing::run(
            &mut world.admin,
            format!("UPDATE stanchion.audit_search SET {alteration} WHERE seq = 2"),
        )
        .await;
        let found = Some((2, BreakReason::ProjectionAltered));
        assert_eq!(world.first_break().await, found, "{alteration}");
        let back = "DELETE FROM stanchion.audit_search; INSERT INTO stanchion.audit_search SELECT * FROM before; DROP TABLE before";
        testing::run(&mut world.admin, back).await;
        assert_eq!(world.first_break().await, None);
    }
    testing::run(&mut world.admin, "DELETE FROM stanchion.audit_search WHERE seq = 2").await;
    assert_eq!(
        world.first_break().await,
        Some((2, BreakReason::ProjectionAltered)),
        "an entry that is hidden"
    );

    // It is made anew as the guide for operators says.
    let anew = "BEGIN; DELETE FROM stanchion.audit_cursor; DELETE FROM stanchion.audit_search; COMMIT";
    testing::run(&mut world.admin, anew).await;
    assert_eq!(world.first_break().await, None);
    world.project().await;
    assert_eq!(world.first_break().await, None);
    let query = Query { session: Some("s-1".into()), ..Query::default() };
    let page = world.ledger.query(world.scope, &query, &PageRequest::first(10)).await.unwrap();
    assert_eq!(page.items.len(), 3);
}

#[tokio::test]
async fn a_running_projector_comes_to_all_that_is_committed_and_ends_with_the_sequencer() {
    let mut world = World::new().await;
    world.write(5).await;
    let projector = world.ledger.projector().on_failure(|error| panic!("{error}"));
    let running = world.tasks.spawn(projector.run());
    world.write(5).await;
    world.ledger.close();
    while world.tasks.join_next().await.is_some() {}
    assert!(running.is_finished());
    let count = "SELECT count(*) FROM stanchion.audit_search";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&mut world.admin).await.unwrap();
    assert!(
        count >= 5,
        "those before it began are found by the first look at all chains, if there was time for one"
    );
    assert_eq!(u64::try_from(count).unwrap(), world.ledger.stats().projected);
    assert_eq!(world.first_break().await, None);
}

/// How many rows have the term of a word, or of a key.
async fn rows_with_many_terms(world: &mut World) -> i64 {
    let count = "SELECT count(*) FROM stanchion.audit_search AS s, stanchion.audit_search AS o \
                 WHERE o.action = 'invoice.approved' AND s.action = 'invoice.sent' \
                   AND cardinality(s.terms) > (SELECT min(cardinality(terms)) FROM stanchion.audit_search \
                                               WHERE action = 'invoice.sent')";
    sqlx::query_scalar(count).fetch_one(&mut world.admin).await.unwrap()
}

#[tokio::test]
async fn the_words_of_what_was_erased_go_and_verification_knows_why() {
    let mut world = World::new().await;
    world.ledger.protect(world.protection.clone());
    world.write(1).await;
    let (of_alice, of_bob) = (world.protect("alice").await, world.protect("bob").await);
    world.project().await;
    assert_eq!((world.found(&of_alice).await, world.found(&of_bob).await), (1, 1));
    let erased = world.erase("user:alice").await;
    assert_eq!((erased.words.state(), erased.destroyed.len()), (Words::Gone, 1));
    assert_eq!((world.found(&of_alice).await, world.found(&of_bob).await), (0, 1));
    assert_eq!(rows_with_many_terms(&mut world).await, 1, "a word and its key are left for one row");
    assert_eq!(world.first_break().await, None);

    // Made anew, nothing of it comes back.
    let anew = "BEGIN; DELETE FROM stanchion.audit_cursor; DELETE FROM stanchion.audit_search; COMMIT";
    testing::run(&mut world.admin, anew).await;
    world.project().await;
    assert_eq!((world.found(&of_alice).await, world.found(&of_bob).await), (0, 1));
    assert_eq!(rows_with_many_terms(&mut world).await, 1);
    assert_eq!(world.first_break().await, None);
}

#[tokio::test]
async fn words_that_are_taken_away_under_a_key_that_is_still_there_are_missed() {
    let mut world = World::new().await;
    world.ledger.protect(world.protection.clone());
    world.protect("alice").await;
    world.project().await;
    assert_eq!(world.first_break().await, None);
    // Whoever can write to the database says that the key was destroyed, and takes the words away.
    let claim = "INSERT INTO stanchion.audit_withdrawn (scope_id, key_id, keeps, is_done) \
                 SELECT scope_id, id, '', true FROM stanchion.audit_subject_key WHERE subject = 'user:alice'";
    testing::run(&mut world.admin, claim).await;
    assert_eq!(world.first_break().await, None, "nothing is missing yet");
    testing::run(&mut world.admin, "DELETE FROM stanchion.audit_cursor; DELETE FROM stanchion.audit_search")
        .await;
    world.project().await;
    assert_eq!(world.first_break().await, Some((1, BreakReason::ProjectionAltered)));
}

#[tokio::test]
async fn what_an_erasure_could_not_finish_its_record_has_finished() {
    let world = World::new().await;
    let of_alice = world.protect("alice").await;
    world.project().await;
    world.store.by.0.store(true, Ordering::Relaxed);
    let erased = world.erase("user:alice").await;
    assert_eq!((erased.words.state(), erased.words.keys), (Words::Pending, 1));
    assert_eq!(world.found(&of_alice).await, 1);
    let later = async |world: &World| {
        let scope = erased.receipt.chain.scope;
        world.protection.erasure(&world.ledger, scope, erased.event).await.unwrap().unwrap()
    };
    let recorded = later(&world).await;
    assert_eq!((recorded.words.state(), recorded.words.keys, recorded.keys), (Words::Pending, 1, 1));
    // Another process, which was told nothing.
    world.project().await;
    let recorded = later(&world).await;
    assert_eq!((recorded.words.state(), recorded.keys), (Words::Gone, 1));
    assert_eq!((recorded.receipt, recorded.outcome), (erased.receipt, erased.outcome));
    assert_eq!(world.found(&of_alice).await, 0);
    assert_eq!(world.first_break().await, None);
    assert_eq!(world.store.unprojected(SYSTEM, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_begun_to_be_withdrawn_is_finished_by_whoever_projects_next() {
    let mut world = World::new().await;
    let of_alice = world.protect("alice").await;
    world.project().await;
    assert_eq!(world.store.unprojected(SYSTEM, None, 10).await.unwrap(), []);
    // It ended after its first step.
    let begun = "INSERT INTO stanchion.audit_withdrawn (scope_id, key_id, keeps) \
                 SELECT scope_id, id, '' FROM stanchion.audit_subject_key WHERE subject = 'user:alice'";
    testing::run(&mut world.admin, begun).await;
    assert_eq!(world.found(&of_alice).await, 0, "already nothing is found by them");
    assert_eq!(world.first_break().await, None);
    let key: uuid::Uuid = sqlx::query_scalar("SELECT key_id FROM stanchion.audit_withdrawn")
        .fetch_one(&mut world.admin)
        .await
        .unwrap();
    let mut gone = stanchion_audit::Withdrawn::default();
    gone.insert(stanchion_audit::SubjectKeyId::from_uuid(key), []);
    assert_eq!(world.store.unfinished(world.scope, &gone).await.unwrap(), 1);
    let due = world.store.unprojected(SYSTEM, None, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    world.store.project(SYSTEM, &due, 10).await.unwrap();
    assert_eq!(world.store.unprojected(SYSTEM, None, 10).await.unwrap(), []);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM stanchion.audit_withdrawn WHERE NOT is_done")
        .fetch_one(&mut world.admin)
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(world.store.unfinished(world.scope, &gone).await.unwrap(), 0);
    assert_eq!(world.first_break().await, None);
}
