//! The whole path of a request: who gets through, what the service sees, what is left behind.

use serde_json::json;

use crate::harness::{Message, World, ask, eventually};

/// Checks a problem document and its fields, and returns its detail.
fn problem(answer: &Message, status: u16, code: &str) -> String {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status)));
    assert!(body["title"].is_string() && body["type"] == "about:blank", "{body}");
    assert_eq!(body["request_id"].as_str(), answer.field("x-request-id"));
    assert!(answer.field("x-request-id").is_some());
    body["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_permitted_request_is_answered_by_the_service_with_limits_and_id() {
    let world =
        World::with("", "[[limits]]\nid = \"hour\"\nkey = [\"tenant\"]\nlimit = 100\nwindow = \"1h\"\n");
    let answer = world.ask("GET", "/reports/echo?x=1&y=%20");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.field("x-ratelimit-limit"), Some("100"));
    assert_eq!(answer.field("x-ratelimit-remaining"), Some("99"));
    // 100 an hour come in one by one: a token takes 36 seconds.
    assert_eq!(answer.field("ratelimit"), Some("\"hour\";r=99;t=36"));
    assert_eq!(answer.field("ratelimit-policy"), Some("\"hour\";q=100;w=3600"));
    assert!(answer.field("x-ratelimit-reset").is_some());
    assert_eq!(answer.json()["start"], "GET /reports/echo?x=1&y=%20 HTTP/1.1");
}

#[test]
fn nobody_passes_without_a_valid_key() {
    let world = World::start();
    let gateway = world.gateway();
    let altered = format!("{}x", world.alice.secret);
    for fields in [
        vec![],
        vec![("x-api-key", "nonsense")],
        vec![("authorization", "Basic YTpi")],
        vec![("x-api-key", altered.as_str())],
    ] {
        let answer = ask(gateway, "GET", "/reports/echo", &fields, b"");
        problem(&answer, 401, "unauthenticated");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"stanchion\""));
    }
    let two = [("x-api-key", world.alice.secret.as_str()), ("authorization", "Bearer another")];
    problem(&ask(gateway, "GET", "/reports/echo", &two, b""), 400, "request_rejected");
    assert!(world.upstream.seen().is_empty(), "nothing of it reaches the service");

    let bearer = format!("Bearer {}", world.alice.secret);
    assert_eq!(ask(gateway, "GET", "/reports/echo", &[("authorization", &bearer)], b"").status(), 200);
    assert_eq!(ask(gateway, "GET", "/open/echo", &[], b"").status(), 200);
}

#[test]
fn refusals_say_what_is_missing() {
    let world = World::start();
    let detail = problem(&world.ask("GET", "/writes/echo"), 403, "forbidden");
    assert!(detail.contains("report:write"), "{detail}");
    problem(&world.ask("GET", "/nowhere"), 404, "no_route");
    let answer = world.ask("DELETE", "/reports/echo");
    problem(&answer, 405, "method_not_allowed");
    assert_eq!(answer.field("allow"), Some("GET, HEAD, POST"));
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn the_fourth_of_three_is_refused_and_told_when_to_return() {
    let world = World::start();
    for left in ["2", "1", "0"] {
        let answer = world.ask("GET", "/limited/echo");
        assert_eq!((answer.status(), answer.field("x-ratelimit-remaining")), (200, Some(left)));
    }
    let answer = world.ask("GET", "/limited/echo");
    let detail = problem(&answer, 429, "rate_limited");
    assert!(detail.contains("`three`"), "{detail}");
    let retry: u32 = answer.field("retry-after").and_then(|after| after.parse().ok()).expect("seconds");
    // Three an hour: one comes back every 20 minutes.
    assert!((1_190..=1_200).contains(&retry), "{retry}");
    assert_eq!(answer.field("x-ratelimit-remaining"), Some("0"));
    assert_eq!(world.upstream.seen().len(), 3);
    let bob = world.user(&world.acme, "user:bob");
    assert_eq!(
        ask(world.gateway(), "GET", "/limited/echo", &[("x-api-key", &bob.secret)], b"").status(),
        200
    );
}

#[test]
fn no_identity_but_ours_reaches_the_service() {
    let world = World::start();
    let answer = world.ask_with(
        "GET",
        "/reports/echo",
        &[
            ("x-request-id", "01a203c5-e39d-779a-8ac2-1d9394b75194"),
            ("x-tenant-id", &world.acme),
            ("x-subject-id", "user:root"),
            ("x_subject_id", "user:root"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("x-own", "kept"),
        ],
        b"",
    );
    assert_eq!(answer.status(), 200, "{}", answer.json());
    let seen = answer.json();
    let mut fields: Vec<(&str, &str)> = seen["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| (field[0].as_str().expect("a name"), field[1].as_str().expect("a value")))
        .collect();
    fields.sort_unstable();
    let id = answer.field("x-request-id").expect("an id");
    assert_ne!(id, "01a203c5-e39d-779a-8ac2-1d9394b75194");
    let expected = [
        ("host", "gateway.test"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "gateway.test"),
        ("x-forwarded-proto", "http"),
        ("x-own", "kept"),
        ("x-request-id", id),
        ("x-subject-id", "user:alice"),
        ("x-tenant-id", &world.acme),
    ];
    assert_eq!(fields, expected, "and the credential stays behind");
}

#[test]
fn fields_of_the_services_connection_and_forged_ids_stay_behind() {
    let world = World::start();
    let answer = world.ask("GET", "/reports/odd");
    assert_eq!((answer.status(), answer.field("x-kept")), (200, Some("1")));
    for name in ["x-inner", "keep-alive", "connection"] {
        assert_eq!(answer.field(name), None);
    }
    assert!(answer.field("x-request-id").is_some_and(|id| id != "forged"));
}

#[test]
fn a_tenant_is_confirmed_and_never_chosen() {
    let world = World::start();
    let globex = world.tenant("globex");
    assert_eq!(world.ask_with("GET", "/reports/echo", &[("x-tenant-id", &world.acme)], b"").status(), 200);
    for other in [globex.as_str(), "acme", ""] {
        problem(&world.ask_with("GET", "/reports/echo", &[("x-tenant-id", other)], b""), 403, "forbidden");
    }
    let platform = [("x-api-key", world.program.key.as_str())];
    problem(&ask(world.gateway(), "GET", "/reports/echo", &platform, b""), 403, "forbidden");
}

#[test]
fn a_revoked_key_fails_at_the_next_request() {
    let world = World::start();
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    let target = format!("/v1/keys/{}?tenant={}", world.alice.id, world.acme);
    assert_eq!(world.admin("DELETE", &target, &json!(null)).status(), 204);
    problem(&world.ask("GET", "/reports/echo"), 401, "unauthenticated");
}

#[test]
fn a_suspended_tenant_is_not_served_until_it_is_resumed() {
    let world = World::start();
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    let reason = json!({"reason": "test"});
    let status =
        |what: &str| world.admin("POST", &format!("/v1/tenants/{}/{what}", world.acme), &reason).status();
    assert_eq!(status("suspend"), 200);
    problem(&world.ask("GET", "/reports/echo"), 403, "tenant_inactive");
    assert_eq!(status("resume"), 200);
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
}

#[test]
fn a_permission_that_is_taken_is_gone_at_the_next_request() {
    let world = World::start();
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    let target = format!("/v1/assignments?tenant={}&subject=user:alice&role=viewer", world.acme);
    assert_eq!(world.admin("DELETE", &target, &json!(null)).status(), 204);
    problem(&world.ask("GET", "/reports/echo"), 403, "forbidden");
}

#[test]
fn what_the_service_answered_is_metered_and_priced() {
    let world = World::start();
    for _ in 0..5 {
        assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    }
    // Neither what was refused nor what the service failed at is charged for.
    assert_eq!(world.ask("DELETE", "/reports/echo").status(), 405);
    assert_eq!(world.ask("GET", "/reports/drop").status(), 502);
    assert_eq!(world.ask("GET", "/reports/status/500").status(), 500);
    assert_eq!(world.ask("GET", "/reports/status/404").status(), 404);
    let target = format!("/v1/usage?tenant={}&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", world.acme);
    let report = eventually("six calls are counted", || {
        let report = world.get(&target);
        (report["usage"][0]["quantity"] == "6").then_some(report)
    });
    assert_eq!(report["usage"][0]["meter"], "api.calls");
    assert_eq!(report["cost"]["currency"], "USD");
    assert_eq!(report["cost"]["total"], "1.50", "six times 0.25");
}

#[test]
fn every_decision_is_on_record_in_a_chain_that_verifies() {
    // Long enough for the end of a request to be in its one record, however busy the machine.
    let world = World::with("", "[audit.ledger]\nlinger_ms = 200\n");
    let admitted = world.ask("GET", "/reports/bytes/7");
    let event = world.ending(admitted.field("x-request-id").expect("an id"));
    assert_eq!(
        (&event["action"], &event["outcome"]),
        (&json!("request.decided"), &json!("success")),
        "{event}"
    );
    assert_eq!(event["actor"]["subject"]["subject"], "user:alice");
    assert_eq!(event["targets"], json!(["route/reports"]));
    assert_eq!(event["source"]["ip"], "127.0.0.1");
    let details = &event["details"];
    assert_eq!((&details["method"], &details["path"]), (&json!("GET"), &json!("/reports/bytes/7")));
    assert_eq!((&details["decision"], &details["role"]), (&json!("permit"), &json!("viewer")));
    assert_eq!((&details["status"], &details["response_bytes"]), (&json!(200), &json!(7)), "{event}");

    let denied = world.ask("GET", "/writes/echo");
    let event = world.ending(denied.field("x-request-id").expect("an id"));
    assert_eq!((&event["outcome"], &event["reason"]), (&json!("denied"), &json!("forbidden")));
    assert_eq!(event["details"]["decision"], "deny");
    assert!(world.verified() >= 2);
    let nobody = ask(world.program.admin, "GET", "/v1/audit/events", &[], b"");
    problem(&nobody, 401, "unauthenticated");
}
