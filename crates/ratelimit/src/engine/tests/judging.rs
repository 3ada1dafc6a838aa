//! What is done with callers that go beyond a limit.

use super::*;
use crate::{Action, Condition, Rung};

fn steady(name: &str, limit: u64) -> Rule {
    Rule::new(id(name), Dimension::User, limit, Window::MINUTE)
}

fn action(decision: &Decision) -> Action {
    match &decision.verdict {
        Verdict::Admitted => Action::Allow,
        Verdict::Refused { action, .. } => *action,
    }
}

#[tokio::test]
async fn a_throttled_request_is_admitted_late_within_the_bound_and_refused_beyond_it() {
    let setup = memory();
    // One a second, and three seconds at most.
    let rule = Rule { action: Action::Throttle, max_delay_ms: 3_000, ..steady("slow", 60) };
    setup.put(tenant(1).into(), rule).await;
    let alice = alice();
    setup.decide(&Request { cost: 60, ..by(&alice) }).await;
    for seconds in 1..=3 {
        let late = setup.decide(&by(&alice)).await;
        assert!(late.is_admitted());
        // A whole unit is back when the last of its millionths is.
        assert_eq!(late.delay.as_millis().div_ceil(1_000), seconds, "{:?}", late.delay);
    }
    let refused = setup.decide(&by(&alice)).await;
    assert_eq!((action(&refused), refused.delay), (Action::Throttle, Duration::ZERO));
    assert_eq!(refusal(&refused).unwrap().1, Reason::Exceeded);
    assert_eq!(setup.engine.stats().delayed, 3);
}

#[tokio::test]
async fn a_throttle_never_masks_a_block() {
    let setup = memory();
    setup.put(tenant(1).into(), Rule { action: Action::Throttle, priority: 100, ..steady("slow", 1) }).await;
    setup.put(tenant(1).into(), Rule { priority: -100, ..rule("hard", Dimension::User, 1) }).await;
    let alice = alice();
    setup.decide(&by(&alice)).await;
    let refused = setup.decide(&by(&alice)).await;
    assert_eq!((action(&refused), refusal(&refused).unwrap().0), (Action::Block, "hard"));
}

#[tokio::test]
async fn who_does_not_wait_gives_the_place_in_the_queue_back() {
    let setup = memory();
    let queue = Rule { algorithm: crate::Algorithm::LeakyQueue, burst: 2, ..steady("queue", 60) };
    setup.put(tenant(1).into(), queue).await;
    let alice = alice();
    let mut receipts = Vec::new();
    for seconds in 0..3 {
        let mut decision = setup.decide(&by(&alice)).await;
        assert_eq!((decision.is_admitted(), decision.delay.as_secs()), (true, seconds));
        receipts.extend(decision.receipt.take());
    }
    assert!(!setup.decide(&by(&alice)).await.is_admitted());
    assert_eq!(setup.engine.stats().exceeded, 1);
    assert!(setup.engine.settle(&receipts[2], Settle::Release).await.unwrap());
    assert_eq!(setup.decide(&by(&alice)).await.delay.as_secs(), 2, "the place is free again");
    // Most of the wait is over, but not the turn: it is a whole place that is given back.
    setup.clock.advance(Duration::from_millis(900));
    assert!(setup.engine.settle(&receipts[1], Settle::Release).await.unwrap());
    let next = setup.decide(&by(&alice)).await;
    assert_eq!((next.is_admitted(), next.delay.as_millis().div_ceil(100)), (true, 11), "{:?}", next.delay);
}

#[tokio::test]
async fn a_ladder_grows_more_severe_with_each_violation_and_starts_over_after_its_window() {
    let setup = memory();
    let rungs = [(3, Action::Block), (5, Action::Quarantine)];
    let ladder = rungs.map(|(violations, action)| Rung { violations, action }).to_vec();
    let rule = Rule { action: Action::Captcha, ladder, ..rule("ladder", Dimension::User, 1) };
    setup.put(tenant(1).into(), Rule { quarantine_seconds: 60, ..rule }).await;
    let (alice, bob) = (alice(), SubjectRef::user("bob").unwrap());
    assert!(setup.decide(&by(&alice)).await.is_admitted());
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(action(&setup.decide(&by(&alice)).await));
    }
    let (captcha, block, quarantine) = (Action::Captcha, Action::Block, Action::Quarantine);
    assert_eq!(seen, [captcha, captcha, block, block, quarantine, quarantine]);
    assert!(setup.decide(&by(&bob)).await.is_admitted(), "each caller has a ladder of its own");
    setup.clock.advance(Duration::from_secs(3_600));
    assert!(setup.decide(&by(&alice)).await.is_admitted(), "the quarantine and the window are over");
    assert_eq!(action(&setup.decide(&by(&alice)).await), captcha);
}

#[tokio::test]
async fn a_ladder_that_refuses_what_was_let_through_late_gives_it_back() {
    let setup = memory();
    let ladder = vec![Rung { violations: 2, action: Action::Block }];
    // One a second, and a minute at most: the third is let through by the counter, and refused by the ladder.
    let rule = Rule { action: Action::Throttle, max_delay_ms: 60_000, ladder, ..steady("slow", 60) };
    setup.put(tenant(1).into(), rule).await;
    setup.put(tenant(1).into(), super::rule("other", Dimension::User, 100)).await;
    let alice = alice();
    setup.decide(&Request { cost: 60, ..by(&alice) }).await;
    assert!(setup.decide(&by(&alice)).await.is_admitted(), "late");
    let left = async || remaining(&setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap())[0].1;
    assert_eq!(left().await, 39);
    let refused = setup.decide(&by(&alice)).await;
    assert_eq!(action(&refused), Action::Block);
    assert_eq!(refusal(&refused), Some(("slow", Reason::Exceeded, Some(2))), "when its turn would have been");
    assert_eq!(left().await, 39, "what is refused has used up nothing anywhere");
}

#[tokio::test]
async fn a_ladder_above_a_rule_that_only_watches_gives_back_what_others_have_charged() {
    let setup = memory();
    let ladder = vec![Rung { violations: 2, action: Action::Block }];
    let watched = Rule { action: Action::Allow, ladder, ..rule("watched", Dimension::User, 1) };
    setup.put(tenant(1).into(), watched).await;
    setup.put(tenant(1).into(), rule("other", Dimension::User, 10)).await;
    let alice = alice();
    for _ in 0..2 {
        assert!(setup.decide(&by(&alice)).await.is_admitted());
    }
    assert_eq!(action(&setup.decide(&by(&alice)).await), Action::Block);
    let look = setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap();
    assert_eq!(remaining(&look)[0], ("other", 8));
}

#[tokio::test]
async fn violations_are_counted_apart_from_what_they_violate() {
    let setup = memory();
    let ladder = vec![Rung { violations: 2, action: Action::Block }];
    // Both count over the same minutes.
    let rule = rule("three", Dimension::User, 3);
    let rule = Rule { action: Action::Captcha, ladder, ladder_window: Window::MINUTE, ..rule };
    setup.put(tenant(1).into(), rule).await;
    let alice = alice();
    for _ in 0..3 {
        assert!(setup.decide(&by(&alice)).await.is_admitted());
    }
    let seen = [setup.decide(&by(&alice)).await, setup.decide(&by(&alice)).await];
    assert_eq!(seen.each_ref().map(action), [Action::Captcha, Action::Block]);
}

/// A captcha at the first violation, a block at the second.
fn laddered() -> Rule {
    let ladder = vec![Rung { violations: 2, action: Action::Block }];
    let on_backend_failure = OnBackendFailure::LocalShare;
    Rule { action: Action::Captcha, ladder, on_backend_failure, ..rule("ladder", Dimension::User, 1) }
}

#[tokio::test]
async fn while_violations_cannot_be_counted_with_the_others_each_replica_counts_its_own() {
    let alice = alice();
    for mood in [Mood::Down, Mood::LaddersFail] {
        let setup = setup(Config::default(), true);
        setup.put(tenant(1).into(), laddered()).await;
        *setup.remote.mood.lock().unwrap() = mood;
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(action(&setup.decide(&by(&alice)).await));
        }
        assert_eq!(seen, [Action::Allow, Action::Captcha, Action::Block], "{mood:?}");
    }
    let setup = setup(Config::default(), true);
    setup.put(tenant(1).into(), laddered()).await;
    *setup.remote.mood.lock().unwrap() = Mood::LaddersFail;
    setup.decide(&by(&alice)).await;
    let at_once = || action(&setup.engine.try_decide(&by(&alice)).unwrap());
    assert_eq!([at_once(), at_once()], [Action::Captcha, Action::Block], "also where nobody waits");
}

#[tokio::test]
async fn whom_a_tenant_shuts_out_is_shut_out_of_that_tenant_alone() {
    let setup = memory();
    let ip = Some("203.0.113.7".parse().unwrap());
    let alice = alice();
    for (number, key) in [(1, Dimension::User), (2, Dimension::Ip)] {
        let of = |number| Request { tenant: Some(tenant(number)), ip, ..by(&alice) };
        let guess = Rule { action: Action::Quarantine, ..rule("guess", key, 1) };
        setup.put(tenant(number).into(), guess).await;
        setup.decide(&of(number)).await;
        assert_eq!(action(&setup.decide(&of(number)).await), Action::Quarantine, "{key:?}");
        assert_eq!(refusal(&setup.decide(&of(number)).await).unwrap().1, Reason::Quarantined, "{key:?}");
        assert!(setup.decide(&of(3)).await.is_admitted(), "{key:?} here at once");
        let edge = Request { ip, ..Request::default() };
        assert!(
            setup.engine.decide_edge(&edge).await.unwrap().is_admitted(),
            "{key:?} before anybody is known"
        );
    }
    run_errands(&setup.engine, &setup.clock).await;
    assert!(setup.decide(&Request { ip, tenant: Some(tenant(3)), ..by(&alice) }).await.is_admitted());
    assert_eq!(setup.engine.list_controls(Scope::Platform).await.unwrap(), []);
}

#[tokio::test]
async fn whom_the_platform_shuts_out_by_address_is_shut_out_of_every_tenant() {
    let setup = memory();
    let guess = Rule { action: Action::Quarantine, ..rule("guess", Dimension::Ip, 1) };
    setup.put(Scope::Platform, guess).await;
    let ip = Some("203.0.113.7".parse().unwrap());
    let alice = alice();
    let edge = Request { ip, tenant: Some(tenant(1)), ..Request::default() };
    for _ in 0..2 {
        setup.engine.decide_edge(&edge).await.unwrap();
    }
    let elsewhere = Request { ip, tenant: Some(tenant(2)), ..by(&alice) };
    assert_eq!(refusal(&setup.decide(&elsewhere).await).unwrap().1, Reason::Quarantined);
}

#[tokio::test]
async fn who_is_shut_out_for_one_place_is_out_of_all_and_for_as_long_as_the_longest_says() {
    let setup = memory();
    let quarantine = |name, key: KeySpec, seconds, route: &str| Rule {
        action: Action::Quarantine,
        quarantine_seconds: seconds,
        routes: vec![route.parse().unwrap()],
        ..rule(name, key, 1)
    };
    let of_user = KeySpec::new([Dimension::User, Dimension::Endpoint]).unwrap();
    setup.put(tenant(1).into(), quarantine("short", of_user, 60, "login")).await;
    setup.put(tenant(1).into(), quarantine("long", Dimension::Ip.into(), 600, "search")).await;
    let ip = Some("203.0.113.7".parse().unwrap());
    let (alice, bob) = (alice(), SubjectRef::user("bob").unwrap());
    for _ in 0..2 {
        setup.decide(&Request { route: Some("login"), ..by(&alice) }).await;
    }
    let refused = setup.decide(&Request { route: Some("search"), ..by(&alice) }).await;
    assert_eq!(refusal(&refused), Some(("short", Reason::Quarantined, Some(60))));
    for _ in 0..2 {
        setup.decide(&Request { route: Some("search"), ip, ..by(&bob) }).await;
    }
    let refused = setup.decide(&Request { ip, ..by(&alice) }).await;
    assert_eq!(refusal(&refused), Some(("long", Reason::Quarantined, Some(600))));
}

#[tokio::test]
async fn a_quarantine_shuts_a_caller_out_of_everything_until_it_is_over_or_lifted() {
    let setup = memory();
    let rule = Rule {
        action: Action::Quarantine,
        quarantine_seconds: 600,
        routes: vec!["login".parse().unwrap()],
        ..rule("guess", Dimension::Ip, 1)
    };
    setup.put(Scope::Platform, rule).await;
    let ip = Some("203.0.113.7".parse().unwrap());
    let login = Request { ip, route: Some("login"), ..Request::default() };
    let edge = async |request: Request<'_>| setup.engine.decide_edge(&request).await.unwrap();
    assert!(edge(login).await.is_admitted());
    assert_eq!(refusal(&edge(login).await), Some(("guess", Reason::Exceeded, Some(60))));
    let elsewhere = Request { ip, route: Some("search"), ..Request::default() };
    assert_eq!(refusal(&edge(elsewhere).await), Some(("guess", Reason::Quarantined, Some(600))));
    let neighbour = Request { ip: Some("203.0.113.8".parse().unwrap()), ..login };
    assert!(edge(neighbour).await.is_admitted());
    setup.clock.advance(Duration::from_secs(600));
    assert!(edge(elsewhere).await.is_admitted(), "it is over");

    edge(login).await;
    assert_eq!(action(&edge(login).await), Action::Quarantine);
    let caller = crate::Identifiers::ip("203.0.113.7".parse().unwrap());
    setup.engine.lift_quarantine(&Author::system("test"), Scope::Platform, &caller).await.unwrap();
    assert!(edge(elsewhere).await.is_admitted(), "it was lifted");
}

#[tokio::test]
async fn a_quarantine_is_known_to_all_replicas_once_the_errands_are_run() {
    let setup = memory();
    let rule = Rule { action: Action::Quarantine, ..rule("guess", Dimension::User, 1) };
    setup.put(tenant(1).into(), rule).await;
    let counters = MemoryCounterStore::new(1_000, setup.clock.clone());
    let ids = Arc::new(SeededRandom::new(2));
    let other = Engine::new(
        setup.rules.clone(),
        Arc::new(counters),
        setup.clock.clone(),
        ids,
        Config { max_stale_seconds: 1, ..Config::default() },
    );
    let alice = alice();
    assert!(other.decide(&by(&alice)).await.unwrap().is_admitted());
    setup.decide(&by(&alice)).await;
    assert_eq!(action(&setup.decide(&by(&alice)).await), Action::Quarantine);
    run_errands(&setup.engine, &setup.clock).await;
    setup.clock.advance(Duration::from_secs(2));
    assert_eq!(refusal(&other.decide(&by(&alice)).await.unwrap()).unwrap().1, Reason::Quarantined);
    let kept = setup.engine.list_controls(tenant(1).into()).await.unwrap();
    assert_eq!(kept.len(), 1);
    let caller = crate::Identifiers::subject(alice.clone());
    let author = Author::system("test");
    assert!(setup.engine.lift_quarantine(&author, tenant(1).into(), &caller).await.unwrap());
    setup.clock.advance(Duration::from_secs(60));
    assert!(setup.decide(&by(&alice)).await.is_admitted());
    assert!(other.decide(&by(&alice)).await.unwrap().is_admitted());
}

#[tokio::test]
async fn only_requests_that_fulfil_every_condition_are_counted() {
    let setup = memory();
    let conditions = vec![
        Condition::equals("method", "POST"),
        Condition { not: true, ..Condition::equals("plan", "enterprise") },
    ];
    setup.put(tenant(1).into(), Rule { conditions, ..rule("writes", Dimension::User, 1) }).await;
    let alice = alice();
    let asked = async |attributes: &[(&str, &str)]| {
        setup.decide(&Request { attributes, ..by(&alice) }).await.rules().count()
    };
    assert_eq!(asked(&[("method", "POST"), ("plan", "free")]).await, 1);
    assert_eq!(asked(&[("method", "GET"), ("plan", "free")]).await, 0);
    assert_eq!(asked(&[("method", "POST"), ("plan", "enterprise")]).await, 0);
    assert_eq!(asked(&[("method", "POST")]).await, 0, "what is not known fulfils nothing");
}

#[tokio::test]
async fn a_rule_that_asks_for_it_counts_what_another_refuses() {
    let setup = memory();
    setup.put(tenant(1).into(), Rule { charge_denied: true, ..rule("all", Dimension::User, 10) }).await;
    setup.put(tenant(1).into(), rule("few", Dimension::User, 1)).await;
    let alice = alice();
    for _ in 0..3 {
        setup.decide(&by(&alice)).await;
    }
    let look = setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap();
    assert_eq!(remaining(&look), [("all", 7), ("few", 0)]);
}

#[cfg(feature = "proof-of-work")]
#[tokio::test]
async fn a_solved_challenge_lets_its_caller_through_again_once() {
    use stanchion_core::{KeyRing, Secret};

    use crate::ProofOfWork;

    let Setup { engine, clock, .. } = memory();
    let keys = KeyRing::new([(1, Secret::new([1; 32]))]).unwrap();
    let work = ProofOfWork::new(keys, 4, 60).unwrap();
    let engine = Arc::into_inner(engine).unwrap().with_challenges(Arc::new(work));
    let captcha = |name, limit| Rule {
        action: Action::Captcha,
        window: Window::HOUR,
        ..rule(name, Dimension::User, limit)
    };
    // Another rule that challenges, and one that does not.
    for rule in [captcha("also", 100), rule("calls", Dimension::User, 100), captcha("human", 1)] {
        engine.put_rule(&Author::system("test"), tenant(1).into(), rule, None).await.unwrap();
    }
    let (alice, bob) = (alice(), SubjectRef::user("bob").unwrap());
    assert!(engine.decide(&by(&alice)).await.unwrap().is_admitted());
    let refused = engine.decide(&by(&alice)).await.unwrap();
    let challenge = engine.challenge(Stage::Inner, &by(&alice), &refused).unwrap();
    let token = challenge.details.iter().find(|(name, _)| name.as_str() == "token").unwrap().1.as_str();
    let proof = ProofOfWork::solve(token, 4);
    let prove =
        async |who: &SubjectRef, proof: &str| engine.prove(Stage::Inner, &by(who), proof).await.unwrap();
    assert!(!prove(&bob, &proof).await, "it is alice's");
    assert!(!prove(&alice, token).await, "it is not solved");
    assert!(prove(&alice, &proof).await);
    let again = engine.decide(&by(&alice)).await.unwrap();
    assert!(again.is_admitted());
    assert_eq!(
        remaining(&again),
        [("also", 99), ("calls", 98), ("human", 0)],
        "what does not challenge stays"
    );
    assert!(!engine.decide(&by(&alice)).await.unwrap().is_admitted());
    assert!(!prove(&alice, &proof).await, "once");
    clock.advance(Duration::from_secs(45));
    assert!(!prove(&alice, &proof).await, "and not again while it is good");
    clock.advance(Duration::from_secs(16));
    assert!(!prove(&alice, &proof).await, "it has expired");
}
