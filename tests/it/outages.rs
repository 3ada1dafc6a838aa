//! Stores that are gone, refuse, and come back.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{PostgresServer, Site, World, ask, elapsed, eventually};

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
    let world = World::at(|routes| Site::on_own_postgres(&server, &format!("{routes}{kept}")));
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
