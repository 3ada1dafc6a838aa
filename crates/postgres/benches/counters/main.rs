//! What a decision costs in Postgres against the least transaction that counts.
//!
//! Sixteen callers, as many connections. The floor is what would be written for one counter and no more: `BEGIN`, an `UPDATE` of the rows
//! by their keys that returns them, `COMMIT`, prepared, in a table of the same columns and rows, without row-level security. It knows
//! nothing of capacities, refuses nothing and makes nothing. Neither side waits for the disk. Both take turns in one run: a ratio is the
//! median over the turns, the parts are the best of them. CPU is that of the server's processes for each side and of this one, by the
//! kernel's count.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops at whatever goes wrong, and prints"
)]
#![expect(clippy::disallowed_methods, reason = "it measures, and spawns its callers")]

mod processes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sqlx::PgConnection;
use stanchion_core::{IdGen as _, SeededRandom, Timestamp};
use stanchion_postgres::{CounterConfig, PgCounterStore, Url, scope_id, testing};
use stanchion_ratelimit::{
    Adjustment, Call, CallId, Charge, CounterStore as _, Limit, Settled, Settlement, Slot,
};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const CALLERS: usize = 16;
const USERS: u64 = 20_000;
/// A day: so high that nothing is refused, so slow that every counter is in use.
const LIMIT: u64 = 1_000_000;

const CONFIG: CounterConfig =
    CounterConfig { max_connections: 16, acquire_timeout_ms: 30_000, operation_timeout_ms: 60_000 };

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

fn slot() -> Slot {
    Slot::Tenant(SeededRandom::new(2).tenant_id(Timestamp::EPOCH))
}

fn scope() -> uuid::Uuid {
    let Slot::Tenant(tenant) = slot() else { unreachable!("a tenant's") };
    scope_id(stanchion_core::Scope::Tenant(tenant)).unwrap()
}

/// One of the two that are compared.
#[derive(Clone)]
enum Side {
    Ours(Arc<PgCounterStore>),
    /// A connection for each caller.
    Bare(Arc<Vec<Mutex<PgConnection>>>),
}

impl Side {
    /// Whose sessions are its own.
    fn login(&self) -> String {
        match self {
            Self::Ours(_) => testing::LOGIN.to_owned(),
            Self::Bare(_) => testing::admin_url().login().to_owned(),
        }
    }

    async fn decide(&self, caller: usize, keys: &[Key]) {
        match self {
            Self::Ours(store) => {
                let limit = Limit::token_bucket(LIMIT, LIMIT, 86_400).unwrap();
                let charges: Vec<Charge<'_>> = keys.iter().map(|key| Charge::new(key, limit, 1)).collect();
                let outcome = store.decide(slot(), &Call::new(&charges, None)).await.unwrap();
                assert!(outcome.is_admitted() && outcome.standings().len() == keys.len());
            }
            Self::Bare(connections) => {
                let mut connection = connections[caller].lock().await;
                let connection = &mut *connection;
                let update = "UPDATE floor SET used = used + 1 \
                              WHERE scope_id = $1 AND edge = false AND key = ANY ($2) RETURNING key, used";
                let keys: Vec<&[u8]> = keys.iter().map(Key::as_slice).collect();
                sqlx::raw_sql("BEGIN").execute(&mut *connection).await.unwrap();
                let query = sqlx::query(update).bind(scope()).bind(&keys);
                assert_eq!(query.fetch_all(&mut *connection).await.unwrap().len(), keys.len());
                sqlx::raw_sql("COMMIT").execute(&mut *connection).await.unwrap();
            }
        }
    }
}

/// What a turn of one side came to, per decision.
struct Turn {
    per_second: f64,
    server_micros: f64,
    client_micros: f64,
    /// Of the write-ahead log, to which everybody on the server adds.
    log_bytes: f64,
}

/// Whom decisions are about.
#[derive(Clone, Copy)]
enum Users {
    Many,
    One,
}

struct Bench {
    runtime: Runtime,
    admin: Mutex<PgConnection>,
    url: Url,
    ours: Side,
    bare: Side,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (url, admin, ours, bare) = runtime.block_on(async {
            let url = testing::fresh_admin_url().await;
            let mut admin = testing::connect(&url).await;
            let fill = format!(
                "INSERT INTO stanchion.ratelimit_counter (scope_id, edge, key, at, used, fresh_at)
                 SELECT '{}', false, set_byte('\\x00750b', 0, rule) || convert_to('user-' || lpad(number::text, 6, '0'), 'UTF8'),
                        (extract(epoch FROM now()) * 1000000)::bigint, 1000000, (extract(epoch FROM now()) * 1000000)::bigint
                 FROM generate_series(1, 8) AS rule, generate_series(0, {USERS} - 1) AS number;
                 CREATE TABLE floor (LIKE stanchion.ratelimit_counter INCLUDING ALL) WITH (fillfactor = 50);
                 INSERT INTO floor SELECT * FROM stanchion.ratelimit_counter;
                 VACUUM ANALYZE floor; VACUUM ANALYZE stanchion.ratelimit_counter",
                scope()
            );
            for statement in fill.split(';') {
                testing::run(&mut admin, statement).await;
            }
            let mut connections = Vec::new();
            for _ in 0..CALLERS {
                let mut connection = testing::connect(&url).await;
                let settings = "SET synchronous_commit = off; SET plan_cache_mode = force_generic_plan";
                testing::run(&mut connection, settings).await;
                connections.push(Mutex::new(connection));
            }
            let store = PgCounterStore::new(&url.with_login(testing::LOGIN), CONFIG);
            (url, admin, Side::Ours(Arc::new(store)), Side::Bare(Arc::new(connections)))
        });
        Self { runtime, admin: Mutex::new(admin), url, ours, bare }
    }

    fn compare(&self, figure: &str, users: Users, rules: usize, decisions: usize, turns: usize) {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        // The first turn makes connections and plans.
        for turn in 0..=turns {
            let pair = (
                self.turn(&self.ours, users, rules, decisions),
                self.turn(&self.bare, users, rules, decisions),
            );
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
                "BENCH ratelimit.{name} value={:.1} unit={unit} peer=bare_update peer_value={:.1} ratio={:.2}",
                best_of(&ours),
                best_of(&bare),
                ratios[ratios.len() / 2]
            );
        };
        report(figure, "decisions/s", |turn| turn.per_second, f64::max);
        report(&format!("{figure}_server_cpu"), "us", |turn| turn.server_micros, f64::min);
        report(&format!("{figure}_client_cpu"), "us", |turn| turn.client_micros, f64::min);
        report(&format!("{figure}_log"), "bytes", |turn| turn.log_bytes, f64::min);
    }

    fn turn(&self, side: &Side, users: Users, rules: usize, decisions: usize) -> Turn {
        self.runtime.block_on(async {
            let before = (self.server_micros(side).await, client_micros(), self.log_bytes().await);
            let began = Instant::now();
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS {
                let side = side.clone();
                callers.spawn(async move {
                    let random = SeededRandom::new(caller as u64);
                    for _ in 0..decisions / CALLERS {
                        let user = match users {
                            Users::Many => random.next_u64() % USERS,
                            Users::One => 7,
                        };
                        side.decide(caller, &keys(user, rules)).await;
                    }
                });
            }
            callers.join_all().await;
            let elapsed = began.elapsed();
            let made = (decisions / CALLERS * CALLERS) as f64;
            Turn {
                per_second: made / elapsed.as_secs_f64(),
                server_micros: (self.server_micros(side).await - before.0) / made,
                client_micros: (client_micros() - before.1) / made,
                log_bytes: (self.log_bytes().await - before.2) / made,
            }
        })
    }

    /// How much CPU time the server has used in sessions of a side.
    async fn server_micros(&self, side: &Side) -> f64 {
        let sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = $1 \
                        AND pid <> pg_backend_pid()";
        let mut admin = self.admin.lock().await;
        let query = sqlx::query_scalar::<_, i32>(sessions).bind(side.login());
        query.fetch_all(&mut *admin).await.unwrap().into_iter().map(micros_of).sum()
    }

    async fn log_bytes(&self) -> f64 {
        let bytes = "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8";
        sqlx::query_scalar(bytes).fetch_one(&mut *self.admin.lock().await).await.unwrap()
    }

    /// How many callers a second one counter refuses that has nothing left, and the transaction ids that takes for each.
    fn refusals(&self, calls: usize) {
        let Side::Ours(store) = &self.ours else { return };
        let limit = Limit::token_bucket(1, 1, 3_155_760_000).unwrap();
        let (mut best, mut least) = (0.0_f64, f64::MAX);
        for _ in 0..5 {
            let before = self.transaction_id();
            let began = Instant::now();
            self.runtime.block_on(async {
                let mut callers = JoinSet::new();
                for _ in 0..CALLERS {
                    let store = Arc::clone(store);
                    callers.spawn(async move {
                        let charges = [Charge::new(b"nothing left", limit, 1)];
                        for _ in 0..calls / CALLERS {
                            store.decide(slot(), &Call::new(&charges, None)).await.unwrap();
                        }
                    });
                }
                callers.join_all().await;
            });
            best = best.max(calls as f64 / began.elapsed().as_secs_f64());
            least = least.min((self.transaction_id() - before) / calls as f64);
        }
        println!("BENCH ratelimit.postgres_refused value={best:.0} unit=decisions/s");
        println!("BENCH ratelimit.postgres_refused_ids value={least:.4} unit=ids");
    }

    /// The next one that the server gives, to whichever of its databases.
    fn transaction_id(&self) -> f64 {
        let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::float8";
        let next = async { sqlx::query_scalar(next).fetch_one(&mut *self.admin.lock().await).await };
        self.runtime.block_on(next).unwrap()
    }

    /// What it takes one caller to take a lease and give it back, while so many others are in force.
    fn leases(&self, others: u64, pairs: u32) {
        let key = format!("leases {others}");
        self.fill(&key, others);
        let Side::Ours(store) = &self.ours else { return };
        let limit = Limit::concurrency(others + 1, Duration::from_secs(3_600)).unwrap();
        let charges = [Charge::new(key.as_bytes(), limit, 1)];
        let back = [Settlement { key: key.as_bytes(), limit, adjustment: Adjustment::Return(1) }];
        self.best_of_five(&format!("postgres_lease_among_{others}"), pairs, async |number| {
            let call = Call { id: CallId::new(1 << 64 | number), ..Call::new(&charges, None) };
            let outcome = store.decide(slot(), &call).await.unwrap();
            assert!(outcome.is_admitted() && outcome.standings()[0].remaining == 0);
            let of = Settled { id: call.id, at: outcome.at(), hold: false };
            assert!(store.settle(slot(), of, &back, None).await.unwrap());
        });
    }

    /// What it takes one caller to be refused by a log that holds so many charges.
    fn refusals_of_a_log(&self, capacity: u64, calls: u32) {
        let key = format!("log {capacity}");
        self.fill(&key, capacity);
        let Side::Ours(store) = &self.ours else { return };
        let limit = Limit::sliding_log(capacity, Duration::from_secs(3_600)).unwrap();
        let charges = [Charge::new(key.as_bytes(), limit, 1)];
        self.best_of_five(&format!("postgres_refused_by_{capacity}"), calls, async |number| {
            let call = Call { id: CallId::new(1 << 64 | number), ..Call::new(&charges, None) };
            let outcome = store.decide(slot(), &call).await.unwrap();
            assert!(!outcome.is_admitted() && outcome.standings()[0].retry_after.is_some());
        });
    }

    /// Makes a log or leases with so many entries of one unit.
    fn fill(&self, key: &str, entries: u64) {
        self.run(&format!(
            "INSERT INTO stanchion.ratelimit_counter (scope_id, edge, key, held, fresh_at)
             VALUES ('{scope}', false, '{key}', {entries}, 4000000000000000);
             INSERT INTO stanchion.ratelimit_entry (scope_id, edge, key, until, id, amount)
             SELECT '{scope}', false, '{key}', 4000000000000000, gen_random_uuid(), 1 FROM generate_series(1, {entries});
             VACUUM ANALYZE stanchion.ratelimit_entry",
            scope = scope()
        ));
    }

    fn best_of_five(&self, figure: &str, times: u32, work: impl AsyncFn(u128)) {
        let mut best = f64::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            self.runtime.block_on(async {
                for number in 0..times {
                    work(number.into()).await;
                }
            });
            best = best.min(began.elapsed().as_secs_f64() * 1e6 / f64::from(times));
        }
        println!("BENCH ratelimit.{figure} value={best:.0} unit=us");
    }

    fn run(&self, statements: &str) {
        self.runtime.block_on(async {
            let mut admin = self.admin.lock().await;
            for statement in statements.split(';') {
                testing::run(&mut admin, statement).await;
            }
        });
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
    if processes::count_for_parent() {
        return;
    }
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (turns, scale) = if quick { (5, 1) } else { (15, 4) };
    let bench = Bench::new();
    bench.compare("postgres_one_rule", Users::Many, 1, 3_200 * scale, turns);
    bench.compare("postgres_eight_rules", Users::Many, 8, 1_600 * scale, turns);
    bench.compare("postgres_hot_counter", Users::One, 1, 1_600 * scale, turns);
    for others in [9, 99, 999, 9_999] {
        bench.leases(others, 100 * scale as u32);
    }
    for capacity in [10, 10_000] {
        bench.refusals_of_a_log(capacity, 200 * scale as u32);
    }
    bench.refusals(3_200 * scale);
    processes::over_admission(&bench.url);
    for table in
        ["floor", "stanchion.ratelimit_counter", "stanchion.ratelimit_entry", "stanchion.ratelimit_hold"]
    {
        bench.run(&format!("ALTER TABLE {table} SET UNLOGGED"));
    }
    bench.compare("postgres_unlogged_one_rule", Users::Many, 1, 3_200 * scale, turns);
    bench.compare("postgres_unlogged_eight_rules", Users::Many, 8, 1_600 * scale, turns);
}
