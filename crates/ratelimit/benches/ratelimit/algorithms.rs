//! Every algorithm over the same keys. The caller tells the time, one second a turn, so that logs stay as long as they are: about
//! eight entries, since each key is asked about once a turn.

use std::hint::black_box;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stanchion_calendar::{Window, Zone};
use stanchion_core::{SystemClock, Timestamp};
use stanchion_ratelimit::{
    Adjustment, Call, CallId, Charge, CounterStore, Edges, Frame, Limit, MemoryCounterStore, Settled,
    Settlement, Slot,
};

use crate::floor::Bare;
use crate::measure::{Comparison, compare, over_admission, report};
use crate::workload::{DAY, KEYS, LIMIT, NAME, REQUESTS, tenant, users, write_name};

const START: Timestamp = Timestamp::from_micros(1_750_000_000_000_000);
const EIGHT_TURNS: Duration = Duration::from_secs(8);
/// The limit that threads race to, and as many entries as a log has to hold.
const LOW: usize = 1_000;

/// What becomes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Nothing,
    /// It is given back at once: a lease that is taken and returned.
    Returned,
}

/// A limit that gives so much, by every algorithm.
fn limits(capacity: u64) -> Vec<(&'static str, Limit, After)> {
    let day = Frame::Every(NonZeroU64::new(DAY * 1_000_000).unwrap());
    let month = Frame::Calendar(Edges::around(Window::MONTH, START, Zone::UTC));
    let entries = capacity.min(LOW as u64);
    vec![
        ("token_bucket", Limit::token_bucket(capacity, capacity, DAY).unwrap(), After::Nothing),
        ("gcra", Limit::gcra(capacity, capacity, DAY).unwrap(), After::Nothing),
        ("leaky_bucket", Limit::leaky_bucket(capacity, capacity, DAY).unwrap(), After::Nothing),
        ("leaky_queue", Limit::leaky_queue(capacity - 1, capacity, DAY).unwrap(), After::Nothing),
        ("fixed_window", Limit::fixed_window(capacity, day).unwrap(), After::Nothing),
        ("fixed_window_month", Limit::fixed_window(capacity, month).unwrap(), After::Nothing),
        ("sliding_window", Limit::sliding_window(capacity, day).unwrap(), After::Nothing),
        ("sliding_log", Limit::sliding_log(entries, EIGHT_TURNS).unwrap(), After::Nothing),
        ("concurrency", Limit::concurrency(entries, EIGHT_TURNS).unwrap(), After::Returned),
    ]
}

pub(crate) fn costs(turns: usize) {
    for (name, limit, after) in limits(LIMIT) {
        report(&format!("algorithm_{name}"), "bare_lookups", cost_of(turns, limit, after));
    }
}

fn cost_of(turns: usize, limit: Limit, after: After) -> Comparison {
    let (bare, order) = (Bare::new(KEYS), users(KEYS));
    let store = MemoryCounterStore::new(16 * KEYS, Arc::new(SystemClock));
    let slot = Slot::Tenant(tenant());
    let (mut call, mut now) = (0, START);
    let mut key = *b"\x03u\x0buser-000000";
    let mut turn = || {
        now = now.plus(Duration::from_secs(1));
        for user in &order {
            write_name(*user, &mut key);
            call += 1;
            let charges = [Charge::new(black_box(&key), limit, 1)];
            let asked = Call { id: CallId::new(call), ..Call::new(&charges, Some(now)) };
            assert!(store.try_decide(slot, &asked).unwrap().unwrap().is_admitted());
            if after == After::Returned {
                let settled = Settled { id: asked.id, at: now, hold: false };
                let back = [Settlement { key: &key, limit, adjustment: Adjustment::Return(1) }];
                assert!(store.try_settle(slot, settled, &back, Some(now)).unwrap().unwrap());
            }
        }
    };
    (0..8).for_each(|_| turn());
    let mut name = NAME;
    compare(turns, REQUESTS, turn, || {
        for user in &order {
            write_name(*user, &mut name);
            black_box(bare.add(black_box(&name)));
        }
    })
}

/// Four threads at a limit of 1,000, one rule by every algorithm, and eight rules of which one is as low.
pub(crate) fn over_admissions(rounds: usize) {
    let mut worst = 0;
    for (name, limit, _) in limits(LOW as u64) {
        let over = of_rules(rounds, limit, 1);
        println!("BENCH ratelimit.over_admission_memory_{name} value={over} unit=requests");
        worst = worst.max(over);
    }
    let (_, limit, _) = limits(LOW as u64).remove(0);
    let over = of_rules(rounds, limit, 8);
    println!("BENCH ratelimit.over_admission_memory_eight_rules value={over} unit=requests");
    println!("BENCH ratelimit.over_admission_memory value={} unit=requests", worst.max(over));
}

fn of_rules(rounds: usize, limit: Limit, rules: usize) -> usize {
    let store = MemoryCounterStore::new(64 * rounds * LOW, Arc::new(SystemClock));
    let roomy = Limit::token_bucket(LIMIT, LIMIT, DAY).unwrap();
    let (slot, calls) = (Slot::Tenant(tenant()), AtomicU64::new(0));
    over_admission(rounds, LOW, |round| {
        // The low limit stands last, so that it refuses when everything else fits.
        let keys: Vec<String> = (0..rules).map(|rule| format!("{round}/{rule}")).collect();
        let limits = std::iter::repeat_n(roomy, rules - 1).chain([limit]);
        let charges: Vec<Charge<'_>> =
            keys.iter().zip(limits).map(|(key, limit)| Charge::new(key.as_bytes(), limit, 1)).collect();
        let id = CallId::new(calls.fetch_add(1, Ordering::Relaxed).into());
        let call = Call { id, ..Call::new(&charges, Some(START)) };
        store.try_decide(slot, &call).unwrap().unwrap().is_admitted()
    })
}
