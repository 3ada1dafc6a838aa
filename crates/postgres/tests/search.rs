//! What the ledger keeps for queries follows from its entries: whatever else is put there is found out, and it can be made anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use sqlx::PgConnection;
use stanchion_audit::{Break, BreakReason, Config, Draft, Ledger, LedgerStore as _, Query, RetentionClass};
use stanchion_core::{
    Actor, AuthenticationMethod, Category, Clock as _, Event, IdGen as _, KeyRing, ManualClock, PageRequest,
    ResourceRef, Scope, Secret, SeededRandom, SubjectRef, SystemClock, SystemRandom, SystemScope, Timestamp,
};
use stanchion_postgres::{Database, PgLedgerStore, testing};
use tokio::task::JoinSet;

const SYSTEM: SystemScope = SystemScope::new("test the search");

struct World {
    admin: PgConnection,
    store: Arc<PgLedgerStore>,
    ledger: Ledger,
    scope: Scope,
    tasks: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let url = testing::fresh_admin_url().await;
        let admin = testing::connect(&url).await;
        let store =
            Arc::new(PgLedgerStore::new(Database::new(&url.with_login(testing::LOGIN), testing::config())));
        let clock = Arc::new(ManualClock::default());
        let keys = KeyRing::new([(1, Secret::new([7; 32]))]).unwrap();
        let (ledger, sequencer) = Ledger::new(
            Arc::clone(&store) as _,
            keys,
            clock.clone(),
            clock,
            Arc::new(SystemRandom::default()),
            // The clock stands, so nothing may wait for it.
            Config { linger_ms: 0, ..Config::default() },
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { sequencer.run().await.unwrap() });
        let scope = Scope::Tenant(SeededRandom::new(1).tenant_id(Timestamp::EPOCH));
        Self { admin, store, ledger, scope, tasks }
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
        let chain = stanchion_audit::ChainId { scope: self.scope, class: RetentionClass::Standard };
        while !self.store.project(SYSTEM, &[chain], 100).await.unwrap().left.is_empty() {}
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
