//! Two seconds of everything at once: no error but those that were asked for, and books that balance.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Client, World, eventually, pattern};

const CONNECTIONS: usize = 64;
const TIME: Duration = Duration::from_secs(2);

#[test]
fn under_load_everything_is_answered_as_asked_and_counted_exactly() {
    let world = World::start();
    let until = Instant::now() + TIME;
    let metered: usize = thread::scope(|scope| {
        let ask = |number: usize| {
            let key = ("x-api-key", world.alice.secret.as_str());
            let mut client = Client::connect(world.gateway());
            let (mut metered, mut turn) = (0, number);
            while Instant::now() < until {
                turn += 1;
                let body = pattern(turn % 3_000 + 1);
                let (answer, status) = match turn % 5 {
                    0 => (client.ask("GET", "/open/bytes/1000", &[], b""), 200),
                    1 => (client.ask("POST", "/any/mirror", &[key], &body), 200),
                    2 => (client.ask("GET", "/reports/echo", &[], b""), 401),
                    3 => (client.ask("GET", "/writes/echo", &[key], b""), 403),
                    _ => (client.ask("GET", "/reports/bytes/10", &[key], b""), 200),
                };
                assert_eq!(answer.status(), status, "{}", String::from_utf8_lossy(&answer.body));
                match turn % 5 {
                    1 => assert_eq!(answer.body, body),
                    4 => metered += 1,
                    _ => {}
                }
            }
            metered
        };
        let askers: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || ask(number))).collect();
        askers.into_iter().map(|asker| asker.join().expect("is answered")).sum()
    });
    assert!(metered > CONNECTIONS, "{metered}");
    let target = format!("/v1/usage?tenant={}&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", world.acme);
    let expected = metered.to_string();
    eventually("exactly what was answered is metered", || {
        (world.get(&target)["usage"][0]["quantity"] == expected.as_str()).then_some(())
    });
    assert!(world.verified() > u64::try_from(metered).expect("a count"));
}
