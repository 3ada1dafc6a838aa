//! What the pipeline decides, in what order, and what it records.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bed;
mod limits;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use stanchion_billing_metering::MeterId;
use stanchion_calendar::{Month, Zone};
use stanchion_core::{Actor, Authorization, Detail, Outcome, ProblemCode, Scope, SubjectRef};
use stanchion_pipeline::{Exchange, NormalPath, Pipeline, RequestHead};
use stanchion_tower::{Completion, Ending, Refusal};

use bed::Bed;

async fn ask(
    pipeline: &Pipeline,
    method: Method,
    path: &str,
    fields: &[(&'static str, &str)],
) -> Result<Exchange, Box<Refusal>> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.insert(*name, value.parse().unwrap());
    }
    let path = NormalPath::new(path).unwrap();
    let content_length =
        headers.get("content-length").map(|length| length.to_str().unwrap().parse().unwrap());
    let ip = IpAddr::from([203, 0, 113, 9]);
    let head =
        RequestHead { method: &method, host: "api.test", path: &path, headers: &headers, ip, content_length };
    pipeline.decide(&head).await
}

async fn get(bed: &Bed, path: &str, key: &str) -> Result<Exchange, Box<Refusal>> {
    ask(&bed.pipeline, Method::GET, path, &[("x-api-key", key)]).await
}

fn code(answer: Result<Exchange, Box<Refusal>>) -> ProblemCode {
    answer.expect_err("it is refused").problem.code
}

fn complete(status: u16, response_bytes: u64) -> Completion {
    Completion { ending: Ending::Complete, status: Some(status), request_bytes: 0, response_bytes }
}

#[tokio::test]
async fn each_stage_refuses_with_its_own_code() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    let platform = bed.key(Scope::Platform, SubjectRef::user("root").unwrap()).await;
    assert_eq!(code(get(&bed, "/nothing", &key).await), ProblemCode::NoRoute);
    let posted = ask(&bed.pipeline, Method::POST, "/read", &[]).await.unwrap_err();
    assert_eq!((posted.problem.code, posted.allow.as_deref()), (ProblemCode::MethodNotAllowed, Some("GET")));
    assert_eq!(code(ask(&bed.pipeline, Method::GET, "/read", &[]).await), ProblemCode::Unauthenticated);
    assert_eq!(code(get(&bed, "/read", "stn_live_nonsense").await), ProblemCode::Unauthenticated);
    assert_eq!(code(get(&bed, "/read", &platform).await), ProblemCode::Forbidden);
    assert_eq!(code(get(&bed, "/write", &key).await), ProblemCode::Forbidden);
    assert!(get(&bed, "/read", &key).await.is_ok());
    assert!(ask(&bed.pipeline, Method::GET, "/open", &[]).await.is_ok());
}

#[tokio::test]
async fn a_tenant_header_confirms_and_never_chooses() {
    let bed = Bed::new().await;
    let (acme, globex) = (bed.tenant("acme").await, bed.tenant("globex").await);
    let key = bed.reader(acme, "alice").await;
    for (named, allowed) in
        [(acme.to_string(), true), (globex.to_string(), false), ("acme".to_owned(), false)]
    {
        let answer =
            ask(&bed.pipeline, Method::GET, "/read", &[("x-api-key", &key), ("x-tenant-id", &named)]).await;
        assert_eq!(answer.is_ok(), allowed, "{named}");
    }
}

#[tokio::test]
async fn a_suspended_tenant_and_a_revoked_key_stop_at_the_next_request() {
    let bed = Bed::new().await;
    let (acme, globex) = (bed.tenant("acme").await, bed.tenant("globex").await);
    let (one, other) = (bed.reader(acme, "alice").await, bed.reader(globex, "bob").await);
    assert!(get(&bed, "/read", &one).await.is_ok() && get(&bed, "/read", &other).await.is_ok());
    let engines = bed.pipeline.engines();
    engines.tenancy.suspend(&bed.author, acme.tenant().unwrap(), "unpaid").await.unwrap();
    assert_eq!(code(get(&bed, "/read", &one).await), ProblemCode::TenantInactive);
    let id = engines.identity.list(globex, &Default::default()).await.unwrap().items[0].value.id;
    engines.identity.revoke(&bed.author, globex, id).await.unwrap();
    assert_eq!(code(get(&bed, "/read", &other).await), ProblemCode::Unauthenticated);
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_refused_before_it_is_sent() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    bed.reader(acme, "alice").await;
    let engines = bed.pipeline.engines();
    let writer = stanchion_rbac::Role::new("writer".parse().unwrap(), "Writer".parse().unwrap())
        .with_permissions(["thing:write".parse().unwrap()]);
    let subject = SubjectRef::user("wanda").unwrap();
    let assignment = stanchion_rbac::Assignment::new(subject.clone(), writer.id.clone());
    engines.rbac.put_role(&bed.author, acme, writer, None).await.unwrap();
    engines.rbac.assign(&bed.author, acme, assignment).await.unwrap();
    let key = bed.key(acme, subject).await;
    for (length, allowed) in [("10", true), ("11", false)] {
        let fields = [("x-api-key", key.as_str()), ("content-length", length)];
        let answer = ask(&bed.pipeline, Method::POST, "/write", &fields).await;
        assert_eq!(
            answer.map_err(|refusal| refusal.problem.code).err(),
            (!allowed).then_some(ProblemCode::PayloadTooLarge)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_tasks_on_one_key_get_exactly_the_limit() {
    let bed = Bed::new().await;
    bed.rule(
        r#"{"id": "per-key", "key": ["api_key"], "limit": 250, "window": "1h", "algorithm": "fixed_window"}"#,
    )
    .await;
    let acme = bed.tenant("acme").await;
    let key: Arc<str> = bed.reader(acme, "alice").await.into();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (pipeline, key) = (bed.pipeline.clone(), Arc::clone(&key));
        tasks
            .spawn(async move { ask(&pipeline, Method::GET, "/read", &[("x-api-key", &key)]).await.is_ok() });
    }
    let admitted = tasks.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 250);
    let refusal = get(&bed, "/read", &key).await.unwrap_err();
    assert_eq!(refusal.problem.code, ProblemCode::RateLimited);
    assert_eq!(refusal.rate_limit.retry_after, Some(Duration::from_secs(3600)), "noon to one o'clock");
    bed.advance(Duration::from_secs(3600));
    assert!(get(&bed, "/read", &key).await.is_ok());
}

#[tokio::test]
async fn a_request_refused_by_permission_has_still_counted_against_the_limit() {
    let bed = Bed::new().await;
    bed.rule(r#"{"id": "per-key", "key": ["api_key"], "limit": 1, "window": "1h"}"#).await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    assert_eq!(code(get(&bed, "/write", &key).await), ProblemCode::Forbidden);
    assert_eq!(code(get(&bed, "/write", &key).await), ProblemCode::RateLimited);
}

#[tokio::test]
async fn limits_before_authentication_spare_the_authenticator() {
    let bed = Bed::new().await;
    bed.rule(r#"{"id": "per-address", "key": ["ip"], "limit": 2, "window": "1h"}"#).await;
    for expected in [ProblemCode::Unauthenticated, ProblemCode::Unauthenticated, ProblemCode::RateLimited] {
        assert_eq!(code(get(&bed, "/read", "stn_live_nonsense").await), expected);
    }
}

#[tokio::test]
async fn a_short_exchange_has_one_record_with_its_end() {
    let mut bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    let mut exchange = get(&bed, "/read", &key).await.unwrap();
    let request = exchange.request();
    exchange.respond(200).await.unwrap();
    bed.advance(Duration::from_millis(3));
    exchange.finish(complete(200, 1_234));
    let records = bed.records(acme).await;
    assert_eq!(records.len(), 1);
    let event = &records[0].event;
    assert_eq!((event.action.as_str(), event.outcome), ("request.decided", Outcome::Success));
    assert_eq!(event.correlation.request, Some(request));
    assert!(matches!(&event.actor, Actor::Subject { subject, .. } if subject.to_string() == "user:alice"));
    assert_eq!(event.targets[0].to_string(), "route/read");
    assert_eq!(event.details.get("response_bytes"), Some(&Detail::Integer(1_234)));
    assert_eq!(event.details.get("duration_us"), Some(&Detail::Integer(3_000)));
    assert_eq!(event.details.get("role"), Some(&Detail::Text("reader".into())));
    let by = Some("role/reader".parse().unwrap());
    assert_eq!(event.authorization, [Authorization::granted("thing:read").with_decider(by)]);
    let verified = bed.pipeline.engines().audit.verify(acme).await.unwrap();
    assert!(verified.is_intact(), "{verified:?}");
}

#[tokio::test]
async fn a_durable_exchange_is_recorded_before_it_is_answered_and_again_at_its_end() {
    let mut bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    let mut exchange = get(&bed, "/durable", &key).await.unwrap();
    let request = exchange.request();
    let engines = bed.pipeline.engines().clone();
    let workers = (bed.sequencer.take().unwrap(), bed.recorder.take().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { drop(workers.0.run().await) });
    tasks.spawn(workers.1.run());
    let clock = Arc::clone(&bed.clock);
    tasks.spawn(async move {
        // Batches wait for company by this clock.
        loop {
            clock.advance(Duration::from_millis(1));
            tokio::task::yield_now().await;
        }
    });
    exchange.respond(200).await.unwrap();
    let committed = engines.audit.query(acme, &Default::default(), &Default::default()).await.unwrap();
    assert_eq!(committed.items.len(), 1, "committed before the answer");
    assert_eq!(committed.items[0].event.outcome, Outcome::Unknown);
    exchange.finish(Completion {
        ending: Ending::Broken,
        status: Some(200),
        request_bytes: 1,
        response_bytes: 2,
    });
    engines.audit.close();
    let second = loop {
        let page = engines.audit.query(acme, &Default::default(), &Default::default()).await.unwrap();
        if page.items.len() == 2 {
            break page.items[0].clone();
        }
        tokio::task::yield_now().await;
    };
    tasks.shutdown().await;
    assert_eq!(second.event.action.as_str(), "request.completed");
    assert_eq!((second.event.correlation.request, second.event.outcome), (Some(request), Outcome::Error));
    assert_eq!(second.event.correlation.parent, Some(committed.items[0].event.id));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_record_and_is_not_charged() {
    let mut bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    drop(get(&bed, "/read", &key).await.unwrap());
    let records = bed.records(acme).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].event.outcome, Outcome::Failure);
    assert_eq!(records[0].event.reason.as_ref().map(AsRef::as_ref), Some("client_went_away"));
    assert_eq!(used(&bed, acme, "calls").await, "0");
}

#[tokio::test]
async fn what_the_upstream_answered_is_metered_and_its_faults_are_not() {
    let mut bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    for (status, bytes) in [(200, 10), (404, 20), (503, 40)] {
        let mut exchange = get(&bed, "/read", &key).await.unwrap();
        exchange.respond(status).await.unwrap();
        exchange.finish(complete(status, bytes));
    }
    bed.settle().await;
    assert_eq!(used(&bed, acme, "calls").await, "2");
    assert_eq!(used(&bed, acme, "bytes").await, "30");
}

async fn used(bed: &Bed, scope: Scope, meter: &str) -> String {
    let month = "2026-03".parse::<Month>().unwrap().period(Zone::default());
    let meter: MeterId = meter.parse().unwrap();
    let usage =
        bed.pipeline.engines().metering.usage(scope.tenant().unwrap(), Some(&meter), month).await.unwrap();
    usage.first().map_or_else(|| "0".to_owned(), |usage| usage.quantity.to_string())
}

#[tokio::test]
async fn known_callers_leave_a_record_of_each_refusal_and_unknown_ones_a_sum() {
    let mut bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    assert_eq!(code(get(&bed, "/write", &key).await), ProblemCode::Forbidden);
    for _ in 0..5_000 {
        assert_eq!(code(get(&bed, "/read", "stn_live_nonsense").await), ProblemCode::Unauthenticated);
    }
    bed.pipeline.flush_summaries();
    let records = bed.records(acme).await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].event.outcome, records[0].event.reason.as_ref().map(AsRef::as_ref)),
        (Outcome::Denied, Some("forbidden"))
    );
    assert_eq!(records[0].event.details.get("why"), Some(&Detail::Text("no_matching_role".into())));
    assert_eq!(records[0].event.authorization, [Authorization::denied("thing:write")]);
    let records = bed.records(Scope::Platform).await;
    let rejected: Vec<_> =
        records.iter().filter(|entry| entry.event.action.as_str() == "request.rejected").collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].event.details.get("requests"), Some(&Detail::Integer(5_000)));
    assert_eq!(rejected[0].event.source.ip, Some(IpAddr::from([203, 0, 113, 9])));
}

#[tokio::test]
async fn a_ledger_without_room_refuses_before_anything_is_forwarded() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    let mut held = Vec::new();
    let refusal = loop {
        match get(&bed, "/read", &key).await {
            Ok(exchange) => held.push(exchange),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.problem.code, ProblemCode::Overloaded);
    let globex = bed.tenant("globex").await;
    let other = bed.reader(globex, "carol").await;
    assert!(get(&bed, "/read", &other).await.is_ok(), "another tenant has its own share");
    drop(held);
}

#[tokio::test]
async fn a_flood_of_refusals_fills_the_share_of_its_tenant_and_no_other() {
    let bed = Bed::new().await;
    let acme = bed.tenant("acme").await;
    let key = bed.reader(acme, "alice").await;
    while bed.pipeline.stats().unrecorded() == 0 {
        assert_eq!(code(get(&bed, "/write", &key).await), ProblemCode::Forbidden);
    }
    assert!(bed.pipeline.engines().audit.reserve(acme).is_err());
    assert!(bed.pipeline.engines().audit.reserve(Scope::Platform).is_ok());
}
