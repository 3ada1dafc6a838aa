//! What deciding by leased units costs, and what violations and near limits cost beside a decision.
//!
//! Times are of the thread's CPU, where several threads work the time that passes; the least of several turns. A bare look-up is one hash, one lock and one add in a map in 64 parts.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a benchmark stops at whatever goes wrong, and prints"
)]

use std::hash::BuildHasher;
use std::hint::black_box;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap};
use rustix::time::{ClockId, clock_gettime};
use stanchion_core::{IdGen, Scope, SeededRandom, SubjectRef, SystemClock, TenantId, Timestamp};
use stanchion_ratelimit::{
    Action, Analytics, AnalyticsConfig, Call, Charge, CounterStore, Dimension, Lease, LeasedCounterStore,
    Limit, MemoryCounterStore, NearLimits, Reason, Request, RuleCounters, RuleId, RuleOutcome, RuleState,
    Slot, Violation,
};

const KEYS: usize = 10_000;
const REQUESTS: usize = 100_000;

fn tenant() -> TenantId {
    SeededRandom::new(2).tenant_id(Timestamp::EPOCH)
}

/// Ends a key in the six digits of a number.
fn write_number(number: usize, key: &mut [u8]) {
    let mut rest = number;
    for digit in key.iter_mut().rev().take(6) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn users() -> Vec<usize> {
    let random = SeededRandom::new(1);
    (0..REQUESTS).map(|_| (random.next_u64() % KEYS as u64) as usize).collect()
}

fn nanos(work: &mut impl FnMut()) -> f64 {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    work();
    let after = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
    nanos as f64 / REQUESTS as f64
}

fn least(turns: usize, mut work: impl FnMut()) -> f64 {
    (0..turns).map(|_| nanos(&mut work)).fold(f64::MAX, f64::min)
}

fn report(figure: &str, value: f64) {
    println!("BENCH ratelimit.{figure} value={value:.1} unit=ns");
}

fn bare(turns: usize, lookups: usize) -> f64 {
    let hasher = DefaultHashBuilder::default();
    let shards: Vec<Mutex<HashMap<Vec<u8>, u64>>> = (0..64).map(|_| Mutex::default()).collect();
    let mut key = *b"\x03u\x0b0user-000000";
    let mut add = |user: usize| {
        for rule in 0..lookups {
            key[3] = b'0' + rule as u8;
            write_number(user, &mut key);
            let mut shard = shards[(hasher.hash_one(key) >> 48) as usize % 64].lock().unwrap();
            match shard.get_mut(black_box(&key[..])) {
                Some(count) => *count += 1,
                None => drop(shard.insert(key.to_vec(), 1)),
            }
        }
    };
    (0..KEYS).for_each(&mut add);
    let order = users();
    least(turns, || order.iter().copied().for_each(&mut add))
}

/// So many rules for each request, all leased and covered. The limits are so high that the chunks outlast the turns.
fn leased(turns: usize, rules: usize) -> f64 {
    let shared = Arc::new(MemoryCounterStore::new(4 * KEYS * rules, Arc::new(SystemClock)));
    let store = LeasedCounterStore::new(shared, 4 * KEYS * rules, Arc::new(SystemClock));
    let limit = Limit::token_bucket(1_000_000_000, 1, 86_400).unwrap();
    let lease = Lease { chunk: NonZeroU64::new(1_000_000).unwrap(), ttl: Duration::from_secs(86_400) };
    let slot = Slot::Tenant(tenant());
    let mut decide = |user: usize| {
        let mut keys = [*b"\x03u\x0b0user-000000"; 8];
        for (rule, key) in keys.iter_mut().enumerate() {
            key[3] = b'0' + rule as u8;
            write_number(user, key);
        }
        let charges = keys.each_ref().map(|key| Charge { lease: Some(lease), ..Charge::new(key, limit, 1) });
        let call = Call::new(black_box(&charges[..rules]), None);
        match store.try_decide(slot, &call) {
            Some(outcome) => assert!(outcome.unwrap().is_admitted()),
            None => assert!(wait_for(store.decide(slot, &call)).unwrap().is_admitted()),
        }
    };
    (0..KEYS).for_each(&mut decide);
    let order = users();
    let cost = least(turns, || order.iter().copied().for_each(&mut decide));
    assert_eq!(store.stats().asked, KEYS as u64);
    cost
}

/// A flood of refused requests, all remembered.
fn leased_refused(turns: usize) -> f64 {
    let shared = Arc::new(MemoryCounterStore::new(1_000, Arc::new(SystemClock)));
    let store = LeasedCounterStore::new(shared, 1_000, Arc::new(SystemClock));
    let limit = Limit::token_bucket(1, 1, 86_400).unwrap();
    let lease = Lease { chunk: NonZeroU64::MIN, ttl: Duration::from_secs(86_400) };
    let charges = [Charge { lease: Some(lease), ..Charge::new(b"k", limit, 1) }];
    let call = Call::new(&charges, None);
    assert!(wait_for(store.decide(Slot::Edge, &call)).unwrap().is_admitted());
    assert!(!wait_for(store.decide(Slot::Edge, &call)).unwrap().is_admitted());
    least(turns, || {
        for _ in 0..REQUESTS {
            assert!(!store.try_decide(Slot::Edge, black_box(&call)).unwrap().unwrap().is_admitted());
        }
    })
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// Makes a violation of what an engine has at hand, and records it; on so many threads at once, all by the same rule.
fn violations(turns: usize, threads: usize, callers: usize) -> f64 {
    let config =
        AnalyticsConfig { violations: NonZeroUsize::new(10_000).unwrap(), ..AnalyticsConfig::default() };
    let analytics = Analytics::new(config);
    let subjects: Vec<SubjectRef> =
        (0..callers).map(|caller| SubjectRef::user(format!("user-{caller:06}")).unwrap()).collect();
    let (rule, tenant) = (RuleId::new("per-user").unwrap(), tenant());
    let record = |number: usize| {
        let state = RuleState {
            key: Dimension::User.into(),
            overshoot: 0,
            concurrent: false,
            delay: std::time::Duration::ZERO,
            rule: &rule,
            scope: Scope::Tenant(tenant),
            limit: 100,
            remaining: 0,
            reset_after: Duration::from_secs(60),
            retry_after: Some(Duration::from_secs(1)),
            window: Duration::from_secs(60),
            exceeded: true,
            shadow: false,
            action: Action::Block,
        };
        let subject = Some(&subjects[number % callers]);
        let request = Request { tenant: Some(tenant), subject, ..Request::default() };
        let at = Timestamp::from_micros(i64::try_from(number).unwrap());
        let key = Dimension::User.into();
        analytics.record(black_box(Violation::of(&state, key, Reason::Exceeded, &request, at)));
    };
    if threads == 1 {
        return least(turns, || (0..REQUESTS).for_each(record));
    }
    // Waiting for each other takes no CPU, so here the time that passes is shared by all violations.
    let flood = || {
        let before = clock_gettime(ClockId::Monotonic);
        std::thread::scope(|scope| {
            (0..threads).for_each(|_| drop(scope.spawn(|| (0..REQUESTS).for_each(record))));
        });
        let after = clock_gettime(ClockId::Monotonic);
        let nanos = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
        nanos as f64 / (threads * REQUESTS) as f64
    };
    (0..turns).map(|_| flood()).fold(f64::MAX, f64::min)
}

fn near_limit_again(turns: usize) -> f64 {
    let near = NearLimits::new(NonZeroUsize::new(10_000).unwrap());
    let mut key = *b"\x03u\x0buser-000000";
    least(turns, || {
        for number in 0..REQUESTS {
            write_number(number % 1_000, &mut key);
            black_box(near.is_first(Slot::Edge, black_box(&key), Timestamp::MAX, Timestamp::EPOCH));
        }
    })
}

fn rule_counters(turns: usize) -> f64 {
    let counters = RuleCounters::new();
    least(turns, || (0..REQUESTS).for_each(|_| black_box(&counters).count(RuleOutcome::Admitted)))
}

fn main() {
    let turns = if std::env::args().any(|arg| arg == "--quick") { 11 } else { 41 };
    for rules in [1, 8] {
        let (ours, floor) = (leased(turns, rules), bare(turns, rules));
        println!(
            "BENCH ratelimit.leased_covered_{rules} value={ours:.1} unit=ns peer=bare_lookups peer_value={floor:.1} ratio={:.2}",
            ours / floor
        );
    }
    report("leased_refused", leased_refused(turns));
    report("rule_counter", rule_counters(turns));
    report("violation", violations(turns, 1, 1_000));
    report("violation_one_caller", violations(turns, 1, 1));
    report("violation_two_threads", violations(turns, 2, 1_000));
    report("violation_four_threads", violations(turns, 4, 1_000));
    report("near_limit_again", near_limit_again(turns));
}
