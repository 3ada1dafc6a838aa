//! A store against the plainest way to keep what it ought to hold.

use std::collections::HashMap;
use std::time::Duration;

use stanchion_core::{SeededRandom, Timestamp};

use super::questions::{NOON, ask, bucket, charge, every, known, log, settle, sliding, tenant, window};
use crate::{
    Adjustment, Call, CallId, Charge, CounterStore, Edges, Entries, Entry, Frame, Limit, Mode, Outcome,
    Settled, Settlement, Slot, Standing, State,
};

pub(super) struct Model {
    random: SeededRandom,
    seed: u64,
    now: Timestamp,
    cells: HashMap<(Slot, Vec<u8>), State>,
    entries: HashMap<(Slot, Vec<u8>), Entries>,
    /// The calls that were admitted, with their ends if they had a hold.
    taken: Vec<Taken>,
}

struct Taken {
    slot: Slot,
    call: Settled,
    held_until: Option<Timestamp>,
    charges: Vec<(Vec<u8>, Limit, u64)>,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        let (cells, entries, taken) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { random: SeededRandom::new(seed), seed, now: NOON, cells, entries, taken }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    fn limits() -> Vec<(&'static [u8], Limit)> {
        let edge = |seconds| NOON.plus(Duration::from_secs(seconds));
        let uneven = Edges::new([edge(0), edge(20), edge(43), edge(66)]).expect("edges");
        vec![
            (b"bucket a second", bucket(4, 3, 1)),
            (b"bucket a minute", bucket(20, 7, 60)),
            (b"seven seconds", bucket(2, 2, 7)),
            (b"spaced", Limit::gcra(30, 3, 60).expect("a limit")),
            (b"queue", Limit::leaky_queue(5, 3, 2).expect("a queue")),
            (b"window a second", window(3, 1)),
            (b"window a minute", window(25, 60)),
            (b"calendar", Limit::fixed_window(12, Frame::Calendar(uneven)).expect("a window")),
            (b"sliding", sliding(9, 5)),
            (b"sliding calendar", Limit::sliding_window(11, Frame::Calendar(uneven)).expect("a window")),
            (b"sliding a second", Limit::sliding_window(3, every(1)).expect("a window")),
            (b"log", log(6, 4)),
            (b"lease", Limit::concurrency(4, Duration::from_secs(6)).expect("leases")),
        ]
    }

    pub(super) async fn run(&mut self, store: &dyn CounterStore, steps: u64) {
        let limits = known(store, Self::limits());
        let slots = [tenant(100 + 2 * self.seed), tenant(101 + 2 * self.seed)];
        for step in 0..steps {
            self.now = self.now.plus(Duration::from_micros(self.below(700_000)));
            let slot = *slots.get(usize::from(self.below(2) == 1)).expect("two slots");
            let mut order: Vec<usize> = (0..limits.len()).collect();
            order.sort_by_cached_key(|_| self.random.next_u64());
            order.truncate(usize::from(self.below(2) == 0) + usize::from(self.below(2) == 0) + 1);
            let chosen = order.iter().map(|number| *limits.get(*number).expect("a limit"));
            let charges: Vec<Charge<'_>> = chosen
                .map(|(key, limit)| Charge {
                    mode: if self.below(4) == 0 { Mode::Observe } else { Mode::Enforce },
                    charge_denied: self.below(5) == 0,
                    ..charge(key, limit, self.below(4))
                })
                .collect();
            let hold = (self.below(3) == 0).then(|| Duration::from_millis(self.below(5_000) + 1));
            let id = CallId::new((u128::from(self.seed) << 64) | (u128::from(step) + 1));
            let call = Call { charges: &charges, id, hold, now: Some(self.now) };
            let context = format!("seed {}, step {step}, {slot}: {call:?}", self.seed);
            match self.below(12) {
                0 => {
                    let key = charges.first().expect("a charge").key;
                    store.reset(slot, key).await.expect("resets");
                    self.cells.remove(&(slot, key.to_vec()));
                    self.entries.remove(&(slot, key.to_vec()));
                }
                1 => {
                    let look = store.peek(slot, &call).await.expect("peeks");
                    assert_eq!(look, self.expect(slot, &call, false), "{context}");
                }
                2 | 3 => self.settle(store, &context).await,
                4 => {
                    let outcome = store.decide(slot, &call).await.expect("decides");
                    assert_eq!(outcome, self.expect(slot, &call, true), "{context}");
                }
                _ => {
                    let outcome = ask(store, slot, &call).await;
                    assert_eq!(outcome, self.expect(slot, &call, true), "{context}");
                }
            }
        }
    }

    /// Corrects one of the calls so far, or one that never was.
    async fn settle(&mut self, store: &dyn CounterStore, context: &str) {
        let count = u64::try_from(self.taken.len()).expect("a number");
        let Some(at) = self.below(count + 1).checked_sub(1).and_then(|at| usize::try_from(at).ok()) else {
            let never = Settled { id: CallId::new(7), at: self.now, hold: true };
            assert!(!settle(store, tenant(1), never, &[], self.now).await, "{context}");
            return;
        };
        let taken = self.taken.get(at).expect("a call");
        let (slot, call) = (taken.slot, taken.call);
        let corrections: Vec<(Vec<u8>, Limit, Adjustment)> = taken
            .charges
            .iter()
            .map(|(key, limit, cost)| {
                let adjustment = match self.below(3) {
                    0 => Adjustment::Add(self.below(4)),
                    _ => Adjustment::Return(self.below(cost + 1)),
                };
                (key.clone(), *limit, adjustment)
            })
            .collect();
        let settlements: Vec<Settlement<'_>> = corrections
            .iter()
            .map(|(key, limit, adjustment)| Settlement { key, limit: *limit, adjustment: *adjustment })
            .collect();
        let expected = !call.hold || taken.held_until.is_some_and(|until| until > self.now);
        if call.hold {
            self.taken.remove(at);
        }
        let done = settle(store, slot, call, &settlements, self.now).await;
        assert_eq!(done, expected, "{context}: {call:?}");
        if !done {
            return;
        }
        for (key, limit, adjustment) in corrections {
            let name = (slot, key);
            if let Limit::Entries(limit) = limit {
                let entries = self.entries.entry(name).or_default();
                entries.prune(self.now);
                entries.settle(call.id, limit.until(self.now), adjustment);
            } else if let Some(after) =
                limit.settle(self.cells.get(&name).copied(), self.now, call.at, adjustment)
            {
                self.cells.insert(name, after);
            }
        }
    }

    fn standing(&self, slot: Slot, charge: &Charge<'_>, cost: u64) -> (Option<State>, Standing) {
        let name = (slot, charge.key.to_vec());
        if let Limit::Entries(limit) = charge.limit {
            let entries = self.entries.get(&name).cloned().unwrap_or_default();
            return (None, limit.standing(&entries.in_use(&limit, self.now, cost), self.now, cost));
        }
        let (after, standing) = charge.limit.charge(self.cells.get(&name).copied(), self.now, cost);
        (Some(after), standing)
    }

    fn expect(&mut self, slot: Slot, call: &Call<'_>, take: bool) -> Outcome {
        let charged: Vec<_> =
            call.charges.iter().map(|charge| self.standing(slot, charge, charge.cost)).collect();
        let refuses = |((_, standing), charge): (&(Option<State>, Standing), &Charge<'_>)| {
            charge.mode == Mode::Enforce && !standing.fits
        };
        let admitted = !charged.iter().zip(call.charges).any(refuses);
        let mut standings = Vec::new();
        for (charge, (after, standing)) in call.charges.iter().zip(charged) {
            let taken = take && standing.fits && (admitted || charge.charge_denied);
            let told = take && (admitted || charge.charge_denied) || !standing.fits;
            standings.push(if told || (admitted && !take && !standing.fits) {
                standing
            } else {
                self.standing(slot, charge, 0).1
            });
            if taken {
                let name = (slot, charge.key.to_vec());
                match (charge.limit, after) {
                    (Limit::Entries(limit), _) => {
                        let until = limit.until(self.now);
                        let entries = self.entries.entry(name).or_default();
                        entries.prune(self.now);
                        entries.add(Entry { until, id: call.id, amount: charge.cost });
                    }
                    (_, Some(after)) => {
                        self.cells.insert(name, after);
                    }
                    (_, None) => {}
                }
            }
        }
        if admitted && take {
            let settled = Settled { id: call.id, at: self.now, hold: call.hold.is_some() };
            let charges =
                call.charges.iter().map(|charge| (charge.key.to_vec(), charge.limit, charge.cost)).collect();
            let held_until = call.hold.map(|lasts| self.now.plus(lasts));
            self.taken.push(Taken { slot, call: settled, held_until, charges });
        }
        Outcome::new(admitted, self.now, standings)
    }
}
