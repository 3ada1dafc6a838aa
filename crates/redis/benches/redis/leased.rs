//! What eight rules cost that a replica decides by units it has leased, against eight that Redis decides each time.
//!
//! Both sides ask for the same keys under the same limits, of one Redis, in turns. Each rule counts a caller of its own, so their chunks
//! end at different times, as those of a user, a tenant and an endpoint do. CPU is that of both processes: this one and the server.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use stanchion_core::{SeededRandom, SystemClock};
use stanchion_ratelimit::{Call, Charge, CounterStore, Lease, LeasedCounterStore, Limit, Slot};
use tokio::task::JoinSet;

use crate::{Bench, CALLERS, DAY, Key, key, slot};

const RULES: usize = 8;
/// A day: so high that nothing is refused, so slow that a chunk does not drain before it is used. Under a bucket that refills faster
/// than it is used a lease saves nothing: what it has counted is back at once, and the lease ends with it.
const LIMIT: u64 = 10_000_000;
/// How long a lease lasts by default.
const TTL: Duration = Duration::from_secs(5);

/// How many callers there are, and how much a replica takes of the limit of each.
#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) callers: u64,
    pub(crate) chunk: u64,
}

/// What a turn came to.
#[derive(Clone, Copy)]
struct Turn {
    per_second: f64,
    micros: f64,
    server_micros: f64,
}

/// One of the two that are compared.
#[derive(Clone)]
struct Side {
    store: Arc<dyn CounterStore>,
    slot: Slot,
    lease: Option<Lease>,
    callers: u64,
    decisions: u64,
}

impl Side {
    async fn decide(&self, random: &SeededRandom) {
        let limit = Limit::token_bucket(LIMIT, LIMIT, DAY.as_secs()).unwrap();
        let random = random.next_u64();
        let keys: [Key; RULES] =
            std::array::from_fn(|rule| key(random.rotate_left(rule as u32 * 8) % self.callers, rule));
        let charges = keys.each_ref().map(|key| Charge { lease: self.lease, ..Charge::new(key, limit, 1) });
        let call = Call::new(&charges, None);
        // As the engine asks.
        let outcome = match self.store.try_decide(self.slot, &call) {
            Some(outcome) => outcome,
            None => self.store.decide(self.slot, &call).await,
        };
        assert!(outcome.unwrap().is_admitted());
    }
}

impl Bench {
    /// Eight leased rules against eight exact ones; leased decisions are so many more, that a turn of each takes as long.
    pub(crate) fn leased(&self, figure: &str, crowd: Crowd, turns: usize) {
        let shared: Arc<dyn CounterStore> = self.store.clone();
        let chunk = NonZeroU64::new(crowd.chunk).unwrap();
        let leased = LeasedCounterStore::new(Arc::clone(&shared), 100_000, Arc::new(SystemClock));
        let leased = Arc::new(leased);
        let side = |store, number, lease, decisions| Side {
            store,
            slot: slot(number),
            lease,
            callers: crowd.callers,
            decisions,
        };
        let ours = side(leased.clone(), 30, Some(Lease { chunk, ttl: TTL }), 160_000);
        let exact = side(shared, 31, None, 4_000);
        // The first turn opens the accounts and finds the scripts.
        let turns: Vec<(Turn, Turn)> =
            (0..=turns).map(|_| (self.leased_turn(&ours), self.leased_turn(&exact))).skip(1).collect();
        let line = |name: &str, unit, of: fn(&Turn) -> f64, best: fn(f64, f64) -> f64| {
            let one = turns.iter().map(|(one, _)| of(one)).reduce(best).unwrap();
            let other = turns.iter().map(|(_, other)| of(other)).reduce(best).unwrap();
            let mut ratios: Vec<f64> = turns.iter().map(|(one, other)| of(one) / of(other)).collect();
            ratios.sort_by(f64::total_cmp);
            let ratio = ratios[ratios.len() / 2];
            println!(
                "BENCH ratelimit.{name} value={one:.3} unit={unit} peer=exact peer_value={other:.1} ratio={ratio:.4}"
            );
        };
        line(figure, "decisions/s", |turn| turn.per_second, f64::max);
        line(&format!("{figure}_cpu"), "us", |turn| turn.micros, f64::min);
        line(&format!("{figure}_server_cpu"), "us", |turn| turn.server_micros, f64::min);
        let stats = leased.stats();
        let asked = stats.asked as f64 / (stats.asked + stats.decided_here) as f64;
        println!("BENCH ratelimit.{figure}_asked value={:.3} unit=percent", 100.0 * asked);
    }

    fn leased_turn(&self, side: &Side) -> Turn {
        self.runtime.block_on(async {
            let (server, own, began) = (self.server_micros().await, own_micros(), Instant::now());
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS as u64 {
                let side = side.clone();
                callers.spawn(async move {
                    let random = SeededRandom::new(caller);
                    for _ in 0..side.decisions / CALLERS as u64 {
                        side.decide(&random).await;
                    }
                });
            }
            callers.join_all().await;
            let (elapsed, own) = (began.elapsed(), own_micros() - own);
            let server = self.server_micros().await - server;
            let made = (side.decisions / CALLERS as u64 * CALLERS as u64) as f64;
            Turn {
                per_second: made / elapsed.as_secs_f64(),
                micros: (own + server) / made,
                server_micros: server / made,
            }
        })
    }
}

/// How much CPU time all threads of this process have used.
fn own_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
