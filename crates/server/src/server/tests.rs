use http::{Method, StatusCode};
use stanchion_core::{PageRequest, Scope};

use super::*;
use crate::config::Secrets;
use crate::http_client::{Ask, HttpClient};

const BASE: &str = r#"
[gateway]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
"#;

fn config(rest: &str) -> Config {
    let text = format!("{BASE}{rest}");
    Config::parse(Path::new("test.toml"), &text, &Environment::default(), Secrets::Required).unwrap()
}

/// A route to a service that nobody runs, so that a 503 shows that a request was let through.
fn public(id: &str, path: &str) -> String {
    format!(
        "[[routes]]\nid = \"{id}\"\npath = \"{path}\"\nupstream = \"u\"\naccess = \"public\"\n\
         [[upstreams]]\nid = \"u\"\nendpoints = [\"http://127.0.0.1:1\"]\n"
    )
}

async fn start(rest: &str) -> Server {
    let config = config(rest);
    let listeners = Listeners::bind(&config).await.unwrap();
    let server =
        Server::start(config, Path::new("test.toml"), &Environment::default(), listeners).await.unwrap();
    server.open();
    server
}

async fn status(server: &Server, path: &str) -> StatusCode {
    let uri = format!("http://{}{path}", server.gateway).parse().unwrap();
    HttpClient::default().send(Ask::new(Method::GET, uri)).await.unwrap().status
}

#[tokio::test]
async fn a_reload_puts_routes_limits_and_prices_in_force() {
    let mut server = start(&public("a", "/a")).await;
    assert_eq!(status(&server, "/a").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(&server, "/b").await, StatusCode::NOT_FOUND);
    let limit = "[[limits]]\nid = \"one\"\nkey = [\"ip\"]\nlimit = 1\nwindow = \"1d\"\n";
    let meter = "[[metering.meters]]\nid = \"m\"\nname = \"M\"\nunit = \"m\"\naggregation = \"sum\"\n";
    server.reload(config(&format!("{}{limit}{meter}", public("b", "/b")))).await.unwrap();
    assert_eq!(status(&server, "/a").await, StatusCode::NOT_FOUND);
    assert_eq!(status(&server, "/b").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(&server, "/b").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(server.platform.pipeline.engines().metering.catalog().meters().len(), 1);
    server.reload(config(&public("b", "/b"))).await.unwrap();
    assert_eq!(status(&server, "/b").await, StatusCode::SERVICE_UNAVAILABLE, "the limit is gone");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_owed_is_recorded_before_the_end() {
    let server = start(&public("a", "/a")).await;
    let engines = server.platform.pipeline.engines().clone();
    assert_eq!(status(&server, "/nowhere").await, StatusCode::NOT_FOUND);
    bootstrap_change(&engines).await;
    let address = server.gateway;
    server.shutdown().await.unwrap();
    let entries =
        engines.audit.query(Scope::Platform, &Default::default(), &PageRequest::default()).await.unwrap();
    let actions: Vec<&str> = entries.items.iter().map(|entry| entry.event.action.as_str()).collect();
    assert!(actions.contains(&"request.rejected"), "the summary of refusals: {actions:?}");
    assert!(actions.contains(&"key.issue"), "the event of a change: {actions:?}");
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
    let security = entries.items.iter().filter(|entry| entry.chain.to_string() == "platform/security");
    let security: Vec<&str> = security.map(|entry| entry.event.action.as_str()).collect();
    assert_eq!((security.first(), security.last()), (Some(&"audit.stopped"), Some(&"audit.started")));
}

#[tokio::test]
async fn a_reload_records_what_it_changes_of_the_audit() {
    let mut server = start(&public("a", "/a")).await;
    let mut next = server.config.clone();
    next.audit.ledger.linger_ms += 1;
    next.routes[0].ack = stanchion_pipeline::Ack::Durable;
    server.reload(next).await.unwrap();
    let engines = server.platform.pipeline.engines().clone();
    server.shutdown().await.unwrap();
    let query = stanchion_audit::Query { action: Some("audit.configured".into()), ..Default::default() };
    let entries = engines.audit.query(Scope::Platform, &query, &PageRequest::default()).await.unwrap();
    let mut fields: Vec<String> =
        entries.items.iter().map(|entry| entry.event.changes[0].field.to_string()).collect();
    fields.sort();
    assert_eq!(fields, ["audit.ledger.linger_ms", "routes.a.ack"]);
}

async fn bootstrap_change(engines: &stanchion_pipeline::Engines) {
    let subject = crate::bootstrap::subject().unwrap();
    crate::bootstrap::administrator(engines, &subject, crate::bootstrap::NAME).await.map(drop).unwrap();
}

#[tokio::test]
async fn what_limits_have_done_is_recorded_before_the_end() {
    let limit = "[[limits]]\nid = \"one\"\nkey = [\"ip\"]\nlimit = 1\nwindow = \"1d\"\n";
    let server = start(&format!("{}{limit}", public("a", "/a"))).await;
    let engines = server.platform.pipeline.engines().clone();
    for expected in [503, 429, 429, 429] {
        assert_eq!(status(&server, "/a").await, expected);
    }
    server.shutdown().await.unwrap();
    let entries =
        engines.audit.query(Scope::Platform, &Default::default(), &PageRequest::default()).await.unwrap();
    let events = entries.items.iter().map(|entry| &entry.event);
    let mut told: Vec<String> = events
        .filter(|event| matches!(event.action.as_str(), "limit.exceeded" | "limit.near"))
        .map(|event| {
            let detail = |name| serde_json::to_string(&event.details.get(name)).unwrap();
            format!("{}: {} of {}", event.action, detail("times"), detail("identifiers"))
        })
        .collect();
    told.sort();
    assert_eq!(told, ["limit.exceeded: 3 of \"ip:127.0.0.1\"", "limit.near: 1 of \"ip:127.0.0.1\""]);
}

#[tokio::test]
async fn a_worker_that_ends_ends_the_server_with_the_reason() {
    let mut server = start("").await;
    server.workers.stop(worker::SEQUENCER);
    assert_eq!(server.death().await.to_string(), "the audit sequencer ended: it was stopped");
}
