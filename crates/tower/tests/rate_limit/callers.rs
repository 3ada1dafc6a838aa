//! Who a request is counted as, and who it cannot be counted as.

use std::net::SocketAddr;

use http::{HeaderName, Request};
use stanchion_core::{Scope, SubjectRef};
use stanchion_ratelimit::{Dimension, OnMissingIdentifier, Rule};
use stanchion_tower::{ClientAddress, RateLimit};
use tower::Layer;

use crate::bed::{Answer, Bed, Hello, ask, field, from, per_minute, text};

const FORWARDED_FOR: &str = "x-forwarded-for";
const USER: HeaderName = HeaderName::from_static("x-user");

fn behind(proxies: &str) -> ClientAddress {
    ClientAddress::behind(vec![proxies.parse().unwrap()])
}

fn with<'a>(peer: &str, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Request<()> {
    let mut request = from(peer);
    for (name, value) in fields {
        request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    request
}

/// The rule lets each caller pass once, so a second request passes only as somebody else.
async fn is_somebody_else(service: &RateLimit<Hello>, request: Request<()>) -> bool {
    ask(service, request).await.status() == 200
}

#[tokio::test]
async fn a_stranger_is_known_by_its_connection_whatever_it_claims() {
    let bed = Bed::new([per_minute("once", Dimension::Ip, 1)]).await;
    let service = bed.layer().clients(behind("10.0.0.0/8")).layer(Hello::default());
    assert!(is_somebody_else(&service, from("203.0.113.7")).await);
    for claim in ["198.51.100.1", "10.0.0.1", "203.0.113.8, 10.0.0.1", "::1", "", "unknown"] {
        for name in [FORWARDED_FOR, "forwarded", "x-real-ip", "x-client-ip", "true-client-ip"] {
            let request = with("203.0.113.7", [(name, claim)]);
            assert!(!is_somebody_else(&service, request).await, "{name}: {claim}");
        }
    }
}

#[tokio::test]
async fn behind_proxies_the_address_is_the_one_they_saw_and_not_what_a_client_wrote_before() {
    let bed = Bed::new([per_minute("once", Dimension::Ip, 1)]).await;
    let service = bed.layer().clients(behind("10.0.0.0/8")).layer(Hello::default());
    let forwarded = |value: &str| with("10.0.0.1", [(FORWARDED_FOR, value)]);
    assert!(is_somebody_else(&service, forwarded("203.0.113.7")).await);
    assert!(!is_somebody_else(&service, forwarded("198.51.100.1, 203.0.113.7")).await);
    assert!(!is_somebody_else(&service, forwarded("198.51.100.2, 203.0.113.7, 10.0.0.2")).await);
    assert!(!is_somebody_else(&service, forwarded("203.0.113.7:4711")).await);
    assert!(is_somebody_else(&service, forwarded("203.0.113.8")).await);
    let two = with("10.0.0.1", [(FORWARDED_FOR, "198.51.100.3"), (FORWARDED_FOR, "203.0.113.8")]);
    assert!(!is_somebody_else(&service, two).await);
}

#[tokio::test]
async fn an_ipv6_subscriber_is_one_caller() {
    let bed = Bed::new([per_minute("once", Dimension::Ip, 1)]).await;
    let service = bed.layer().layer(Hello::default());
    assert!(is_somebody_else(&service, from("2001:db8:0:1::1")).await);
    assert!(!is_somebody_else(&service, from("2001:db8:0:1:ffff::2")).await);
    assert!(is_somebody_else(&service, from("2001:db8:0:2::1")).await);
}

#[tokio::test]
async fn without_an_address_all_share_one_counter() {
    let bed = Bed::new([per_minute("once", Dimension::Ip, 1)]).await;
    let service = bed.layer().clients(behind("0.0.0.0/0")).layer(Hello::default());
    assert!(is_somebody_else(&service, Request::new(())).await);
    let mut claiming = Request::new(());
    claiming.headers_mut().insert(FORWARDED_FOR, "203.0.113.7".parse().unwrap());
    assert!(!is_somebody_else(&service, claiming).await, "trust in everybody is no trust in nobody");
}

#[tokio::test]
async fn the_address_may_lie_in_another_extension() {
    let bed = Bed::new([per_minute("once", Dimension::Ip, 1)]).await;
    let layer = bed.layer().peer(|extensions| extensions.get::<SocketAddr>().map(SocketAddr::ip));
    let service = layer.layer(Hello::default());
    for (address, passes) in [("203.0.113.7:1", true), ("203.0.113.7:2", false), ("203.0.113.8:1", true)] {
        let mut request = Request::new(());
        request.extensions_mut().insert(address.parse::<SocketAddr>().unwrap());
        assert_eq!(is_somebody_else(&service, request).await, passes, "{address}");
    }
}

#[tokio::test]
async fn a_header_counts_only_from_a_trusted_proxy_and_only_once() {
    let deny = OnMissingIdentifier::Deny;
    let bed =
        Bed::new([Rule { on_missing_identifier: deny, ..per_minute("by-user", Dimension::User, 1) }]).await;
    let tenant = bed.tenant;
    let layer = bed.layer().clients(behind("10.0.0.0/8")).proxy_header(USER, move |name, request| {
        request.tenant = Some(tenant);
        request.subject = SubjectRef::user(name.to_owned()).ok();
    });
    let service = layer.layer(Hello::default());
    let status = async |request| ask(&service, request).await.status().as_u16();
    assert_eq!(status(with("10.0.0.1", [("x-user", "alice")])).await, 200);
    assert_eq!(status(with("10.0.0.1", [("x-user", "alice")])).await, 429);
    assert_eq!(status(with("::ffff:10.0.0.1", [("x-user", "bob")])).await, 200);
    assert_eq!(status(with("203.0.113.7", [("x-user", "carol")])).await, 403);
    assert_eq!(status(with("10.0.0.1", [("x-user", "mallory"), ("x-user", "carol")])).await, 403);
    let mut stranger = Request::new(());
    stranger.headers_mut().insert(USER, "carol".parse().unwrap());
    assert_eq!(status(stranger).await, 403);
}

async fn by_user(on_missing_identifier: OnMissingIdentifier) -> (Bed, RateLimit<Hello>) {
    let rule = Rule { on_missing_identifier, ..per_minute("by-user", Dimension::User, 1) };
    let bed = Bed::new([rule]).await;
    let service = bed.layer().layer(Hello::default());
    (bed, service)
}

#[tokio::test]
async fn who_is_not_known_is_passed_over_refused_or_known_by_address() {
    let answers = async |on_missing| -> Vec<Answer> {
        let (_bed, service) = by_user(on_missing).await;
        vec![ask(&service, from("203.0.113.7")).await, ask(&service, from("203.0.113.7")).await]
    };
    let statuses =
        |answers: &[Answer]| -> Vec<u16> { answers.iter().map(|answer| answer.status().as_u16()).collect() };
    assert_eq!(statuses(&answers(OnMissingIdentifier::Skip).await), [200, 200]);
    assert_eq!(statuses(&answers(OnMissingIdentifier::Ip).await), [200, 429]);
    let mut denied = answers(OnMissingIdentifier::Deny).await;
    assert_eq!(statuses(&denied), [403, 403]);
    let denied = denied.remove(0);
    assert_eq!(field(&denied, "retry-after"), "");
    let document = text(denied).await;
    assert!(document.contains(r#""code":"forbidden""#), "{document}");
    assert!(document.contains("the limit `by-user` needs an identity"), "{document}");
}

#[tokio::test]
async fn a_tenants_own_rules_are_asked_for_its_callers() {
    let bed = Bed::new([]).await;
    bed.put(Scope::Tenant(bed.tenant), per_minute("own", Dimension::Tenant, 1)).await;
    let tenant = bed.tenant;
    let service = bed.layer().identify(move |head, request| {
        request.tenant = head.headers.contains_key("x-ours").then_some(tenant);
    });
    let service = service.layer(Hello::default());
    let ours = || with("203.0.113.7", [("x-ours", "yes")]);
    assert!(is_somebody_else(&service, ours()).await);
    assert!(!is_somebody_else(&service, ours()).await);
    assert!(is_somebody_else(&service, from("203.0.113.7")).await);
}

#[tokio::test]
async fn rules_are_for_routes_by_their_labels() {
    let writes =
        Rule { labels: vec!["write".parse().unwrap()], ..per_minute("writes", Dimension::Global, 1) };
    let bed = Bed::new([writes]).await;
    let label: std::sync::Arc<[_]> = [("write".parse().unwrap())].into();
    let layer = bed.layer().identify(move |head, request| {
        if head.method == http::Method::POST {
            request.labels = std::sync::Arc::clone(&label);
        }
    });
    let service = layer.layer(Hello::default());
    let post = || {
        let mut request = from("203.0.113.7");
        *request.method_mut() = http::Method::POST;
        request
    };
    assert!(is_somebody_else(&service, post()).await);
    assert!(!is_somebody_else(&service, post()).await);
    assert!(is_somebody_else(&service, from("203.0.113.7")).await);
}
