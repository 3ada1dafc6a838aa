use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use stanchion_core::{Clock, ManualClock, SeededRandom};
use stanchion_ratelimit::{self as ratelimit, MemoryCounterStore, MemoryRuleStore};
use stanchion_tenancy::{self as tenancy, MemoryTenantStore};

use super::*;
use crate::EnvoyConfig;

/// A service with one domain, `edge`.
fn grpc() -> Grpc {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let ids = || Arc::new(SeededRandom::new(1));
    let counters = Arc::new(MemoryCounterStore::new(64, Arc::clone(&clock)));
    let rules = Arc::new(MemoryRuleStore::new(None));
    let config = ratelimit::Config::default();
    let limits = Arc::new(ratelimit::Engine::new(rules, counters, Arc::clone(&clock), ids(), config));
    let tenants = Arc::new(MemoryTenantStore::new(None));
    let config = tenancy::Config::default();
    let tenants = Arc::new(tenancy::Engine::new(tenants, Arc::clone(&clock), ids(), config));
    let domains = [("edge".to_owned(), crate::DomainConfig::default())].into();
    let config = EnvoyConfig { enabled: true, domains, ..EnvoyConfig::default() };
    Grpc::new(EnvoyRateLimits::new(limits, tenants, clock, &config), Readiness::new([]))
}

/// A message as gRPC sends it: not compressed, its length in four bytes, then itself.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat().into()
}

/// Asks a method; returns the status that gRPC tells and the body.
async fn ask(grpc: &Grpc, path: &str, body: Bytes) -> (String, Bytes) {
    let request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    let answer = grpc.answer(request.body(Full::new(body)).unwrap()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap();
    let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
    let status = status.or_else(|| head.headers.get("grpc-status")).unwrap();
    (status.to_str().unwrap().to_owned(), body.to_bytes())
}

#[tokio::test]
async fn a_request_in_envoys_bytes_is_answered_in_envoys_bytes() {
    // Written with Envoy's protocol: domain "edge", one descriptor, `user` "alice".
    let request = b"\x0a\x04edge\x12\x0f\x0a\x0d\x0a\x04user\x12\x05alice";
    let answer = ask(&grpc(), SHOULD_RATE_LIMIT, framed(request)).await;
    // overall_code = OK, and one status with code = OK.
    assert_eq!(answer, ("0".to_owned(), framed(b"\x08\x01\x12\x02\x08\x01")));
}

#[tokio::test]
async fn a_health_check_says_what_readiness_says() {
    let grpc = grpc();
    let check = |message: &'static [u8]| ask(&grpc, HEALTH_CHECK, framed(message));
    assert_eq!(check(b"").await, ("0".to_owned(), framed(b"\x08\x02")));
    grpc.readiness.serve();
    assert_eq!(check(b"").await, ("0".to_owned(), framed(b"\x08\x01")));
    let named = b"\x0a\x2benvoy.service.ratelimit.v3.RateLimitService";
    assert_eq!(check(named).await, ("0".to_owned(), framed(b"\x08\x01")));
    grpc.readiness.drain();
    assert_eq!(check(named).await, ("0".to_owned(), framed(b"\x08\x02")));
    assert_eq!(check(b"\x0a\x05other").await, ("5".to_owned(), Bytes::new()), "NOT_FOUND");
}

#[tokio::test]
async fn what_is_no_method_no_message_or_too_large_is_told_in_grpcs_own_words() {
    let grpc = grpc();
    assert_eq!(ask(&grpc, "/grpc.health.v1.Health/Watch", framed(b"")).await.0, "12", "UNIMPLEMENTED");
    assert_eq!(ask(&grpc, SHOULD_RATE_LIMIT, framed(b"\xff\xff\xff")).await.0, "13", "INTERNAL");
    let large = vec![0; MESSAGE + 1];
    assert_eq!(ask(&grpc, SHOULD_RATE_LIMIT, framed(&large)).await.0, "11", "OUT_OF_RANGE");
}

#[tokio::test]
async fn what_is_not_grpc_is_not_answered_as_such() {
    let request = Request::get(SHOULD_RATE_LIMIT).body(Full::<Bytes>::default()).unwrap();
    let answer = grpc().answer(request).await;
    assert_eq!((answer.status(), answer.headers().len()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, 0));
}
