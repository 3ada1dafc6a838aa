//! What a decision says when everything works.

use std::net::IpAddr;

use stanchion_core::{KeyId, Slug};

use super::*;
use crate::{Action, OnMissingIdentifier};

#[tokio::test]
async fn without_a_rule_everything_is_admitted() {
    let setup = memory();
    let decision = setup.decide(&Request::default()).await;
    assert!(decision.is_admitted() && decision.most_restrictive().is_none());
    assert_eq!(setup.engine.stats(), Stats { decisions: 1, ..Stats::default() });
}

#[tokio::test]
async fn platform_and_tenant_decide_together_and_all_or_nothing() {
    let setup = memory();
    setup.put(Scope::Platform, rule("fair-use", Dimension::Tenant, 10)).await;
    setup.put(tenant(1).into(), rule("per-user", Dimension::User, 2)).await;
    let alice = alice();
    assert_eq!(remaining(&setup.decide(&by(&alice)).await), [("fair-use", 9), ("per-user", 1)]);
    assert_eq!(remaining(&setup.decide(&by(&alice)).await), [("fair-use", 8), ("per-user", 0)]);
    let refused = setup.decide(&by(&alice)).await;
    assert_eq!(refusal(&refused), Some(("per-user", Reason::Exceeded, Some(60))));
    assert_eq!(remaining(&refused), [("fair-use", 8), ("per-user", 0)], "a refusal uses nothing up");
    let bob = SubjectRef::user("bob").unwrap();
    assert_eq!(remaining(&setup.decide(&by(&bob)).await), [("fair-use", 7), ("per-user", 1)]);
    let elsewhere = Request { tenant: Some(tenant(2)), ..by(&alice) };
    assert_eq!(remaining(&setup.decide(&elsewhere).await), [("fair-use", 9)], "tenants count apart");
    let stats = Stats { decisions: 5, exceeded: 1, near_limits: 1, ..Stats::default() };
    assert_eq!(setup.engine.stats(), stats);
}

#[tokio::test]
async fn rules_of_the_same_name_and_epoch_count_apart() {
    let setup = memory();
    setup.put(Scope::Platform, rule("per-user", Dimension::User, 5)).await;
    setup.put(tenant(1).into(), rule("per-user", Dimension::User, 3)).await;
    let alice = alice();
    setup.decide(&by(&alice)).await;
    assert_eq!(remaining(&setup.decide(&by(&alice)).await), [("per-user", 3), ("per-user", 1)]);
    setup.decide(&by(&alice)).await;
    let refused = setup.decide(&by(&alice)).await;
    assert_eq!(refused.most_restrictive().unwrap().scope, tenant(1).into());
}

#[tokio::test]
async fn what_needs_nobodys_name_is_asked_before_authentication_and_only_then() {
    let setup = memory();
    setup.put(Scope::Platform, rule("ip", Dimension::Ip, 1)).await;
    setup.put(Scope::Platform, rule("all", Dimension::Global, 9)).await;
    setup
        .put(Scope::Platform, rule("route", KeySpec::new([Dimension::Ip, Dimension::Endpoint]).unwrap(), 9))
        .await;
    setup
        .put(Scope::Platform, rule("tenant-ip", KeySpec::new([Dimension::Ip, Dimension::Tenant]).unwrap(), 9))
        .await;
    setup.put(tenant(1).into(), rule("own-ip", Dimension::Ip, 9)).await;
    let ip: IpAddr = "192.0.2.1".parse().unwrap();
    let request =
        Request { ip: Some(ip), route: Some("chat"), tenant: Some(tenant(1)), ..Request::default() };
    let edge = setup.engine.decide_edge(&request).await.unwrap();
    assert_eq!(remaining(&edge), [("all", 8), ("ip", 0), ("route", 8)]);
    assert_eq!(remaining(&setup.decide(&request).await), [("tenant-ip", 8), ("own-ip", 8)]);
    let refused = setup.engine.try_decide_edge(&request).unwrap();
    assert_eq!(refusal(&refused), Some(("ip", Reason::Exceeded, Some(60))));
    let other = Request { tenant: Some(tenant(2)), ..request };
    assert!(!setup.engine.try_decide_edge(&other).unwrap().is_admitted(), "the edge knows no tenant");
}

#[tokio::test]
async fn the_most_severe_rule_speaks_and_the_longest_wait_counts() {
    let setup = memory();
    let hour = Rule { window: Window::HOUR, ..rule("hour", Dimension::User, 1) };
    setup.put(tenant(1).into(), hour).await;
    setup.put(tenant(1).into(), Rule { priority: 5, ..rule("minute", Dimension::User, 1) }).await;
    setup
        .put(
            tenant(1).into(),
            Rule { action: Action::Allow, priority: 9, ..rule("watch", Dimension::User, 1) },
        )
        .await;
    let alice = alice();
    assert!(setup.decide(&by(&alice)).await.is_admitted());
    setup.clock.advance(Duration::from_millis(500));
    let refused = setup.decide(&by(&alice)).await;
    let Verdict::Refused { action, rule, retry_after, .. } = &refused.verdict else { panic!("{refused:?}") };
    assert_eq!(
        (*action, rule.as_ref().unwrap().as_str()),
        (Action::Block, "minute"),
        "by priority, among those that can refuse"
    );
    assert_eq!(
        *retry_after,
        Some(Duration::from_millis(3_599_500)),
        "the hour's, or the client would be refused again"
    );
    assert_eq!(refused.most_restrictive().unwrap().rule.as_str(), "minute");
    assert!(refused.rules().all(|state| state.exceeded));
}

#[tokio::test]
async fn an_obedient_client_is_admitted_when_it_comes_back() {
    let setup = memory();
    setup.put(tenant(1).into(), Rule::new(id("bucket"), Dimension::User, 7, Window::SECOND)).await;
    setup.put(tenant(1).into(), rule("window", Dimension::User, 20)).await;
    let alice = alice();
    let mut refused = 0;
    for _ in 0..200 {
        let decision = setup.decide(&Request { cost: 3, ..by(&alice) }).await;
        if let Verdict::Refused { retry_after, .. } = decision.verdict {
            refused += 1;
            setup.clock.advance(retry_after.unwrap());
            assert!(setup.decide(&Request { cost: 3, ..by(&alice) }).await.is_admitted());
        }
    }
    assert!(refused > 20, "{refused}");
}

#[tokio::test]
async fn a_rule_that_watches_refuses_nothing_and_says_what_it_saw() {
    let setup = memory();
    setup.put(tenant(1).into(), Rule { shadow: true, ..rule("shadow", Dimension::User, 1) }).await;
    setup.put(tenant(1).into(), rule("real", Dimension::User, 5)).await;
    let alice = alice();
    setup.decide(&by(&alice)).await;
    let decision = setup.decide(&by(&alice)).await;
    assert!(decision.is_admitted());
    let seen: Vec<_> =
        decision.rules().map(|state| (state.rule.as_str(), state.exceeded, state.shadow)).collect();
    assert_eq!(seen, [("real", false, false), ("shadow", true, true)]);
    assert_eq!(decision.most_restrictive().unwrap().rule.as_str(), "real");
}

#[tokio::test]
async fn a_missing_identifier_skips_denies_or_falls_back() {
    let setup = memory();
    let on = |on_missing_identifier, name, limit| Rule {
        on_missing_identifier,
        ..rule(name, Dimension::ApiKey, limit)
    };
    setup.put(tenant(1).into(), on(OnMissingIdentifier::Skip, "skip", 9)).await;
    setup.put(tenant(1).into(), on(OnMissingIdentifier::Ip, "fall-back", 1)).await;
    let ip = Some("192.0.2.1".parse().unwrap());
    let request = Request { tenant: Some(tenant(1)), ip, ..Request::default() };
    assert_eq!(remaining(&setup.decide(&request).await), [("fall-back", 0)]);
    assert_eq!(refusal(&setup.decide(&request).await), Some(("fall-back", Reason::Exceeded, Some(60))));
    let with_key = Request { key: Some(KeyId::from_uuid(uuid::Uuid::nil())), ..request };
    assert_eq!(remaining(&setup.decide(&with_key).await), [("fall-back", 0), ("skip", 8)]);
    let nowhere = Request { ip: None, ..request };
    assert_eq!(refusal(&setup.decide(&nowhere).await), Some(("fall-back", Reason::MissingIdentifier, None)));

    setup.put(tenant(1).into(), on(OnMissingIdentifier::Deny, "deny", 9)).await;
    setup.put(tenant(1).into(), rule("tenant", Dimension::Tenant, 9)).await;
    let other_ip = Request { ip: Some("192.0.2.2".parse().unwrap()), ..request };
    assert_eq!(refusal(&setup.decide(&other_ip).await), Some(("deny", Reason::MissingIdentifier, None)));
    let other_key = Request { key: Some(KeyId::from_uuid(uuid::Uuid::max())), ..request };
    let decision = setup.decide(&other_key).await;
    assert_eq!(remaining(&decision).last(), Some(&("tenant", 8)), "the refused one was not counted");
}

#[tokio::test]
async fn routes_and_labels_say_what_a_rule_is_for() {
    let setup = memory();
    let slug = |name| Slug::new(name).unwrap();
    let user = |name| rule(name, Dimension::User, 9);
    setup.put(tenant(1).into(), user("any")).await;
    setup.put(tenant(1).into(), Rule { routes: vec![slug("chat")], ..user("route") }).await;
    setup.put(tenant(1).into(), Rule { labels: vec![slug("ai"), slug("slow")], ..user("label") }).await;
    setup
        .put(
            tenant(1).into(),
            Rule { routes: vec![slug("chat")], labels: vec![slug("ai")], ..user("either") },
        )
        .await;
    setup.put(tenant(1).into(), Rule { enabled: false, ..user("off") }).await;
    let (alice, labels) = (alice(), [slug("ai"), slug("slow")]);
    let asked = |decision: Decision| {
        let mut names: Vec<_> = decision.rules().map(|state| state.rule.to_string()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(asked(setup.decide(&by(&alice)).await), "any");
    assert_eq!(asked(setup.decide(&Request { route: Some("chat"), ..by(&alice) }).await), "any either route");
    assert_eq!(asked(setup.decide(&Request { labels: &labels, ..by(&alice) }).await), "any either label");
    let both = Request { route: Some("chat"), labels: &labels, ..by(&alice) };
    let decision = setup.decide(&both).await;
    assert_eq!(asked(decision.clone()), "any either label route");
    assert!(remaining(&decision).contains(&("either", 6)), "counted once each time: {decision:?}");
}

#[tokio::test]
async fn a_day_of_the_calendar_ends_when_the_zone_says() {
    let setup = memory();
    let day = Rule {
        window: Window::DAY,
        zone: "Europe/Berlin".parse().unwrap(),
        ..rule("day", Dimension::User, 1)
    };
    setup.put(tenant(1).into(), day).await;
    let alice = alice();
    // The night of the change: 29 March 2026 is 23 hours long, from 23:00Z to 22:00Z.
    setup.clock.set(at("2026-03-28T23:00:00Z"));
    let decision = setup.decide(&by(&alice)).await;
    let state = decision.most_restrictive().unwrap();
    assert_eq!(
        (state.window, state.reset_after),
        (Duration::from_secs(23 * 3600), Duration::from_secs(23 * 3600))
    );
    setup.clock.set(at("2026-03-29T21:59:59Z"));
    assert_eq!(refusal(&setup.decide(&by(&alice)).await), Some(("day", Reason::Exceeded, Some(1))));
    setup.clock.set(at("2026-03-29T22:00:00Z"));
    assert!(setup.decide(&by(&alice)).await.is_admitted());
}

#[tokio::test]
async fn a_look_counts_nothing_and_a_reset_forgets() {
    let setup = memory();
    setup.put(tenant(1).into(), rule("per-user", Dimension::User, 1)).await;
    let (alice, bob) = (alice(), SubjectRef::user("bob").unwrap());
    for _ in 0..3 {
        assert!(setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap().is_admitted());
    }
    setup.decide(&by(&alice)).await;
    setup.decide(&by(&bob)).await;
    assert!(!setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap().is_admitted());
    setup.engine.reset(Stage::Inner, &by(&alice)).await.unwrap();
    assert!(setup.decide(&by(&alice)).await.is_admitted());
    assert!(!setup.decide(&by(&bob)).await.is_admitted());
    assert_eq!(setup.engine.stats().decisions, 4, "looks are no decisions");
}

#[tokio::test]
async fn where_counters_are_shared_the_store_has_the_time() {
    let alice = alice();
    for (config, expected) in [
        (Config::default(), None),
        (Config { time: Some(TimeSource::Engine), ..Config::default() }, Some(at("2026-03-01T12:00:00Z"))),
    ] {
        let setup = setup(config, true);
        setup.put(tenant(1).into(), rule("per-user", Dimension::User, 1)).await;
        assert!(setup.engine.try_decide(&by(&alice)).is_none(), "it has to be waited for");
        assert!(setup.decide(&by(&alice)).await.is_admitted());
        assert!(setup.engine.try_decide(&by(&alice)).is_none());
        assert!(!setup.decide(&by(&alice)).await.is_admitted());
        assert_eq!(*setup.remote.times.lock().unwrap(), [expected, expected]);
        assert_eq!(setup.engine.stats().decisions, 2);
    }
}

#[tokio::test]
async fn a_limit_that_replicas_take_in_chunks_says_by_how_much_they_may_exceed_it() {
    let replicas = std::num::NonZeroU32::new(3).unwrap();
    let config = Config { replicas, ..Config::default() };
    let exact = setup(config.clone(), true);
    let leased = crate::LeasedCounterStore::new(exact.remote.clone(), 64, exact.clock.clone());
    let ids = Arc::new(SeededRandom::new(2));
    let in_chunks =
        Engine::new(exact.rules.clone(), Arc::new(leased), exact.clock.clone(), ids.clone(), config);
    let lease = Some(crate::RuleLease { chunk: 10, ttl_seconds: 5 });
    let bucket = Rule { lease, ..Rule::new(id("bucket"), Dimension::User, 6_000, Window::MINUTE) };
    exact.put(tenant(1).into(), bucket).await;
    exact.put(tenant(1).into(), Rule { lease, ..rule("window", Dimension::User, 6_000) }).await;
    let alice = alice();
    let overshoots = |decision: &Decision| {
        decision.rules().map(|state| (state.rule.to_string(), state.overshoot)).collect::<Vec<_>>()
    };
    let of = |bucket| vec![("bucket".to_owned(), bucket), ("window".to_owned(), 0)];
    // Three chunks; 500 would drain while a lease lasts. Units of a window end with it.
    assert_eq!(overshoots(&in_chunks.decide(&by(&alice)).await.unwrap()), of(30));
    assert_eq!(overshoots(&in_chunks.peek(crate::Stage::Inner, &by(&alice)).await.unwrap()), of(30));
    assert_eq!(overshoots(&exact.decide(&by(&alice)).await), of(0), "nobody takes chunks here");
}
