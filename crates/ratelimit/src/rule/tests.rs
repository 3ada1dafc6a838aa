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
    for action in [Action::Throttle, Action::Captcha, Action::Quarantine] {
        let problem = format!(
            "action: `{}` is not available: use `block`, or `allow` to only observe",
            action.as_str()
        );
        refuses(&Rule { action, ..rule() }, &problem);
    }
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
