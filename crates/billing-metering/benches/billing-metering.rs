//! What taking usage in costs: CPU time per event, and memory per event, against the least that could do it.
//!
//! `cargo bench -p stanchion-billing-metering [-- --quick]`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops when something is wrong, and prints"
)]

use std::collections::{HashSet, VecDeque};
use std::hint::black_box;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use rustix::time::{ClockId, clock_gettime};
use stanchion_billing_metering::{
    Aggregation, Catalog, Config, Currency, Dimensions, Engine, Filter, MemoryUsageStore, Meter, MeterId,
    RateCard, UsageEvent, UsageStore,
};
use stanchion_calendar::{Month, Zone};
use stanchion_core::{IdGen, ManualClock, SeededRandom, SubjectRef, SystemScope, TenantId, Text, Timestamp};

const SYSTEM: SystemScope = SystemScope::new("benchmark");
/// 2026-03-14T12:00:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_773_489_600_000_000);

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (events, rounds) = if quick { (200_000, 3) } else { (500_000, 7) };
    for (name, batch) in [("ingest_b1000", 1_000), ("ingest_b100", 100)] {
        let pairs = (0..rounds).map(|round| {
            let events = Events::new(round).take(events).collect::<Vec<_>>();
            (ingest(&events, batch), floor(&events, batch))
        });
        report(name, "bare_push_and_set", pairs.collect());
    }
    let pairs = (0..rounds).map(|round| {
        let events: Vec<_> = Events::new(round).take(60_000).collect();
        (submit(events.clone()), bare_queue(events))
    });
    report("submit", "bare_mutex_and_queue", pairs.collect());
    month_total(events, rounds);
    let many = if quick { 1_000_000 } else { 4_000_000 };
    bytes(many);
}

/// Calls of 100 tenants over the last second, as the gateway reports them.
struct Events {
    random: SeededRandom,
    tenants: Vec<(TenantId, SubjectRef, MeterId)>,
    dimensions: Dimensions,
    number: usize,
}

impl Events {
    fn new(seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let tenant = |number| {
            let subject = SubjectRef::user(format!("user-{number}")).unwrap();
            (random.tenant_id(NOW), subject, MeterId::new("api.calls").unwrap())
        };
        let tenants = (0..100).map(tenant).collect();
        Self { tenants, dimensions: Dimensions::from_iter([("route", "chat")]), number: 0, random }
    }
}

impl Iterator for Events {
    type Item = UsageEvent;

    fn next(&mut self) -> Option<UsageEvent> {
        let random = self.random.next_u64();
        let tenant = usize::try_from(random % 100).unwrap();
        let (tenant, subject, meter) = self.tenants.get(tenant)?.clone();
        self.number += 1;
        // A thousand instants a second, so that each group of ten events shares one.
        let time = NOW.minus(std::time::Duration::from_millis(
            1_000 - u64::try_from(self.number / 10 % 1_000).unwrap(),
        ));
        let id = format!("{}/{meter}", self.random.request_id(NOW));
        let event = UsageEvent::new(tenant, Text::Static("gateway"), id, meter, time, 1.into());
        Some(event.with_subject(subject).with_dimensions(self.dimensions.clone()))
    }
}

fn ingest(events: &[UsageEvent], batch: usize) -> f64 {
    let store = MemoryUsageStore::default();
    per_event(events.len(), || {
        for batch in events.chunks(batch) {
            black_box(now(store.append(SYSTEM, batch, NOW)).unwrap());
        }
    })
}

/// Keeping every event and every id, and counting nothing.
fn floor(events: &[UsageEvent], batch: usize) -> f64 {
    let mut kept = Vec::new();
    let mut seen = HashSet::new();
    per_event(events.len(), || {
        for batch in events.chunks(batch) {
            for event in batch {
                if seen.insert((event.tenant, event.source.clone(), event.id.clone())) {
                    kept.push(event.clone());
                }
            }
            black_box(&kept);
        }
    })
}

fn submit(events: Vec<UsageEvent>) -> f64 {
    let meter = Meter {
        id: MeterId::new("api.calls").unwrap(),
        name: "API calls".parse().unwrap(),
        unit: "call".parse().unwrap(),
        aggregation: Aggregation::Count,
    };
    let rates = RateCard { currency: Currency::USD, rates: [].into() };
    let catalog = Catalog::new([meter], rates).unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let store = Arc::new(MemoryUsageStore::default());
    let (engine, _recorder) = Engine::new(store, catalog, clock.clone(), clock, Config::default());
    per_event(events.len(), || {
        for event in events {
            engine.submit(event).unwrap();
        }
    })
}

fn bare_queue(events: Vec<UsageEvent>) -> f64 {
    let queue = Mutex::new(VecDeque::new());
    per_event(events.len(), || {
        for event in events {
            queue.lock().unwrap().push_back(event);
        }
    })
}

/// Reading a month that was used in each of its quarter hours.
fn month_total(events: usize, rounds: u64) {
    let store = MemoryUsageStore::default();
    let month = "2026-03".parse::<Month>().unwrap().period(Zone::UTC);
    let mut first = Events::new(0);
    let template = first.next().unwrap();
    let quarters = month.length().as_secs() / 900;
    let one = |quarter: u64| {
        let time = month.start().plus(std::time::Duration::from_secs(quarter * 900));
        UsageEvent { time, id: quarter.to_string().into(), ..template.clone() }
    };
    let batch: Vec<_> = (0..quarters).map(one).collect();
    now(store.append(SYSTEM, &batch, month.end())).unwrap();
    let reads = events / 1_000;
    let read = || {
        for _ in 0..reads {
            let total = now(store.total(template.tenant, &template.meter, month, &Filter::default()));
            assert_eq!(total.unwrap().events, quarters);
        }
    };
    let nanos = (0..rounds).map(|_| per_event(reads, read)).fold(f64::INFINITY, f64::min);
    println!("BENCH billing-metering.month_total value={nanos:.0} unit=ns");
}

/// Resident memory per event, the single events that are kept included. What was freed before is used again, so this is a lower bound.
fn bytes(many: usize) {
    let before = resident();
    let store = MemoryUsageStore::default();
    let mut events = Events::new(9);
    for _ in 0..many / 1_000 {
        let batch: Vec<_> = events.by_ref().take(1_000).collect();
        now(store.append(SYSTEM, &batch, NOW)).unwrap();
    }
    let ours = (resident() - before) / number(many);
    drop(store);
    println!("BENCH billing-metering.bytes_per_event value={ours:.1} unit=B events={many}");
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4_096.0
}

fn report(figure: &str, peer: &str, mut pairs: Vec<(f64, f64)>) {
    pairs.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
    let (ours, theirs) = pairs.get(pairs.len() / 2).copied().unwrap();
    let least = |all: fn(&(f64, f64)) -> f64| pairs.iter().map(all).fold(f64::INFINITY, f64::min);
    let (value, peer_value) = (least(|pair| pair.0), least(|pair| pair.1));
    let ratio = ours / theirs;
    println!(
        "BENCH billing-metering.{figure} value={value:.0} unit=ns peer={peer} peer_value={peer_value:.0} ratio={ratio:.2}"
    );
}

fn per_event(events: usize, work: impl FnOnce()) -> f64 {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    work();
    let after = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = i32::try_from(after.tv_sec - before.tv_sec).unwrap();
    let nanos = i32::try_from(after.tv_nsec - before.tv_nsec).unwrap();
    (f64::from(seconds) * 1e9 + f64::from(nanos)) / number(events)
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// The store in memory never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!(),
    }
}
