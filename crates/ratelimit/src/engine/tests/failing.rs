//! What a decision says when something does not answer.

use super::*;

fn on(on_backend_failure: OnBackendFailure, name: &str, limit: u64) -> Rule {
    Rule { on_backend_failure, ..rule(name, Dimension::User, limit) }
}

fn remote(config: Config) -> Setup {
    let setup = setup(config, true);
    *setup.remote.mood.lock().unwrap() = Mood::Down;
    setup
}

#[tokio::test]
async fn a_rule_that_fails_closed_refuses_and_says_why() {
    let setup = remote(Config::default());
    setup.put(tenant(1).into(), on(OnBackendFailure::Open, "open", 9)).await;
    setup.put(tenant(1).into(), on(OnBackendFailure::LocalShare, "local", 9)).await;
    setup.put(tenant(1).into(), on(OnBackendFailure::Closed, "closed", 9)).await;
    let alice = alice();
    let decision = setup.decide(&by(&alice)).await;
    assert_eq!(refusal(&decision), Some(("closed", Reason::BackendFailure, None)));
    assert_eq!(decision.backend_failure, Some(StoreErrorKind::Timeout));
    assert!(!decision.failed_open && decision.most_restrictive().is_none());
    let stats = Stats { decisions: 1, failed_closed: 1, backend_failures: 1, ..Stats::default() };
    let outage_since = Some(setup.clock.now());
    assert_eq!(setup.engine.stats(), Stats { outages: 1, outage_since, ..stats });
}

#[tokio::test]
async fn a_rule_that_fails_open_admits_uncounted_and_says_so() {
    let setup = remote(Config::default());
    setup.put(tenant(1).into(), on(OnBackendFailure::Open, "open", 1)).await;
    let alice = alice();
    for _ in 0..3 {
        let decision = setup.decide(&by(&alice)).await;
        assert!(decision.is_admitted() && decision.failed_open);
    }
    *setup.remote.mood.lock().unwrap() = Mood::Well;
    let decision = setup.decide(&by(&alice)).await;
    assert!(decision.is_admitted() && !decision.failed_open && decision.backend_failure.is_none());
    let stats =
        Stats { decisions: 4, failed_open: 3, backend_failures: 3, near_limits: 1, ..Stats::default() };
    let outage_since = Some(setup.clock.now());
    assert_eq!(setup.engine.stats(), Stats { outages: 1, outage_since, ..stats });
}

#[tokio::test]
async fn a_local_share_is_the_limit_divided_among_the_replicas() {
    let setup = remote(Config { replicas: 3.try_into().unwrap(), ..Config::default() });
    setup.put(tenant(1).into(), on(OnBackendFailure::LocalShare, "local", 10)).await;
    setup.put(tenant(1).into(), on(OnBackendFailure::Open, "open", 1)).await;
    let alice = alice();
    for left in [2, 1, 0] {
        let decision = setup.decide(&by(&alice)).await;
        assert!(decision.is_admitted() && decision.failed_open);
        assert_eq!(remaining(&decision), [("local", left)]);
    }
    let refused = setup.decide(&by(&alice)).await;
    assert_eq!(refusal(&refused), Some(("local", Reason::Exceeded, Some(60))));
    assert_eq!(refused.backend_failure, Some(StoreErrorKind::Timeout));
}

#[tokio::test]
async fn a_rule_that_only_watches_does_not_fail() {
    let setup = remote(Config::default());
    setup.put(tenant(1).into(), Rule { shadow: true, ..on(OnBackendFailure::Closed, "shadow", 1) }).await;
    let alice = alice();
    let decision = setup.decide(&by(&alice)).await;
    assert!(decision.is_admitted() && !decision.failed_open);
    assert_eq!(decision.backend_failure, Some(StoreErrorKind::Timeout));
}

#[tokio::test]
async fn an_answer_to_another_question_is_a_failure() {
    let setup = setup(Config::default(), true);
    setup.put(tenant(1).into(), on(OnBackendFailure::Closed, "closed", 1)).await;
    let alice = alice();
    for admitted in [true, false] {
        *setup.remote.mood.lock().unwrap() = Mood::Answers { admitted };
        let decision = setup.decide(&by(&alice)).await;
        assert_eq!(refusal(&decision), Some(("closed", Reason::BackendFailure, None)));
        assert_eq!(decision.backend_failure, Some(StoreErrorKind::Corrupt));
    }
}

#[tokio::test]
async fn a_full_store_is_a_failure_like_any_other() {
    let clock = Arc::new(ManualClock::at(at("2026-03-01T12:00:00Z")));
    let counters = Arc::new(MemoryCounterStore::new(64, clock.clone()));
    let rules = Arc::new(MemoryRuleStore::new(None));
    let ids = Arc::new(SeededRandom::new(1));
    let engine = Engine::new(rules, counters, clock, ids, Config::default());
    let author = Author::system("test");
    engine
        .put_rule(&author, tenant(1).into(), on(OnBackendFailure::Closed, "closed", 9), None)
        .await
        .unwrap();
    let mut failed = 0;
    for number in 0..1_000 {
        let user = SubjectRef::user(format!("user-{number}")).unwrap();
        let decision = engine.decide(&by(&user)).await.unwrap();
        failed += u32::from(decision.backend_failure == Some(StoreErrorKind::Unavailable));
    }
    assert!((936..1_000).contains(&failed), "64 counters at most: {failed}");
}

#[tokio::test]
async fn rules_that_cannot_be_read_are_an_error_and_not_an_admission() {
    let setup = memory();
    setup.rules.down.store(true, Ordering::SeqCst);
    let alice = alice();
    assert!(setup.engine.try_decide(&by(&alice)).is_none());
    assert!(matches!(setup.engine.decide(&by(&alice)).await, Err(Error::Store(_))));
    setup.rules.down.store(false, Ordering::SeqCst);
    assert!(setup.decide(&by(&alice)).await.is_admitted());
}

#[tokio::test]
async fn kept_rules_serve_for_as_long_as_they_are_trusted() {
    let setup = memory();
    setup.put(tenant(1).into(), rule("per-user", Dimension::User, 9)).await;
    let alice = alice();
    setup.decide(&by(&alice)).await;
    setup.rules.down.store(true, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(60));
    assert!(setup.decide(&by(&alice)).await.is_admitted());
    setup.clock.advance(Duration::from_micros(1));
    assert!(setup.engine.try_decide(&by(&alice)).is_none());
    assert!(setup.engine.decide(&by(&alice)).await.is_err());
    setup.rules.down.store(false, Ordering::SeqCst);
    assert_eq!(remaining(&setup.decide(&by(&alice)).await), [("per-user", 7)], "read again");
}

#[tokio::test]
async fn a_rule_that_this_version_does_not_know_how_to_serve_stops_its_scope() {
    let setup = memory();
    let mut unknown = rule("later", Dimension::User, 1);
    unknown.action = crate::Action::Throttle;
    let stored = StoredRule { rule: unknown, epoch: Revision::from_number(1) };
    let change = Change {
        expected: Revision::ZERO,
        changes: vec![RuleChange::Put(stored)],
        at: Timestamp::EPOCH,
        actor: stanchion_core::Actor::Anonymous,
        events: Vec::new(),
    };
    setup.rules.store.apply(tenant(1).into(), change).await.unwrap();
    let alice = alice();
    let error = setup.engine.decide(&by(&alice)).await.unwrap_err();
    let Error::Store(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.starts_with("rule `later`: action: `throttle` needs an algorithm that drains steadily"),
        "{cause}"
    );
    let elsewhere = Request { tenant: Some(tenant(2)), ..by(&alice) };
    assert!(setup.decide(&elsewhere).await.is_admitted());
}
