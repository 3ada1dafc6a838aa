mod counting;
mod near;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use stanchion_core::{
    Actor, IdGen, Outcome, Page, PageRequest, Scope, SeededRandom, Severity, SubjectRef, TenantId, Timestamp,
};

use super::*;
use crate::{Action, Dimension, KeySpec, Reason, Request, RuleId, RuleState};

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn number(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

fn tenant(seed: u64) -> TenantId {
    SeededRandom::new(seed).tenant_id(Timestamp::EPOCH)
}

fn rule(name: &str) -> RuleId {
    RuleId::new(name).unwrap()
}

/// A violation of a platform's rule by a user.
fn violation(second: i64, rule_id: &str, user: &str) -> Violation {
    let subject = SubjectRef::user(user.to_owned()).unwrap();
    let request = Request { subject: Some(&subject), ..Request::default() };
    Violation {
        at: at(second),
        scope: Scope::Platform,
        rule: rule(rule_id),
        key: Dimension::User.into(),
        tenant: None,
        identifiers: CallerName::of(Dimension::User.into(), Scope::Platform, &request),
        action: Action::Block,
        reason: Reason::Exceeded,
        cost: 1,
        used: 10,
        limit: 10,
        window: Duration::from_secs(60),
        retry_after: None,
        shadow: false,
    }
}

#[test]
fn identifiers_say_whom_a_counter_belongs_to() {
    let random = SeededRandom::new(1);
    let (tenant, key) = (random.tenant_id(Timestamp::EPOCH), random.key_id(Timestamp::EPOCH));
    let subject = SubjectRef::service("billing").unwrap();
    let request = Request {
        tenant: Some(tenant),
        subject: Some(&subject),
        key: Some(key),
        ip: Some("2001:db8:1:2:3:4:5:6".parse().unwrap()),
        route: Some("chat"),
        ..Request::default()
    };
    let check = |dimensions: &[Dimension], scope, request: &Request<'_>, expected: &str| {
        let key = KeySpec::new(dimensions.iter().copied()).unwrap();
        assert_eq!(CallerName::of(key, scope, request).as_str(), expected, "{dimensions:?}");
    };
    let own = Scope::Tenant(tenant);
    check(&[Dimension::Endpoint, Dimension::User], own, &request, "service:billing endpoint:chat");
    check(&[Dimension::User], Scope::Platform, &request, &format!("tenant:{tenant} service:billing"));
    check(&[Dimension::Tenant, Dimension::ApiKey], own, &request, &format!("tenant:{tenant} api_key:{key}"));
    check(&[Dimension::Ip], own, &request, "ip:2001:db8:1:2::/64");
    let edge = Request { ip: Some("::ffff:10.0.0.1".parse().unwrap()), ..Request::default() };
    check(&[Dimension::Ip], Scope::Platform, &edge, "ip:10.0.0.1");
    check(&[Dimension::User, Dimension::Ip], Scope::Platform, &edge, "ip:10.0.0.1");
    check(&[Dimension::User, Dimension::Endpoint], Scope::Platform, &edge, "ip:10.0.0.1");
    check(&[Dimension::Global], Scope::Platform, &edge, "global");
    check(&[Dimension::User], Scope::Platform, &Request::default(), "unknown");
}

#[test]
fn a_violation_says_what_was_asked_of_whom() {
    let (subject, id) = (SubjectRef::user("alice").unwrap(), rule("per-user"));
    let request = Request { tenant: Some(tenant(1)), subject: Some(&subject), cost: 3, ..Request::default() };
    let state = RuleState {
        key: Dimension::User.into(),
        overshoot: 0,
        concurrent: false,
        delay: Duration::ZERO,
        rule: &id,
        scope: Scope::Tenant(tenant(1)),
        limit: 10,
        remaining: 2,
        reset_after: Duration::from_secs(50),
        retry_after: Some(Duration::from_micros(1_500_000)),
        window: Duration::from_secs(60),
        exceeded: true,
        shadow: false,
        action: Action::Block,
    };
    let violation = Violation::of(&state, Dimension::User.into(), Reason::Exceeded, &request, at(7));
    assert_eq!((violation.used, violation.limit, violation.cost), (8, 10, 3));
    assert_eq!(violation.identifiers.as_str(), "user:alice");
    let id = SeededRandom::new(1).event_id(Timestamp::EPOCH);
    let event = violation.event(id, Actor::Anonymous);
    assert_eq!(
        (event.action.as_str(), event.occurred_at, event.scope),
        ("limit.exceeded", at(7), state.scope)
    );
    assert_eq!((event.outcome, event.severity), (Outcome::Denied, Severity::Notice));
    assert_eq!(event.targets[0].to_string(), "limit/per-user");
    assert_eq!(
        serde_json::to_value(&event.details).unwrap(),
        serde_json::json!({
            "rule_scope": state.scope, "identifiers": "user:alice", "action": "block", "cost": 3, "used": 8, "limit": 10,
            "window_seconds": 60, "shadow": false, "retry_after_micros": 1_500_000,
        })
    );
    let watched = Violation { shadow: true, retry_after: None, ..violation };
    let event = watched.event(id, Actor::Anonymous);
    assert_eq!((event.outcome, event.severity), (Outcome::Success, Severity::Info));
    assert!(event.details.get("retry_after_micros").is_none());
}

/// The users of a page, and where the next one begins.
fn users(page: Page<Violation>) -> (Vec<String>, Option<String>) {
    let user = |violation: Violation| violation.identifiers.as_str().trim_start_matches("user:").to_owned();
    (page.items.into_iter().map(user).collect(), page.next)
}

#[test]
fn the_newest_come_first_and_pages_go_on_where_the_last_one_ended() {
    let violations = Violations::new(number(300));
    for second in 0..250 {
        violations.push(violation(second, "a", &second.to_string()));
    }
    let (mut seen, mut request) = (Vec::new(), PageRequest::first(40));
    loop {
        let (page, next) = users(violations.list(&ViolationFilter::default(), &request));
        seen.extend(page);
        // What comes in between does not disturb it.
        violations.push(violation(1_000, "a", "late"));
        match next {
            Some(next) => request = PageRequest::first(40).after(next),
            None => break,
        }
    }
    let expected: Vec<String> = (0..250).rev().map(|second| second.to_string()).collect();
    assert_eq!(seen, expected);
    let nonsense = PageRequest::first(40).after("nonsense");
    assert!(violations.list(&ViolationFilter::default(), &nonsense).items.is_empty());
}

#[test]
fn what_is_rare_is_found_among_much_else() {
    let violations = Violations::new(number(1_000));
    for second in 0..1_000 {
        violations.push(violation(
            second,
            if second % 7 == 0 { "rare" } else { "common" },
            &second.to_string(),
        ));
    }
    let rare = rule("rare");
    let filter = ViolationFilter { rule: Some(&rare), ..ViolationFilter::default() };
    let (found, next) = users(violations.list(&filter, &PageRequest::first(1_000)));
    let expected: Vec<String> = (0..1_000).rev().filter(|at| at % 7 == 0).map(|at| at.to_string()).collect();
    assert_eq!((found, next), (expected, None));
}

#[test]
fn only_the_last_so_many_are_kept() {
    let violations = Violations::new(number(3));
    for second in 0..5 {
        violations.push(violation(second, "a", &second.to_string()));
    }
    let all = violations.list(&ViolationFilter::default(), &PageRequest::default());
    assert_eq!(users(all), (vec!["4".to_owned(), "3".to_owned(), "2".to_owned()], None));
    assert_eq!(violations.total(), 5);
    // A page that was to go on with what is gone by now.
    let gone = PageRequest::default().after("1");
    assert_eq!(users(violations.list(&ViolationFilter::default(), &gone)), (vec![], None));
}

#[test]
fn violations_are_found_by_all_that_is_stated() {
    let violations = Violations::new(number(100));
    let own = Scope::Tenant(tenant(1));
    violations.push(violation(1, "a", "one"));
    violations.push(Violation { scope: own, tenant: Some(tenant(1)), ..violation(2, "a", "two") });
    violations.push(Violation { tenant: Some(tenant(2)), ..violation(3, "b", "three") });
    violations.push(Violation { shadow: true, ..violation(4, "b", "four") });
    let check = |filter: ViolationFilter<'_>, expected: &[&str]| {
        assert_eq!(users(violations.list(&filter, &PageRequest::default())).0, expected, "{filter:?}");
    };
    let all = ViolationFilter::default();
    check(all, &["four", "three", "two", "one"]);
    check(ViolationFilter { scope: Some(own), ..all }, &["two"]);
    check(ViolationFilter { scope: Some(Scope::Platform), ..all }, &["four", "three", "one"]);
    check(ViolationFilter { tenant: Some(tenant(2)), ..all }, &["three"]);
    check(ViolationFilter { rule: Some(&rule("b")), ..all }, &["four", "three"]);
    check(ViolationFilter { rule: Some(&rule("b")), shadow: Some(false), ..all }, &["three"]);
    check(ViolationFilter { shadow: Some(true), ..all }, &["four"]);
    check(ViolationFilter { identifier: Some("user:two"), ..all }, &["two"]);
    check(ViolationFilter { identifier: Some("user:tw"), ..all }, &[]);
    check(ViolationFilter { from: Some(at(2)), until: Some(at(4)), ..all }, &["three", "two"]);
}

#[test]
fn readers_and_writers_do_not_disturb_each_other() {
    let violations = Violations::new(number(500));
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let violations = &violations;
            scope.spawn(move || {
                for second in 0..2_000 {
                    violations.push(violation(second, "a", &writer.to_string()));
                }
            });
        }
        for _ in 0..50 {
            let page = violations.list(&ViolationFilter::default(), &PageRequest::first(1_000));
            assert!(page.items.len() <= 500);
            // Each writer's are in its order.
            for writer in 0..4 {
                let name = format!("user:{writer}");
                let seconds: Vec<_> = page
                    .items
                    .iter()
                    .filter(|violation| violation.identifiers.as_str() == name)
                    .map(|violation| violation.at)
                    .collect();
                assert!(seconds.is_sorted_by(|newer, older| newer > older));
            }
        }
    });
    assert_eq!(violations.total(), 8_000);
}

/// The worst of the platform, with their numbers and errors.
fn worst(offenders: &Offenders, count: usize) -> Vec<(String, u64, u64)> {
    let offender = |one: Offender| (one.identifiers.to_string(), one.violations, one.error);
    offenders.top(Scope::Platform, count).into_iter().map(offender).collect()
}

#[test]
fn the_worst_offenders_come_first_with_their_last_rule() {
    let offenders = Offenders::new(number(10), number(16));
    for (second, rule, user) in
        [(1, "a", "x"), (2, "a", "y"), (3, "b", "y"), (4, "a", "z"), (5, "a", "y"), (6, "c", "z")]
    {
        offenders.add(&violation(second, rule, user));
    }
    let named = |name: &str, violations| (format!("user:{name}"), violations, 0);
    assert_eq!(worst(&offenders, 9), [named("y", 3), named("z", 2), named("x", 1)]);
    assert_eq!(worst(&offenders, 1), [named("y", 3)]);
    let top = offenders.top(Scope::Platform, 2);
    assert_eq!((top[1].rule.as_str(), top[1].last_at), ("c", at(6)));
    assert!(offenders.top(Scope::Tenant(tenant(1)), 9).is_empty());
    offenders.forget(Scope::Platform);
    assert!(worst(&offenders, 9).is_empty());
}

#[test]
fn a_new_offender_takes_the_place_and_the_number_of_the_least() {
    let offenders = Offenders::new(number(2), number(16));
    for user in ["x", "x", "x", "y", "y", "z"] {
        offenders.add(&violation(1, "a", user));
    }
    assert_eq!(worst(&offenders, 9), [("user:x".to_owned(), 3, 0), ("user:z".to_owned(), 3, 2)]);
}

#[test]
fn the_scope_without_violations_for_the_longest_makes_room() {
    // Two scopes in each of sixteen parts; the first goes on all the time.
    let offenders = Offenders::new(number(4), number(32));
    let scopes: Vec<Scope> = (0..200).map(|seed| Scope::Tenant(tenant(seed))).collect();
    for (second, scope) in (0..).zip(&scopes) {
        offenders.add(&Violation { scope: *scope, ..violation(2 * second, "a", "x") });
        offenders.add(&Violation { scope: scopes[0], ..violation(2 * second + 1, "a", "x") });
    }
    let left: Vec<usize> = (0..200).filter(|at| !offenders.top(scopes[*at], 1).is_empty()).collect();
    assert!(left.len() <= 32 && left.contains(&0) && left.contains(&199), "{left:?}");
    assert_eq!(offenders.top(scopes[0], 1)[0].violations, 201);
}

#[test]
fn what_only_a_shadow_rule_saw_makes_no_offender() {
    let analytics = Analytics::new(AnalyticsConfig::default());
    analytics.record(violation(1, "a", "x"));
    analytics.record(Violation { shadow: true, ..violation(1, "a", "y") });
    assert_eq!(worst(analytics.offenders(), 9), [("user:x".to_owned(), 1, 0)]);
    assert_eq!(analytics.violations().total(), 2);
    assert!(analytics.near_limits().untold() == 0);
}

#[test]
fn the_configuration_has_no_nothing() {
    let config: AnalyticsConfig = serde_json::from_str(r#"{"violations":5}"#).unwrap();
    assert_eq!((config.violations, config.offenders), (number(5), number(64)));
    assert!(serde_json::from_str::<AnalyticsConfig>(r#"{"violations":0}"#).is_err());
    assert!(serde_json::from_str::<AnalyticsConfig>(r#"{"violation":5}"#).is_err());
}

proptest! {
    /// The promises of the sketch, against exact counts.
    #[test]
    fn no_heavy_offender_is_missed_and_no_number_is_off_by_more_than_stated(
        watched in 1_usize..12, users in prop::collection::vec(prop_oneof![0_u32..4, 0_u32..100], 1..400),
    ) {
        let offenders = Offenders::new(number(watched), number(16));
        let mut exact = std::collections::BTreeMap::<String, u64>::new();
        for user in &users {
            offenders.add(&violation(1, "a", &user.to_string()));
            *exact.entry(format!("user:{user}")).or_default() += 1;
        }
        let found = worst(&offenders, 100);
        prop_assert!(found.len() <= watched);
        let share = u64::try_from(users.len() / watched).unwrap();
        for (name, violations, error) in &found {
            let true_number = exact[name];
            prop_assert!(*violations >= true_number && violations - error <= true_number && *error <= share);
        }
        for (name, number) in exact {
            prop_assert!(number <= share || found.iter().any(|(one, ..)| *one == name));
        }
    }
}

#[test]
fn many_threads_count_every_violation() {
    let analytics = Arc::new(Analytics::new(AnalyticsConfig::default()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for second in 0..1_000 {
                    analytics.record(violation(second, "a", "x"));
                }
            });
        }
    });
    assert_eq!(worst(analytics.offenders(), 1), [("user:x".to_owned(), 4_000, 0)]);
    assert_eq!(analytics.violations().total(), 4_000);
}
