//! Limits that are put, changed and removed through the admin API while requests come in at two replicas, over Postgres: no answer goes
//! by a rule that was not written, by an older one than an answer before it, or counts a request twice.
//!
//! What is wrong is said in full where the engine is put to the same test, `crates/ratelimit/tests/live`. The replica that is told of a
//! change goes by it from the answer on; the other one may be late, but never goes back.

#[path = "../../crates/ratelimit/tests/live/history.rs"]
#[expect(dead_code, reason = "it has what another suite needs")]
mod history;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use self::history::{History, Seen};
use crate::harness::{Client, Message, Program, Site, World, ask, eventually, fresh_database};

const RULES: usize = 6;
const WRITES: usize = 48;
const CLIENTS_OF_EACH: usize = 2;
/// How many answers come between two writes, at least.
const ANSWERS: usize = 8;

/// The limits of a rule's versions, no two alike: every other one refuses soon.
fn limit(version: usize) -> u64 {
    let version = version as u64;
    if version.is_multiple_of(2) { 1_000_000 + version } else { 60 - version / 2 }
}

/// What both replicas may know of one rule.
struct Rule {
    name: String,
    /// By replica: the one that is told, and the one that hears of it.
    replicas: [History; 2],
}

/// Writes through the admin API, one change after the other.
fn write(world: &World, rules: &[Rule], answers: &AtomicUsize) {
    let fields = [("x-api-key", world.program.key.as_str()), ("content-type", "application/json")];
    let mut etags: Vec<Option<String>> = vec![None; RULES];
    for turn in 0..WRITES {
        let (number, rule) = (turn % RULES, &rules[turn % RULES]);
        let target = format!("/v1/limits/{}?tenant={}", rule.name, world.acme);
        let removes = etags[number].is_some() && (turn / RULES + number).is_multiple_of(3);
        rule.replicas[1].write(!removes, |version| {
            rule.replicas[0].write(!removes, |_| {
                if removes {
                    assert_eq!(world.admin("DELETE", &target, &Value::Null).status(), 204);
                    etags[number] = None;
                    return;
                }
                let body = json!({
                    "key": ["user"], "routes": ["any"], "limit": limit(version), "window": "1mo", "algorithm": "fixed_window",
                });
                let replaces = etags[number].clone().map(|etag| ("if-match", etag));
                let replaces = replaces.as_ref().map(|(name, etag)| (*name, etag.as_str()));
                let fields: Vec<_> = fields.into_iter().chain(replaces).collect();
                let written = ask(world.program.admin, "PUT", &target, &fields, body.to_string().as_bytes());
                assert!([200, 201].contains(&written.status()), "{}", written.json());
                etags[number] = written.field("etag").map(str::to_owned);
            });
        });
        let so_far = answers.load(Ordering::SeqCst);
        eventually("answers come", || (answers.load(Ordering::SeqCst) >= so_far + ANSWERS).then_some(()));
    }
}

/// Reads a list like `"one";q=100;w=60, "two";q=5;w=60`: the number of each item under a parameter.
fn numbers(answer: &Message, field: &str, parameter: &str) -> HashMap<String, u64> {
    let items = answer.field(field).unwrap_or_default().split(", ").filter(|item| !item.is_empty());
    let number = |item: &str| {
        let mut parts = item.split(';');
        let name = parts.next().expect("a name").trim_matches('"').to_owned();
        let value = parts.find_map(|part| part.strip_prefix(parameter)?.strip_prefix('='));
        (name, value.and_then(|value| value.parse().ok()).expect("a number"))
    };
    items.map(number).collect()
}

/// What the answers to one client came to.
#[derive(Default)]
struct Tally {
    /// Of each rule every unit that was used, by the version that it was used under.
    used: Vec<Vec<(usize, u64)>>,
    /// The versions of each rule that had nothing left for who was refused.
    refused: Vec<Vec<usize>>,
    refusals: usize,
}

fn request(
    gateway: SocketAddr,
    replica: usize,
    key: &str,
    rules: &[Rule],
    answers: &AtomicUsize,
    done: &AtomicBool,
) -> Tally {
    let mut client = Client::connect(gateway);
    let mut tally =
        Tally { used: vec![Vec::new(); RULES], refused: vec![Vec::new(); RULES], ..Tally::default() };
    while !done.load(Ordering::SeqCst) {
        let begun: Vec<_> = rules.iter().map(|rule| rule.replicas[replica].begin()).collect();
        let answer = client.ask("GET", "/any/echo", &[("x-api-key", key)], b"");
        let (limits, left) = (numbers(&answer, "ratelimit-policy", "q"), numbers(&answer, "ratelimit", "r"));
        let admitted = match answer.status() {
            200 => true,
            429 => false,
            other => panic!("{other}: {}", String::from_utf8_lossy(&answer.body)),
        };
        let mut empty = 0;
        for (number, (rule, begun)) in rules.iter().zip(begun).enumerate() {
            let seen = limits.get(&rule.name).map_or(Seen::Absent, |limit| Seen::Limit(*limit));
            let version = rule.replicas[replica].end(begun, seen);
            let Some(left) = left.get(&rule.name) else { continue };
            if admitted {
                tally.used[number].push((version, limit(version) - left));
            } else if *left == 0 {
                tally.refused[number].push(version);
                empty += 1;
            }
        }
        assert!(admitted || empty > 0, "refused with something left of everything: {left:?}");
        assert!(limits.keys().all(|name| rules.iter().any(|rule| rule.name == *name)), "{limits:?}");
        tally.refusals += usize::from(!admitted);
        answers.fetch_add(1, Ordering::SeqCst);
    }
    tally
}

#[test]
fn limits_change_under_load_on_two_replicas_without_a_wrong_answer() {
    // A busy machine is no reason to refuse.
    let patience = "[storage.postgres.counters]\nacquire_timeout_ms = 20000\noperation_timeout_ms = 20000\n";
    let storage = "backend = \"postgres\"\ncounters = \"postgres\"";
    let world =
        World::at(|routes| Site::on_database(&fresh_database(), storage, "", &format!("{routes}{patience}")));
    let other = Program::run(&world.program.site);
    let instants = Arc::new(AtomicU64::new(0));
    let rule = |number| Rule {
        name: format!("live-{number}"),
        replicas: [
            History::absent(Arc::clone(&instants), limit),
            History::absent(Arc::clone(&instants), limit).late(),
        ],
    };
    let rules: Vec<Rule> = (0..RULES).map(rule).collect();
    let (answers, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let clients: Vec<_> = [(world.gateway(), 0), (other.gateway, 1)]
            .into_iter()
            .cycle()
            .take(2 * CLIENTS_OF_EACH)
            .map(|(gateway, replica)| {
                let (key, rules, answers, done) = (&world.alice.secret, &rules, &answers, &done);
                scope.spawn(move || request(gateway, replica, key, rules, answers, done))
            })
            .collect();
        let writer = scope.spawn(|| write(&world, &rules, &answers)).join();
        if writer.is_ok() {
            eventually("the other replica has heard of everything", || {
                rules.iter().all(|rule| rule.replicas[1].is_seen_to_the_end()).then_some(())
            });
        }
        done.store(true, Ordering::SeqCst);
        let tallies = clients.into_iter().map(|client| client.join().expect("is answered")).collect();
        writer.expect("writes");
        tallies
    });

    let mut admitted = 0;
    for (number, rule) in rules.iter().enumerate() {
        let history = &rule.replicas[0];
        let mut lives: HashMap<usize, Vec<u64>> = HashMap::new();
        for (version, unit) in tallies.iter().flat_map(|tally| &tally.used[number]) {
            lives.entry(history.life_of(*version)).or_default().push(*unit);
            admitted += 1;
        }
        for units in lives.values_mut() {
            units.sort_unstable();
            let count = units.len() as u64;
            assert!(units.iter().copied().eq(1..=count), "{}: not each unit once: {units:?}", rule.name);
        }
        for version in tallies.iter().flat_map(|tally| &tally.refused[number]) {
            let used = lives.get(&history.life_of(*version)).map_or(0, Vec::len) as u64;
            assert!(used >= limit(*version), "{}: refused at {used} of {}", rule.name, limit(*version));
        }
    }
    let refusals: usize = tallies.iter().map(|tally| tally.refusals).sum();
    assert!(admitted > 200 && refusals > 20, "it was a test of something: {admitted} {refusals}");
}
