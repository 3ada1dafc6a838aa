//! Calls as tonic's clients make them, and answers as they expect them.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use stanchion_core::ManualClock;
use stanchion_ratelimit::{Dimension, MemoryRuleStore, OnMissingIdentifier, Rule};
use tower::{Layer, service_fn};

use crate::bed::{Answer, Bed, Hello, Unreachable, ask, field, noon, per_minute};

fn call(content_type: &str) -> Request<()> {
    Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri("http://localhost/helloworld.Greeter/SayHello")
        .header("te", "trailers")
        .header("content-type", content_type)
        .body(())
        .unwrap()
}

async fn check(answer: Answer, status: &str, message: &str) {
    assert_eq!(answer.status(), 200);
    assert_eq!(field(&answer, "content-type"), "application/grpc");
    assert_eq!(field(&answer, "grpc-status"), status);
    assert_eq!(field(&answer, "grpc-message"), message);
    // Without a body the head ends the stream: "Trailers-Only".
    assert!(answer.body().is_end_stream());
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 0);
}

#[tokio::test]
async fn a_call_beyond_its_limit_is_resource_exhausted() {
    let bed = Bed::new([per_minute("calls", Dimension::Global, 1)]).await;
    let hello = Hello::default();
    let service = bed.layer().layer(hello.clone());
    let answer = ask(&service, call("application/grpc")).await;
    assert_eq!((field(&answer, "grpc-status"), field(&answer, "ratelimit")), ("", r#""calls";r=0;t=60"#));
    let answer = ask(&service, call("application/grpc")).await;
    assert_eq!((field(&answer, "retry-after"), field(&answer, "ratelimit")), ("60", r#""calls";r=0;t=60"#));
    check(answer, "8", "rate_limited: the limit `calls` is used up").await;
    assert_eq!(hello.calls(), 1);
    let answer = ask(&service, call("application/grpc+proto")).await;
    assert_eq!(field(&answer, "content-type"), "application/grpc+proto");
    assert_eq!(ask(&service, call("application/json")).await.status(), 429);
}

#[tokio::test]
async fn a_call_of_nobody_is_permission_denied() {
    let deny = OnMissingIdentifier::Deny;
    let rule = Rule { on_missing_identifier: deny, ..per_minute("by-user", Dimension::User, 1) };
    let bed = Bed::new([rule]).await;
    let answer = ask(&bed.layer().layer(Hello::default()), call("application/grpc")).await;
    check(answer, "7", "forbidden: the limit `by-user` needs an identity that this request lacks").await;
}

#[tokio::test]
async fn a_call_that_cannot_be_counted_is_unavailable() {
    let (rules, clock) = (Arc::new(MemoryRuleStore::new(None)), Arc::new(ManualClock::at(noon())));
    let rule = per_minute("calls", Dimension::Global, 1);
    let bed = Bed::with(rules, Arc::new(Unreachable), clock, [rule]).await;
    let answer = ask(&bed.layer().layer(Hello::default()), call("application/grpc")).await;
    check(answer, "14", "backend_unavailable: A backend is unavailable").await;
}

/// Answers a call with a message, and the status in the head, behind the message or nowhere.
async fn did_what_was_asked(
    content_type: &'static str,
    head: &[(&str, &str)],
    trailers: &[(&str, &str)],
) -> bool {
    let fields = |fields: &[(&str, &str)]| -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    };
    let (head, trailers) = (fields(head), fields(trailers));
    let bed = Bed::new([]).await;
    let service = service_fn(move |_: Request<()>| {
        let (head, trailers) = (head.clone(), trailers.clone());
        let body = Full::new(Bytes::from_static(b"message")).with_trailers(ready(Some(Ok(trailers))));
        let mut response = Response::new(body);
        *response.headers_mut() = head;
        response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
        ready(Ok::<_, Infallible>(response))
    });
    let answer = ask(&bed.layer().layer(service), call(content_type)).await;
    answer.into_body().collect().await.unwrap();
    bed.log.successes() == [true]
}

#[tokio::test]
async fn a_call_is_a_success_only_when_its_status_says_so() {
    let (ok, denied) = (&[("grpc-status", "0")][..], &[("grpc-status", "16")][..]);
    let check = async |head, trailers, success| {
        assert_eq!(did_what_was_asked("application/grpc", head, trailers).await, success);
    };
    check(&[], ok, true).await;
    check(&[], denied, false).await;
    check(ok, denied, false).await;
    check(denied, &[], false).await;
    check(&[], &[("grpc-status", "ok")], false).await;
    check(&[], &[], false).await;
    assert!(did_what_was_asked("text/plain", &[], denied).await, "no call, no status of one");
}
