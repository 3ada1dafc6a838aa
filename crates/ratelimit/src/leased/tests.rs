mod races;
mod random;

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
async fn unused_units_come_back_when_their_time_is_over() {
    for limit in [window(100, 3_600), bucket(100, 1, 86_400)] {
        let world = World::new();
        let (replica, other) = (world.replica(), world.replica());
        let charge = charge(limit, 1, lease(60, 1_000));
        assert!(admits(&replica, charge).await);
        assert_eq!(admitted(&other, charge, 100).await, 40, "the others are here");
        world.at(999);
        replica.sweep().await.unwrap();
        assert_eq!(world.left(limit).await, 0);
        world.at(1_000);
        replica.sweep().await.unwrap();
        assert_eq!(world.left(limit).await, 59);
        assert_eq!((replica.stats().returned, replica.stats().accounts), (59, 0));
        assert_eq!(admitted(&other, charge, 100).await, 59);
    }
}

#[tokio::test]
async fn who_finds_units_that_have_expired_gives_them_back_before_it_asks() {
    let world = World::new();
    let (replica, charge) = (world.replica(), charge(window(100, 3_600), 1, lease(100, 1_000)));
    assert!(admits(&replica, charge).await);
    world.at(1_000);
    assert!(admits(&replica, charge).await);
    assert_eq!(replica.stats().returned, 99);
    assert_eq!(admitted(&replica, charge, 200).await, 98);
}

#[tokio::test]
async fn a_refusal_is_forgotten_when_units_go_back() {
    let world = World::new();
    let (replica, other, limit) = (world.replica(), world.replica(), window(10, 3_600));
    let of = |cost| charge(limit, cost, lease(6, 1_000));
    assert!(admits(&replica, of(1)).await && admits(&other, of(4)).await, "five are here and none is there");
    world.at(500);
    assert!(!admits(&replica, of(6)).await);
    world.at(1_000);
    replica.sweep().await.unwrap();
    assert!(admits(&replica, of(5)).await, "they are there now");
}

#[tokio::test]
async fn flushing_gives_back_everything() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    assert!(admits(&replica, charge(limit, 7, lease(50, 1_000))).await);
    replica.flush().await.unwrap();
    assert_eq!(world.left(limit).await, 93);
    replica.flush().await.unwrap();
    assert_eq!((world.left(limit).await, replica.stats().returned), (93, 43));
}

#[tokio::test]
async fn whoever_runs_it_gets_units_back_that_nobody_asks_for() {
    let world = World::new();
    let (replica, limit) = (Arc::new(world.replica()), window(100, 60));
    assert!(admits(&replica, charge(limit, 7, lease(50, 400))).await);
    let (running, timer) = (Arc::clone(&replica), world.clock.clone());
    let troubles = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&troubles);
    #[expect(clippy::disallowed_methods, reason = "a test owns its tasks")]
    let task = tokio::spawn(async move {
        let hear = |_: &StoreError| {
            heard.fetch_add(1, Ordering::SeqCst);
        };
        running.run(&*timer, hear).await;
    });
    let tick = async || {
        while world.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        world.clock.advance(INTERVAL);
        while world.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tick().await;
    assert_eq!(world.left(limit).await, 93);
    assert!(admits(&replica, charge(limit, 1, lease(50, 400))).await);
    world.shared.down.store(true, Ordering::SeqCst);
    tick().await;
    assert_eq!((troubles.load(Ordering::SeqCst), replica.stats().lost), (1, 49));
    task.abort();
}

#[tokio::test]
async fn what_a_dead_replica_held_is_gone_until_the_window_ends() {
    let world = World::new();
    let (dead, other) = (world.replica(), world.replica());
    let charge = charge(window(100, 60), 1, lease(30, 1_000));
    assert!(admits(&dead, charge).await);
    drop(dead);
    assert_eq!(admitted(&other, charge, 200).await, 70);
    world.at(59_999);
    assert_eq!(admitted(&other, charge, 200).await, 0);
    world.at(60_000);
    assert_eq!(admitted(&other, charge, 200).await, 100);
}

#[tokio::test]
async fn units_end_with_their_window_whatever_the_clock_here_says() {
    for limit in [
        window(10, 60),
        Limit::sliding_window(10, Frame::Every(NonZeroU64::new(60_000_000).unwrap())).unwrap(),
    ] {
        let world = World::new();
        world.at(59_000);
        // The clock here is a minute and a half behind the store's: by it no window ends for another half minute.
        let clock = Arc::new(ManualClock::at(NOON.minus(Duration::from_secs(31))));
        let replica = LeasedCounterStore::new(world.shared.clone(), 64, clock.clone());
        let charge = charge(limit, 1, lease(10, 60_000));
        let first = ask(&replica, &[charge]).await;
        assert_eq!(first.at(), later(59_000));
        clock.advance(Duration::from_micros(999_999));
        let last = replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).unwrap().unwrap();
        assert_eq!(last.at(), later(60_000).minus(Duration::from_micros(1)), "the store's time");
        clock.advance(Duration::from_micros(1));
        assert!(replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).is_none());
    }
}

#[tokio::test]
async fn units_of_a_level_end_when_it_has_drained() {
    let world = World::new();
    // Ten a second: a chunk of five is back after half a second.
    let (replica, limit) = (world.replica(), bucket(10, 10, 1));
    assert!(admits(&replica, charge(limit, 1, lease(5, 60_000))).await);
    world.at(499);
    assert!(
        replica.try_decide(Slot::Edge, &Call::new(&[charge(limit, 1, lease(5, 60_000))], None)).is_some()
    );
    world.at(500);
    assert!(
        replica.try_decide(Slot::Edge, &Call::new(&[charge(limit, 1, lease(5, 60_000))], None)).is_none()
    );
}

#[tokio::test]
async fn nothing_that_was_taken_or_refused_holds_under_another_limit() {
    let world = World::new();
    let (replica, lease) = (world.replica(), lease(50, 60_000));
    let (wide, narrow) = (window(100, 3_600), window(20, 3_600));
    assert!(admits(&replica, charge(wide, 1, lease)).await);
    // Lowered to twenty: the 49 that were here went back, and nineteen are left.
    assert_eq!(admitted(&replica, charge(narrow, 1, lease), 100).await, 19);
    world.shared.calls();
    assert!(!admits(&replica, charge(narrow, 1, lease)).await);
    assert_eq!(world.shared.calls(), 0, "the refusal is remembered");
    world.shared.down.store(true, Ordering::SeqCst);
    assert!(replica.decide(Slot::Edge, &Call::new(&[charge(wide, 1, lease)], None)).await.is_err());
    world.shared.down.store(false, Ordering::SeqCst);
    assert_eq!(admitted(&replica, charge(wide, 1, lease), 100).await, 80, "but not under a raised limit");
}

#[tokio::test]
async fn a_call_takes_all_that_it_needs_or_nothing() {
    let world = World::new();
    let (replica, wide, narrow) = (world.replica(), window(100, 60), window(3, 60));
    let leased = Charge { key: b"leased", ..charge(wide, 1, lease(10, 1_000)) };
    let exact = Charge::new(b"exact", narrow, 1);
    for remaining in [2, 1, 0] {
        let outcome = ask(&replica, &[leased, exact]).await;
        assert_eq!((outcome.is_admitted(), outcome.standings()[1].remaining), (true, remaining));
    }
    for _ in 0..20 {
        let refused = ask(&replica, &[leased, exact]).await;
        let standings = refused.standings();
        assert_eq!((refused.is_admitted(), standings[0].fits, standings[1].fits), (false, true, false));
        assert_eq!(standings[0].remaining, 97, "nothing was taken");
    }
    // Two leased counters of which the second is used up: the first is left alone, and nobody is asked.
    let other = Charge { key: b"other", ..charge(narrow, 1, lease(10, 1_000)) };
    while ask(&replica, &[leased, other]).await.is_admitted() {}
    world.shared.calls();
    let refused = ask(&replica, &[leased, other]).await;
    let standings = refused.standings();
    assert_eq!((standings[0].fits, standings[0].remaining), (true, 94));
    assert_eq!((standings[1].fits, standings[1].remaining), (false, 0));
    assert_eq!(world.shared.calls(), 0);
    assert_eq!(admitted(&replica, leased, 200).await, 94);
}

#[tokio::test]
async fn a_chunk_that_does_not_fit_leaves_no_trace() {
    let world = World::new();
    let replica = world.replica();
    let insistent = Charge { charge_denied: true, ..Charge::new(b"insistent", window(100, 60), 1) };
    let scarce = Charge { key: b"scarce", ..charge(window(5, 60), 1, lease(10, 1_000)) };
    for expected in 1..=5 {
        let outcome = ask(&replica, &[insistent, scarce]).await;
        assert_eq!((outcome.is_admitted(), outcome.standings()[0].remaining), (true, 100 - expected));
    }
    for expected in 6..=8 {
        let outcome = ask(&replica, &[insistent, scarce]).await;
        assert_eq!(
            (outcome.is_admitted(), outcome.standings()[0].remaining),
            (false, 100 - expected),
            "once each"
        );
    }
}

#[tokio::test]
async fn a_refusal_takes_what_asks_for_it_also_of_what_is_here() {
    let world = World::new();
    let replica = world.replica();
    let insistent = Charge { key: b"a", charge_denied: true, ..charge(window(100, 60), 1, lease(10, 1_000)) };
    let scarce = Charge { key: b"b", ..charge(window(1, 60), 1, lease(10, 1_000)) };
    assert!(ask(&replica, &[insistent, scarce]).await.is_admitted());
    for expected in (70..=98).rev() {
        let outcome = ask(&replica, &[insistent, scarce]).await;
        assert_eq!((outcome.is_admitted(), outcome.standings()[0].remaining), (false, expected));
    }
}

#[tokio::test]
async fn what_only_watches_refuses_nothing_and_is_counted_exactly() {
    let world = World::new();
    let replica = world.replica();
    let watched =
        Charge { key: b"watched", mode: Mode::Observe, ..charge(window(25, 60), 1, lease(10, 1_000)) };
    let enforced = Charge { key: b"enforced", ..charge(window(100, 60), 1, lease(10, 1_000)) };
    for number in 1..=100 {
        let outcome = ask(&replica, &[watched, enforced]).await;
        assert!(outcome.is_admitted());
        assert_eq!(outcome.standings()[0].fits, number <= 25, "{number}");
    }
    assert!(world.shared.calls() < 40);
    assert!(!ask(&replica, &[watched, enforced]).await.is_admitted());
}

#[tokio::test]
async fn a_correction_goes_to_what_is_here_first() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let of = |cost| charge(limit, cost, lease(10, 1_000));
    assert!(admits(&replica, of(8)).await);
    give_back(&replica, limit, 5, NOON).await;
    assert_eq!((world.left(limit).await, world.shared.settled.load(Ordering::SeqCst)), (90, 0));
    assert!(replica.try_decide(Slot::Edge, &Call::new(&[of(7)], None)).is_some());
    // The chunk takes back no more than it was: ten; the rest goes to the shared store.
    give_back(&replica, limit, 12, NOON).await;
    assert_eq!(world.left(limit).await, 92);
    let call = Settled { id: CallId::default(), at: NOON, hold: false };
    let more = [Settlement { key: b"k", limit, adjustment: Adjustment::Add(15) }];
    assert!(replica.settle(Slot::Edge, call, &more, None).await.unwrap());
    assert_eq!(world.left(limit).await, 87, "ten were here");
    // What was charged to the window before has gone with it.
    world.at(60_000);
    assert!(admits(&replica, of(8)).await);
    give_back(&replica, limit, 5, NOON).await;
    assert_eq!(world.left(limit).await, 90);
    assert!(replica.try_decide(Slot::Edge, &Call::new(&[of(3)], None)).is_none());
}

#[tokio::test]
async fn a_hold_is_settled_once_and_takes_from_what_is_here() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let charges = [charge(limit, 8, lease(50, 1_000))];
    let hold = |number| Call {
        id: CallId::new(number),
        hold: Some(Duration::from_secs(5)),
        ..Call::new(&charges, None)
    };
    assert!(put(&replica, &hold(1)).await.is_admitted() && put(&replica, &hold(2)).await.is_admitted());
    assert_eq!(world.left(limit).await, 50, "the second took nothing there");
    let settle = async |number| {
        let call = Settled { id: CallId::new(number), at: NOON, hold: true };
        let correction = Settlement { key: b"k", limit, adjustment: Adjustment::Return(6) };
        assert!(replica.try_settle(Slot::Edge, call, &[correction], None).is_none());
        replica.settle(Slot::Edge, call, &[correction], None).await.unwrap()
    };
    assert!(settle(1).await && !settle(1).await && settle(2).await && !settle(3).await);
    assert_eq!(world.left(limit).await, 50);
    assert_eq!(admitted(&replica, charge(limit, 1, lease(50, 1_000)), 200).await, 100 - 4);
}

#[tokio::test]
async fn a_look_tells_what_is_here_and_there() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    assert!(admits(&replica, charge(limit, 1, lease(10, 1_000))).await);
    for (cost, fits) in [(0, true), (5, true), (99, true), (100, false), (101, false)] {
        let charges = [charge(limit, cost, lease(10, 1_000))];
        let look = replica.peek(Slot::Edge, &Call::new(&charges, None)).await.unwrap();
        assert_eq!((look.is_admitted(), look.standings()[0].remaining), (fits, 99), "{cost}");
    }
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

#[tokio::test]
async fn a_failure_puts_back_what_the_call_held() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let here = charge(limit, 1, lease(10, 60_000));
    assert!(admits(&replica, here).await);
    world.shared.down.store(true, Ordering::SeqCst);
    let charges = [here, Charge::new(b"exact", limit, 1)];
    for _ in 0..20 {
        assert!(replica.decide(Slot::Edge, &Call::new(&charges, None)).await.is_err());
    }
    assert!(
        replica.decide(Slot::Edge, &Call::new(&[charge(limit, 20, lease(10, 60_000))], None)).await.is_err()
    );
    let local =
        (0..20).filter(|_| replica.try_decide(Slot::Edge, &Call::new(&[here], None)).is_some()).count();
    assert_eq!(local, 9, "what is here goes on without the store");
    world.shared.down.store(false, Ordering::SeqCst);
    assert_eq!(admitted(&replica, here, 200).await, 90);
}

#[tokio::test]
async fn a_call_that_is_given_up_puts_back_what_it_held_and_holds_up_nobody() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let here = charge(limit, 1, lease(10, 60_000));
    assert!(admits(&replica, here).await);
    world.shared.mute.store(true, Ordering::SeqCst);
    let charges = [here, Charge { key: b"other", ..here }];
    {
        let call = Call::new(&charges, None);
        let mut given_up = replica.decide(Slot::Edge, &call);
        for _ in 0..5 {
            assert!(futures_util::poll!(&mut given_up).is_pending());
        }
    }
    world.shared.mute.store(false, Ordering::SeqCst);
    let local =
        (0..20).filter(|_| replica.try_decide(Slot::Edge, &Call::new(&[here], None)).is_some()).count();
    assert_eq!(local, 9);
    let outcome = ask(&replica, &charges).await;
    assert!(outcome.is_admitted(), "the account is free to be stocked again");
    assert_eq!(outcome.standings()[1].remaining, 100 - 10 - 1, "the chunk that got lost stays charged");
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

#[tokio::test]
async fn what_a_call_holds_of_a_lot_that_is_gone_goes_back_to_the_shared_store() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let here = charge(limit, 1, lease(10, 60_000));
    let used_up = Charge::new(b"used up", window(1, 60), 1);
    assert!(ask(&replica, &[here, used_up]).await.is_admitted());
    let charges = [here, used_up];
    let call = Call::new(&charges, None);
    let both = futures_util::future::join(replica.decide(Slot::Edge, &call), replica.flush());
    let (outcome, flushed) = both.await;
    assert!(!outcome.unwrap().is_admitted() && flushed.is_ok());
    assert_eq!((world.left(limit).await, replica.stats().lost), (99, 0));
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
