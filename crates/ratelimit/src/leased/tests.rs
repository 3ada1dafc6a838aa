mod calls;
mod races;
mod random;
mod units;

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use stanchion_core::{IdGen, ManualClock, SeededRandom, StoreErrorKind};

use super::*;
use crate::{Frame, MemoryCounterStore, Mode};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000); // 2026-03-01T12:00:00Z

fn later(millis: u64) -> Timestamp {
    NOON.plus(Duration::from_millis(millis))
}

/// A shared store that counts what it is asked, and can be out of order.
#[derive(Debug)]
struct Shared {
    store: MemoryCounterStore,
    decided: AtomicUsize,
    settled: AtomicUsize,
    /// It fails.
    down: AtomicBool,
    /// It does what it is asked and never answers.
    mute: AtomicBool,
}

impl Shared {
    fn new(clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self {
            store: MemoryCounterStore::new(100_000, Arc::clone(clock) as Arc<dyn Clock>),
            decided: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            mute: AtomicBool::new(false),
        })
    }

    async fn answer<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        // So that other calls come in between.
        tokio::task::yield_now().await;
        if self.mute.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        result
    }

    fn is_up(&self) -> Result<(), StoreError> {
        let down = self.down.load(Ordering::SeqCst);
        if down { Err(StoreError::new(StoreErrorKind::Unavailable, "test", "decide")) } else { Ok(()) }
    }

    /// How often it was asked since it was last asked this.
    fn calls(&self) -> usize {
        self.decided.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl CounterStore for Shared {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn decide(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        self.is_up()?;
        self.decided.fetch_add(1, Ordering::SeqCst);
        assert!(!call.charges.iter().any(is_leased), "{call:?}");
        self.answer(self.store.decide(slot, call).await).await
    }

    async fn peek(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        self.store.peek(slot, call).await
    }

    async fn settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.is_up()?;
        self.settled.fetch_add(1, Ordering::SeqCst);
        self.answer(self.store.settle(slot, call, corrections, now).await).await
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        self.store.reset(slot, key).await
    }
}

/// One shared store and its clock, which is also that of the replicas.
struct World {
    clock: Arc<ManualClock>,
    shared: Arc<Shared>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOON));
        Self { shared: Shared::new(&clock), clock }
    }

    fn replica(&self) -> LeasedCounterStore {
        LeasedCounterStore::new(Arc::clone(&self.shared) as Arc<dyn CounterStore>, 10_000, self.clock.clone())
    }

    fn at(&self, millis: u64) {
        self.clock.set(later(millis));
    }

    /// How much the shared store has left.
    async fn left(&self, limit: Limit) -> u64 {
        let charges = [Charge::new(b"k", limit, 0)];
        let look = self.shared.peek(Slot::Edge, &Call::new(&charges, None)).await.unwrap();
        look.standings()[0].remaining
    }
}

fn window(capacity: u64, seconds: u64) -> Limit {
    Limit::fixed_window(capacity, Frame::Every(NonZeroU64::new(seconds * 1_000_000).unwrap())).unwrap()
}

fn bucket(capacity: u64, refill: u64, seconds: u64) -> Limit {
    Limit::token_bucket(capacity, refill, seconds).unwrap()
}

fn lease(chunk: u64, ttl_millis: u64) -> Lease {
    Lease { chunk: NonZeroU64::new(chunk).unwrap(), ttl: Duration::from_millis(ttl_millis) }
}

fn charge(limit: Limit, cost: u64, lease: Lease) -> Charge<'static> {
    Charge { lease: Some(lease), ..Charge::new(b"k", limit, cost) }
}

/// Asks as the engine does: without waiting where that goes.
async fn ask(replica: &LeasedCounterStore, charges: &[Charge<'_>]) -> Outcome {
    put(replica, &Call::new(charges, None)).await
}

async fn put(replica: &LeasedCounterStore, call: &Call<'_>) -> Outcome {
    match replica.try_decide(Slot::Edge, call) {
        Some(outcome) => outcome.unwrap(),
        None => replica.decide(Slot::Edge, call).await.unwrap(),
    }
}

async fn admits(replica: &LeasedCounterStore, charge: Charge<'_>) -> bool {
    ask(replica, &[charge]).await.is_admitted()
}

/// How many of so many are admitted one after the other.
async fn admitted(replica: &LeasedCounterStore, charge: Charge<'_>, of: usize) -> usize {
    let mut count = 0;
    for _ in 0..of {
        count += usize::from(admits(replica, charge).await);
    }
    count
}

async fn give_back(replica: &LeasedCounterStore, limit: Limit, units: u64, charged: Timestamp) {
    let call = Settled { id: CallId::default(), at: charged, hold: false };
    let correction = Settlement { key: b"k", limit, adjustment: Adjustment::Return(units) };
    if replica.try_settle(Slot::Edge, call, &[correction], None).is_none() {
        replica.settle(Slot::Edge, call, &[correction], None).await.unwrap();
    }
}

#[tokio::test]
async fn a_chunk_is_charged_at_once_and_given_out_without_asking() {
    let world = World::new();
    let (replica, charge) = (world.replica(), charge(window(1_000, 60), 1, lease(100, 1_000)));
    assert!(replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).is_none());
    let first = ask(&replica, &[charge]).await;
    assert_eq!((world.shared.calls(), world.left(charge.limit).await), (1, 900));
    assert_eq!(first.standings()[0].remaining, 999);
    for used in 2..=100 {
        let outcome = replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).unwrap().unwrap();
        let standing = outcome.standings()[0];
        assert_eq!((outcome.is_admitted(), standing.remaining), (true, 1_000 - used));
        assert_eq!((standing.fits, standing.reset_after), (true, Duration::from_secs(60)));
    }
    assert!(replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).is_none());
    assert_eq!(world.shared.calls(), 0);
    assert_eq!(replica.stats().decided_here, 99);
}

#[tokio::test]
async fn one_replica_uses_up_a_limit_exactly() {
    for limit in [window(1_000, 60), bucket(1_000, 1, 86_400)] {
        for chunk in [1, 7, 64, 999, 1_000, 5_000] {
            let world = World::new();
            let (replica, charge) = (world.replica(), charge(limit, 1, lease(chunk, 1_000)));
            assert_eq!(admitted(&replica, charge, 1_100).await, 1_000, "{limit:?} by {chunk}");
            assert_eq!(world.left(limit).await, 0);
            let least = usize::try_from(1_000_u64.div_ceil(chunk)).unwrap();
            let calls = world.shared.calls();
            // Of what is less than a chunk half, and half of the rest, and so on; one is refused.
            assert!((least..least + 9).contains(&calls), "{calls} calls by {chunk}");
        }
    }
}

#[tokio::test]
async fn what_costs_more_than_a_chunk_takes_what_it_costs() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let of = |cost| charge(limit, cost, lease(10, 1_000));
    assert!(admits(&replica, of(1)).await, "nine are left of a chunk");
    assert!(admits(&replica, of(30)).await);
    assert_eq!(world.left(limit).await, 100 - 10 - 21, "what was here came first");
    assert!(!admits(&replica, of(101)).await && admits(&replica, of(69)).await);
    assert!(!admits(&replica, of(1)).await && admits(&replica, of(0)).await);
}

#[tokio::test]
async fn a_refusal_is_remembered_until_it_can_have_changed() {
    for (limit, wait) in [(window(10, 60), 60_000), (bucket(10, 10, 60), 6_000)] {
        let world = World::new();
        let (replica, charge) = (world.replica(), charge(limit, 1, lease(4, 2_500)));
        assert_eq!(admitted(&replica, charge, 11).await, 10);
        world.shared.calls();
        for millis in [0, 1, 2_499] {
            world.at(millis);
            let refused = replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).unwrap().unwrap();
            let standing = refused.standings()[0];
            assert_eq!((refused.is_admitted(), standing.fits, standing.remaining), (false, false, 0));
            assert_eq!(standing.retry_after, Some(Duration::from_millis(wait - millis)), "{limit:?}");
        }
        assert_eq!(world.shared.calls(), 0);
        world.at(2_500);
        assert!(!admits(&replica, charge).await);
        assert_eq!(world.shared.calls(), 1, "the time to live is over");
        world.at(wait - 1);
        assert!(!admits(&replica, charge).await);
        world.at(wait);
        assert!(admits(&replica, charge).await);
    }
}

#[tokio::test]
async fn a_refused_cost_says_nothing_of_a_smaller_one_and_all_of_a_larger_one() {
    let world = World::new();
    let (replica, limit) = (world.replica(), bucket(10, 10, 10));
    let of = |cost| charge(limit, cost, lease(1, 60_000));
    assert!(admits(&replica, of(7)).await && !admits(&replica, of(5)).await);
    world.shared.calls();
    let larger = ask(&replica, &[of(6)]).await;
    assert_eq!((world.shared.calls(), larger.is_admitted()), (0, false));
    // Five fit two seconds on, six a second later.
    assert_eq!(larger.standings()[0].retry_after, Some(Duration::from_secs(3)));
    let never = ask(&replica, &[of(11)]).await.standings()[0];
    assert_eq!((never.fits, never.retry_after, world.shared.calls()), (false, None, 0));
    assert!(admits(&replica, of(3)).await, "three are left");
    world.at(2_000);
    assert!(!admits(&replica, of(3)).await && admits(&replica, of(2)).await);
}

#[tokio::test]
async fn a_reset_forgets_what_is_here() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(10, 60));
    let charge = charge(limit, 1, lease(4, 60_000));
    assert_eq!(admitted(&replica, charge, 20).await, 10);
    replica.reset(Slot::Edge, b"k").await.unwrap();
    assert_eq!(world.left(limit).await, 10);
    assert!(admits(&replica, charge).await);
    replica.reset(Slot::Edge, b"k").await.unwrap();
    assert!(replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).is_none());
    assert_eq!(admitted(&replica, charge, 20).await, 10);
}

#[tokio::test]
async fn entries_and_queues_are_the_shared_stores_to_decide() {
    let world = World::new();
    let (replica, lease) = (world.replica(), lease(10, 1_000));
    for limit in [
        Limit::sliding_log(10, Duration::from_secs(60)).unwrap(),
        Limit::concurrency(10, Duration::from_secs(60)).unwrap(),
        Limit::leaky_queue(9, 1, 60).unwrap(),
    ] {
        replica.reset(Slot::Edge, b"k").await.unwrap();
        world.shared.calls();
        for number in 1..=20_u128 {
            let charges = [charge(limit, 1, lease)];
            let call = Call { id: CallId::new(number), ..Call::new(&charges, None) };
            assert_eq!(put(&replica, &call).await.is_admitted(), number <= 10, "{limit:?}");
        }
        assert_eq!(world.shared.calls(), 20);
    }
    assert_eq!(replica.stats(), LeasedStats::default());
}

#[tokio::test]
async fn counters_beyond_the_capacity_are_decided_exactly() {
    let world = World::new();
    let replica = LeasedCounterStore::new(world.shared.clone(), 64, world.clock.clone());
    let limit = window(3, 3_600);
    for number in 0..1_000_u32 {
        let key = number.to_be_bytes();
        let charge = Charge { key: &key, ..charge(limit, 1, lease(3, 1_000)) };
        assert_eq!(admitted(&replica, charge, 5).await, 3, "{number}");
    }
    assert!(replica.stats().accounts <= 64);
    // Those that have nothing to lose make room, without anybody running it.
    world.at(1_000);
    let key = 5_000_u32.to_be_bytes();
    let charge = Charge { key: &key, ..charge(limit, 1, lease(3, 1_000)) };
    assert!(admits(&replica, charge).await);
    assert!(replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).is_some());
}

#[test]
fn the_overshoot_is_that_of_the_chunks_or_of_what_drains_meanwhile() {
    let replicas = NonZeroU32::new(4).unwrap();
    let of =
        |limit, chunk, ttl| LeasedCounterStore::overshoot(&charge(limit, 1, lease(chunk, ttl)), replicas);
    assert_eq!(of(window(1_000, 60), 100, 1_000), 0);
    assert_eq!(of(bucket(1_000, 1_000, 1), 100, 10_000), 400);
    // A million ticks of a minute are 60 µs long; a second of them drains 16.7 units.
    assert_eq!(of(bucket(1_000, 1_000, 60), 100, 1_000), 17);
    assert_eq!(of(bucket(10, 10, 1), 100, 60_000), 40, "a chunk is never more than the capacity");
    assert_eq!(of(Limit::leaky_queue(9, 1, 60).unwrap(), 100, 1_000), 0);
    assert_eq!(LeasedCounterStore::overshoot(&Charge::new(b"k", bucket(10, 10, 1), 1), replicas), 0);
}

fn tenants(count: usize) -> Vec<Slot> {
    let random = SeededRandom::new(1);
    (0..count).map(|_| Slot::Tenant(random.tenant_id(NOON))).collect()
}

#[tokio::test]
async fn slots_are_apart() {
    let world = World::new();
    let (replica, charges) = (world.replica(), [charge(window(10, 60), 1, lease(5, 1_000))]);
    for slot in tenants(3) {
        for _ in 0..10 {
            assert!(replica.decide(slot, &Call::new(&charges, None)).await.unwrap().is_admitted());
        }
        assert!(!replica.decide(slot, &Call::new(&charges, None)).await.unwrap().is_admitted());
    }
}
