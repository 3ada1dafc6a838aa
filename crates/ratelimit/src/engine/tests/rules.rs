//! How rules are administered, and how they come into memory.

use stanchion_core::{Detail, StoreErrorKind};
use stanchion_replica::{Follow, Follower, FollowerConfig, OutboxStore};
use tokio::task::JoinSet;

use super::*;

const SYSTEM: SystemScope = SystemScope::new("test");

#[tokio::test]
async fn a_write_is_in_force_with_the_next_decision() {
    let setup = memory();
    let alice = alice();
    assert!(setup.decide(&by(&alice)).await.is_admitted());
    setup.put(Scope::Platform, rule("per-user", Dimension::User, 1)).await;
    assert!(setup.engine.try_decide(&by(&alice)).unwrap().is_admitted());
    assert!(!setup.engine.try_decide(&by(&alice)).unwrap().is_admitted());
    setup.put(tenant(1).into(), rule("own", Dimension::User, 0x7fff)).await;
    assert_eq!(setup.decide(&by(&alice)).await.rules().count(), 2);
    setup.engine.delete_rule(&Author::system("test"), Scope::Platform, &id("per-user"), None).await.unwrap();
    assert!(setup.engine.try_decide(&by(&alice)).unwrap().is_admitted());
}

#[tokio::test]
async fn what_was_counted_stays_counted_unless_it_means_something_else() {
    let setup = memory();
    let (scope, alice) = (tenant(1).into(), alice());
    let put = |rule| setup.put(scope, rule);
    put(rule("r", Dimension::User, 10)).await;
    setup.decide(&Request { cost: 8, ..by(&alice) }).await;
    let left = async || remaining(&setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap())[0].1;
    put(rule("r", Dimension::User, 20)).await;
    assert_eq!(left().await, 12);
    put(Rule { burst: 5, ..rule("r", Dimension::User, 4) }).await;
    assert_eq!(left().await, 1);
    put(Rule { window: Window::HOUR, ..rule("r", Dimension::User, 10) }).await;
    assert_eq!(left().await, 10, "hours are counted anew");
    put(rule("r", Dimension::User, 10)).await;
    assert_eq!(left().await, 10, "and minutes again");
    put(Rule { window: Window::HOUR, ..rule("r", Dimension::User, 10) }).await;
    setup.decide(&by(&alice)).await;
    put(rule("r", Dimension::User, 10)).await;
    assert_eq!(left().await, 10, "an hour that is not over is no minute");
    setup.decide(&by(&alice)).await;
    setup.engine.reset_rule(&Author::system("test"), scope, &id("r")).await.unwrap();
    assert_eq!(left().await, 10, "reset");
    setup.decide(&by(&alice)).await;
    setup.engine.delete_rule(&Author::system("test"), scope, &id("r"), None).await.unwrap();
    put(Rule { window: Window::HOUR, ..rule("r", Dimension::User, 10) }).await;
    assert_eq!(left().await, 10, "a new rule under an old name counts anew");
}

#[tokio::test]
async fn a_write_can_be_bound_to_what_its_author_saw() {
    let setup = memory();
    let author = Author::system("test");
    let put = |limit, expected| {
        setup.engine.put_rule(&author, Scope::Platform, rule("r", Dimension::User, limit), expected)
    };
    let first = put(1, Some(Revision::ZERO)).await.unwrap();
    let stale = |result: Result<_, Error>| match result {
        Err(Error::Stale { current, .. }) => current.number(),
        other => panic!("{other:?}"),
    };
    assert_eq!(stale(put(2, Some(Revision::ZERO)).await.map(drop)), 1);
    setup.clock.advance(Duration::from_secs(1));
    let second = put(2, Some(first.revision)).await.unwrap();
    assert_eq!((second.created_at, second.updated_at), (first.created_at, at("2026-03-01T12:00:01Z")));
    assert_eq!(setup.engine.get_rule(Scope::Platform, &id("r")).await.unwrap(), Some(second.clone()));
    let delete = |id, expected| setup.engine.delete_rule(&author, Scope::Platform, id, expected);
    let (r, none) = (id("r"), id("none"));
    assert_eq!(stale(delete(&r, Some(first.revision)).await), 2);
    assert!(matches!(delete(&none, None).await, Err(Error::NotFound(_))));
    delete(&r, Some(second.revision)).await.unwrap();
    assert_eq!(setup.engine.get_rule(Scope::Platform, &r).await.unwrap(), None);
    assert!(matches!(setup.engine.reset_rule(&author, Scope::Platform, &r).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_rule_that_cannot_be_is_refused() {
    let setup = setup(Config { rules_per_scope: 2, ..Config::default() }, false);
    let author = Author::system("test");
    let put = |rule| setup.engine.put_rule(&author, Scope::Platform, rule, None);
    assert!(matches!(put(rule("zero", Dimension::User, 0)).await, Err(Error::Invalid(_))));
    put(rule("a", Dimension::User, 1)).await.unwrap();
    put(rule("b", Dimension::User, 1)).await.unwrap();
    assert!(matches!(put(rule("c", Dimension::User, 1)).await, Err(Error::TooManyRules(2))));
    put(rule("b", Dimension::User, 2)).await.unwrap();
    let page = setup.engine.list_rules(Scope::Platform, &PageRequest::first(1)).await.unwrap();
    assert_eq!((page.items[0].value.id.as_str(), page.next.as_deref()), ("a", Some("a")));
}

#[tokio::test]
async fn every_write_leaves_an_event_of_its_author() {
    let setup = memory();
    let scope: Scope = tenant(1).into();
    setup.put(scope, rule("r", Dimension::User, 10)).await;
    setup.engine.reset_rule(&Author::system("test"), scope, &id("r")).await.unwrap();
    setup.engine.delete_rule(&Author::system("test"), scope, &id("r"), None).await.unwrap();
    let events: Vec<_> =
        setup.outbox.pending(SYSTEM, 10).await.unwrap().into_iter().map(|record| record.event).collect();
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["limit.put", "limit.reset", "limit.delete"]);
    for event in &events {
        assert_eq!((event.scope, event.actor.to_string().as_str()), (scope, "system:test"));
        assert_eq!(event.targets[0].to_string(), "limit/r");
    }
    let Some(Detail::Map(rule)) = events[0].details.get("rule") else { panic!("{:?}", events[0]) };
    assert_eq!(
        (rule.get("limit"), rule.get("key")),
        (Some(&Detail::Integer(10)), Some(&Detail::Text("user".into())))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_the_same_time_lose_nothing() {
    let setup = memory();
    let mut writers = JoinSet::new();
    for number in 0..8 {
        let engine = Arc::clone(&setup.engine);
        writers.spawn(async move {
            let rule = rule(&format!("rule-{number}"), Dimension::User, 1);
            engine
                .put_rule(&Author::system("test"), Scope::Platform, rule, None)
                .await
                .unwrap()
                .revision
                .number()
        });
    }
    let mut revisions = writers.join_all().await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=8).collect::<Vec<_>>());
    let alice = alice();
    assert_eq!(setup.decide(&by(&alice)).await.rules().count(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_at_a_cold_engine_reads_each_scope_once() {
    let setup = memory();
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let engine = Arc::clone(&setup.engine);
        calls.spawn(async move { engine.decide(&by(&alice())).await.unwrap().is_admitted() });
    }
    assert!(calls.join_all().await.into_iter().all(|admitted| admitted));
    assert_eq!(setup.rules.loads.load(Ordering::SeqCst), 2, "the platform's and the tenant's");
}

#[tokio::test]
async fn a_follower_brings_the_changes_of_others() {
    let setup = memory();
    let counters = Arc::new(MemoryCounterStore::new(1_000, setup.clock.clone()));
    let ids = Arc::new(SeededRandom::new(2));
    let other =
        Arc::new(Engine::new(setup.rules.clone(), counters, setup.clock.clone(), ids, Config::default()));
    let (clock, config) = (setup.clock.clone(), FollowerConfig::default());
    let mut follower = Follower::new(setup.rules.clone(), other.clone(), clock.clone(), clock, config);
    follower.catch_up().await.unwrap();
    let alice = alice();
    assert_eq!(other.decide(&by(&alice)).await.unwrap().rules().count(), 0);

    setup.put(Scope::Platform, rule("platform", Dimension::User, 9)).await;
    setup.put(tenant(1).into(), rule("own", Dimension::User, 9)).await;
    setup.put(tenant(2).into(), rule("unasked", Dimension::User, 9)).await;
    assert_eq!(other.decide(&by(&alice)).await.unwrap().rules().count(), 0, "not told yet");
    follower.catch_up().await.unwrap();
    assert_eq!(other.decide(&by(&alice)).await.unwrap().rules().count(), 2);

    let loads = setup.rules.loads.load(Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(3_600));
    follower.catch_up().await.unwrap();
    assert!(other.try_decide(&by(&alice)).is_some(), "known to be current for as long as it is followed");
    assert_eq!(setup.rules.loads.load(Ordering::SeqCst), loads);

    Follow::reset(&*other).await.unwrap();
    assert!(other.try_decide(&by(&alice)).is_none(), "everything is read again");
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    for scope in [Scope::Platform, tenant(1).into()] {
        let setup = memory();
        let alice = alice();
        let request = by(&alice);
        let mut early = Box::pin(futures_util::future::maybe_done(setup.engine.decide(&request)));
        // Stops inside the load of the platform's rules; then inside that of the tenant's.
        assert!(futures_util::poll!(early.as_mut()).is_pending());
        if scope != Scope::Platform {
            assert!(futures_util::poll!(early.as_mut()).is_pending());
        }
        let author = Author::system("test");
        let mut put = Box::pin(setup.engine.put_rule(&author, scope, rule("r", Dimension::User, 9), None));
        let written = loop {
            match futures_util::poll!(put.as_mut()) {
                std::task::Poll::Ready(written) => break written,
                // The platform's rules are read one after the other: the early reader comes first.
                std::task::Poll::Pending if scope == Scope::Platform => {
                    let _ = futures_util::poll!(early.as_mut());
                }
                std::task::Poll::Pending => {}
            }
        };
        written.unwrap();
        drop(put);
        early.as_mut().await;
        assert_eq!(setup.decide(&by(&alice)).await.rules().count(), 1, "{scope}");
    }
}

#[tokio::test]
async fn changes_that_are_known_already_cost_nothing() {
    let setup = memory();
    let alice = alice();
    setup.decide(&by(&alice)).await;
    setup.put(Scope::Platform, rule("platform", Dimension::User, 9)).await;
    setup.put(tenant(1).into(), rule("own", Dimension::User, 9)).await;
    setup.decide(&by(&alice)).await;
    let loads = setup.rules.loads.load(Ordering::SeqCst);
    let start = FeedCursor::new("0");
    let entries = setup.rules.changes(SYSTEM, Some(&start), 10).await.unwrap().entries;
    assert_eq!(entries.len(), 2);
    setup.engine.changed(&entries).await.unwrap();
    assert!(setup.engine.try_decide(&by(&alice)).is_some());
    assert_eq!(setup.rules.loads.load(Ordering::SeqCst), loads);
}

#[tokio::test]
async fn a_write_that_cannot_be_read_back_is_made_and_the_old_rules_are_gone() {
    /// Goes down as soon as a change was applied.
    #[derive(Debug)]
    struct Falls(Arc<Rulebook>);
    #[async_trait]
    impl ChangeFeed for Falls {
        async fn changes(
            &self,
            _: SystemScope,
            _: Option<&FeedCursor>,
            _: usize,
        ) -> Result<FeedPage, StoreError> {
            Err(StoreError::new(StoreErrorKind::Unavailable, "test", "changes"))
        }
    }
    #[async_trait]
    impl RuleStore for Falls {
        async fn get(&self, scope: Scope, id: &RuleId) -> Result<Option<Versioned<StoredRule>>, StoreError> {
            self.0.get(scope, id).await
        }
        async fn list(
            &self,
            scope: Scope,
            page: &PageRequest,
        ) -> Result<Page<Versioned<StoredRule>>, StoreError> {
            self.0.list(scope, page).await
        }
        async fn load(&self, scope: Scope) -> Result<(Revision, RuleSet), StoreError> {
            self.0.load(scope).await
        }
        async fn apply(&self, scope: Scope, change: Change<RuleChange>) -> Result<Revision, StoreError> {
            let applied = self.0.apply(scope, change).await;
            self.0.down.store(true, Ordering::SeqCst);
            applied
        }
    }
    let setup = memory();
    let counters = Arc::new(MemoryCounterStore::new(1_000, setup.clock.clone()));
    let falls = Arc::new(Falls(setup.rules.clone()));
    let engine =
        Engine::new(falls, counters, setup.clock.clone(), Arc::new(SeededRandom::new(3)), Config::default());
    let alice = alice();
    engine.decide(&by(&alice)).await.unwrap();
    let author = Author::system("test");
    engine.put_rule(&author, Scope::Platform, rule("r", Dimension::User, 1), None).await.unwrap();
    assert!(engine.decide(&by(&alice)).await.is_err(), "better no answer than one by rules known to be old");
    setup.rules.down.store(false, Ordering::SeqCst);
    assert_eq!(engine.decide(&by(&alice)).await.unwrap().rules().count(), 1);
}
