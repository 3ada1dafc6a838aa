//! Bodies, both ways: byte for byte, however they are framed, and whoever breaks off.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Client, Message, World, ask, digest, eventually, pattern};

const LARGE: usize = 50 * 1024 * 1024;
/// Longer than any timeout these tests set, shorter than any default.
const PROMPT: Duration = Duration::from_secs(10);

fn code(answer: &Message) -> (u16, String) {
    (answer.status(), answer.json()["code"].as_str().expect("a code").to_owned())
}

fn is(answer: &Message, status: u16, expected: &str) {
    assert_eq!(code(answer), (status, expected.to_owned()));
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
}

/// The gateway goes on as if nothing had been.
fn still_serves(world: &World) {
    assert_eq!(world.ask("GET", "/any/echo").status(), 200);
}

#[test]
fn bodies_with_a_length_come_through_byte_for_byte() {
    let world = World::start();
    for size in [1, 100, 70_000, LARGE] {
        let body = pattern(size);
        let answer = world.ask_with("POST", "/any/mirror", &[], &body);
        assert_eq!((answer.status(), answer.body.len()), (200, size));
        assert_eq!(digest(&answer.body), digest(&body), "{size}");
        assert_eq!(answer.field("content-length"), Some(size.to_string().as_str()));
        assert_eq!(world.upstream.seen().last().and_then(|seen| seen.field("transfer-encoding")), None);
    }
}

#[test]
fn bodies_in_chunks_come_through_byte_for_byte() {
    let world = World::start();
    for size in [0, 1, 100, 70_000, LARGE] {
        let body = pattern(size);
        let mut client = Client::connect(world.gateway());
        let fields = [("x-api-key", world.alice.secret.as_str()), ("transfer-encoding", "chunked")];
        client.send_head("POST", "/any/mirror", &fields);
        client.send_chunks(&body).expect("sends");
        let answer = client.answer("POST");
        assert_eq!((answer.status(), answer.body.len()), (200, size));
        assert_eq!(digest(&answer.body), digest(&body), "{size}");
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
        let seen = world.upstream.seen();
        assert_eq!(seen.last().and_then(|seen| seen.field("content-length")), None);
    }
}

#[test]
fn an_answer_to_head_and_one_without_a_body_have_none() {
    let world = World::start();
    let mut client = Client::connect(world.gateway());
    let fields = [("x-api-key", world.alice.secret.as_str())];
    let head = client.ask("HEAD", "/any/bytes/100", &fields, b"");
    assert_eq!((head.status(), head.field("content-length")), (200, Some("100")));
    for status in [204, 304] {
        let answer = client.ask("GET", &format!("/any/status/{status}"), &fields, b"");
        assert_eq!((answer.status(), answer.field("etag")), (status, Some("\"1\"")));
        assert_eq!(answer.field("content-length").unwrap_or("0"), "0");
        assert_eq!(answer.field("transfer-encoding"), None);
    }
    // A body too many would be read as the beginning of this answer.
    assert_eq!(client.ask("GET", "/any/bytes/100", &fields, b"").body, pattern(100));
    let refused = client.ask("HEAD", "/nowhere", &[], b"");
    assert_eq!((refused.status(), refused.body.len()), (404, 0));
    assert_eq!(client.ask("GET", "/any/bytes/3", &fields, b"").body, pattern(3));
}

#[test]
fn who_asks_before_sending_is_told_to_go_on_only_when_admitted() {
    let world = World::start();
    let key = ("x-api-key", world.alice.secret.as_str());
    let announced = [key, ("content-length", "5"), ("expect", "100-continue")];
    let mut client = Client::connect(world.gateway());
    client.send_head("POST", "/any/echo", &announced);
    assert_eq!(client.head().status(), 100);
    client.send("hello");
    let answer = client.answer("POST");
    assert_eq!((answer.status(), &answer.json()["sha256"]), (200, &json!(digest(b"hello"))));
    assert_eq!(world.upstream.seen().last().and_then(|seen| seen.field("expect")), None);

    for (target, fields, status) in [
        ("/any/echo", &announced[1..], 401),
        ("/small/echo", &[key, ("content-length", "1001"), ("expect", "100-continue")], 413),
    ] {
        let mut client = Client::connect(world.gateway());
        client.send_head("POST", target, fields);
        assert_eq!(client.head().status(), status, "not 100");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_readably() {
    let world = World::start();
    let key = ("x-api-key", world.alice.secret.as_str());
    assert_eq!(world.ask_with("POST", "/small/mirror", &[], &pattern(1_000)).status(), 200);
    let seen = world.upstream.seen().len();
    for size in [1_001, 1_000_000, 3_000_000] {
        let answer = world.ask_with("POST", "/small/mirror", &[], &pattern(size));
        is(&answer, 413, "payload_too_large");
    }
    assert_eq!(world.upstream.seen().len(), seen, "what is announced is refused before it is forwarded");
    for size in [1_001, 1_000_000, 3_000_000] {
        let mut client = Client::connect(world.gateway());
        client.send_head("POST", "/small/mirror", &[key, ("transfer-encoding", "chunked")]);
        // The connection may end before everything is sent; the answer must be there to read all the same.
        drop(client.send_chunks(&pattern(size)));
        is(&client.answer("POST"), 413, "payload_too_large");
    }
    still_serves(&world);
}

#[test]
fn a_client_that_leaves_while_it_sends_is_on_record() {
    let world = World::start();
    let key = ("x-api-key", world.alice.secret.as_str());
    let mut client = Client::connect(world.gateway());
    client.send_head("POST", "/any/mirror", &[key, ("content-length", "1000")]);
    client.send("only this");
    eventually("the service is asked", || world.upstream.was_asked("/any/mirror").then_some(()));
    client.leave();
    let event = world.ending_on("any");
    // The answer that nobody reads is a refusal of the body.
    let details = &event["details"];
    assert_eq!((&event["outcome"], &details["status"]), (&json!("failure"), &json!(400)), "{event}");
    assert_eq!(details["request_bytes"], 9, "{event}");
    still_serves(&world);
}

#[test]
fn a_client_that_leaves_before_the_answer_is_on_record_and_its_request_is_given_up() {
    let world = World::start();
    let key = ("x-api-key", world.alice.secret.as_str());
    let mut client = Client::connect(world.gateway());
    client.send_head("GET", "/any/never", &[key]);
    eventually("the service is asked", || world.upstream.was_asked("/any/never").then_some(()));
    client.leave();
    eventually("the service is left", || (world.upstream.left() == 1).then_some(()));
    let event = world.ending_on("any");
    assert_eq!(
        (&event["outcome"], &event["reason"]),
        (&json!("failure"), &json!("client_went_away")),
        "{event}"
    );
    assert_eq!(event["details"]["status"], json!(null));
    still_serves(&world);
}

#[test]
fn a_client_that_leaves_while_it_receives_is_on_record_and_the_service_is_left() {
    let world = World::start();
    let key = ("x-api-key", world.alice.secret.as_str());
    let mut client = Client::connect(world.gateway());
    client.send_head("GET", "/any/endless", &[key]);
    assert_eq!(client.head().status(), 200);
    client.read(100_000);
    client.leave();
    eventually("the service is left", || (world.upstream.left() == 1).then_some(()));
    let event = world.ending_on("any");
    assert_eq!(
        (&event["outcome"], &event["reason"]),
        (&json!("failure"), &json!("client_went_away")),
        "{event}"
    );
    assert!(event["details"]["response_bytes"].as_u64().is_some_and(|bytes| bytes >= 100_000), "{event}");
    still_serves(&world);
}

#[test]
fn a_service_that_cannot_be_reached_is_503() {
    let world = World::start();
    is(&world.ask("GET", "/dead/echo"), 503, "upstream_unavailable");
    is(&world.ask_with("POST", "/dead/echo", &[], &pattern(10_000)), 503, "upstream_unavailable");
    assert_eq!(world.ending_on("dead")["outcome"], "error");
    still_serves(&world);
}

#[test]
fn a_service_that_gives_no_answer_is_502() {
    let world = World::start();
    for what in ["drop", "garbage"] {
        let answer = world.ask("GET", &format!("/any/{what}"));
        is(&answer, 502, "upstream_invalid");
        let event = world.ending(answer.field("x-request-id").expect("an id"));
        assert_eq!(
            (&event["outcome"], &event["details"]["status"]),
            (&json!("error"), &json!(502)),
            "{event}"
        );
        still_serves(&world);
    }
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_and_on_record() {
    let world = World::with("body_stall_timeout_ms = 300", "");
    let key = ("x-api-key", world.alice.secret.as_str());
    for what in ["cut", "cut-chunks", "stall"] {
        let mut client = Client::connect(world.gateway());
        client.send_head("GET", &format!("/any/{what}"), &[key]);
        let head = client.head();
        assert_eq!(head.status(), 200);
        let rest = client.rest();
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "{what}: it looks whole: {:?}",
            String::from_utf8_lossy(&rest)
        );
        let event = world.ending(head.field("x-request-id").expect("an id"));
        let (outcome, reason) = (&event["outcome"], &event["reason"]);
        assert_eq!((outcome, reason), (&json!("error"), &json!("upstream_broke_off")), "{what}: {event}");
        assert_eq!(event["details"]["response_bytes"], 9, "{what}: {event}");
        still_serves(&world);
    }
    eventually("the stalled service is left", || (world.upstream.left() == 1).then_some(()));
}

#[test]
fn a_service_that_is_slow_to_answer_is_504_in_time() {
    let world = World::start();
    let begun = Instant::now();
    let answer = world.ask("GET", "/hasty/never");
    is(&answer, 504, "upstream_timeout");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200) && took < PROMPT, "{took:?}");
    eventually("the service is left", || (world.upstream.left() == 1).then_some(()));
    let event = world.ending(answer.field("x-request-id").expect("an id"));
    assert_eq!((&event["outcome"], &event["details"]["status"]), (&json!("error"), &json!(504)), "{event}");
    still_serves(&world);
}

#[test]
fn a_client_that_stalls_is_408_and_one_that_sends_no_head_is_left() {
    let world = World::with("body_stall_timeout_ms = 200\nhead_timeout_ms = 500", "");
    let key = ("x-api-key", world.alice.secret.as_str());
    let mut client = Client::connect(world.gateway());
    client.send_head("POST", "/any/mirror", &[key, ("content-length", "1000")]);
    client.send("only this");
    is(&client.answer("POST"), 408, "request_timeout");

    let begun = Instant::now();
    let mut client = Client::connect(world.gateway());
    client.send("GET /any/echo HTTP/1.1\r\nhost: x\r\n");
    client.rest();
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    still_serves(&world);
}

#[test]
fn one_connection_serves_many_requests_and_pipelined_ones_in_their_order() {
    let world = World::start();
    let fields = [("x-api-key", world.alice.secret.as_str())];
    let mut client = Client::connect(world.gateway());
    for size in 1..50 {
        let body = pattern(size * 100);
        assert_eq!(client.ask("POST", "/any/mirror", &fields, &body).body, body);
    }
    for size in 1..10 {
        client.send_head("GET", &format!("/any/bytes/{size}"), &fields);
    }
    for size in 1..10 {
        assert_eq!(client.answer("GET").body, pattern(size));
    }
    let answer = ask(world.gateway(), "GET", "/open/echo", &[("connection", "close")], b"");
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
}
