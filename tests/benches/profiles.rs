//! What a request costs on each set of stores: CPU time of the program, of Postgres and of Redis, by the process.
//!
//! Everything is on as a deployment has it: key, four limits, permission, access record in the ledger, usage event. The profile in memory
//! is what the others are compared with. Profiles take turns, so that a busy neighbour meets them all.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::print_stderr,
    dead_code,
    unused_imports,
    reason = "a benchmark speaks to the person who runs it, and uses a part of the tests' harness"
)]

#[path = "../it/harness/mod.rs"]
mod harness;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use harness::{Client, Site, World, eventually};

const CONNECTIONS: usize = 32;

/// How many requests a round may have: as many of one tenant's usage events may wait, and beyond that requests are refused. On a machine
/// where clients, program and stores share the cores, usage is written more slowly than requests are answered.
const AT_MOST: usize = 16_000;

const LIMITS: &str = r#"
[[limits]]
id = "by-address"
key = ["ip"]
limit = 100_000_000
window = "1h"
[[limits]]
id = "by-tenant"
key = ["tenant"]
limit = 100_000_000
window = "1h"
[[limits]]
id = "by-user"
key = ["user"]
limit = 100_000_000
window = "1h"
[[limits]]
id = "by-key"
key = ["api_key"]
limit = 100_000_000
window = "1h"

[[routes]]
id = "kept"
path = "/kept"
upstream = "service"
permission = "report:read"
meters = [{ meter = "api.calls" }]
ack = "durable"
"#;

struct Profile {
    name: &'static str,
    world: World,
    path: &'static str,
    /// How many requests were sent: as many are metered.
    sent: usize,
    /// Of each round: microseconds of program, Postgres and Redis per request; requests that were answered in a second; and requests in
    /// a second until everything of them was written.
    rounds: Vec<[f64; 5]>,
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (requests, rounds) = if quick { (8_000, 1) } else { (AT_MOST, 15) };
    let in_memory = || World::at(|routes| Site::in_memory("", &format!("{routes}{LIMITS}")));
    let on_postgres = || World::at(|routes| Site::on_postgres("", &format!("{routes}{LIMITS}")));
    let on_both = || World::at(|routes| Site::on_postgres_and_redis("", &format!("{routes}{LIMITS}")));
    let profile = |name, world, path| Profile { name, world, path, sent: 0, rounds: Vec::new() };
    let mut profiles = [
        profile("memory", in_memory(), "/reports/bytes/100"),
        profile("postgres", on_postgres(), "/reports/bytes/100"),
        profile("postgres_durable", on_postgres(), "/kept/bytes/100"),
        profile("postgres_redis", on_both(), "/reports/bytes/100"),
        profile("postgres_redis_durable", on_both(), "/kept/bytes/100"),
    ];
    for profile in &mut profiles {
        load(profile, 500);
        profile.rounds.clear();
    }
    for _ in 0..rounds {
        profiles.iter_mut().for_each(|profile| load(profile, requests));
    }
    let median = |profile: &Profile, of: usize| {
        let mut values: Vec<f64> = profile.rounds.iter().map(|round| round[of]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let memory = median(&profiles[0], 0);
    for profile in &profiles {
        let value = median(profile, 0);
        println!(
            "BENCH profiles.{}_program value={value:.1} unit=us_cpu peer=memory peer_value={memory:.1} ratio={:.2}",
            profile.name,
            value / memory
        );
        for (of, store) in [(1, "postgres"), (2, "redis")] {
            if profile.name.contains(store) {
                println!(
                    "BENCH profiles.{}_{store} value={:.1} unit=us_cpu",
                    profile.name,
                    median(profile, of)
                );
            }
        }
        for (of, rate) in [(3, "answered"), (4, "written")] {
            let value = median(profile, of);
            println!("BENCH profiles.{}_{rate} value={value:.0} unit=requests_per_s", profile.name);
        }
    }
}

/// Sends so many requests over all connections and notes what they cost.
fn load(profile: &mut Profile, requests: usize) {
    let world = &profile.world;
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: gateway.test\r\nx-api-key: {}\r\n\r\n",
        profile.path, world.alice.secret
    );
    let left = AtomicUsize::new(requests);
    let before = (cpu_of(world.program.id()), postgres(), redis());
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = Client::connect(world.gateway());
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    client.send(&head);
                    let answer = client.answer("GET");
                    assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&answer.body));
                }
            });
        }
    });
    let answered = requests as f64 / start.elapsed().as_secs_f64();
    // What was accepted is committed behind the answers, and is part of their cost.
    profile.sent += requests;
    settle(world, profile.sent);
    let written = requests as f64 / start.elapsed().as_secs_f64();
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / requests as f64;
    profile.rounds.push([
        each(cpu_of(world.program.id()), before.0),
        each(postgres(), before.1),
        each(redis(), before.2),
        answered,
        written,
    ]);
}

/// Waits until everything that was sent is metered.
fn settle(world: &World, sent: usize) {
    let period = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    let target = format!("/v1/usage?tenant={}&{period}", world.acme);
    let expected = sent.to_string();
    eventually("everything is written", || {
        (world.get(&target)["usage"][0]["quantity"] == expected.as_str()).then_some(())
    });
}

/// The CPU time of a process and of its children that have ended, in microseconds.
fn cpu_of(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // utime, stime, cutime, cstime; a tick is 10 ms wherever Linux runs.
    (ticks(11) + ticks(12) + ticks(13) + ticks(14)) * 10_000
}

fn postgres() -> u64 {
    let server = process(&format!("-p {}", port("STANCHION_TEST_POSTGRES")));
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let backends = processes().filter(|pid| parent(*pid) == Some(server));
    cpu_of(server) + backends.map(cpu_of).sum::<u64>()
}

fn redis() -> u64 {
    cpu_of(process(&format!("127.0.0.1:{}", port("STANCHION_TEST_REDIS"))))
}

fn port(variable: &str) -> String {
    let url = std::env::var(variable).expect("run `cargo xtask bench profiles`");
    let after = url.rsplit(':').next().expect("a port");
    after.chars().take_while(char::is_ascii_digit).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .expect("processes")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Finds the process whose command line has these words.
fn process(words: &str) -> u32 {
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(words) && (line.contains("postgres") || line.contains("redis"))
    };
    processes().find(has).unwrap_or_else(|| panic!("no server runs with {words}"))
}
