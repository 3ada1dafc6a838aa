//! What limits do with requests: let them through late, ask for proof, shut out, and get their leases back.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode};
use stanchion_core::ProblemCode;
use stanchion_pipeline::LimitFields;
use stanchion_tower::{Dialect, Dialects, Permit};

use super::bed::Bed;
use super::{ask, code, complete, get};

#[tokio::test]
async fn a_throttled_request_waits_for_its_turn_and_who_leaves_gives_it_back() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    bed.rule(r#"{"id":"slow","key":["user"],"limit":60,"burst":0,"window":"1m","action":"throttle","max_delay_ms":2100}"#).await;
    for _ in 0..60 {
        assert!(get(&bed, "/read", &key).await.is_ok());
    }
    let mut late = pin!(get(&bed, "/read", &key));
    assert!((&mut late).now_or_never().is_none(), "it waits");
    {
        let mut later = pin!(get(&bed, "/read", &key));
        assert!((&mut later).now_or_never().is_none(), "behind it");
        assert_eq!(code(get(&bed, "/read", &key).await), ProblemCode::RateLimited, "too late");
    }
    // The second has left, so there is its place again.
    let mut instead = pin!(get(&bed, "/read", &key));
    assert!((&mut instead).now_or_never().is_none());
    bed.advance(Duration::from_millis(1_001));
    assert!(late.await.is_ok());
    assert!((&mut instead).now_or_never().is_none(), "not yet");
    bed.advance(Duration::from_millis(1_000));
    assert!(instead.await.is_ok());
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_the_exchange_and_no_longer_than_its_refusal() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    bed.rule(r#"{"id":"at-once","key":["user"],"limit":1,"window":"1h","algorithm":"concurrency"}"#).await;
    let exchange = get(&bed, "/read", &key).await.unwrap();
    assert_eq!(code(get(&bed, "/read", &key).await), ProblemCode::RateLimited);
    exchange.finish(complete(200, 1));
    assert_eq!(code(get(&bed, "/write", &key).await), ProblemCode::Forbidden, "a later stage refuses");
    let abandoned = get(&bed, "/read", &key).await.unwrap();
    drop(abandoned);
    assert!(get(&bed, "/read", &key).await.is_ok());
}

#[tokio::test]
async fn a_challenge_and_a_quarantine_have_codes_of_their_own() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    bed.rule(
        r#"{"id":"human","key":["user"],"limit":1,"window":"1m","action":"captcha",
            "ladder":[{"violations":2,"action":"quarantine"}],"quarantine_seconds":60}"#,
    )
    .await;
    assert!(get(&bed, "/read", &key).await.is_ok());
    assert_eq!(code(get(&bed, "/read", &key).await), ProblemCode::ChallengeRequired);
    for _ in 0..2 {
        let refusal = get(&bed, "/read", &key).await.unwrap_err();
        assert_eq!(refusal.problem.code, ProblemCode::Quarantined);
        assert_eq!(refusal.rate_limit.retry_after, Some(Duration::from_secs(60)));
    }
    bed.advance(Duration::from_secs(60));
    assert!(get(&bed, "/read", &key).await.is_ok());
}

#[tokio::test]
async fn conditions_ask_for_the_method_the_host_and_the_path() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    bed.rule(
        r#"{"id":"reads","key":["user"],"limit":1,"window":"1m","conditions":[
            {"attribute":"method","one_of":["GET","HEAD"]},{"attribute":"host","equals":"api.test"},
            {"attribute":"path","prefix":"/re"}]}"#,
    )
    .await;
    assert!(get(&bed, "/durable", &key).await.is_ok() && get(&bed, "/durable", &key).await.is_ok());
    assert!(get(&bed, "/read", &key).await.is_ok());
    assert_eq!(code(get(&bed, "/read", &key).await), ProblemCode::RateLimited);
}

#[tokio::test]
async fn a_refusal_says_what_to_solve_and_a_proof_of_it_goes_through_once() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    bed.rule(r#"{"id":"human","key":["user"],"limit":1,"window":"1h","action":"captcha"}"#).await;
    assert!(get(&bed, "/read", &key).await.is_ok());
    let refusal = get(&bed, "/read", &key).await.unwrap_err();
    assert_eq!(refusal.problem.code, ProblemCode::ChallengeRequired);
    let member = |name: &str| {
        let found = refusal.problem.members.iter().find(|(known, _)| known.as_str() == name);
        found.map(|(_, value)| value.to_string()).unwrap()
    };
    assert_eq!((member("challenge"), member("challenge_bits")), ("proof_of_work".into(), "4".into()));
    let proof = stanchion_ratelimit::ProofOfWork::solve(&member("challenge_token"), 4);
    let with = async |proof: &str| {
        let fields = [("x-api-key", key.as_str()), ("x-challenge-proof", proof)];
        ask(&bed.pipeline, http::Method::GET, "/read", &fields).await
    };
    assert_eq!(code(with("nonsense").await), ProblemCode::ChallengeRequired);
    assert!(with(&proof).await.is_ok());
    assert_eq!(code(with(&proof).await), ProblemCode::ChallengeRequired, "it was taken");
}

#[tokio::test]
async fn callers_are_told_whom_each_limit_takes_them_for_where_that_is_wanted() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    bed.rule(r#"{"id":"calls","key":["tenant"],"limit":9,"window":"1m"}"#).await;
    let own = serde_json::from_str(r#"{"id":"calls","key":["user"],"limit":5,"window":"1m"}"#).unwrap();
    bed.pipeline.engines().ratelimit.put_rule(&bed.author, acme, own, None).await.unwrap();
    let told = async |fields| {
        bed.pipeline.set_limit_fields(fields);
        let (mut exchange, mut headers) = (get(&bed, "/read", &key).await.unwrap(), HeaderMap::new());
        Permit::respond(&mut exchange, StatusCode::OK, &mut headers).await.unwrap();
        headers.get("ratelimit-policy").map(|policies| policies.to_str().unwrap().to_owned())
    };
    let dialects = Dialect::Draft10.into();
    let policies = told(LimitFields { dialects, partition_keys: false }).await.unwrap();
    assert_eq!(policies, r#""calls";q=5;w=60, "platform/calls";q=9;w=60"#);
    let policies = told(LimitFields { dialects, partition_keys: true }).await.unwrap();
    let (own, platform) = policies.split_once(", ").unwrap();
    // In Base64: user:alice, and the tenant, whose id begins with a 0.
    assert_eq!(own, r#""calls";q=5;w=60;pk=:dXNlcjphbGljZQ==:"#);
    assert!(platform.starts_with(r#""platform/calls";q=9;w=60;pk=:dGVuYW50Oj"#), "{platform}");
    assert_eq!(told(LimitFields { dialects: Dialects::NONE, partition_keys: true }).await, None);
}
