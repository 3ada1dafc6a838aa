//! Many at once, over real connections: exactly the limit gets through.

use std::sync::Barrier;
use std::thread;

use crate::harness::{Client, World};

const CONNECTIONS: usize = 50;
const EACH: usize = 20;

#[test]
fn of_a_thousand_requests_exactly_the_limit_is_admitted() {
    // A day's limit gives one back in five minutes, so none while this runs.
    let limit =
        "[[limits]]\nid = \"raced\"\nkey = [\"api_key\"]\nroutes = [\"any\"]\nlimit = 300\nwindow = \"1d\"\n";
    let world = World::with("", limit);
    let start = Barrier::new(CONNECTIONS);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let ask = || {
            let mut client = Client::connect(world.gateway());
            start.wait();
            let fields = [("x-api-key", world.alice.secret.as_str())];
            let ask = |_| client.ask("GET", "/any/echo", &fields, b"").status();
            (0..EACH).map(ask).collect::<Vec<_>>()
        };
        let askers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().flat_map(|asker| asker.join().expect("asks")).collect()
    });
    let count = |status| statuses.iter().filter(|seen| **seen == status).count();
    assert_eq!((count(200), count(429)), (300, 700));
    assert_eq!(world.upstream.seen().len(), 300);
    let bob = world.key(&world.acme, "user:bob");
    let other = Client::connect(world.gateway()).ask("GET", "/any/echo", &[("x-api-key", &bob.secret)], b"");
    assert_eq!(other.status(), 200, "another key has its own limit");
}
