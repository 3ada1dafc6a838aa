//! Any tower service: what a response says, and which limits are asked.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use stanchion_core::{
    Authentication, AuthenticationMethod, Principal, RequestId, Scope, SeededRandom, SubjectRef,
};
use stanchion_ratelimit::{Action, Dimension, Rule};
use stanchion_tower::{Dialect, Dialects, Stages};
use tower::Layer;

use crate::bed::{Bed, Hello, ask, field, from, per_minute, text};

#[tokio::test]
async fn an_admitted_request_is_told_how_its_limits_stand() {
    let bed = Bed::new([per_minute("burst", Dimension::Ip, 2)]).await;
    let service = bed.layer().layer(Hello::default());
    let answer = ask(&service, from("203.0.113.7")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(field(&answer, "ratelimit"), r#""burst";r=1;t=30"#);
    assert_eq!(field(&answer, "ratelimit-policy"), r#""burst";q=2;w=60"#);
    assert_eq!(field(&answer, "x-ratelimit-limit"), "2");
    assert_eq!(field(&answer, "x-ratelimit-remaining"), "1");
    assert_eq!(field(&answer, "x-ratelimit-reset"), "1772366430");
    assert_eq!(field(&answer, "retry-after"), "");
    assert_eq!(text(answer).await, "hello");
}

#[tokio::test]
async fn a_refused_request_is_told_why_and_when_to_come_back() {
    let bed = Bed::new([per_minute("burst", Dimension::Ip, 2)]).await;
    let hello = Hello::default();
    let service = bed.layer().layer(hello.clone());
    for _ in 0..2 {
        assert_eq!(ask(&service, from("203.0.113.7")).await.status(), 200);
    }
    let mut third = from("203.0.113.7");
    let id: RequestId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
    third.extensions_mut().insert(id);
    let answer = ask(&service, third).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(field(&answer, "content-type"), "application/problem+json");
    assert_eq!(field(&answer, "cache-control"), "no-store");
    // Two a minute: one comes back after 30 s, both after 60.
    assert_eq!(field(&answer, "retry-after"), "30");
    assert_eq!(field(&answer, "ratelimit"), r#""burst";r=0;t=30"#);
    assert_eq!(field(&answer, "x-ratelimit-remaining"), "0");
    assert_eq!(field(&answer, "x-ratelimit-reset"), "1772366460");
    let document: serde_json::Value = serde_json::from_str(&text(answer).await).unwrap();
    let expected = serde_json::json!({
        "type": "about:blank",
        "title": "Too many requests",
        "status": 429,
        "code": "rate_limited",
        "detail": "the limit `burst` is used up",
        "request_id": "0192f0c1-2345-7abc-8def-0123456789ab",
    });
    assert_eq!(document, expected);
    assert_eq!(hello.calls(), 2);

    bed.clock.advance(Duration::from_secs(30));
    assert_eq!(ask(&service, from("203.0.113.7")).await.status(), 200, "who waits as told is admitted");
}

#[tokio::test]
async fn a_request_keeps_its_body_of_whatever_type() {
    let bed = Bed::new([]).await;
    let service = bed.layer().layer(tower::service_fn(async |request: Request<Vec<u32>>| {
        assert_eq!(request.body(), &[1, 2, 3]);
        Ok::<_, std::convert::Infallible>(
            http::Response::new(http_body_util::Full::<bytes::Bytes>::default()),
        )
    }));
    let answer = ask(&service, Request::new(vec![1, 2, 3])).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers().len(), 0, "there are no limits to tell of");
}

#[tokio::test]
async fn the_dialect_is_one_word() {
    let bed = Bed::new([per_minute("burst", Dimension::Global, 10)]).await;
    let told = async |dialects: Dialects| {
        let answer = ask(&bed.layer().dialects(dialects).layer(Hello::default()), from("10.0.0.1")).await;
        (field(&answer, "ratelimit").to_owned(), field(&answer, "x-ratelimit-reset").to_owned())
    };
    assert_eq!(told(Dialect::Pull166.into()).await, (r#""burst";a=9;w=6;c=1"#.to_owned(), String::new()));
    assert_eq!(told(Dialect::LegacyDelta.into()).await, (String::new(), "12".to_owned()));
    assert_eq!(told(Dialects::NONE).await, (String::new(), String::new()));
}

#[tokio::test]
async fn times_to_come_back_are_exact_unless_they_are_spread() {
    let bed = Bed::new([per_minute("burst", Dimension::Global, 1)]).await;
    let service = bed.layer().layer(Hello::default());
    ask(&service, from("10.0.0.1")).await;
    assert_eq!(field(&ask(&service, from("10.0.0.1")).await, "retry-after"), "60");
    let spread = bed.layer().spread(Duration::from_secs(60), Arc::new(SeededRandom::new(3)));
    let service = spread.layer(Hello::default());
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = ask(&service, from("10.0.0.1")).await;
        told.insert(field(&answer, "retry-after").parse::<u32>().unwrap());
    }
    assert!(told.len() > 10 && told.iter().all(|seconds| (60..=120).contains(seconds)), "{told:?}");
}

fn alice(bed: &Bed) -> Principal {
    let authentication = Authentication { method: AuthenticationMethod::ApiKey, key: None };
    let subject = SubjectRef::user("alice").unwrap();
    Principal { scope: Scope::Tenant(bed.tenant), subject, authentication }
}

#[tokio::test]
async fn each_stage_asks_its_own_limits() {
    let rules = [per_minute("by-address", Dimension::Ip, 10), per_minute("by-user", Dimension::User, 20)];
    let bed = Bed::new(rules).await;
    let told = async |stages| {
        let mut request = from("203.0.113.7");
        request.extensions_mut().insert(Arc::new(alice(&bed)));
        let answer = ask(&bed.layer().stages(stages).layer(Hello::default()), request).await;
        field(&answer, "ratelimit").to_owned()
    };
    assert_eq!(told(Stages::Edge).await, r#""by-address";r=9;t=6"#);
    assert_eq!(told(Stages::Inner).await, r#""by-user";r=19;t=3"#);
    assert_eq!(told(Stages::Both).await, r#""by-address";r=8;t=12, "by-user";r=18;t=6"#);
}

#[tokio::test]
async fn layers_in_front_of_and_behind_authentication_tell_together() {
    let rules = [per_minute("by-address", Dimension::Ip, 10), per_minute("by-user", Dimension::User, 1)];
    let bed = Bed::new(rules).await;
    let inner = bed.layer().stages(Stages::Inner).layer(Hello::default());
    let alice = alice(&bed);
    let authenticated = tower::util::MapRequest::new(inner, move |mut request: Request<()>| {
        request.extensions_mut().insert(alice.clone());
        request
    });
    let service = bed.layer().stages(Stages::Edge).layer(authenticated);
    let lines = |answer: &http::Response<_>| -> Vec<String> {
        let lines = answer.headers().get_all("ratelimit").iter();
        lines.map(|line| line.to_str().unwrap().to_owned()).collect()
    };
    let answer = ask(&service, from("203.0.113.7")).await;
    assert_eq!(lines(&answer), [r#""by-user";r=0;t=60"#, r#""by-address";r=9;t=6"#]);
    assert_eq!(field(&answer, "x-ratelimit-limit"), "1", "the tightest of all");
    let answer = ask(&service, from("203.0.113.7")).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "retry-after")), (429, "60"));
    assert_eq!(lines(&answer), [r#""by-user";r=0;t=60"#, r#""by-address";r=8;t=12"#]);
    assert_eq!(field(&answer, "x-ratelimit-limit"), "1");
}

#[tokio::test]
async fn only_what_can_refuse_is_told_and_by_a_name_of_its_own() {
    let watching = Rule { action: Action::Allow, ..per_minute("watching", Dimension::User, 1) };
    let shadow = Rule { shadow: true, ..per_minute("shadow", Dimension::User, 1) };
    let bed = Bed::new([watching, shadow, per_minute("burst", Dimension::User, 10)]).await;
    bed.put(Scope::Tenant(bed.tenant), per_minute("burst", Dimension::User, 5)).await;
    let service = bed.layer().layer(Hello::default());
    let mut request = from("203.0.113.7");
    request.extensions_mut().insert(alice(&bed));
    let answer = ask(&service, request).await;
    assert_eq!(field(&answer, "ratelimit"), r#""burst";r=4;t=12, "platform/burst";r=9;t=6"#);
    assert_eq!(field(&answer, "ratelimit-policy"), r#""burst";q=5;w=60, "platform/burst";q=10;w=60"#);
}

#[tokio::test]
async fn the_limit_that_refuses_is_told_before_a_tighter_one_that_does_not() {
    let few = Rule { routes: vec!["dear".parse().unwrap()], ..per_minute("few", Dimension::Global, 5) };
    let bed = Bed::new([few, per_minute("many", Dimension::Ip, 100)]).await;
    let ask_for = async |route: &'static str, cost| {
        let layer = bed.layer().identify(move |_, request| {
            request.route = Some(route.into());
            request.cost = cost;
        });
        ask(&layer.layer(Hello::default()), from("10.0.0.1")).await
    };
    assert_eq!(ask_for("cheap", 90).await.status(), 200);
    assert_eq!(ask_for("dear", 2).await.status(), 200);
    let answer = ask_for("dear", 4).await;
    // Three of five are left and four are asked for: one comes back every 12 s.
    assert_eq!(field(&answer, "ratelimit"), r#""few";r=3;t=12, "many";r=8;t=56"#);
    assert_eq!((field(&answer, "x-ratelimit-limit"), field(&answer, "retry-after")), ("5", "12"));
    let answer = ask_for("dear", 6).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "retry-after")), (429, ""), "it never fits");
    assert_eq!(bed.log.lines().last().unwrap(), "refused few cost=6");
}
