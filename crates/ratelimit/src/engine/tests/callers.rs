//! What administrators say about single callers.

use stanchion_replica::OutboxStore as _;

use super::*;
use crate::{Control, Identifiers, Override};

fn author() -> Author {
    Author::system("test")
}

fn named(text: &str) -> Identifiers {
    text.parse().unwrap()
}

fn raise(rule: &str, identifiers: &str, limit: u64) -> Override {
    let (rule, identifiers) = (id(rule), named(identifiers));
    Override { rule, identifiers, limit, burst: 0, expires_at: None, reason: None }
}

async fn left(setup: &Setup, request: &Request<'_>) -> u64 {
    remaining(&setup.engine.peek(Stage::Inner, request).await.unwrap())[0].1
}

#[tokio::test]
async fn an_override_is_for_one_caller_and_until_it_ends() {
    let setup = memory();
    let scope = tenant(1).into();
    setup.put(scope, rule("calls", Dimension::User, 10)).await;
    let (alice, bob) = (alice(), SubjectRef::user("bob").unwrap());
    setup.decide(&Request { cost: 4, ..by(&alice) }).await;
    let until = Some(at("2026-03-01T13:00:00Z"));
    let raised = Override { expires_at: until, ..raise("calls", "user:alice", 100) };
    setup.engine.put_override(&author(), scope, raised).await.unwrap();
    let decision = setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap();
    let state = decision.rules().next().unwrap();
    assert_eq!((state.limit, state.remaining), (100, 96), "what was used stays used");
    assert_eq!(left(&setup, &by(&bob)).await, 10);
    setup.clock.set(at("2026-03-01T13:00:00Z"));
    assert_eq!(left(&setup, &by(&alice)).await, 10, "it has ended");

    setup.engine.put_override(&author(), scope, raise("calls", "user:alice", 5)).await.unwrap();
    assert_eq!(left(&setup, &by(&alice)).await, 5);
    let (rule, caller) = (id("calls"), named("user:alice"));
    let lift = async || setup.engine.delete_override(&author(), scope, &rule, &caller).await;
    assert!(lift().await.unwrap());
    assert!(!lift().await.unwrap(), "there is none any more");
    assert_eq!(left(&setup, &by(&alice)).await, 10);
}

#[tokio::test]
async fn a_rule_of_the_platform_is_overridden_in_one_tenant_or_in_all() {
    let setup = memory();
    setup.put(Scope::Platform, rule("calls", Dimension::User, 10)).await;
    let alice = alice();
    let elsewhere = Request { tenant: Some(tenant(2)), ..by(&alice) };
    let put = async |control| setup.engine.put_override(&author(), Scope::Platform, control).await;
    put(raise("calls", "user:alice", 20)).await.unwrap();
    assert_eq!((left(&setup, &by(&alice)).await, left(&setup, &elsewhere).await), (20, 20));
    put(raise("calls", &format!("tenant:{} user:alice", tenant(1)), 30)).await.unwrap();
    assert_eq!((left(&setup, &by(&alice)).await, left(&setup, &elsewhere).await), (30, 20));
}

#[tokio::test]
async fn an_override_that_fits_no_rule_or_no_caller_is_refused() {
    let setup = memory();
    let scope = tenant(1).into();
    setup.put(scope, rule("calls", Dimension::User, 10)).await;
    let put = async |control| setup.engine.put_override(&author(), scope, control).await.unwrap_err();
    assert!(matches!(put(raise("other", "user:alice", 1)).await, Error::NotFound(_)));
    assert_eq!(
        put(raise("calls", "ip:10.0.0.1", 1)).await.to_string(),
        "identifiers: rule `calls` counts by user: name one of each"
    );
    assert!(matches!(put(raise("calls", "user:alice", 0)).await, Error::Invalid(_)));
    let foreign = raise("calls", &format!("tenant:{} user:alice", tenant(2)), 1);
    assert!(put(foreign).await.to_string().contains("leave `tenant:` out"));
}

#[tokio::test]
async fn a_reset_begins_one_caller_s_counters_anew_and_nobody_else_s() {
    let setup = memory();
    let scope = tenant(1).into();
    setup.put(scope, rule("calls", Dimension::User, 10)).await;
    setup.put(scope, rule("routes", KeySpec::new([Dimension::User, Dimension::Endpoint]).unwrap(), 10)).await;
    let (alice, bob) = (alice(), SubjectRef::user("bob").unwrap());
    let (of_alice, of_bob) =
        (Request { route: Some("chat"), ..by(&alice) }, Request { route: Some("chat"), ..by(&bob) });
    for request in [&of_alice, &of_alice, &of_bob] {
        setup.decide(request).await;
    }
    setup.engine.reset_caller(&author(), scope, named("user:alice")).await.unwrap();
    let look = async |request| remaining_of(&setup.engine.peek(Stage::Inner, request).await.unwrap());
    assert_eq!(look(&of_alice).await, [10, 10]);
    assert_eq!(look(&of_bob).await, [9, 9]);
    setup.decide(&of_alice).await;
    setup.engine.reset_caller(&author(), scope, named("user:alice endpoint:chat")).await.unwrap();
    assert_eq!(look(&of_alice).await, [10, 10], "all rules, for requests that all of it is true of");
    let elsewhere = Request { route: Some("search"), ..of_alice };
    assert_eq!(look(&elsewhere).await, [9, 10]);
    setup.engine.reset_all(&author(), scope).await.unwrap();
    assert_eq!(look(&of_bob).await, [10, 10]);
    assert_eq!(look(&elsewhere).await, [10, 10]);
}

fn remaining_of(decision: &Decision) -> Vec<u64> {
    decision.rules().map(|state| state.remaining).collect()
}

#[tokio::test]
async fn what_has_no_effect_any_more_is_cleared_away_and_what_has_is_bounded() {
    let setup = setup(Config { controls_per_scope: 2, ..Config::default() }, false);
    let scope: Scope = tenant(1).into();
    let quarantine = |user: &str, until: &str| crate::Quarantine {
        identifiers: named(user),
        until: at(until),
        rule: None,
        reason: Some("by hand".into()),
    };
    let put = async |control| setup.engine.put_quarantine(&author(), scope, control).await;
    put(quarantine("user:a", "2026-03-01T12:00:01Z")).await.unwrap();
    put(quarantine("user:b", "2026-03-01T12:00:01Z")).await.unwrap();
    assert!(matches!(
        put(quarantine("user:c", "2026-03-02T00:00:00Z")).await,
        Err(Error::TooManyControls(2))
    ));
    let alice = SubjectRef::user("a").unwrap();
    assert_eq!(refusal(&setup.decide(&by(&alice)).await), Some(("", Reason::Quarantined, Some(1))));
    setup.clock.advance(Duration::from_secs(1));
    put(quarantine("user:c", "2026-03-02T00:00:00Z")).await.unwrap();
    let (_, set) = setup.rules.store.load(scope).await.unwrap();
    assert_eq!(set.controls.len(), 1);
    assert!(
        matches!(&set.controls[0].value, Control::Quarantine(kept) if kept.identifiers == named("user:c"))
    );
    let events = setup.outbox.pending(SystemScope::new("test"), 10).await.unwrap();
    let actions: Vec<_> = events.iter().map(|record| record.event.action.to_string()).collect();
    assert_eq!(actions, ["limit.quarantine"; 3]);
}

#[tokio::test]
async fn a_rule_by_tenant_is_overridden_for_a_tenant_that_is_named() {
    let setup = memory();
    let of_both = KeySpec::new([Dimension::Tenant, Dimension::User]).unwrap();
    setup.put(Scope::Platform, rule("calls", of_both, 10)).await;
    let put = async |control| setup.engine.put_override(&author(), Scope::Platform, control).await;
    let problem = put(raise("calls", "user:alice", 20)).await.unwrap_err().to_string();
    assert!(problem.contains("name one of each"), "{problem}");
    put(raise("calls", &format!("tenant:{} user:alice", tenant(1)), 20)).await.unwrap();
    assert_eq!(left(&setup, &by(&alice())).await, 20);
}

fn out(user: &str, until: &str) -> crate::Quarantine {
    crate::Quarantine { identifiers: named(user), until: at(until), rule: None, reason: None }
}

#[tokio::test]
async fn nobody_is_shut_out_by_a_quarantine_without_a_name() {
    let setup = memory();
    let nobody =
        crate::Quarantine { identifiers: Identifiers::default(), ..out("user:a", "2026-03-02T00:00:00Z") };
    let refused = setup.engine.put_quarantine(&author(), tenant(1).into(), nobody).await;
    assert!(matches!(refused, Err(Error::InvalidControl(_))), "{refused:?}");
}

#[tokio::test]
async fn a_control_that_is_there_is_changed_also_where_there_is_room_for_no_other() {
    let setup = setup(Config { controls_per_scope: 1, ..Config::default() }, false);
    let put = async |control| setup.engine.put_quarantine(&author(), tenant(1).into(), control).await;
    let first = put(out("user:a", "2026-03-02T00:00:00Z")).await.unwrap();
    setup.clock.advance(Duration::from_secs(1));
    let second = put(out("user:a", "2026-03-03T00:00:00Z")).await.unwrap();
    assert_eq!((second.created_at, second.updated_at), (first.created_at, at("2026-03-01T12:00:01Z")));
    assert!(put(out("user:b", "2026-03-03T00:00:00Z")).await.is_err());
}

#[tokio::test]
async fn what_is_over_is_neither_listed_nor_lifted() {
    let setup = memory();
    let scope = tenant(1).into();
    setup.engine.put_quarantine(&author(), scope, out("user:a", "2026-03-01T12:00:01Z")).await.unwrap();
    assert_eq!(setup.engine.list_controls(scope).await.unwrap().len(), 1);
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(setup.engine.list_controls(scope).await.unwrap(), []);
    assert!(!setup.engine.lift_quarantine(&author(), scope, &named("user:a")).await.unwrap());
}

#[tokio::test]
async fn controls_that_are_written_at_once_are_all_written() {
    let setup = memory();
    let put = async |user| {
        setup
            .engine
            .put_quarantine(&author(), tenant(1).into(), out(user, "2026-03-02T00:00:00Z"))
            .await
            .unwrap()
    };
    futures_util::future::join(put("user:a"), put("user:b")).await;
    assert_eq!(setup.engine.list_controls(tenant(1).into()).await.unwrap().len(), 2);
    let (a, b) = (named("user:a"), named("user:b"));
    let lift = async |who| setup.engine.lift_quarantine(&author(), tenant(1).into(), who).await.unwrap();
    assert_eq!(futures_util::future::join(lift(&a), lift(&b)).await, (true, true));
    assert_eq!(setup.engine.list_controls(tenant(1).into()).await.unwrap(), []);
}

#[tokio::test]
async fn the_record_of_an_override_says_whose_and_how_much() {
    let setup = memory();
    let scope = tenant(1).into();
    setup.put(scope, rule("calls", Dimension::User, 10)).await;
    setup.engine.put_override(&author(), scope, raise("calls", "user:alice", 100)).await.unwrap();
    let events = setup.outbox.pending(SystemScope::new("test"), 10).await.unwrap();
    let event = format!("{:?}", events.last().unwrap().event);
    for said in ["limit.override", "calls", "identifiers", "user:alice", "limit", "100", "burst"] {
        assert!(event.contains(said), "{said}: {event}");
    }
}

#[tokio::test]
async fn a_bound_that_was_lowered_keeps_nobody_from_changing_what_is_there() {
    let setup = memory();
    let scope = tenant(1).into();
    for user in ["user:a", "user:b"] {
        setup.engine.put_quarantine(&author(), scope, out(user, "2026-03-02T00:00:00Z")).await.unwrap();
    }
    let counters = Arc::new(MemoryCounterStore::new(1_000, setup.clock.clone()));
    let ids = Arc::new(SeededRandom::new(2));
    let config = Config { controls_per_scope: 1, ..Config::default() };
    let lower = Engine::new(setup.rules.clone(), counters, setup.clock.clone(), ids, config);
    let put = async |user| lower.put_quarantine(&author(), scope, out(user, "2026-03-03T00:00:00Z")).await;
    assert!(put("user:a").await.is_ok());
    assert!(matches!(put("user:c").await, Err(Error::TooManyControls(1))));
}
