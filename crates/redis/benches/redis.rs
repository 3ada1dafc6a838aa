//! What a decision costs against the least script that decides exactly over as many keys.
//!
//! Both sides are called by 64 tasks over one multiplexed connection each, and take turns in one run: a ratio is the median over the
//! turns, the parts are the best of them. Rates are of the clock on the wall; the server's are of its main thread's CPU, which
//! neighbours do not disturb as much. The keys are as long and as many on both sides.

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

use std::sync::Arc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd};
use stanchion_core::{IdGen as _, SeededRandom, Timestamp};
use stanchion_ratelimit::{Call, Charge, CounterStore as _, Limit, Slot};
use stanchion_redis::{Config, RedisCounterStore};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const CALLERS: usize = 64;
const USERS: u64 = 100_000;
/// A day: so high that nothing is refused, so slow that every counter is in use.
const LIMIT: u64 = 10_000;
const DAY_MICROS: u64 = 86_400_000_000;
const PREFIX: &str = "bench";
const SCRIPT: &str = include_str!("gcra.lua");

/// A key as the engine writes it: the rule's epoch, then kind, length and id.
type Key = [u8; 14];

fn keys(user: u64, rules: usize) -> Vec<Key> {
    let key = |rule: usize| {
        let mut key = *b"\x00u\x0buser-000000";
        key[0] = rule as u8 + 1;
        let mut rest = user;
        for digit in key.iter_mut().rev().take(6) {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        key
    };
    (0..rules).map(key).collect()
}

/// One of the two that are compared.
#[derive(Clone)]
enum Side {
    Ours(Arc<RedisCounterStore>, Slot),
    Bare(MultiplexedConnection, Arc<str>, String),
}

impl Side {
    async fn decide(&mut self, keys: &[Key]) {
        match self {
            Self::Ours(store, slot) => {
                let limit = Limit::token_bucket(LIMIT, LIMIT, 86_400).unwrap();
                let charges: Vec<Charge<'_>> = keys.iter().map(|key| Charge::new(key, limit, 1)).collect();
                let outcome = store.decide(*slot, &Call::new(&charges, None)).await.unwrap();
                assert!(outcome.is_admitted() && outcome.standings().len() == keys.len());
            }
            Self::Bare(connection, digest, tag) => {
                let mut command = redis::cmd("EVALSHA");
                command.arg(&**digest).arg(keys.len());
                for key in keys {
                    command.arg([tag.as_bytes(), key].concat());
                }
                for _ in keys {
                    command.arg(DAY_MICROS / LIMIT).arg(DAY_MICROS);
                }
                let answer: Vec<i64> = command.query_async(connection).await.unwrap();
                assert!(answer[0] == 1 && answer.len() == keys.len() + 1);
            }
        }
    }
}

/// What a turn of one side came to.
struct Turn {
    per_second: f64,
    server_micros: f64,
}

struct Bench {
    runtime: Runtime,
    admin: MultiplexedConnection,
    ours: Side,
    bare: Side,
}

impl Bench {
    fn new() -> Self {
        let url = std::env::var("STANCHION_TEST_REDIS")
            .expect("STANCHION_TEST_REDIS is not set: run through `cargo xtask bench redis`");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        // A busy machine is no reason to fail.
        let config = Config {
            prefix: PREFIX.to_owned(),
            connect_timeout_ms: 20_000,
            response_timeout_ms: 20_000,
            ..Config::default()
        };
        let store = RedisCounterStore::new(&url, config).unwrap();
        let slot = Slot::Tenant(SeededRandom::new(2).tenant_id(Timestamp::EPOCH));
        let client = Client::open(url).unwrap();
        let connect = || runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
        let (mut connection, admin) = (connect(), connect());
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).to_owned();
        let digest: String = runtime.block_on(load.query_async(&mut connection)).unwrap();
        let bare = Side::Bare(connection, digest.into(), format!("{PREFIX}:gc:{{{slot}}}:"));
        Self { ours: Side::Ours(Arc::new(store), slot), bare, runtime, admin }
    }

    fn compare(&self, figure: &str, rules: usize, decisions: usize, turns: usize) {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        // The first turn fills the server and finds the scripts.
        for turn in 0..=turns {
            let pair = (self.turn(&self.ours, rules, decisions), self.turn(&self.bare, rules, decisions));
            if turn > 0 {
                ours.push(pair.0);
                bare.push(pair.1);
            }
        }
        let report = |name: &str, unit: &str, of: fn(&Turn) -> f64, best: fn(f64, f64) -> f64| {
            let best_of = |turns: &[Turn]| turns.iter().map(of).reduce(best).unwrap();
            let mut ratios: Vec<f64> =
                ours.iter().zip(&bare).map(|(ours, bare)| of(ours) / of(bare)).collect();
            ratios.sort_by(f64::total_cmp);
            println!(
                "BENCH ratelimit.{name} value={:.1} unit={unit} peer=bare_gcra peer_value={:.1} ratio={:.2}",
                best_of(&ours),
                best_of(&bare),
                ratios[ratios.len() / 2]
            );
        };
        report(figure, "decisions/s", |turn| turn.per_second, f64::max);
        report(&format!("{figure}_server_cpu"), "us", |turn| turn.server_micros, f64::min);
    }

    fn turn(&self, side: &Side, rules: usize, decisions: usize) -> Turn {
        self.runtime.block_on(async {
            let cpu = self.server_micros().await;
            let began = Instant::now();
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS {
                let mut side = side.clone();
                callers.spawn(async move {
                    let random = SeededRandom::new(caller as u64);
                    for _ in 0..decisions / CALLERS {
                        side.decide(&keys(random.next_u64() % USERS, rules)).await;
                    }
                });
            }
            callers.join_all().await;
            let elapsed = began.elapsed();
            let made = (decisions / CALLERS * CALLERS) as f64;
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
    let quick = std::env::args().any(|arg| arg == "--quick");
    let turns = if quick { 11 } else { 41 };
    let bench = Bench::new();
    bench.compare("redis_one_rule_c64", 1, 32_000, turns);
    bench.compare("redis_eight_rules_c64", 8, 8_000, turns);
}
