//! The end of an admitted request is told once, whatever becomes of it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use stanchion_ratelimit::Dimension;
use stanchion_tower::Stages;
use tower::{Layer, Service, service_fn};

use crate::bed::{Bed, Hello, ask, from, per_minute, text};

async fn bed() -> Bed {
    Bed::new([per_minute("burst", Dimension::Global, 2)]).await
}

#[tokio::test]
async fn an_answer_that_was_read_to_its_end_is_complete() {
    let bed = bed().await;
    let answer = ask(&bed.layer().layer(Hello::default()), from("10.0.0.1")).await;
    assert_eq!(bed.log.lines(), [""; 0]);
    text(answer).await;
    assert_eq!(bed.log.lines(), ["Complete (true, true) Some(200) bytes=5"]);
    assert_eq!(bed.log.successes(), [true]);
}

#[tokio::test]
async fn an_answer_without_a_body_ends_at_once() {
    let bed = bed().await;
    let service =
        service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    let answer = ask(&bed.layer().stages(Stages::Edge).layer(service), from("10.0.0.1")).await;
    assert_eq!(bed.log.lines(), ["Complete (true, false) Some(200) bytes=0"]);
    drop(answer);
    assert_eq!(bed.log.lines().len(), 1);
}

#[tokio::test]
async fn an_answer_that_tells_of_a_failure_is_no_success() {
    let bed = bed().await;
    for (status, success) in [(204, true), (302, true), (400, false), (401, false), (500, false)] {
        let service = service_fn(move |_: Request<()>| async move {
            let response = Response::builder().status(status).body(Full::<Bytes>::default()).unwrap();
            Ok::<_, Infallible>(response)
        });
        let layer = bed.layer().identify(|_, request| request.cost = 0);
        ask(&layer.layer(service), from("10.0.0.1")).await;
        assert_eq!(bed.log.successes().last(), Some(&success), "{status}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_end_has_abandoned_it() {
    let bed = bed().await;
    drop(ask(&bed.layer().layer(Hello::default()), from("10.0.0.1")).await);
    assert_eq!(bed.log.lines(), ["Abandoned (true, true) Some(200) bytes=0"]);
    assert_eq!(bed.log.successes(), [false]);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_has_abandoned_it() {
    let bed = bed().await;
    let never = service_fn(async |_: Request<()>| {
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let answer = bed.layer().layer(never).call(from("10.0.0.1")).now_or_never();
    assert!(answer.is_none());
    assert_eq!(bed.log.lines(), ["Abandoned (true, true) None bytes=0"]);
}

#[tokio::test]
async fn a_service_that_fails_has_broken_it() {
    let bed = bed().await;
    let failing = service_fn(async |_: Request<()>| Err::<Response<Full<Bytes>>, _>("no"));
    assert_eq!(bed.layer().layer(failing).call(from("10.0.0.1")).await.err(), Some("no"));
    assert_eq!(bed.log.lines(), ["Broken (true, true) None bytes=0"]);
}

/// Breaks off after three bytes.
#[derive(Default)]
struct Broken {
    told: bool,
}

impl Body for Broken {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let first = !std::mem::replace(&mut self.told, true);
        Poll::Ready(Some(if first { Ok(Frame::data(Bytes::from_static(b"abc"))) } else { Err("broken") }))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_has_broken_it() {
    let bed = bed().await;
    let service = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Broken::default())));
    let answer = ask(&bed.layer().layer(service), from("10.0.0.1")).await;
    assert_eq!(answer.into_body().collect().await.err(), Some("broken"));
    assert_eq!(bed.log.lines(), ["Broken (true, true) Some(200) bytes=3"]);
}

#[tokio::test]
async fn a_refused_request_has_no_end_even_if_one_stage_had_admitted_it() {
    let bed =
        Bed::new([per_minute("burst", Dimension::Global, 9), per_minute("edge", Dimension::Ip, 2)]).await;
    let tenant = bed.tenant;
    bed.put(stanchion_core::Scope::Tenant(tenant), per_minute("own", Dimension::Tenant, 1)).await;
    let layer = bed.layer().identify(move |_, request| request.tenant = Some(tenant));
    let service = layer.layer(Hello::default());
    text(ask(&service, from("10.0.0.1")).await).await;
    text(ask(&service, from("10.0.0.1")).await).await;
    text(ask(&service, from("10.0.0.1")).await).await;
    let lines = bed.log.lines();
    assert_eq!(
        lines,
        ["Complete (true, true) Some(200) bytes=5", "refused own cost=1", "refused edge cost=1"]
    );
}
