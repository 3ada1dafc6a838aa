//! Requests that are let through late, and leases that last as long as the answer.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use stanchion_ratelimit::{Action, Algorithm, Dimension, Rule};
use tower::Layer;

use crate::bed::{Bed, Hello, ask, field, from, per_minute, text};

fn throttled() -> Rule {
    Rule { action: Action::Throttle, max_delay_ms: 2_000, ..per_minute("slow", Dimension::Global, 60) }
}

#[tokio::test]
async fn a_request_waits_for_its_turn_and_who_leaves_gives_it_back() {
    let bed = Bed::new([Rule { limit: 60, ..throttled() }]).await;
    let service = bed.layer().timer(bed.clock.clone()).layer(Hello::default());
    for _ in 0..60 {
        assert_eq!(ask(&service, from("10.0.0.1")).await.status(), 200);
    }
    {
        let mut leaves = pin!(ask(&service, from("10.0.0.1")));
        assert!((&mut leaves).now_or_never().is_none(), "it waits");
    }
    let mut waits = pin!(ask(&service, from("10.0.0.1")));
    assert!((&mut waits).now_or_never().is_none());
    bed.clock.advance(Duration::from_millis(1_001));
    assert_eq!(waits.await.status(), 200, "it has the place of who left");
}

#[tokio::test]
async fn without_a_timer_nobody_waits_and_no_place_is_taken() {
    let bed = Bed::new([throttled()]).await;
    let service = bed.layer().layer(Hello::default());
    for _ in 0..60 {
        ask(&service, from("10.0.0.1")).await;
    }
    let mut told = Vec::new();
    for _ in 0..5 {
        let refused = ask(&service, from("10.0.0.1")).await;
        assert_eq!(refused.status(), 429);
        told.push(field(&refused, "retry-after").to_owned());
    }
    assert_eq!(told, ["2"; 5], "each would be next, in 16,667 ticks of 60 microseconds");
    bed.clock.advance(Duration::from_millis(1_001));
    assert_eq!(ask(&service, from("10.0.0.1")).await.status(), 200);
}

/// One in twenty seconds, and one may wait: whose turn is in twenty seconds is told so.
#[tokio::test]
async fn who_may_not_wait_is_told_when_its_turn_would_be() {
    let queue =
        Rule { algorithm: Algorithm::LeakyQueue, burst: 1, ..per_minute("turns", Dimension::Global, 3) };
    let bed = Bed::new([queue]).await;
    let service = bed.layer().layer(Hello::default());
    assert_eq!(ask(&service, from("10.0.0.1")).await.status(), 200);
    bed.clock.advance(Duration::from_millis(4_500));
    let early = ask(&service, from("10.0.0.1")).await;
    assert_eq!(
        (early.status().as_u16(), field(&early, "retry-after")),
        (429, "16"),
        "15.5 seconds, rounded up"
    );
    bed.clock.advance(Duration::from_secs(16));
    assert_eq!(ask(&service, from("10.0.0.1")).await.status(), 200, "who comes back then is admitted");
}

#[tokio::test]
async fn a_lease_lasts_until_the_answer_was_read_or_dropped() {
    let one = Rule { algorithm: Algorithm::Concurrency, ..per_minute("at-once", Dimension::Global, 1) };
    let bed = Bed::new([one]).await;
    let service = bed.layer().layer(Hello::default());
    let first = ask(&service, from("10.0.0.1")).await;
    assert_eq!(first.headers()["ratelimit-policy"], r#""at-once";q=1;qu="concurrent-requests""#);
    assert_eq!(ask(&service, from("10.0.0.1")).await.status(), 429);
    text(first).await;
    let second = ask(&service, from("10.0.0.1")).await;
    assert_eq!(second.status(), 200);
    drop(second);
    assert_eq!(ask(&service, from("10.0.0.1")).await.status(), 200);
}
