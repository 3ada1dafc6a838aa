//! An axum application behind the layer.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Path};
use axum::routing::get;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use stanchion_ratelimit::{Dimension, KeySpec, Rule};
use tower::ServiceExt;

use crate::bed::{Bed, field, per_minute};

async fn application() -> (Bed, Router) {
    let key = KeySpec::new([Dimension::Ip, Dimension::Endpoint]).unwrap();
    let bed = Bed::new([Rule { key, ..per_minute("each-route", Dimension::Ip, 2) }]).await;
    let layer = bed
        .layer()
        .peer(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()))
        .extension(|path: &MatchedPath, request| request.route = Some(path.as_str().to_owned().into()));
    let router = Router::new()
        .route("/users/{id}", get(async |Path(id): Path<String>| id))
        .route("/health", get(async || StatusCode::NO_CONTENT))
        .layer(layer);
    (bed, router)
}

async fn ask(router: &Router, peer: &str, path: &str) -> Response<Body> {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 4711)));
    router.clone().oneshot(request).await.unwrap()
}

async fn text(answer: Response<Body>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_route_is_counted_by_its_pattern_and_each_caller_for_itself() {
    let (bed, router) = application().await;
    let answer = ask(&router, "203.0.113.7", "/users/1").await;
    assert_eq!((answer.status(), field(&answer, "x-ratelimit-remaining")), (StatusCode::OK, "1"));
    assert_eq!(text(answer).await, "1");
    let answer = ask(&router, "203.0.113.7", "/users/2").await;
    assert_eq!((answer.status(), field(&answer, "x-ratelimit-remaining")), (StatusCode::OK, "0"));
    drop(answer);

    let refused = ask(&router, "203.0.113.7", "/users/3").await;
    assert_eq!((refused.status(), field(&refused, "retry-after")), (StatusCode::TOO_MANY_REQUESTS, "30"));
    assert_eq!(field(&refused, "content-type"), "application/problem+json");
    let length: usize = field(&refused, "content-length").parse().unwrap();
    let document = text(refused).await;
    assert_eq!(document.len(), length);
    assert!(document.contains(r#""code":"rate_limited""#), "{document}");

    assert_eq!(ask(&router, "203.0.113.7", "/health").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(ask(&router, "203.0.113.8", "/users/1").await.status(), StatusCode::OK);
    let lines = bed.log.lines();
    assert_eq!(
        lines[..3],
        [
            "Complete (true, true) Some(200) bytes=1",
            "Abandoned (true, true) Some(200) bytes=0",
            "refused each-route cost=1",
        ]
    );
}
