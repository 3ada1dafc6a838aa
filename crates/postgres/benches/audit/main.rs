//! What a durable record costs in Postgres against the least insert that keeps as much.
//!
//! Ours is the whole ledger: producers that each await `append`, the queue, the sequencer, chains of 64 tenants, signed. The floor is what
//! would be inserted and no more: the same columns into a table of the same shape and indexes, without row-level security, one
//! `INSERT … SELECT FROM unnest` per transaction of as many rows as are in flight, at most 1,000, its arrays made beforehand. It looks for
//! no id, moves no head, makes no canonical form and hashes nothing. Both are acknowledged after their commit is in the server's log.
//!
//! Both sides take turns in one run: a ratio is the median over the turns, the parts are the best of them. CPU is that of the server's
//! processes for each side and of this one, producers included, by the kernel's count.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark stops at whatever goes wrong, and prints"
)]
#![expect(clippy::disallowed_methods, reason = "it measures, and spawns its producers")]

mod bare;
mod given;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sqlx::PgConnection;
use stanchion_audit::{Config, Draft, Ledger};
use stanchion_core::{BoxFuture, Clock as _, Event, SystemClock, SystemRandom, Timer, Timestamp};
use stanchion_postgres::{Config as Pool, Database, PgLedgerStore, testing};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use self::bare::Bare;
use self::given::Given;

const POOL: Pool = Pool { max_connections: 6, acquire_timeout_ms: 30_000, operation_timeout_ms: 60_000 };

/// Timers of the runtime.
#[derive(Debug)]
struct RealTimer;

impl Timer for RealTimer {
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(deadline.since(SystemClock.now())))
    }
}

/// What a turn of one side came to, per row.
struct Turn {
    per_second: f64,
    server_micros: f64,
    client_micros: f64,
    /// Of the write-ahead log, to which everybody on the server adds.
    log_bytes: f64,
}

struct Bench {
    runtime: Runtime,
    admin: Mutex<PgConnection>,
    ledger: Ledger,
    bare: Mutex<Bare>,
    given: Given,
}

/// Whose sessions are counted.
#[derive(Clone, Copy)]
enum Side {
    Ours,
    Bare,
}

impl Bench {
    fn new(shards: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (admin, ledger, bare) = runtime.block_on(async {
            let url = testing::fresh_admin_url().await;
            let mut admin = testing::connect(&url).await;
            let bare = Bare::new(testing::connect(&url).await, &mut admin).await;
            let store = PgLedgerStore::new(Database::new(&url.with_login(testing::LOGIN), POOL));
            let (ledger, sequencer) = Ledger::new(
                Arc::new(store),
                given::keys(),
                Arc::new(SystemClock),
                Arc::new(RealTimer),
                Arc::new(SystemRandom::default()),
                Config { shards, ..Config::default() },
            );
            sequencer.split().into_iter().for_each(|sequencer| drop(tokio::spawn(sequencer.run())));
            (admin, ledger, bare)
        });
        Self { runtime, admin: Mutex::new(admin), ledger, bare: Mutex::new(bare), given: Given::new() }
    }

    /// Compares with so many rows in flight.
    fn compare(&self, kind: &str, in_flight: usize, each: usize, turns: usize) {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        // The first turn makes connections and plans.
        for turn in 0..=turns {
            let pair = (self.ours(in_flight, each), self.bare(in_flight.min(1_000), in_flight * each));
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
                "BENCH audit.{name} value={:.2} unit={unit} peer=bare_unnest peer_value={:.2} ratio={:.2}",
                best_of(&ours),
                best_of(&bare),
                ratios[ratios.len() / 2]
            );
        };
        // The bars on CPU are for 1,024.
        let suffix = if in_flight == 1_024 { kind.to_owned() } else { format!("_{in_flight}{kind}") };
        report(&format!("append_vs_unnest_{in_flight}{kind}"), "rows/s", |turn| turn.per_second, f64::max);
        report(&format!("append_server_us{suffix}"), "us", |turn| turn.server_micros, f64::min);
        report(&format!("append_client_us{suffix}"), "us", |turn| turn.client_micros, f64::min);
        report(&format!("append_log{suffix}"), "bytes", |turn| turn.log_bytes, f64::min);
    }

    fn ours(&self, in_flight: usize, each: usize) -> Turn {
        let mut events: Vec<Vec<Event>> = (0..in_flight).map(|_| self.given.events(each)).collect();
        self.turn(Side::Ours, in_flight * each, async {
            let mut producers = JoinSet::new();
            for events in events.drain(..) {
                let ledger = self.ledger.clone();
                producers.spawn(async move {
                    for event in events {
                        ledger.append(event.scope, Draft::Event(event)).await.unwrap();
                    }
                });
            }
            producers.join_all().await;
        })
    }

    fn bare(&self, batch: usize, rows: usize) -> Turn {
        let mut bare = self.runtime.block_on(self.bare.lock());
        let batches = bare.batches(&self.given, batch, rows);
        self.turn(Side::Bare, rows, async {
            for batch in &batches {
                bare.insert(batch).await;
            }
        })
    }

    fn turn(&self, side: Side, rows: usize, work: impl Future<Output = ()>) -> Turn {
        self.runtime.block_on(async {
            let before = (self.server_micros(side).await, client_micros(), self.log_bytes().await);
            let began = Instant::now();
            work.await;
            let elapsed = began.elapsed();
            let rows = rows as f64;
            Turn {
                per_second: rows / elapsed.as_secs_f64(),
                client_micros: (client_micros() - before.1) / rows,
                server_micros: (self.server_micros(side).await - before.0) / rows,
                log_bytes: (self.log_bytes().await - before.2) / rows,
            }
        })
    }

    /// How much CPU time the server has used in sessions of a side.
    async fn server_micros(&self, side: Side) -> f64 {
        let sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = $1 \
                        AND pid <> pg_backend_pid()";
        let login = match side {
            Side::Ours => testing::LOGIN.to_owned(),
            Side::Bare => testing::admin_url().login().to_owned(),
        };
        let mut admin = self.admin.lock().await;
        let query = sqlx::query_scalar::<_, i32>(sessions).bind(login);
        query.fetch_all(&mut *admin).await.unwrap().into_iter().map(micros_of).sum()
    }

    async fn log_bytes(&self) -> f64 {
        let bytes = "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8";
        sqlx::query_scalar(bytes).fetch_one(&mut *self.admin.lock().await).await.unwrap()
    }

    fn end(self) {
        self.ledger.close();
        self.runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Tells what "durable" is worth here.
    fn tell_server(&self) {
        let settings = "SELECT string_agg(name || '=' || setting, ' ') FROM pg_settings \
                        WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'server_version')";
        let settings = async { sqlx::query_scalar(settings).fetch_one(&mut *self.admin.lock().await).await };
        let settings: String = self.runtime.block_on(settings).unwrap();
        println!("{} bytes of canonical form; {settings}", self.given.size());
    }
}

fn client_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The CPU time of a process in microseconds, by ticks of 10 ms.
fn micros_of(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 1e4
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (turns, scale) = if quick { (5, 1) } else { (15, 2) };
    let bench = Bench::new(1);
    bench.tell_server();
    bench.compare("", 64, 200 * scale, turns);
    bench.compare("", 1_024, 40 * scale, turns);
    bench.end();
    // Whether two sequencers, each with a connection, make more of two processors.
    let bench = Bench::new(2);
    bench.compare("_two_shards", 1_024, 40 * scale, turns);
    bench.end();
}
