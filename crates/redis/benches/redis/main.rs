//! What a decision costs against the least script that decides exactly over as many keys.
//!
//! Both sides are called by 64 tasks over one multiplexed connection each, and take turns in one run: a ratio is the median over the
//! turns, the parts are the best of them. Rates are of the clock on the wall; the server's are of its main thread's CPU, which
//! neighbours do not disturb as much. The keys are as long and as many on both sides. The bare script is GCRA whatever the algorithm
//! on our side.
//!
//! Full logs are compared with each other: what a refusal costs must not grow with what there is to count.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops at whatever goes wrong, and prints"
)]
#![expect(clippy::disallowed_methods, reason = "it measures, on the server that its environment names")]

mod leased;
mod processes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use leased::Crowd;
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd};
use stanchion_core::{IdGen as _, SeededRandom, Timestamp};
use stanchion_ratelimit::{Call, CallId, Charge, CounterStore as _, Frame, Limit, Slot};
use stanchion_redis::{Config, RedisCounterStore};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const CALLERS: usize = 64;
const USERS: u64 = 100_000;
/// A day: so high that nothing is refused, so slow that every counter is in use.
const LIMIT: u64 = 10_000;
const DAY: Duration = Duration::from_secs(86_400);
const PREFIX: &str = "bench";
const SCRIPT: &str = include_str!("gcra.lua");

/// A key as the engine writes it: the rule's epoch, then kind, length and id.
type Key = [u8; 14];

fn keys(user: u64, rules: usize) -> Vec<Key> {
    (0..rules).map(|rule| key(user, rule)).collect()
}

fn key(user: u64, rule: usize) -> Key {
    let mut key = *b"\x00u\x0buser-000000";
    key[0] = rule as u8 + 1;
    let mut rest = user;
    for digit in key.iter_mut().rev().take(6) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Limits by the algorithms that the figures are named after.
fn bucket() -> Limit {
    Limit::token_bucket(LIMIT, LIMIT, DAY.as_secs()).unwrap()
}

fn every_day() -> Frame {
    Frame::Every((DAY.as_micros() as u64).try_into().unwrap())
}

/// One of the two that are compared.
#[derive(Clone)]
enum Side {
    Ours { store: Arc<RedisCounterStore>, slot: Slot, limit: Limit, users: u64 },
    Bare { connection: MultiplexedConnection, digest: Arc<str>, tag: String },
}

impl Side {
    async fn decide(&mut self, caller: u64, number: u64, random: u64, rules: usize) {
        match self {
            Self::Ours { store, slot, limit, users } => {
                let keys = keys(random % *users, rules);
                let charges: Vec<Charge<'_>> = keys.iter().map(|key| Charge::new(key, *limit, 1)).collect();
                let id = CallId::new((u128::from(caller) << 64) | u128::from(number));
                let outcome = store.decide(*slot, &Call { id, ..Call::new(&charges, None) }).await.unwrap();
                assert_eq!(outcome.standings().len(), keys.len());
            }
            Self::Bare { connection, digest, tag } => {
                let keys = keys(random % USERS, rules);
                let mut command = redis::cmd("EVALSHA");
                command.arg(&**digest).arg(keys.len());
                for key in &keys {
                    command.arg([tag.as_bytes(), key].concat());
                }
                let day = DAY.as_micros() as u64;
                for _ in keys {
                    command.arg(day / LIMIT).arg(day);
                }
                let answer: Vec<i64> = command.query_async(connection).await.unwrap();
                assert!(answer[0] == 1 && answer.len() == rules + 1);
            }
        }
    }
}

/// What a turn of one side came to.
struct Turn {
    per_second: f64,
    server_micros: f64,
}

/// How much is asked, and how often.
#[derive(Clone, Copy)]
struct Work {
    rules: usize,
    decisions: usize,
    turns: usize,
}

struct Bench {
    runtime: Runtime,
    admin: MultiplexedConnection,
    store: Arc<RedisCounterStore>,
    bare: Side,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let client = Client::open(url()).unwrap();
        let connect = || runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
        let (mut connection, admin) = (connect(), connect());
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).to_owned();
        let digest: String = runtime.block_on(load.query_async(&mut connection)).unwrap();
        let tag = format!("{PREFIX}:gc:{{{}}}:", slot(0));
        let bare = Side::Bare { connection, digest: digest.into(), tag };
        Self { store: Arc::new(store(PREFIX)), bare, runtime, admin }
    }

    /// Our counters of a limit, in a slot of their own, spread over so many users.
    fn ours(&self, number: u64, limit: Limit, users: u64) -> Side {
        Side::Ours { store: Arc::clone(&self.store), slot: slot(number), limit, users }
    }

    fn against_bare(&self, figure: &str, ours: &Side, work: Work) {
        let turns = self.take_turns(ours, &self.bare, work);
        report(figure, "decisions/s", "bare_gcra", &turns, |turn| turn.per_second, f64::max);
        let figure = format!("{figure}_server_cpu");
        report(&figure, "us", "bare_gcra", &turns, |turn| turn.server_micros, f64::min);
    }

    /// What a refusal costs the server where a log keeps as much as it can, against one that keeps ten.
    fn full_logs(&self, figure: &str, work: Work) {
        let full = |number, capacity| {
            let limit = Limit::sliding_log(capacity, DAY).unwrap();
            let log = self.ours(number, limit, 1);
            self.turn(&log, Work { decisions: capacity as usize + CALLERS, ..work });
            log
        };
        let turns = self.take_turns(&full(20, 10_000), &full(21, 10), work);
        report(figure, "us", "log_of_ten", &turns, |turn| turn.server_micros, f64::min);
    }

    fn take_turns(&self, one: &Side, other: &Side, work: Work) -> Vec<(Turn, Turn)> {
        // The first turn fills the server and finds the scripts.
        let pair = |_| (self.turn(one, work), self.turn(other, work));
        (0..=work.turns).map(pair).skip(1).collect()
    }

    fn turn(&self, side: &Side, work: Work) -> Turn {
        self.runtime.block_on(async {
            let cpu = self.server_micros().await;
            let began = Instant::now();
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS as u64 {
                let mut side = side.clone();
                callers.spawn(async move {
                    let random = SeededRandom::new(caller);
                    for number in 0..work.decisions / CALLERS {
                        side.decide(caller, number as u64, random.next_u64(), work.rules).await;
                    }
                });
            }
            callers.join_all().await;
            let elapsed = began.elapsed();
            let made = (work.decisions / CALLERS * CALLERS) as f64;
            let cpu = self.server_micros().await - cpu;
            Turn { per_second: made / elapsed.as_secs_f64(), server_micros: cpu / made }
        })
    }

    /// How much CPU time the server's main thread has used.
    async fn server_micros(&self) -> f64 {
        let said: String = info().query_async(&mut self.admin.clone()).await.unwrap();
        let seconds = |name: &str| -> f64 {
            let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.expect("a server tells what it has used").trim().parse().unwrap()
        };
        (seconds("used_cpu_user_main_thread") + seconds("used_cpu_sys_main_thread")) * 1e6
    }
}

fn report(
    figure: &str,
    unit: &str,
    peer: &str,
    turns: &[(Turn, Turn)],
    of: fn(&Turn) -> f64,
    best: fn(f64, f64) -> f64,
) {
    let one = turns.iter().map(|(one, _)| of(one)).reduce(best).unwrap();
    let other = turns.iter().map(|(_, other)| of(other)).reduce(best).unwrap();
    let mut ratios: Vec<f64> = turns.iter().map(|(one, other)| of(one) / of(other)).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "BENCH ratelimit.{figure} value={one:.1} unit={unit} peer={peer} peer_value={other:.1} ratio={:.2}",
        ratios[ratios.len() / 2]
    );
}

fn url() -> String {
    std::env::var("STANCHION_TEST_REDIS")
        .expect("STANCHION_TEST_REDIS is not set: run through `cargo xtask bench redis`")
}

fn store(prefix: &str) -> RedisCounterStore {
    // A busy machine is no reason to fail.
    let (connect_timeout_ms, response_timeout_ms) = (20_000, 20_000);
    let config =
        Config { prefix: prefix.to_owned(), connect_timeout_ms, response_timeout_ms, ..Config::default() };
    RedisCounterStore::new(&url(), config).unwrap()
}

fn slot(number: u64) -> Slot {
    Slot::Tenant(SeededRandom::new(number).tenant_id(Timestamp::EPOCH))
}

fn info() -> Cmd {
    redis::cmd("INFO").arg("cpu").to_owned()
}

impl Drop for Bench {
    /// Leaves the server as it was.
    fn drop(&mut self) {
        let mut admin = self.admin.clone();
        self.runtime.block_on(async {
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(format!("{PREFIX}:*")).arg("COUNT").arg(1_000);
                let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut admin).await.unwrap();
                if !keys.is_empty() {
                    let _: u64 = redis::cmd("UNLINK").arg(keys).query_async(&mut admin).await.unwrap();
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        });
    }
}

fn main() {
    if processes::count_for_parent() {
        return;
    }
    let quick = std::env::args().any(|arg| arg == "--quick");
    let turns = if quick { 11 } else { 41 };
    let bench = Bench::new();
    let one = Work { rules: 1, decisions: 32_000, turns };
    let eight = Work { rules: 8, decisions: 8_000, turns };
    bench.against_bare("redis_one_rule_c64", &bench.ours(1, bucket(), USERS), one);
    bench.against_bare("redis_eight_rules_c64", &bench.ours(1, bucket(), USERS), eight);

    let few = Work { decisions: one.decisions / 2, turns: turns / 2, ..one };
    for (number, algorithm, limit) in [
        (2, "fixed_window", Limit::fixed_window(LIMIT, every_day())),
        (3, "sliding_window", Limit::sliding_window(LIMIT, every_day())),
        (4, "log", Limit::sliding_log(LIMIT, DAY)),
    ] {
        let figure = format!("redis_{algorithm}_c64");
        bench.against_bare(&figure, &bench.ours(number, limit.unwrap(), USERS), few);
    }
    // What leases are for, and callers of whom each comes so seldom that little of a chunk is used before it ends.
    bench.leased("leased_eight_rules", Crowd { callers: 100, chunk: 1_000 }, turns);
    bench.leased("leased_eight_rules_small_chunks", Crowd { callers: 100, chunk: 100 }, turns / 2);
    bench.leased("leased_eight_rules_many_callers", Crowd { callers: 10_000, chunk: 1_000 }, turns / 2);
    bench.full_logs("redis_full_log_server_cpu", few);
    processes::over_admission();
}
