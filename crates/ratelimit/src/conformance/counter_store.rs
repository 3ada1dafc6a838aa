//! The suite of [`CounterStore`].

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{IdGen, SeededRandom, Timestamp};
use tokio::task::JoinSet;

use crate::{Charge, CounterStore, FixedWindow, Frame, Limit, Mode, Outcome, Slot, State, TokenBucket};

/// 2026-03-01T12:00:00Z.
const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

fn later(seconds: u64) -> Timestamp {
    NOON.plus(Duration::from_secs(seconds))
}

fn tenant(seed: u64) -> Slot {
    Slot::Tenant(SeededRandom::new(seed).tenant_id(NOON))
}

fn bucket(capacity: u64, refill: u64, seconds: u64) -> Limit {
    Limit::TokenBucket(TokenBucket::new(capacity, refill, seconds).expect("a bucket"))
}

fn window(capacity: u64, seconds: u64) -> Limit {
    let length = NonZeroU64::new(seconds * 1_000_000).expect("a length");
    Limit::FixedWindow(FixedWindow::new(capacity, Frame::Every(length)).expect("a window"))
}

/// The limits that most cases run with: a capacity of so many, under each algorithm, on its own key.
fn both(capacity: u64) -> [(&'static [u8], Limit); 2] {
    [(b"bucket", bucket(capacity, capacity, 60)), (b"window", window(capacity, 60))]
}

fn charge(key: &[u8], limit: Limit, cost: u64) -> Charge<'_> {
    Charge { key, limit, cost, mode: Mode::Enforce }
}

fn observe(key: &[u8], limit: Limit, cost: u64) -> Charge<'_> {
    Charge { mode: Mode::Observe, ..charge(key, limit, cost) }
}

async fn decide(
    store: &dyn CounterStore,
    slot: Slot,
    charges: &[Charge<'_>],
    now: impl Into<Option<Timestamp>>,
) -> Outcome {
    store.decide(slot, charges, now.into()).await.expect("decides")
}

/// Decides as the engine does: without waiting where the store can.
async fn ask(store: &dyn CounterStore, slot: Slot, charges: &[Charge<'_>], now: Timestamp) -> Outcome {
    match store.try_decide(slot, charges, Some(now)) {
        Some(outcome) => outcome.expect("decides"),
        None => decide(store, slot, charges, now).await,
    }
}

fn remaining(outcome: &Outcome) -> Vec<u64> {
    outcome.standings().iter().map(|standing| standing.remaining).collect()
}

fn fits(outcome: &Outcome) -> Vec<bool> {
    outcome.standings().iter().map(|standing| standing.fits).collect()
}

async fn left(store: &dyn CounterStore, slot: Slot, key: &[u8], limit: Limit, now: Timestamp) -> u64 {
    let outcome = store.peek(slot, &[charge(key, limit, 0)], Some(now)).await.expect("peeks");
    outcome.standings().first().expect("one standing").remaining
}

suite! { $
    /// Runs the suite of `CounterStore`: `counter_store_conformance!(mod memory_counter_store, factory());`, where the factory is an
    /// expression that returns a future of an empty `Arc<dyn CounterStore>`.
    counter_store_conformance, counter_store, Arc<dyn CounterStore>;

    /// A counter gives its capacity and no more.
    a_counter_gives_its_capacity_and_no_more: store => {
        for (key, limit) in both(3) {
            for expected in [2, 1, 0] {
                let outcome = decide(&*store, tenant(1), &[charge(key, limit, 1)], NOON).await;
                assert!(outcome.is_admitted());
                assert_eq!(remaining(&outcome), [expected]);
            }
            let outcome = decide(&*store, tenant(1), &[charge(key, limit, 1)], NOON).await;
            assert!(!outcome.is_admitted());
            assert_eq!((fits(&outcome), remaining(&outcome)), (vec![false], vec![0]));
        }
    }

    /// No charge is no refusal.
    no_charge_is_admitted: store => {
        let outcome = decide(&*store, tenant(2), &[], NOON).await;
        assert!(outcome.is_admitted() && outcome.standings().is_empty());
    }

    /// A charge costs what it says, and nothing when it says nothing.
    costs_are_counted: store => {
        for (key, limit) in both(10) {
            let outcome = decide(&*store, tenant(3), &[charge(key, limit, 7)], NOON).await;
            assert_eq!(remaining(&outcome), [3]);
            assert!(!decide(&*store, tenant(3), &[charge(key, limit, 4)], NOON).await.is_admitted());
            let outcome = decide(&*store, tenant(3), &[charge(key, limit, 0)], NOON).await;
            assert!(outcome.is_admitted());
            assert_eq!(remaining(&outcome), [3]);
            assert!(decide(&*store, tenant(3), &[charge(key, limit, 3)], NOON).await.is_admitted());
            assert!(decide(&*store, tenant(3), &[charge(key, limit, 0)], NOON).await.is_admitted());
        }
    }

    /// A token bucket gives a token back as soon as it has come in, and tells when: ten a second are one per 100,000 µs.
    a_bucket_refills_steadily: store => {
        let limit = bucket(10, 10, 1);
        decide(&*store, tenant(4), &[charge(b"k", limit, 10)], NOON).await;
        let refused = decide(&*store, tenant(4), &[charge(b"k", limit, 1)], NOON).await;
        let standing = refused.standings().first().expect("one standing");
        assert_eq!(standing.retry_after, Some(Duration::from_micros(100_000)));
        assert_eq!(standing.reset_after, Duration::from_secs(1));
        let early = NOON.plus(Duration::from_micros(99_999));
        assert!(!decide(&*store, tenant(4), &[charge(b"k", limit, 1)], early).await.is_admitted());
        let due = NOON.plus(Duration::from_micros(100_000));
        assert!(decide(&*store, tenant(4), &[charge(b"k", limit, 1)], due).await.is_admitted());
        assert!(!decide(&*store, tenant(4), &[charge(b"k", limit, 1)], due).await.is_admitted());
    }

    /// A fixed window begins at zero at its first microsecond.
    a_window_begins_at_zero: store => {
        let limit = window(5, 60);
        let last = later(60).minus(Duration::from_micros(1));
        decide(&*store, tenant(5), &[charge(b"k", limit, 5)], NOON).await;
        let refused = decide(&*store, tenant(5), &[charge(b"k", limit, 1)], last).await;
        assert_eq!(refused.standings().first().expect("one").retry_after, Some(Duration::from_micros(1)));
        let next = decide(&*store, tenant(5), &[charge(b"k", limit, 1)], later(60)).await;
        assert_eq!((next.is_admitted(), remaining(&next)), (true, vec![4]));
        assert_eq!(next.standings().first().expect("one").reset_after, Duration::from_secs(60));
    }

    /// A window of the calendar ends where the caller says.
    a_window_of_the_calendar_is_the_callers: store => {
        let day = |start: u64, end: u64| {
            let period = stanchion_calendar::Period::new(later(start), later(end)).expect("a period");
            Limit::FixedWindow(FixedWindow::new(2, Frame::Between(period)).expect("a window"))
        };
        // Two days, the second of 25 hours.
        let (first, second) = (day(0, 86_400), day(86_400, 176_400));
        decide(&*store, tenant(6), &[charge(b"k", first, 2)], later(10)).await;
        let refused = decide(&*store, tenant(6), &[charge(b"k", first, 1)], later(86_399)).await;
        assert_eq!(refused.standings().first().expect("one").retry_after, Some(Duration::from_secs(1)));
        let next = decide(&*store, tenant(6), &[charge(b"k", second, 2)], later(86_400)).await;
        assert!(next.is_admitted());
        assert_eq!(next.standings().first().expect("one").reset_after, Duration::from_secs(90_000));
        assert!(!decide(&*store, tenant(6), &[charge(b"k", second, 1)], later(176_399)).await.is_admitted());
    }

    /// A refusal takes nothing from any counter of the call, and tells what is left without it.
    a_refusal_takes_nothing: store => {
        let (wide, narrow) = (bucket(10, 10, 60), window(1, 60));
        let call = [charge(b"wide", wide, 1), charge(b"narrow", narrow, 1)];
        let first = decide(&*store, tenant(7), &call, NOON).await;
        assert_eq!((first.is_admitted(), remaining(&first)), (true, vec![9, 0]));
        for _ in 0..3 {
            let refused = decide(&*store, tenant(7), &call, NOON).await;
            assert!(!refused.is_admitted());
            assert_eq!((fits(&refused), remaining(&refused)), (vec![true, false], vec![9, 0]));
            let retries: Vec<_> = refused.standings().iter().map(|standing| standing.retry_after).collect();
            assert_eq!(retries, [None, Some(Duration::from_secs(60))]);
        }
        assert_eq!(left(&*store, tenant(7), b"wide", wide, NOON).await, 9);
    }

    /// Every counter that refuses says for how long.
    all_that_refuse_say_so: store => {
        let (fast, slow) = (bucket(1, 1, 1), window(1, 60));
        let call = [charge(b"fast", fast, 1), charge(b"slow", slow, 1)];
        decide(&*store, tenant(8), &call, NOON).await;
        let refused = decide(&*store, tenant(8), &call, NOON).await;
        let retries: Vec<_> = refused.standings().iter().map(|standing| standing.retry_after).collect();
        assert_eq!(retries, [Some(Duration::from_secs(1)), Some(Duration::from_secs(60))]);
    }

    /// A charge that only watches refuses nothing; it is taken when it fits and left out when it does not.
    what_only_watches_refuses_nothing: store => {
        let (watched, enforced) = (window(1, 60), window(3, 60));
        let call = [observe(b"watched", watched, 1), charge(b"enforced", enforced, 1)];
        let first = decide(&*store, tenant(9), &call, NOON).await;
        assert_eq!((first.is_admitted(), fits(&first), remaining(&first)), (true, vec![true, true], vec![0, 2]));
        let second = decide(&*store, tenant(9), &call, NOON).await;
        assert_eq!((second.is_admitted(), fits(&second), remaining(&second)), (true, vec![false, true], vec![0, 1]));
        decide(&*store, tenant(9), &[charge(b"enforced", enforced, 1)], NOON).await;
        let fresh = [observe(b"other", watched, 1), charge(b"enforced", enforced, 1)];
        assert!(!decide(&*store, tenant(9), &fresh, NOON).await.is_admitted());
        assert_eq!(left(&*store, tenant(9), b"other", watched, NOON).await, 1, "a refusal takes nothing here either");
    }

    /// What costs more than a full counter has never fits, and nobody is told to wait for it.
    what_never_fits_has_no_time_to_retry: store => {
        for (key, limit) in both(3) {
            let refused = decide(&*store, tenant(10), &[charge(key, limit, 4)], NOON).await;
            assert!(!refused.is_admitted());
            assert_eq!(refused.standings().first().expect("one").retry_after, None);
            assert!(!decide(&*store, tenant(10), &[charge(key, limit, u64::MAX)], NOON).await.is_admitted());
            assert_eq!(left(&*store, tenant(10), key, limit, NOON).await, 3);
        }
    }

    /// A look takes nothing and answers as a decision would.
    a_look_takes_nothing: store => {
        for (key, limit) in both(3) {
            for _ in 0..5 {
                let look = store.peek(tenant(11), &[charge(key, limit, 3)], Some(NOON)).await.expect("peeks");
                assert!(look.is_admitted());
                assert_eq!(remaining(&look), [3]);
            }
            decide(&*store, tenant(11), &[charge(key, limit, 2)], NOON).await;
            let look = store.peek(tenant(11), &[charge(key, limit, 2)], Some(NOON)).await.expect("peeks");
            assert_eq!((look.is_admitted(), fits(&look), remaining(&look)), (false, vec![false], vec![1]));
        }
    }

    /// A counter that was reset is new; others are as they were, and resetting what is not there does nothing.
    a_reset_counter_is_new: store => {
        let limit = window(3, 60);
        decide(&*store, tenant(12), &[charge(b"a", limit, 3), charge(b"b", limit, 2)], NOON).await;
        store.reset(tenant(12), b"a").await.expect("resets");
        store.reset(tenant(12), b"never used").await.expect("resets");
        store.reset(tenant(13), b"b").await.expect("resets");
        assert_eq!(left(&*store, tenant(12), b"a", limit, NOON).await, 3);
        assert_eq!(left(&*store, tenant(12), b"b", limit, NOON).await, 1);
    }

    /// Slots do not see each other's counters.
    slots_are_apart: store => {
        let limit = window(1, 60);
        for slot in [Slot::Edge, Slot::Platform, tenant(14), tenant(15)] {
            assert!(decide(&*store, slot, &[charge(b"k", limit, 1)], NOON).await.is_admitted(), "{slot}");
        }
        for slot in [Slot::Edge, Slot::Platform, tenant(14), tenant(15)] {
            assert!(!decide(&*store, slot, &[charge(b"k", limit, 1)], NOON).await.is_admitted(), "{slot}");
        }
    }

    /// Keys are any bytes, of any length up to 1 KiB, and each is a counter of its own.
    keys_are_exact: store => {
        let limit = window(1, 60);
        let keys: Vec<Vec<u8>> = [0, 1, 20, 21, 22, 37, 38, 39, 64, 255, 256, 1023, 1024]
            .into_iter()
            .flat_map(|length| [vec![0; length], vec![b'k'; length], [vec![b'k'; length], vec![0]].concat()])
            .chain([b"a:b".to_vec(), b"a".to_vec(), b"{a}".to_vec(), b"a\n".to_vec(), vec![0xff, 0xfe], "ä".into()])
            .filter(|key| key.len() <= 1024)
            .collect();
        let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
        for key in &distinct {
            assert!(decide(&*store, tenant(16), &[charge(key, limit, 1)], NOON).await.is_admitted(), "{key:?}");
        }
        for key in &distinct {
            assert!(!decide(&*store, tenant(16), &[charge(key, limit, 1)], NOON).await.is_admitted(), "{key:?}");
        }
    }

    /// A clock that goes backwards gives nothing back.
    a_clock_that_goes_backwards_gives_nothing_back: store => {
        for (key, limit) in both(3) {
            decide(&*store, tenant(17), &[charge(key, limit, 3)], later(600)).await;
            for seconds in [599, 500, 0, 600] {
                let refused = decide(&*store, tenant(17), &[charge(key, limit, 1)], later(seconds)).await;
                assert!(!refused.is_admitted(), "{seconds}");
                let wait = refused.standings().first().expect("one").retry_after.expect("a time");
                assert!(wait >= Duration::from_secs(600 - seconds), "{seconds}: {wait:?}");
            }
        }
    }

    /// A changed limit keeps what is used, and is in force at once.
    a_changed_limit_keeps_what_is_used: store => {
        for (before, after, expected) in [
            (bucket(10, 10, 60), bucket(20, 20, 60), 12),
            (bucket(10, 10, 60), bucket(5, 5, 60), 0),
            // Slow to fast: eight tokens are in use, not the eight days that they would have taken to come back.
            (bucket(10, 1, 86_400), bucket(100, 100, 1), 92),
            (window(10, 60), window(20, 60), 12),
            (window(10, 60), window(5, 60), 0),
        ] {
            store.reset(tenant(18), b"k").await.expect("resets");
            decide(&*store, tenant(18), &[charge(b"k", before, 8)], NOON).await;
            assert_eq!(left(&*store, tenant(18), b"k", after, NOON).await, expected, "{before:?} {after:?}");
        }
    }

    /// A counter that was used long ago is new.
    what_was_used_long_ago_is_new: store => {
        for (key, limit) in both(3) {
            decide(&*store, tenant(19), &[charge(key, limit, 3)], NOON).await;
            let outcome = decide(&*store, tenant(19), &[charge(key, limit, 3)], later(60)).await;
            assert!(outcome.is_admitted());
        }
    }

    /// Without a time the store decides by its own clock.
    without_a_time_the_store_has_its_own: store => {
        // A token a year: none comes back while this runs.
        let limit = bucket(5, 1, 31_536_000);
        for _ in 0..5 {
            assert!(decide(&*store, tenant(20), &[charge(b"k", limit, 1)], None).await.is_admitted());
        }
        let refused = decide(&*store, tenant(20), &[charge(b"k", limit, 1)], None).await;
        assert!(!refused.is_admitted());
        let wait = refused.standings().first().expect("one").retry_after.expect("a time");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(31_536_000), "{wait:?}");
        let look = store.peek(tenant(20), &[charge(b"k", limit, 1)], None).await.expect("peeks");
        assert!(!look.is_admitted());
    }

    /// Four threads and 1,200 calls on a limit of 1,000 admit exactly 1,000.
    a_race_admits_exactly_the_limit: store => {
        for limit in [bucket(1_000, 1, 86_400), window(1_000, 86_400)] {
            store.reset(tenant(21), b"k").await.expect("resets");
let mut calls = JoinSet::new();
            for _ in 0..1_200 {
                let store = Arc::clone(&store);
                calls.spawn(async move {
                    ask(&*store, tenant(21), &[charge(b"k", limit, 1)], NOON).await.is_admitted()
                });
            }
            let admitted = calls.join_all().await.into_iter().filter(|admitted| *admitted).count();
            assert_eq!(admitted, 1_000, "{limit:?}");
        }
    }

    /// Two limits in one call, asked in either order by four threads: the lower one admits, and the higher is charged no more.
    a_race_over_two_counters_is_all_or_nothing: store => {
        let (high, low) = (bucket(1_000, 1, 86_400), window(700, 86_400));
        let mut calls = JoinSet::new();
        for number in 0..1_200 {
            let store = Arc::clone(&store);
            calls.spawn(async move {
                let mut call = [charge(b"high", high, 1), charge(b"low", low, 1)];
                if number % 2 == 0 {
                    call.reverse();
                }
                ask(&*store, tenant(22), &call, NOON).await.is_admitted()
            });
        }
        let admitted = calls.join_all().await.into_iter().filter(|admitted| *admitted).count();
        assert_eq!(admitted, 700);
        assert_eq!(left(&*store, tenant(22), b"high", high, NOON).await, 300);
        assert_eq!(left(&*store, tenant(22), b"low", low, NOON).await, 0);
    }

    /// Nobody sees one counter of a call charged and the other not.
    a_call_is_never_seen_in_part: store => {
        let limit = window(10_000, 86_400);
        let mut tasks = JoinSet::new();
        for number in 0..250 {
            let writing = Arc::clone(&store);
            let write = async move {
                for _ in 0..5 {
                    ask(&*writing, tenant(23), &[charge(b"a", limit, 1), charge(b"b", limit, 1)], NOON).await;
                }
            };
            let store = Arc::clone(&store);
            let read = async move {
                for _ in 0..10 {
                    let call = [charge(b"b", limit, 0), charge(b"a", limit, 0)];
                    let look = store.peek(tenant(23), &call, Some(NOON)).await.expect("peeks");
                    assert!(remaining(&look).windows(2).all(|pair| pair.first() == pair.last()), "{look:?}");
                }
            };
            if number % 5 == 0 { tasks.spawn(read) } else { tasks.spawn(write) };
        }
        tasks.join_all().await;
        assert_eq!(left(&*store, tenant(23), b"a", limit, NOON).await, 9_000);
    }

    /// Random calls answer as the pure functions do, to the microsecond.
    random_calls_answer_like_the_pure_functions: store => {
        for seed in 0..20 {
            Model::new(seed).run(&*store, 150).await;
        }
    }
}

/// What a store ought to hold, kept in the plainest way.
struct Model {
    random: SeededRandom,
    seed: u64,
    now: Timestamp,
    states: HashMap<(Slot, usize), State>,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self { random: SeededRandom::new(seed), seed, now: NOON, states: HashMap::new() }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    async fn run(&mut self, store: &dyn CounterStore, steps: usize) {
        let limits = [bucket(4, 3, 1), bucket(20, 7, 60), window(3, 1), window(25, 60), bucket(2, 2, 7)];
        let slots = [tenant(100 + 2 * self.seed), tenant(101 + 2 * self.seed)];
        for step in 0..steps {
            self.now = self.now.plus(Duration::from_micros(self.below(700_000)));
            let slot = *slots.get(usize::from(self.below(2) == 1)).expect("two slots");
            let mut order: Vec<usize> = (0..limits.len()).collect();
            order.sort_by_cached_key(|_| self.random.next_u64());
            order.truncate(usize::from(self.below(2) == 0) + usize::from(self.below(2) == 0) + 1);
            let keys: Vec<Vec<u8>> = order.iter().map(|key| format!("key-{key}").into_bytes()).collect();
            let charges: Vec<Charge<'_>> = order
                .iter()
                .zip(&keys)
                .map(|(number, key)| {
                    let limit = *limits.get(*number).expect("a limit");
                    let mode = if self.below(4) == 0 { Mode::Observe } else { Mode::Enforce };
                    Charge { mode, ..charge(key, limit, self.below(4)) }
                })
                .collect();
            let context = format!("seed {}, step {step}: {charges:?}", self.seed);
            match self.below(10) {
                0 => {
                    let (number, key) = order.iter().zip(&keys).next().expect("a key");
                    store.reset(slot, key).await.expect("resets");
                    self.states.remove(&(slot, *number));
                }
                1 => {
                    let look = store.peek(slot, &charges, Some(self.now)).await.expect("peeks");
                    assert_eq!(look, self.expect(slot, &order, &charges, false), "{context}");
                }
                2 => {
                    let outcome = decide(store, slot, &charges, self.now).await;
                    assert_eq!(outcome, self.expect(slot, &order, &charges, true), "{context}");
                }
                _ => {
                    let outcome = ask(store, slot, &charges, self.now).await;
                    assert_eq!(outcome, self.expect(slot, &order, &charges, true), "{context}");
                }
            }
        }
    }

    fn expect(&mut self, slot: Slot, keys: &[usize], charges: &[Charge<'_>], take: bool) -> Outcome {
        let charged: Vec<_> = keys
            .iter()
            .zip(charges)
            .map(|(key, charge)| {
                charge.limit.charge(self.states.get(&(slot, *key)).copied(), self.now, charge.cost)
            })
            .collect();
        let refuses = |((_, standing), charge): (&(State, crate::Standing), &Charge<'_>)| {
            charge.mode == Mode::Enforce && !standing.fits
        };
        let admitted = !charged.iter().zip(charges).any(refuses);
        let standings: Vec<_> = keys
            .iter()
            .zip(charges)
            .zip(charged)
            .map(|((key, charge), (after, standing))| {
                if !standing.fits {
                    return standing;
                }
                if admitted && take {
                    self.states.insert((slot, *key), after);
                    return standing;
                }
                charge.limit.charge(self.states.get(&(slot, *key)).copied(), self.now, 0).1
            })
            .collect();
        Outcome::new(admitted, standings)
    }
}
