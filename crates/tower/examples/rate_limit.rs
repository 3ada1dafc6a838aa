//! Rate limits in an axum application, in memory: `cargo run -p stanchion-tower --features ratelimit --example rate_limit`.
//!
//! Each address may ask five times a minute. Reports are dear: a user makes three at once, and after that one every twenty seconds.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath};
use axum::http::HeaderName;
use axum::routing::get;
use stanchion_calendar::Window;
use stanchion_core::{Author, Scope, SubjectRef, SystemClock, SystemRandom};
use stanchion_ratelimit::{
    Config, Dimension, Engine, MemoryCounterStore, MemoryRuleStore, OnMissingIdentifier, Rule, RuleId,
};
use stanchion_tower::{ClientAddress, RateLimitLayer};

async fn limits() -> Result<Arc<Engine>, Box<dyn Error>> {
    let clock = Arc::new(SystemClock);
    let counters = Arc::new(MemoryCounterStore::new(100_000, clock.clone()));
    let rules = Arc::new(MemoryRuleStore::new(None));
    let ids = Arc::new(SystemRandom::default());
    let engine = Engine::new(rules, counters, clock, ids, Config::default());

    let by_address = Rule::new(RuleId::new("by-address")?, Dimension::Ip, 5, Window::MINUTE);
    let reports = Rule {
        labels: vec!["report".parse()?],
        on_missing_identifier: OnMissingIdentifier::Deny,
        ..Rule::new(RuleId::new("reports")?, Dimension::User, 3, Window::MINUTE)
    };
    for rule in [by_address, reports] {
        engine.put_rule(&Author::system("example"), Scope::Platform, rule, None).await?;
    }
    Ok(Arc::new(engine))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let report: Arc<[_]> = [("report".parse()?)].into();
    let layer = RateLimitLayer::new(limits().await?)
        .peer(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()))
        // Here the only proxy is on this machine. What it writes is believed, what anybody else writes is not.
        .clients(ClientAddress::behind(vec!["127.0.0.0/8".parse()?]))
        .proxy_header(HeaderName::from_static("x-user"), |name, request| {
            request.subject = SubjectRef::user(name.to_owned()).ok();
        })
        .extension(move |path: &MatchedPath, request| {
            request.route = Some(path.as_str().to_owned().into());
            if path.as_str().starts_with("/reports") {
                request.labels = Arc::clone(&report);
            }
        });
    let application = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/reports/{id}", get(async || "a report\n"))
        .layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8091").await?;
    println!("curl -i http://127.0.0.1:8091/");
    println!("curl -i -H 'x-user: alice' -H 'x-forwarded-for: 203.0.113.7' http://127.0.0.1:8091/reports/1");
    axum::serve(listener, application.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
