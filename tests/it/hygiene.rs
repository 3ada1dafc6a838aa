//! Requests that two servers could read in two ways: refused, with the connection, and nothing of them goes on.

use crate::harness::{Client, Upstream, World, eventually};

/// One row: what is sent after which the answer is this status, and whether the connection ends with it.
struct Row {
    name: &'static str,
    request: Vec<u8>,
    status: u16,
    closes: bool,
}

const CLOSES: bool = true;
const STAYS: bool = false;

fn row(name: &'static str, request: impl Into<Vec<u8>>, status: u16, closes: bool) -> Row {
    Row { name, request: request.into(), status, closes }
}

/// A POST with these lines after its `Host`, and this after its head.
fn post(lines: &str, rest: &str) -> String {
    format!("POST /open/echo HTTP/1.1\r\nhost: x\r\n{lines}\r\n{rest}")
}

/// A GET of this target with these lines after its `Host`.
fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: x\r\n{lines}\r\n")
}

/// What a smuggler would like to have read as a request of its own.
const SMUGGLED: &str = "GET /open/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

fn check(world: &World, rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for Row { name, request, status, closes } in rows {
        let before = world.upstream.seen().len();
        let mut client = Client::connect(world.gateway());
        // Whoever refuses may close before everything is sent.
        drop(client.try_send(&request));
        let answered = client.try_answer("GET").map(|answer| answer.status());
        if !matches!(&answered, Ok(answered) if *answered == status) {
            wrong.push(format!("{name}: {answered:?} instead of {status}"));
            continue;
        }
        if closes {
            let rest = client.rest();
            if !rest.is_empty() {
                wrong.push(format!("{name}: and then {:?}", String::from_utf8_lossy(&rest)));
            }
        } else if client.ask("GET", "/open/echo", &[], b"").status() != 200 {
            wrong.push(format!("{name}: the connection is of no use afterwards"));
        }
        let expected = usize::from(!closes);
        let seen = world.upstream.seen().split_off(before);
        if seen.len() != expected {
            wrong.push(format!("{name}: the service saw {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn framing_that_could_be_read_in_two_ways_is_refused_with_the_connection() {
    let world = World::start();
    let five = format!("hello{SMUGGLED}");
    let chunked = format!("5\r\nhello\r\n0\r\n\r\n{SMUGGLED}");
    let te = "transfer-encoding: chunked\r\n";
    let framed = |name, lines: &str, status| row(name, post(lines, &chunked), status, CLOSES);
    let sized = |name, lines: &str| row(name, post(lines, &five), 400, CLOSES);
    let in_chunks = |name, body: &str| row(name, post(te, &format!("{body}{SMUGGLED}")), 400, CLOSES);
    check(
        &world,
        vec![
            framed("length and chunked", &format!("content-length: 5\r\n{te}"), 400),
            framed("chunked and length", &format!("{te}content-length: 5\r\n"), 400),
            sized("a list of lengths", "content-length: 5, 5\r\n"),
            sized("the same length twice", "content-length: 5\r\ncontent-length: 5\r\n"),
            sized("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
            sized("a signed length", "content-length: +5\r\n"),
            sized("a negative length", "content-length: -5\r\n"),
            sized("a hexadecimal length", "content-length: 0x5\r\n"),
            sized("an empty length", "content-length:\r\n"),
            sized("two numbers", "content-length: 5 5\r\n"),
            sized("a length beyond all numbers", "content-length: 99999999999999999999\r\n"),
            framed("gzip, chunked", "transfer-encoding: gzip, chunked\r\n", 501),
            framed("gzip", "transfer-encoding: gzip\r\n", 501),
            framed("identity", "transfer-encoding: identity\r\n", 501),
            framed("a coding that only looks chunked", "transfer-encoding: xchunked\r\n", 501),
            framed("chunked, chunked", "transfer-encoding: chunked, chunked\r\n", 400),
            framed("chunked twice", &format!("{te}{te}"), 400),
            row(
                "chunked in HTTP/1.0",
                format!("POST /open/echo HTTP/1.0\r\nhost: x\r\n{te}\r\n{chunked}"),
                400,
                CLOSES,
            ),
            in_chunks("a chunk line that ends in LF", "5\nhello\r\n0\r\n\r\n"),
            in_chunks("an LF in a chunk extension", "5;a\n=b\r\nhello\r\n0\r\n\r\n"),
            in_chunks("a chunk that is longer than it says", "5\r\nhello!\r\n0\r\n\r\n"),
            in_chunks("a chunk size that is no number", "g\r\nhello\r\n0\r\n\r\n"),
            in_chunks("a chunk size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
            in_chunks("a negative chunk size", "-5\r\nhello\r\n0\r\n\r\n"),
            in_chunks("a chunk size beyond all numbers", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
            in_chunks("an end of chunks in LF", "5\r\nhello\r\n0\n\n"),
        ],
    );
}

#[test]
fn lines_that_could_be_read_in_two_ways_are_refused_with_the_connection() {
    let world = World::start();
    let with = |name, lines: &str| row(name, get("/open/echo", lines), 400, CLOSES);
    let raw = |name, request: &str| row(name, request, 400, CLOSES);
    check(
        &world,
        vec![
            with("a folded field", "x-a: 1\r\n 2\r\n"),
            with("a field folded by a tab", "x-a: 1\r\n\t2\r\n"),
            raw("lines that end in LF", "GET /open/echo HTTP/1.1\nhost: x\n\n"),
            with("one line that ends in LF", "x-a: 1\nx-b: 2\r\n"),
            with("a NUL in a value", "x-a: 1\x002\r\n"),
            with("a CR in a value", "x-a: 1\r2\r\n"),
            with("a CR before the end", "x-a: 1\r\r\n"),
            with("a space before the colon", "content-length : 5\r\n"),
            with("a field without a name", ": 1\r\n"),
            with("a field without a colon", "x-a\r\n"),
            with("a space in a name", "x a: 1\r\n"),
            with("a control character in a name", "x\x01a: 1\r\n"),
            raw("a field that begins with a space", "GET /open/echo HTTP/1.1\r\n host: x\r\n\r\n"),
            raw("a control character in the target", "GET /open/\x01 HTTP/1.1\r\nhost: x\r\n\r\n"),
            raw("a space in the target", "GET /open/a b HTTP/1.1\r\nhost: x\r\n\r\n"),
            raw("no version", "GET /open/echo\r\nhost: x\r\n\r\n"),
            raw("a version that is none", "GET /open/echo HTTP/1.x\r\nhost: x\r\n\r\n"),
            raw("a version too new", "GET /open/echo HTTP/3.0\r\nhost: x\r\n\r\n"),
            raw("a method that is no token", "G@T /open/echo HTTP/1.1\r\nhost: x\r\n\r\n"),
            raw("what is no HTTP", "\x16\x03\x01\x02\r\n\r\n"),
        ],
    );
}

#[test]
fn hosts_and_targets_that_differ_are_refused() {
    let world = World::start();
    let raw = |name, request: &str| row(name, request, 400, STAYS);
    check(
        &world,
        vec![
            raw("no host", "GET /open/echo HTTP/1.1\r\n\r\n"),
            raw("two hosts", &get("/open/echo", "host: y\r\n")),
            raw("the same host twice", &get("/open/echo", "host: x\r\n")),
            raw("a host that is none", "GET /open/echo HTTP/1.1\r\nhost: a b\r\n\r\n"),
            raw("a host with a user", "GET /open/echo HTTP/1.1\r\nhost: a@x\r\n\r\n"),
            raw("a host with a path", "GET /open/echo HTTP/1.1\r\nhost: x/y\r\n\r\n"),
            raw("another host in the target", &get("http://y/open/echo", "")),
            raw("a user in the target", &get("http://u@x/open/echo", "")),
            row("CONNECT", "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n", 405, STAYS),
            row("TRACE", "TRACE /open/echo HTTP/1.1\r\nhost: x\r\n\r\n", 405, STAYS),
            row("OPTIONS of everything", "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 400, STAYS),
        ],
    );
}

#[test]
fn paths_that_could_be_read_in_two_ways_are_refused() {
    let world = World::start();
    let target = |name, target: &str| row(name, get(target, ""), 400, STAYS);
    check(
        &world,
        vec![
            target("an encoded slash", "/open/a%2fb"),
            target("an encoded backslash", "/open/a%5Cb"),
            target("a backslash", "/open\\echo"),
            target("an encoded NUL", "/open/a%00"),
            target("an encoding of an encoding", "/open/%252e%252e/echo"),
            target("half an encoding", "/open/%2"),
            target("a path above the root", "/../open/echo"),
            target("an encoded path above the root", "/open/%2e%2e/%2e%2e/echo"),
            row("a path that leads elsewhere", get("/open/../nowhere", ""), 404, STAYS),
            row("an encoded path that leads elsewhere", get("/open/%2e%2e/nowhere", ""), 404, STAYS),
        ],
    );
}

#[test]
fn connection_cannot_take_away_what_others_rely_on() {
    let world = World::start();
    let named = |name, lines: &str| row(name, get("/open/echo", lines), 400, STAYS);
    check(
        &world,
        vec![
            named("the key", "connection: x-api-key\r\nx-api-key: k\r\n"),
            named("the credential", "connection: keep-alive, Authorization\r\n"),
            named("the address", "connection: x-forwarded-for\r\n"),
            named("the tenant", "connection: X-Tenant-Id\r\n"),
            named("the request id", "connection: x-request-id\r\n"),
            named("the host", "connection: host\r\n"),
            named("the length", "connection: content-length\r\n"),
            named("what is no name", "connection: a@b\r\n"),
        ],
    );
}

#[test]
fn heads_beyond_their_bounds_are_431() {
    let world = World::start();
    let many: String = (0..300).map(|number| format!("x-{number}: 1\r\n")).collect();
    let large = format!("x-large: {}\r\n", "y".repeat(70_000));
    let several: String = (0..8).map(|number| format!("x-{number}: {}\r\n", "y".repeat(9_000))).collect();
    check(
        &world,
        vec![
            row("300 fields", get("/open/echo", &many), 431, CLOSES),
            row("a field of 70 KB", get("/open/echo", &large), 431, CLOSES),
            row("72 KB of fields", get("/open/echo", &several), 431, CLOSES),
        ],
    );
    let some: String = (0..90).map(|number| format!("x-{number}: {}\r\n", "y".repeat(300))).collect();
    let mut client = Client::connect(world.gateway());
    client.send(get("/open/echo", &some));
    assert_eq!(client.answer("GET").status(), 200, "90 fields of 27 KB");
}

#[test]
fn a_body_that_goes_wrong_on_its_way_is_400_and_never_502() {
    let world = World::start();
    for rest in ["5\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n", "nonsense\r\n"] {
        let before = world.upstream.seen().len();
        let mut client = Client::connect(world.gateway());
        client.send(post("transfer-encoding: chunked\r\n", "3\r\nabc\r\n"));
        eventually("it is forwarded", || (world.upstream.seen().len() > before).then_some(()));
        client.send(rest);
        client.send(SMUGGLED);
        assert_eq!(client.answer("POST").status(), 400, "{rest:?}");
        assert_eq!(String::from_utf8_lossy(&client.rest()), "", "{rest:?}: it is answered once");
    }
    assert!(!world.upstream.was_asked("/open/smuggled"));
}

/// The words of a refusal must not be taken for the rest of an answer that is under way.
#[test]
fn a_refusal_is_never_written_into_an_answer() {
    const BAD: &str = "GET /open/echo HTTP/1.1\nhost: x\n\n";
    let world = World::start();
    let mut client = Client::connect(world.gateway());
    client.send(get("/open/stall", ""));
    let head = client.head();
    assert_eq!((head.status(), head.field("content-length")), (200, Some("1000")));
    assert_eq!(client.read(9), b"only this");
    client.send(BAD);
    assert_eq!(String::from_utf8_lossy(&client.rest()), "", "within an answer");

    let mut client = Client::connect(world.gateway());
    client.send(get("/open/never", ""));
    eventually("the service is asked", || world.upstream.was_asked("/open/never").then_some(()));
    client.send(BAD);
    assert_eq!(String::from_utf8_lossy(&client.rest()), "", "before an answer");

    let mut client = Client::connect(world.gateway());
    assert_eq!(client.ask("GET", "/open/echo", &[], b"").status(), 200);
    client.send(BAD);
    assert_eq!(client.answer("GET").status(), 400, "after an answer");
}

fn seen(upstream: &Upstream, target: &str) -> crate::harness::Message {
    let found = upstream.seen().into_iter().rev().find(|request| request.target() == target);
    found.unwrap_or_else(|| panic!("{target} did not come: {:?}", upstream.seen()))
}

#[test]
fn what_is_admitted_has_one_form() {
    let world = World::start();
    let gateway = world.gateway();
    let ask = |request: String| {
        let mut client = Client::connect(gateway);
        client.send(request);
        client.answer("GET")
    };
    for (sent, forwarded) in [
        ("/nowhere/../open/a", "/open/a"),
        ("/open/%62", "/open/b"),
        ("//open///c", "/open/c"),
        ("/open/./d/", "/open/d/"),
        ("/open/e%c3%a4?q=%2f..%2f", "/open/e%C3%A4?q=%2f..%2f"),
        ("http://x/open/f", "/open/f"),
    ] {
        assert_eq!(ask(get(sent, "")).status(), 200, "{sent}");
        let seen = seen(&world.upstream, forwarded);
        assert_eq!(seen.field("host"), Some("x"));
    }
    // Another protocol is not spoken, whoever asks; the request is answered as it stands.
    let upgrade = get("/open/g", "connection: upgrade\r\nupgrade: foo\r\n");
    assert_eq!(ask(upgrade).status(), 200);
    let seen = seen(&world.upstream, "/open/g");
    assert_eq!((seen.field("upgrade"), seen.field("connection")), (None, None));
    // What `Connection` names goes no further.
    assert_eq!(ask(get("/open/h", "connection: x-hop, close\r\nx-hop: 1\r\n")).status(), 200);
    assert_eq!(self::seen(&world.upstream, "/open/h").field("x-hop"), None);
}

#[test]
fn an_old_client_without_a_host_is_served() {
    let world = World::start();
    let mut client = Client::connect(world.gateway());
    client.send("GET /open/echo HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer("GET").status(), 200);
    client.rest();
}
