//! The program on stores that outlive it and that replicas share.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Client, Program, Site, World, ask, command, eventually, fresh_database};

fn used(world: &World) -> u64 {
    let target = format!("/v1/usage?tenant={}&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", world.acme);
    world.get(&target)["usage"][0]["quantity"].as_str().map_or(0, |count| count.parse().expect("a number"))
}

/// Everything that a tenant's traffic touches answers as it does in memory, and is still there when the program comes back.
#[test]
fn everything_on_postgres_is_there_after_a_restart() {
    let mut world = World::on_postgres("");
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    assert_eq!(world.ask("GET", "/writes/echo").status(), 403);
    for status in [200, 200, 200, 429] {
        assert_eq!(world.ask("GET", "/limited/echo").status(), status);
    }
    let nobody = ask(world.gateway(), "GET", "/reports/echo", &[("x-api-key", "stn_live_nonsense")], b"");
    assert_eq!(nobody.status(), 401);
    eventually("the use is counted", || (used(&world) == 1).then_some(()));
    let before = world.verified();

    world.program.terminate();
    assert!(world.program.ended().success(), "{:#?}", world.program.log());
    world.program = Program::run(&world.program.site);
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    assert_eq!(world.ask("GET", "/writes/echo").status(), 403);
    eventually("the use is counted on", || (used(&world) == 2).then_some(()));
    assert!(world.verified() > before, "the ledger goes on where it stood");
}

/// What one replica is told holds on the other: keys, roles, tenants.
#[test]
fn a_revocation_holds_on_every_replica() {
    let world = World::on_postgres("");
    let other = Program::run(&world.program.site);
    let asks = |key: &str| ask(other.gateway, "GET", "/reports/echo", &[("x-api-key", key)], b"").status();
    assert_eq!(asks(&world.alice.secret), 200, "it knows what it was not told");

    let gone = format!("/v1/assignments?tenant={}&subject=user:alice&role=viewer", world.acme);
    assert_eq!(world.admin("DELETE", &gone, &Value::Null).status(), 204);
    assert_eq!(world.ask("GET", "/reports/echo").status(), 403, "on the replica that was told at once");
    eventually("the role is gone there", || (asks(&world.alice.secret) == 403).then_some(()));
    let assignment = json!({"subject": "user:alice", "role": "viewer"});
    let again = format!("/v1/assignments?tenant={}", world.acme);
    assert_eq!(world.admin("POST", &again, &assignment).status(), 201);
    eventually("the role is back there", || (asks(&world.alice.secret) == 200).then_some(()));

    let gone = format!("/v1/keys/{}?tenant={}", world.alice.id, world.acme);
    assert_eq!(world.admin("DELETE", &gone, &Value::Null).status(), 204);
    assert_eq!(world.ask("GET", "/reports/echo").status(), 401, "on the replica that was told at once");
    eventually("the key is gone there", || (asks(&world.alice.secret) == 401).then_some(()));
}

const KEPT: &str = r#"
[[routes]]
id = "kept"
path = "/kept"
upstream = "service"
permission = "report:read"
meters = [{ meter = "api.calls" }]
ack = "durable"
"#;

const ROUNDS: usize = 3;
const CLIENTS: usize = 4;
/// The program is killed once so many requests of a round were answered.
const ANSWERS: usize = 40;

/// Sends requests until the program is killed, and notes those that were answered.
fn ask_until_it_dies(world: &World, answered: &Mutex<Vec<String>>) {
    let mut client = Client::connect(world.gateway());
    loop {
        let head = format!(
            "GET /kept/echo HTTP/1.1\r\nhost: gateway.test\r\nx-api-key: {}\r\n\r\n",
            world.alice.secret
        );
        let Ok(answer) = client.try_send(head).and_then(|()| client.try_answer("GET")) else { return };
        assert_eq!(answer.status(), 200);
        let id = answer.field("x-request-id").expect("an id").to_owned();
        answered.lock().expect("no panic").push(id);
    }
}

/// Whatever was answered on a route that acknowledges durably is on record exactly once, whenever the program is killed.
#[test]
fn nothing_that_was_answered_is_lost_or_doubled_by_a_kill() {
    let mut world = World::on_postgres(KEPT);
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let answered = Mutex::new(Vec::new());
        let mut program = thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| ask_until_it_dies(&world, &answered));
            }
            eventually("enough is answered", || {
                (answered.lock().expect("no panic").len() >= ANSWERS).then_some(())
            });
            world.program.kill_at_once();
            Program::run(&world.program.site)
        });
        std::mem::swap(&mut world.program, &mut program);
        drop(program);
        all.extend(answered.into_inner().expect("no panic"));
    }
    for request in &all {
        let found = world.get(&format!("/v1/audit/events?tenant={}&request={request}", world.acme));
        let events: Vec<&Value> =
            found["items"].as_array().expect("a list").iter().map(|item| &item["event"]).collect();
        let ids: BTreeSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        assert_eq!(ids.len(), events.len(), "{found}");
        let unknown = events.iter().filter(|event| event["outcome"] == "unknown").count();
        // The record of the decision, and the one of the end unless the program was killed before it was written.
        assert_eq!((unknown, events.len() - unknown <= 1), (1, true), "{found}");
    }
    let (answered, used) = (u64::try_from(all.len()).expect("a number"), used(&world));
    let on_their_way = u64::try_from(ROUNDS * CLIENTS).expect("a number");
    assert!(
        (answered..=answered + on_their_way).contains(&used),
        "{answered} were answered, {used} were counted, at most {on_their_way} were on their way"
    );
    assert!(world.verified() >= answered);
}

/// Replicas that count in one Redis give what the limit gives, and no more, together.
#[test]
fn replicas_that_share_redis_share_their_limits() {
    let world = World::at(|routes| Site::on_postgres_and_redis("", &routes));
    let other = Program::run(&world.program.site);
    let asks = |gateway| {
        let fields = [("x-api-key", world.alice.secret.as_str())];
        ask(gateway, "GET", "/limited/echo", &fields, b"").status()
    };
    let seen = [asks(world.gateway()), asks(other.gateway), asks(world.gateway()), asks(other.gateway)];
    assert_eq!(seen, [200, 200, 200, 429]);
    assert_eq!(asks(world.gateway()), 429);
}

/// Replicas that have nothing but Postgres count in it together: exactly the limit gets through them, however many ask both at once.
#[test]
fn replicas_that_count_in_postgres_share_their_limits() {
    let raced =
        "[[limits]]\nid = \"raced\"\nkey = [\"api_key\"]\nroutes = [\"any\"]\nlimit = 100\nwindow = \"1d\"\n";
    // A busy machine is no reason to refuse.
    let patience = "[storage.postgres.counters]\nacquire_timeout_ms = 20000\noperation_timeout_ms = 20000\n";
    let storage = "backend = \"postgres\"\ncounters = \"postgres\"";
    let rest = format!("{patience}{raced}");
    let world =
        World::at(|routes| Site::on_database(&fresh_database(), storage, "", &format!("{routes}{rest}")));
    let other = Program::run(&world.program.site);
    let fields = [("x-api-key", world.alice.secret.as_str())];
    let asks = |gateway| ask(gateway, "GET", "/limited/echo", &fields, b"").status();
    let seen = [asks(world.gateway()), asks(other.gateway), asks(world.gateway()), asks(other.gateway)];
    assert_eq!(seen, [200, 200, 200, 429]);
    assert_eq!(asks(world.gateway()), 429);

    let statuses: Vec<u16> = thread::scope(|scope| {
        let askers: Vec<_> = [world.gateway(), other.gateway]
            .into_iter()
            .cycle()
            .take(12)
            .map(|gateway| {
                scope.spawn(move || {
                    let mut client = Client::connect(gateway);
                    let ask = |_| client.ask("GET", "/any/echo", &fields, b"").status();
                    (0..15).map(ask).collect::<Vec<_>>()
                })
            })
            .collect();
        askers.into_iter().flat_map(|asker| asker.join().expect("asks")).collect()
    });
    let count = |status| statuses.iter().filter(|seen| **seen == status).count();
    // A day's limit gives one back in a quarter of an hour, so none while this runs.
    assert_eq!((count(200), count(429)), (100, 80));
}

/// Whoever brings the token of a write is answered by what it has left, on whatever replica, without a second look.
#[test]
fn a_consistency_token_is_honoured_by_every_replica() {
    let world = World::on_postgres("");
    let other = Program::run(&world.program.site);
    let check = format!("/v1/access/check?tenant={}", world.acme);
    let question = json!({"subject": "user:alice", "permission": "report:read"}).to_string();
    let assignment = json!({"subject": "user:alice", "role": "viewer"});
    for turn in 0..10 {
        let written = if turn % 2 == 0 {
            let gone = format!("/v1/assignments?tenant={}&subject=user:alice&role=viewer", world.acme);
            world.admin("DELETE", &gone, &Value::Null)
        } else {
            world.admin("POST", &format!("/v1/assignments?tenant={}", world.acme), &assignment)
        };
        let token = written.field("stanchion-consistency").expect("a token").to_owned();
        let fields = [
            ("x-api-key", other.key.as_str()),
            ("content-type", "application/json"),
            ("stanchion-consistency", token.as_str()),
        ];
        let answer = ask(other.admin, "POST", &check, &fields, question.as_bytes());
        assert_eq!(answer.status(), 200, "{}", answer.json());
        assert_eq!(answer.json()["allowed"], json!(turn % 2 == 1), "turn {turn}: {}", answer.json());
    }
}

/// Of two that want to write the ledger alone, the one that came first is shut out, says so, and ends rather than answer unrecorded.
#[test]
fn of_two_exclusive_writers_the_first_is_fenced() {
    let mut world = World::on_postgres("[audit.ledger]\nwriters = \"exclusive\"\n");
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    let second = Program::run(&world.program.site);
    // What it is asked from now on it can record nowhere.
    let head = format!(
        "GET /reports/echo HTTP/1.1\r\nhost: gateway.test\r\nx-api-key: {}\r\n\r\n",
        world.alice.secret
    );
    let mut client = Client::connect(world.gateway());
    let _ = client.try_send(head).and_then(|()| client.try_answer("GET"));
    assert!(!world.program.ended().success());
    let said = "a shard of the audit ledger takes no more: another writer has it";
    assert!(world.program.logged(said).is_some());
    world.program = second;
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    assert!(world.verified() > 0);
}

/// A ledger that was begun with one number of shards is not written with another: the program does not start, and says what to change.
#[test]
fn a_ledger_that_is_divided_otherwise_is_not_started_on() {
    let mut world = World::on_postgres("");
    world.program.terminate();
    assert!(world.program.ended().success(), "{:#?}", world.program.log());
    let site = &world.program.site;
    let path = site.path("stanchion.toml");
    let before = fs::read_to_string(&path).expect("reads");
    fs::write(&path, format!("{before}\n[audit.ledger]\nshards = 4\n")).expect("writes");
    let refused = command(["serve".as_ref(), "--config".as_ref(), path.as_os_str()]).output().expect("runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let expected = format!(
        "stanchion: `audit.ledger.shards` is 4, and the ledger of this database was begun with 1\n  \
         {}: set `shards = 1` in `[audit.ledger]`\n  \
         the first start on a database settles it for good; another number takes another database\n",
        path.display()
    );
    assert!(said.ends_with(&expected), "{said}");

    fs::write(&path, format!("{before}\n[audit.ledger]\nshards = 1\n")).expect("writes");
    world.program = Program::run(&world.program.site);
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
}
