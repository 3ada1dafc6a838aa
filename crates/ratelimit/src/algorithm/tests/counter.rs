//! A counter as a store keeps it, and traffic for it.

use std::num::NonZeroU64;
use std::time::Duration;

use proptest::prelude::*;
use stanchion_calendar::{Window, Zone};
use stanchion_core::Timestamp;

use crate::CallId;
use crate::algorithm::{Adjustment, Edges, Entries, Entry, Frame, Level, Limit, Standing, State};

/// A limit as a rule states it: windows of the calendar are looked up for each decision.
#[derive(Clone, Copy, Debug)]
pub(in crate::algorithm) enum Stated {
    Steady(Limit),
    Calendar { limit: fn(u64, Frame) -> Option<Limit>, capacity: u64, window: Window, zone: Zone },
}

/// A counter as a store keeps it.
#[derive(Clone, Debug)]
pub(in crate::algorithm) struct Counter {
    pub(in crate::algorithm) stated: Stated,
    pub(in crate::algorithm) state: Option<State>,
    pub(in crate::algorithm) entries: Entries,
    pub(in crate::algorithm) calls: u128,
}

impl Stated {
    pub(in crate::algorithm) fn limit(&self, now: Timestamp) -> Limit {
        match *self {
            Self::Steady(limit) => limit,
            Self::Calendar { limit, capacity, window, zone } => {
                limit(capacity, Frame::Calendar(Edges::around(window, now, zone))).unwrap()
            }
        }
    }

    /// About how long its windows are.
    pub(super) fn length(&self) -> Duration {
        match *self {
            Self::Steady(Limit::Level(level)) => Duration::from_secs(level.window_seconds().into()),
            Self::Steady(Limit::Entries(limit)) => limit.lasts(),
            Self::Steady(Limit::FixedWindow(window)) => frame_length(window.frame()),
            Self::Steady(Limit::SlidingWindow(window)) => frame_length(window.frame()),
            Self::Calendar { window, zone, .. } => window.bounds(NOON, zone).length(),
        }
    }

    /// The most that is admitted at once, late or not.
    pub(super) fn most(&self) -> u64 {
        match *self {
            Self::Steady(Limit::Level(level)) => level.capacity() + level.late() / Level::UNIT,
            _ => self.limit(NOON).capacity(),
        }
    }
}

fn frame_length(frame: Frame) -> Duration {
    let Frame::Every(length) = frame else { panic!("windows of the calendar are not steady") };
    Duration::from_micros(length.get())
}

impl Counter {
    pub(in crate::algorithm) fn new(stated: Stated) -> Self {
        Self { stated, state: None, entries: Entries::new(), calls: 0 }
    }

    pub(in crate::algorithm) fn of(limit: Limit) -> Self {
        Self::new(Stated::Steady(limit))
    }

    /// How it would stand, without being charged.
    pub(in crate::algorithm) fn look(&self, now: Timestamp, cost: u64) -> Standing {
        match self.stated.limit(now) {
            Limit::Entries(limit) => limit.standing(&self.entries.in_use(&limit, now, cost), now, cost),
            limit => limit.charge(self.state, now, cost).1,
        }
    }

    /// Charges it if that fits.
    pub(in crate::algorithm) fn charge(&mut self, now: Timestamp, cost: u64) -> Standing {
        let standing = self.look(now, cost);
        self.calls += 1;
        if standing.fits {
            let limit = self.stated.limit(now);
            if let Limit::Entries(entries) = limit {
                self.entries.prune(now);
                self.entries.add(Entry {
                    until: entries.until(now),
                    id: CallId::new(self.calls),
                    amount: cost,
                });
            } else {
                self.state = Some(limit.charge(self.state, now, cost).0);
            }
        }
        standing
    }

    /// Corrects what the `call`th charge has taken at `charged`.
    pub(in crate::algorithm) fn settle(
        &mut self,
        call: u128,
        charged: Timestamp,
        now: Timestamp,
        adjustment: Adjustment,
    ) {
        let limit = self.stated.limit(now);
        if let Limit::Entries(entries) = limit {
            self.entries.prune(now);
            self.entries.settle(CallId::new(call), entries.until(now), adjustment);
        } else {
            self.state = limit.settle(self.state, now, charged, adjustment);
        }
    }

    /// Takes so much whether it fits or not, as a call of its own.
    pub(super) fn force(&mut self, now: Timestamp, units: u64) {
        self.calls += 1;
        self.settle(self.calls, now, now, Adjustment::Add(units));
    }
}

/// 2026-03-28T12:00:00Z: the clocks of Europe change the night after.
pub(in crate::algorithm) const NOON: Timestamp = Timestamp::from_micros(1_774_699_200_000_000);

pub(in crate::algorithm) fn every(micros: u64) -> Frame {
    Frame::Every(NonZeroU64::new(micros).unwrap())
}

fn zone() -> impl Strategy<Value = Zone> {
    let names = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe"];
    prop::sample::select(names.to_vec()).prop_map(|name| name.parse().unwrap())
}

fn calendar() -> impl Strategy<Value = Stated> {
    let windows = ["1s", "3m", "1h", "1d", "7d", "1mo", "3mo"];
    let window = prop::sample::select(windows.to_vec()).prop_map(|text| text.parse().unwrap());
    (1_u64..30, window, zone(), any::<bool>()).prop_map(|(capacity, window, zone, slides)| Stated::Calendar {
        limit: if slides { Limit::sliding_window } else { Limit::fixed_window },
        capacity,
        window,
        zone,
    })
}

/// Every algorithm, with small numbers that come into each other's way.
pub(super) fn stated() -> impl Strategy<Value = Stated> {
    let numbers = || (1_u64..30, 1_u64..30, 1_u64..100);
    let steady = prop_oneof![
        numbers().prop_map(|(capacity, refill, window)| Limit::token_bucket(capacity, refill, window)),
        numbers().prop_map(|(limit, burst, window)| Limit::gcra(limit, burst, window)),
        numbers().prop_map(|(capacity, leak, window)| Limit::leaky_bucket(capacity, leak, window)),
        numbers().prop_map(|(length, leak, window)| Limit::leaky_queue(length, leak, window)),
        (numbers(), 0_u64..9_000_000).prop_map(|((capacity, refill, window), micros)| {
            let delayed =
                Level::new(capacity, refill, window).unwrap().with_delay(Duration::from_micros(micros));
            Some(Limit::Level(delayed))
        }),
        (1_u64..30, 1_u64..9_000_000)
            .prop_map(|(capacity, micros)| Limit::fixed_window(capacity, every(micros))),
        (1_u64..30, 1_u64..9)
            .prop_map(|(capacity, seconds)| { Limit::sliding_window(capacity, every(seconds * 1_000_000)) }),
        (1_u64..30, 1_u64..9_000_000)
            .prop_map(|(capacity, micros)| Limit::sliding_log(capacity, Duration::from_micros(micros))),
        (1_u64..30, 1_u64..9_000_000)
            .prop_map(|(capacity, micros)| Limit::concurrency(capacity, Duration::from_micros(micros))),
    ];
    prop_oneof![3 => steady.prop_map(|limit| Stated::Steady(limit.unwrap())), 1 => calendar()]
}

/// How long to wait, in thousandths of a window and in microseconds, and what to ask then.
pub(super) type Step = (u64, u64, u64);

pub(super) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![4 => 0_u64..200, 2 => 200_u64..1_200, 1 => 1_200_u64..3_000, 1 => Just(0)];
    prop::collection::vec((wait, 0_u64..3, 0_u64..12), 1..most)
}

pub(super) fn after(now: Timestamp, stated: &Stated, (thousandths, micros, _): Step) -> Timestamp {
    let part = u64::try_from(stated.length().as_micros()).unwrap() / 1_000 * thousandths;
    now.plus(Duration::from_micros(part + micros))
}

/// A counter after random traffic, and the time that has come.
pub(super) fn used(stated: Stated, steps: &[Step]) -> (Counter, Timestamp) {
    let (mut counter, mut now) = (Counter::new(stated), NOON);
    for step in steps {
        now = after(now, &stated, *step);
        if step.2 == 11 {
            counter.force(now, 7);
        } else {
            counter.charge(now, step.2);
        }
    }
    (counter, now)
}

/// The most that was given within any stretch so long, its end not included.
pub(in crate::algorithm) fn most_within(taken: &[(Timestamp, u64)], length: Duration) -> u64 {
    let from = |(index, (start, _)): (usize, &(Timestamp, u64))| -> u64 {
        let within = taken.iter().skip(index).take_while(|(at, _)| at.since(*start) < length);
        within.map(|(_, cost)| cost).sum()
    };
    taken.iter().enumerate().map(from).max().unwrap_or(0)
}
