use stanchion_calendar::Window;

use super::*;
use crate::Dimension;

fn rule() -> Rule {
    Rule::new(RuleId::new("user-minute").unwrap(), Dimension::User, 60, Window::MINUTE)
}

#[track_caller]
fn refuses(rule: &Rule, problem: &str) {
    let error = rule.validate().unwrap_err().to_string();
    assert_eq!(error, format!("rule `user-minute`: {problem}"));
}

#[test]
fn a_rule_needs_four_fields_and_the_rest_has_safe_defaults() {
    let json = r#"{"id":"user-minute","key":["user"],"limit":60,"window":"1m"}"#;
    let read: Rule = serde_json::from_str(json).unwrap();
    assert_eq!(read, rule());
    assert_eq!(read.validate(), Ok(()));
    assert_eq!(serde_json::from_str::<Rule>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
    let error = serde_json::from_str::<Rule>(r#"{"id":"a","key":["ip"],"limit":1,"window":"1m","brust":1}"#);
    assert!(error.unwrap_err().to_string().contains("unknown field `brust`"));
}

#[test]
fn every_field_that_cannot_be_is_named_with_the_way_out() {
    refuses(
        &Rule { limit: 0, ..rule() },
        "limit: use at least 1; to shut callers out, take away their key or their permission",
    );
    refuses(
        &Rule { limit: u64::MAX, burst: 1, ..rule() },
        "limit: `limit` and `burst` together are at most 9000000000 with `token_bucket`: lower one",
    );
    refuses(
        &Rule { window: Window::MONTH, ..rule() },
        "window: months are not equally long, and `token_bucket` needs a length: use days, or algorithm `fixed_window`",
    );
    refuses(&Rule { name: Some("".into()), ..rule() }, "name: use 1 to 200 characters, or leave it out");
    let label = Slug::new("ai").unwrap();
    refuses(
        &Rule { labels: vec![label.clone(), label], limit: 0, ..rule() },
        "labels: `ai` stands twice: leave one out; limit: use at least 1; to shut callers out, take away their key or their permission",
    );
    let route = |number| Slug::new(&format!("route-{number}")).unwrap();
    refuses(
        &Rule { routes: (0..101).map(route).collect(), ..rule() },
        "routes: use at most 100; a label can stand for many routes",
    );
    refuses(
        &Rule { algorithm: Algorithm::LeakyQueue, ..rule() },
        "burst: a queue needs a length: say how many may wait",
    );
    refuses(
        &Rule { algorithm: Algorithm::SlidingLog, limit: 10_001, ..rule() },
        "limit: `limit` and `burst` together are at most 10000 with `sliding_log`: lower one",
    );
    refuses(
        &Rule { algorithm: Algorithm::FixedWindow, action: Action::Throttle, ..rule() },
        "action: `throttle` needs an algorithm that drains steadily, and `fixed_window` does not: use token_bucket, gcra or leaky_bucket",
    );
    refuses(
        &Rule { action: Action::Throttle, max_delay_ms: 60_001, ..rule() },
        "max_delay_ms: use 1 to 60000",
    );
    refuses(
        &Rule { action: Action::Quarantine, key: Dimension::Global.into(), quarantine_seconds: 0, ..rule() },
        "quarantine_seconds: use 1 to 31536000; action: `quarantine` needs a caller to shut out: count by tenant, user, api_key or ip",
    );
    let rung = |violations, action| Rung { violations, action };
    let ladder = "ladder: each rung needs more violations, from 2, and a more severe action than the one before it and than `action`";
    for rungs in [
        vec![rung(1, Action::Quarantine)],
        vec![rung(5, Action::Block)],
        vec![rung(5, Action::Quarantine), rung(4, Action::Quarantine)],
    ] {
        refuses(&Rule { ladder: rungs, ..rule() }, ladder);
    }
    let month = Rule { ladder_window: Window::MONTH, ..rule() };
    refuses(&month, "ladder_window: use seconds, minutes, hours or days");
    let condition = crate::Condition { equals: None, ..crate::Condition::equals("plan", "pro") };
    refuses(
        &Rule { conditions: vec![crate::Condition::equals("plan", "pro"), condition], ..rule() },
        "conditions: number 2: it asks nothing: give one of equals, one_of, prefix, cidr",
    );
    assert_eq!(
        Rule { window: Window::MONTH, algorithm: Algorithm::FixedWindow, ..rule() }.validate(),
        Ok(())
    );
}

#[test]
fn actions_grow_more_severe() {
    // Of several violated rules the most severe one decides, by this order.
    let order = [Action::Allow, Action::Throttle, Action::Captcha, Action::Block, Action::Quarantine];
    assert!(order.is_sorted());
}

#[test]
fn counters_go_on_as_long_as_they_mean_the_same() {
    let (bucket, window) = (rule(), Rule { algorithm: Algorithm::FixedWindow, ..rule() });
    assert!(bucket.keeps_counters(&Rule { limit: 1, burst: 5, window: Window::HOUR, ..bucket.clone() }));
    assert!(window.keeps_counters(&Rule { limit: 1, shadow: true, ..window.clone() }));
    assert!(!window.keeps_counters(&Rule { window: Window::HOUR, ..window.clone() }));
    assert!(!window.keeps_counters(&Rule { zone: "Asia/Tokyo".parse().unwrap(), ..window.clone() }));
    assert!(!window.keeps_counters(&bucket));
    assert!(!bucket.keeps_counters(&Rule { key: Dimension::Ip.into(), ..bucket.clone() }));
}
