//! The plainest way to keep what a store ought to hold: the states, by key.

use std::collections::HashMap;
use std::time::Duration;

use stanchion_core::{SeededRandom, Timestamp};
use stanchion_ratelimit::{
    Adjustment, CallId, Charge, Edges, Entries, Entry, Frame, Limit, Mode, Outcome, State,
};

use crate::every;

#[derive(Debug, Default)]
pub(crate) struct Model {
    cells: HashMap<Vec<u8>, State>,
    entries: HashMap<Vec<u8>, Entries>,
}

impl Model {
    /// Decides over charges that all can refuse.
    pub(crate) fn decide(&mut self, id: CallId, charges: &[Charge<'_>], now: Timestamp) -> Outcome {
        let admitted = charges.iter().all(|charge| self.look(charge, charge.cost, now).fits);
        let standing = |charge: &Charge<'_>| {
            let standing = self.look(charge, charge.cost, now);
            if standing.fits && !admitted { self.look(charge, 0, now) } else { standing }
        };
        let outcome = Outcome::new(admitted, now, charges.iter().map(standing).collect::<Vec<_>>());
        for charge in charges.iter().filter(|_| admitted) {
            let key = charge.key.to_vec();
            if let Limit::Entries(limit) = charge.limit {
                // What has ended may be let go of at any time, and is when something is added.
                if charge.cost == 0 {
                    continue;
                }
                let entries = self.entries.entry(key).or_default();
                entries.prune(now);
                entries.add(Entry { until: limit.until(now), id, amount: charge.cost });
            } else {
                let before = self.cells.get(&key).copied();
                let (after, _) = charge.limit.charge(before, now, charge.cost);
                if before.is_some() || after.used > 0 {
                    self.cells.insert(key, after);
                }
            }
        }
        outcome
    }

    pub(crate) fn settle(
        &mut self,
        (id, at): (CallId, Timestamp),
        (key, limit): (&[u8], Limit),
        adjustment: Adjustment,
        now: Timestamp,
    ) {
        if let Limit::Entries(limit) = limit {
            let entries = self.entries.entry(key.to_vec()).or_default();
            entries.prune(now);
            entries.settle(id, limit.until(now), adjustment);
        } else if let Some(after) = limit.settle(self.cells.get(key).copied(), now, at, adjustment) {
            self.cells.insert(key.to_vec(), after);
        }
    }

    fn look(&self, charge: &Charge<'_>, cost: u64, now: Timestamp) -> stanchion_ratelimit::Standing {
        if let Limit::Entries(limit) = charge.limit {
            let none = Entries::new();
            let entries = self.entries.get(charge.key).unwrap_or(&none);
            return limit.standing(&entries.in_use(&limit, now, cost), now, cost);
        }
        charge.limit.charge(self.cells.get(charge.key).copied(), now, cost).1
    }
}

/// Limits of every kind, with windows of so many milliseconds, or of whole seconds where there are no shorter ones; those of the
/// calendar lie between edges, in seconds from a time.
pub(crate) fn limits(window: Duration, around: Timestamp, edges: [i64; 4]) -> Vec<(&'static [u8], Limit)> {
    let seconds = window.as_secs().max(1);
    let per_window = |units: u64| units * seconds * 1_000 / u64::try_from(window.as_millis()).unwrap().max(1);
    let edge = |seconds: i64| Timestamp::from_micros((around.seconds() + seconds) * 1_000_000);
    let edges = Frame::Calendar(Edges::new(edges.map(edge)).unwrap());
    vec![
        (b"bucket", Limit::token_bucket(4, per_window(3), seconds).unwrap()),
        (b"spaced", Limit::gcra(per_window(5), 2, seconds).unwrap()),
        (b"queue", Limit::leaky_queue(3, per_window(2), seconds).unwrap()),
        (b"window", Limit::fixed_window(5, every(window)).unwrap()),
        (b"calendar", Limit::fixed_window(40, edges).unwrap()),
        (b"sliding", Limit::sliding_window(per_window(5), every(Duration::from_secs(seconds))).unwrap()),
        (b"sliding calendar", Limit::sliding_window(50, edges).unwrap()),
        (b"log", Limit::sliding_log(5, window).unwrap()),
        (b"lease", Limit::concurrency(3, window).unwrap()),
    ]
}

/// One to three of the limits, each with a cost of at most one unit.
pub(crate) fn charges<'k>(random: &SeededRandom, limits: &[(&'k [u8], Limit)]) -> Vec<Charge<'k>> {
    let mut order: Vec<usize> = (0..limits.len()).collect();
    order.sort_by_cached_key(|_| random.next_u64());
    order.truncate(usize::try_from(random.next_u64() % 3).unwrap() + 1);
    let charge = |number: usize| {
        let (key, limit) = limits[number];
        Charge {
            mode: Mode::Enforce,
            ..Charge::new(key, limit, u64::from(!random.next_u64().is_multiple_of(8)))
        }
    };
    order.into_iter().map(charge).collect()
}
