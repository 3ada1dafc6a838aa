//! What a decision costs against the least work that could do it, and what a counter costs in memory.
//!
//! Keys are written on the spot, as they come off a request, since both sides would wait as long for cold ones.
//!
//! Times are of the thread's CPU. Both sides of a figure take turns in one run: a ratio is the median over the turns, the parts are
//! the minimum over them. The bare look-up is one hash, one lock and one add in a map in 64 parts, under a short string.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops at whatever goes wrong, and prints"
)]

use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::{Arc, Mutex};

use hashbrown::{DefaultHashBuilder, HashMap};
use rustix::time::{ClockId, clock_gettime};
use stanchion_calendar::Window;
use stanchion_core::{
    Author, Change, IdGen, Revision, Scope, SeededRandom, Slug, SubjectRef, SystemClock, TenantId, Timestamp,
};
use stanchion_ratelimit::{
    Call, Charge, Config, CounterStore, Dimension, Engine, Limit, MemoryCounterStore, MemoryRuleStore, Mode,
    Request, Rule, RuleChange, RuleId, RuleStore, Slot, StoredRule,
};

const KEYS: usize = 100_000;
const REQUESTS: usize = 100_000;
/// A day: so high that nothing is refused, so slow that every counter is in use.
const LIMIT: u64 = 10_000;

/// A map in parts, each with its lock, as every store in memory needs one.
struct Bare {
    shards: Vec<Mutex<HashMap<Vec<u8>, u64>>>,
    hasher: DefaultHashBuilder,
}

impl Bare {
    fn new(keys: &[Vec<u8>]) -> Self {
        let shards = (0..64).map(|_| Mutex::new(HashMap::new())).collect();
        let bare = Self { shards, hasher: DefaultHashBuilder::default() };
        keys.iter().for_each(|key| {
            bare.shard(key).lock().unwrap().insert(key.clone(), 0);
        });
        bare
    }

    fn shard(&self, key: &[u8]) -> &Mutex<HashMap<Vec<u8>, u64>> {
        &self.shards[(self.hasher.hash_one(key) >> 48) as usize % self.shards.len()]
    }

    fn add(&self, key: &[u8]) -> u64 {
        let mut shard = self.shard(key).lock().unwrap();
        let count = shard.get_mut(key).unwrap();
        *count += 1;
        *count
    }
}

/// Users in an order without order.
fn users(count: usize) -> Vec<usize> {
    let random = SeededRandom::new(1);
    (0..REQUESTS).map(|_| (random.next_u64() % count as u64) as usize).collect()
}

fn name(user: usize) -> String {
    let mut name = *b"user-000000";
    write_name(user, &mut name);
    String::from_utf8(name.to_vec()).unwrap()
}

/// Ends a name in the six digits of a number.
fn write_name(user: usize, name: &mut [u8]) {
    let mut rest = user;
    for digit in name.iter_mut().rev().take(6) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn tenant() -> TenantId {
    SeededRandom::new(2).tenant_id(Timestamp::EPOCH)
}

fn bucket() -> Limit {
    Limit::token_bucket(LIMIT, LIMIT, 86_400).unwrap()
}

/// A key as the engine writes it: epoch, kind, length, id.
const KEY: [u8; 14] = *b"\x03u\x0buser-000000";

fn one_rule(turns: usize) -> (f64, f64, f64) {
    let names: Vec<Vec<u8>> = (0..KEYS).map(|user| name(user).into_bytes()).collect();
    let (bare, order) = (Bare::new(&names), users(KEYS));
    let store = MemoryCounterStore::new(2 * KEYS, Arc::new(SystemClock));
    let slot = Slot::Tenant(tenant());
    let (mut key, mut name) = (KEY, *b"user-000000");
    let mut decide = |user: usize| {
        write_name(user, &mut key);
        let charge = Charge::new(black_box(&key), bucket(), 1);
        assert!(store.try_decide(slot, &Call::new(&[charge], None)).unwrap().unwrap().is_admitted());
    };
    (0..KEYS).for_each(&mut decide);
    compare(
        turns,
        || order.iter().copied().for_each(&mut decide),
        || {
            order.iter().for_each(|user| {
                write_name(*user, &mut name);
                black_box(bare.add(black_box(&name)));
            });
        },
    )
}

/// An engine with `rules` rules of one tenant, of which `matching` are for the route `hot`.
fn engine(rules: usize, matching: usize) -> Engine {
    let slug = |name: String| vec![Slug::new(&name).unwrap()];
    let rule = |number: usize| {
        let id = RuleId::new(&format!("rule-{number}")).unwrap();
        let route = if number < matching { "hot".to_owned() } else { format!("route-{}", number / 8) };
        let rule = Rule { routes: slug(route), ..Rule::new(id, Dimension::User, LIMIT, Window::DAY) };
        RuleChange::Put(StoredRule { rule, epoch: Revision::from_number(number as u64 + 1) })
    };
    let store = MemoryRuleStore::new(None);
    let change = Change {
        expected: Revision::ZERO,
        changes: (0..rules).map(rule).collect(),
        at: Timestamp::EPOCH,
        actor: Author::system("bench").actor,
        events: Vec::new(),
    };
    let clock = Arc::new(SystemClock);
    wait_for(store.apply(Scope::Tenant(tenant()), change)).unwrap();
    let counters = Arc::new(MemoryCounterStore::new(2_000_000, clock.clone()));
    let config = Config { max_stale_seconds: 3_600, ..Config::default() };
    let engine = Engine::new(Arc::new(store), counters, clock, Arc::new(SeededRandom::new(3)), config);
    wait_for(engine.decide(&Request { tenant: Some(tenant()), ..Request::default() })).unwrap();
    engine
}

/// Polls a future that never has to wait.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn through_engine(turns: usize, rules: usize, matching: usize) -> (f64, f64, f64) {
    let count = if matching == 1 { KEYS } else { KEYS / 8 };
    let subjects: Vec<SubjectRef> = (0..count).map(|user| SubjectRef::user(name(user)).unwrap()).collect();
    let names: Vec<Vec<u8>> = (0..count * matching.max(1)).map(|number| name(number).into_bytes()).collect();
    let (engine, bare, order, tenant) = (engine(rules, matching), Bare::new(&names), users(count), tenant());
    let decide = |user: &usize| {
        let subject = Some(black_box(&subjects[*user]));
        let request = Request { tenant: Some(tenant), subject, route: Some("hot"), ..Request::default() };
        let decision = engine.try_decide(&request).unwrap();
        assert!(decision.is_admitted() && black_box(decision.most_restrictive()).is_some() == (matching > 0));
    };
    (0..count).for_each(|user| decide(&user));
    let mut name = *b"user-000000";
    compare(
        turns,
        || order.iter().for_each(decide),
        || {
            order.iter().for_each(|user| {
                black_box(subjects[*user].id().as_str().as_bytes()[0]);
                (0..matching.max(1)).for_each(|rule| {
                    write_name(user + rule * count, &mut name);
                    black_box(bare.add(black_box(&name)));
                });
            });
        },
    )
}

fn bytes_per_key(count: usize) -> f64 {
    let store = MemoryCounterStore::new(2 * count, Arc::new(SystemClock));
    let slot = Slot::Tenant(tenant());
    let before = resident_bytes();
    let mut key = KEY;
    for user in 0..count {
        write_name(user, &mut key);
        let charge = Charge { key: &key, limit: bucket(), cost: 1, mode: Mode::Enforce };
        store.try_decide(slot, &Call::new(&[charge], None)).unwrap().unwrap();
    }
    let bytes = resident_bytes().saturating_sub(before);
    assert_eq!(store.len(), count);
    bytes as f64 / count as f64
}

/// The least CPU time of one operation on either side, in nanoseconds, and the median of the ratios of the turns.
fn compare(turns: usize, mut ours: impl FnMut(), mut peer: impl FnMut()) -> (f64, f64, f64) {
    let (mut least_ours, mut least_peer, mut ratios) = (f64::MAX, f64::MAX, Vec::new());
    for _ in 0..turns {
        let (cost_ours, cost_peer) = (cost(&mut ours), cost(&mut peer));
        least_ours = least_ours.min(cost_ours);
        least_peer = least_peer.min(cost_peer);
        ratios.push(cost_ours / cost_peer);
    }
    ratios.sort_by(f64::total_cmp);
    (least_ours, least_peer, ratios[turns / 2])
}

fn cost(work: &mut impl FnMut()) -> f64 {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    work();
    let after = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
    nanos as f64 / REQUESTS as f64
}

fn report(figure: &str, (ours, theirs, ratio): (f64, f64, f64)) {
    println!(
        "BENCH ratelimit.{figure} value={ours:.1} unit=ns peer=bare_lookups peer_value={theirs:.1} ratio={ratio:.2}"
    );
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let turns = if quick { 11 } else { 41 };
    // First, while the process holds no memory that could be used again.
    println!("BENCH ratelimit.bytes_per_key value={:.1} unit=bytes", bytes_per_key(1_000_000));
    report("memory_one_rule", one_rule(turns));
    println!("BENCH ratelimit.engine_no_rule value={:.1} unit=ns", through_engine(turns, 1_000, 0).0);
    report("engine_one_rule", through_engine(turns, 1, 1));
    report("memory_eight_of_thousand", through_engine(turns, 1_000, 8));
    report("memory_eight_of_eight", through_engine(turns, 8, 8));
    if !quick {
        report("memory_eight_of_hundred_thousand", through_engine(turns, 100_000, 8));
    }
}
