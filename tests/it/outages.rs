//! Stores that are gone, refuse, and come back.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{PostgresServer, RedisServer, Site, World, ask, elapsed, eventually};

/// No request may wait for a store that is gone for longer. The program itself waits 100 ms at most; a busy machine takes its time.
const SOON: Duration = Duration::from_millis(1_500);
const AT_ONCE: usize = 50;

/// What callers see while the database is gone: those who are known go on, nobody else gets in, and nobody waits.
fn while_it_is_gone(world: &World, stranger: &str, what: &str) {
    let ask_as = |key: &str| {
        let fields = [("x-api-key", key)];
        elapsed(|| ask(world.gateway(), "GET", "/reports/echo", &fields, b"").status())
    };
    for _ in 0..10 {
        let (status, took) = ask_as(&world.alice.secret);
        assert_eq!(status, 200, "{what}: who is known goes on");
        assert!(took < SOON, "{what}: {took:?}");
    }
    let slowest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let (status, took) = ask_as(stranger);
                assert_eq!(status, 503, "{what}: nobody gets in unknown");
                let mut slowest = slowest.lock().expect("no panic");
                *slowest = took.max(*slowest);
            });
        }
    });
    let slowest = slowest.into_inner().expect("no panic");
    eprintln!("{what}: the slowest of {AT_ONCE} refusals took {slowest:?}");
    assert!(slowest < SOON, "{what}: {slowest:?}");
}

#[test]
fn postgres_stops_refuses_and_comes_back() {
    let mut server = PostgresServer::start();
    let kept = "[[routes]]\nid = \"kept\"\npath = \"/kept\"\nupstream = \"service\"\nack = \"durable\"\n";
    let storage = "backend = \"postgres\"";
    let world = World::at(|routes| Site::on_own_postgres(&server, storage, &format!("{routes}{kept}")));
    // Of each of them the gateway has not heard yet.
    let strangers: Vec<String> =
        ["user:bob", "user:carol"].map(|subject| world.user(&world.acme, subject).secret).into();
    let [bob, carol] = strangers.as_slice() else { panic!("two strangers") };
    // What was written just now is still to be heard of, and then read again; after that alice is known for good.
    let fields = [("x-api-key", world.program.key.as_str()), ("stanchion-consistency", "now")];
    assert_eq!(ask(world.program.admin, "GET", "/v1/tenants", &fields, b"").status(), 200);
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    let comes_back = |stranger: &str| {
        eventually("a stranger is known again", || {
            let fields = [("x-api-key", stranger)];
            let status = ask(world.gateway(), "GET", "/reports/echo", &fields, b"").status();
            (status == 200).then_some(())
        });
    };

    server.down();
    while_it_is_gone(&world, bob, "stopped");
    server.up();
    comes_back(bob);

    server.run(
        "ALTER ROLE stanchion_app CONNECTION LIMIT 0; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'stanchion_app'",
    );
    while_it_is_gone(&world, carol, "out of connections");
    server.run("ALTER ROLE stanchion_app CONNECTION LIMIT -1");
    comes_back(carol);

    // Who is promised that the record is kept is not answered without it.
    server.down();
    let fields = [("x-api-key", world.alice.secret.as_str())];
    let (answer, took) = elapsed(|| ask(world.gateway(), "GET", "/kept/echo", &fields, b""));
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (503, Some("backend_unavailable")));
    assert!(took < 2 * SOON, "{took:?}");
    server.up();
    comes_back(bob);

    // Writes are refused with a word while it is gone, and nothing that was answered meanwhile is missing afterwards.
    server.down();
    let refused =
        world.admin("POST", "/v1/tenants", &json!({"slug": "late", "name": "Late", "tier": "basic"}));
    assert_eq!(refused.status(), 503, "{}", refused.json());
    assert_eq!(refused.json()["code"], "backend_unavailable");
    server.up();
    // Ten of alice while it was stopped and ten while it refused, one before that, one of carol and two of bob.
    let usage = format!("/v1/usage?tenant={}&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", world.acme);
    eventually("everything that was answered is counted", || {
        let found = world.admin("GET", &usage, &Value::Null);
        (found.status() == 200 && found.json()["usage"][0]["quantity"] == "24").then_some(())
    });
    eventually("everything that was answered is recorded", || (world.verified() >= 23).then_some(()));
}

/// A route for each thing that a limit of four may do without its counters.
const LIMITED: &str = r#"
[ratelimit]
replicas = 2

[[routes]]
id = "closed"
path = "/closed"
upstream = "service"
[[routes]]
id = "let-through"
path = "/let-through"
upstream = "service"
[[routes]]
id = "shared-out"
path = "/shared-out"
upstream = "service"

[[limits]]
id = "closed"
key = ["user"]
routes = ["closed"]
limit = 4
window = "1d"
on_backend_failure = "closed"
[[limits]]
id = "let-through"
key = ["user"]
routes = ["let-through"]
limit = 4
window = "1d"
on_backend_failure = "open"
[[limits]]
id = "shared-out"
key = ["user"]
routes = ["shared-out"]
limit = 4
window = "1d"
on_backend_failure = "local_share"
"#;

/// What a new user meets while the counters are gone: each limit does as it says, and nobody waits.
fn while_nothing_is_counted(world: &World, user: &str, what: &str) {
    let key = world.user(&world.acme, user).secret;
    let ask_for = |path: &str| {
        let fields = [("x-api-key", key.as_str())];
        let (answer, took) = elapsed(|| ask(world.gateway(), "GET", path, &fields, b""));
        assert!(took < SOON, "{what}: {took:?}");
        (answer, took)
    };
    let slowest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let (answer, took) = ask_for("/closed/echo");
                assert_eq!((answer.status(), &answer.json()["code"]), (503, &json!("backend_unavailable")));
                let mut slowest = slowest.lock().expect("no panic");
                *slowest = took.max(*slowest);
            });
        }
    });
    let alone = ask_for("/closed/echo").1;
    let slowest = slowest.into_inner().expect("no panic");
    eprintln!("{what}: the slowest of {AT_ONCE} refusals at once took {slowest:?}, one alone {alone:?}");
    for _ in 0..6 {
        assert_eq!(ask_for("/let-through/echo").0.status(), 200, "{what}: it is open");
    }
    // Of two replicas each gives a half.
    for status in [200, 200, 429, 429] {
        assert_eq!(ask_for("/shared-out/echo").0.status(), status, "{what}: it gives its share");
    }
}

#[test]
fn redis_is_killed_pauses_and_forgets_and_limits_do_as_their_rules_say() {
    let mut server = RedisServer::start();
    let world = World::at(|routes| Site::on_own_redis(&server, &format!("{routes}{LIMITED}")));
    let ask_as = |key: &str| ask(world.gateway(), "GET", "/closed/echo", &[("x-api-key", key)], b"").status();
    // On a busy machine a counter may now and then be late.
    let is_counted = |user: &str| {
        let key = world.user(&world.acme, user).secret;
        eventually("a limit is counted", || (ask_as(&key) == 200).then_some(()));
        eventually("a limit is used up", || (ask_as(&key) == 429).then_some(()));
        key
    };
    is_counted("user:one");
    // On a busy machine that may have failed, too.
    let events = |action: &str| {
        let found = world.get(&format!("/v1/audit/events?tenant=platform&action={action}"));
        found["items"].as_array().expect("a list").len()
    };
    let stats = || world.get("/v1/limits/stats?tenant=platform");

    server.down();
    while_nothing_is_counted(&world, "user:two", "killed");
    assert!(stats()["outage_since"].is_string(), "{}", stats());
    let begun = eventually("the outage is on record", || {
        Some(events("limit.counting_failed")).filter(|begun| *begun > events("limit.counting_resumed"))
    });
    assert!(world.program.logged("rate limits cannot be counted").is_some());
    server.up();
    let patient = world.user(&world.acme, "user:patient").secret;
    eventually("the outage is over", || {
        ask_as(&patient);
        stats()["outage_since"].is_null().then_some(())
    });
    eventually("its end is on record", || (events("limit.counting_resumed") >= begun).then_some(()));
    // Everybody is there when it comes back.
    let key = world.user(&world.acme, "user:three").secret;
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| eventually("it is counted again", || (ask_as(&key) == 429).then_some(())));
        }
    });
    let made = server.connections();
    eprintln!("{made} connections for {AT_ONCE} callers who waited for it");
    assert!(made < 20, "{made} connections");

    server.pause();
    while_nothing_is_counted(&world, "user:four", "paused");
    server.resume();
    let key = is_counted("user:five");

    assert_eq!(ask_as(&key), 429);
    server.flush();
    eventually("the limit starts over", || (ask_as(&key) == 200).then_some(()));
}

/// Limits that are counted in a Postgres that is gone do what each says for that, at once, and count on when it is back.
#[test]
fn limits_outlast_the_postgres_they_are_counted_in() {
    let mut server = PostgresServer::start();
    let storage = "backend = \"postgres\"\ncounters = \"postgres\"";
    let lenient = "[[limits]]\nid = \"lenient\"\nkey = [\"user\"]\nroutes = [\"any\"]\nlimit = 1000\nwindow = \"1h\"\n\
                   on_backend_failure = \"open\"\n";
    let world = World::at(|routes| Site::on_own_postgres(&server, storage, &format!("{routes}{lenient}")));
    let fields = [("x-api-key", world.program.key.as_str()), ("stanchion-consistency", "now")];
    assert_eq!(ask(world.program.admin, "GET", "/v1/tenants", &fields, b"").status(), 200);
    let asks = |target: &str| elapsed(|| world.ask("GET", target).status());
    // The counters' first connection takes longer than the program waits, on a busy machine.
    eventually("it counts", || (asks("/any/echo").0 == 200).then_some(()));
    eventually("it counts", || (asks("/limited/echo").0 == 200).then_some(()));

    server.down();
    for _ in 0..10 {
        for (target, expected) in [("/limited/echo", 503), ("/any/echo", 200)] {
            let (status, took) = asks(target);
            assert_eq!(status, expected, "{target}");
            assert!(took < SOON, "{target}: {took:?}");
        }
    }
    server.up();
    let mut given = 0;
    eventually("it counts again, and refuses", || {
        let (status, _) = asks("/limited/echo");
        given += usize::from(status == 200);
        (status == 429).then_some(())
    });
    // One was given before, which the crash may have forgotten: it was of the last second.
    assert!((2..=3).contains(&given), "{given}");
}
