//! What is asked, which the comparisons with peers ask too.

use std::hint::black_box;
use std::sync::Arc;

use stanchion_calendar::Window;
use stanchion_core::{
    Author, Change, IdGen, Revision, Scope, SeededRandom, Slug, SubjectRef, SystemClock, TenantId, Timestamp,
};
use stanchion_ratelimit::{
    Call, Charge, Config, CounterStore, Dimension, Engine, Limit, MemoryCounterStore, MemoryRuleStore,
    Request, Rule, RuleChange, RuleId, RuleStore, Slot, StoredRule,
};

pub(crate) const KEYS: usize = 100_000;
pub(crate) const REQUESTS: usize = 100_000;
/// A day: so high that nothing is refused, so slow that every counter is in use.
pub(crate) const LIMIT: u64 = 10_000;
pub(crate) const DAY: u64 = 86_400;

/// Users in an order without order.
pub(crate) fn users(count: usize) -> Vec<usize> {
    let random = SeededRandom::new(1);
    (0..REQUESTS).map(|_| usize::try_from(random.next_u64() % count as u64).unwrap()).collect()
}

/// A name that is written on the spot, as it comes off a request: both sides would wait as long for cold ones.
pub(crate) const NAME: [u8; 11] = *b"user-000000";

pub(crate) fn name(user: usize) -> String {
    let mut name = NAME;
    write_name(user, &mut name);
    String::from_utf8(name.to_vec()).unwrap()
}

/// Ends a name in the six digits of a number.
pub(crate) fn write_name(user: usize, name: &mut [u8]) {
    let mut rest = user;
    for digit in name.iter_mut().rev().take(6) {
        *digit = b'0' + u8::try_from(rest % 10).unwrap();
        rest /= 10;
    }
}

pub(crate) fn subjects(count: usize) -> Vec<SubjectRef> {
    (0..count).map(|user| SubjectRef::user(name(user)).unwrap()).collect()
}

pub(crate) fn tenant() -> TenantId {
    SeededRandom::new(2).tenant_id(Timestamp::EPOCH)
}

/// A store, and a key as the engine writes it: epoch, kind, length, name.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) store: MemoryCounterStore,
    slot: Slot,
    key: [u8; 14],
    limit: Limit,
}

impl Counters {
    pub(crate) fn new(keys: usize, limit: Limit) -> Self {
        let store = MemoryCounterStore::new(2 * keys, Arc::new(SystemClock));
        Self { store, slot: Slot::Tenant(tenant()), key: *b"\x03u\x0buser-000000", limit }
    }

    /// A limit that nobody reaches.
    pub(crate) fn roomy(keys: usize) -> Self {
        Self::new(keys, Limit::token_bucket(LIMIT, LIMIT, DAY).unwrap())
    }

    /// Decides by the store's clock, and tells whether the user is admitted.
    pub(crate) fn decide(&mut self, user: usize) -> bool {
        write_name(user, &mut self.key);
        let charge = [Charge::new(black_box(&self.key), self.limit, 1)];
        self.store.try_decide(self.slot, &Call::new(&charge, None)).unwrap().unwrap().is_admitted()
    }
}

/// An engine with `rules` rules of one tenant, of which `matching` are for the route `hot`.
pub(crate) fn engine(rules: usize, matching: usize) -> Engine {
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
    let counters = Arc::new(MemoryCounterStore::new(2 * KEYS, clock.clone()));
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
