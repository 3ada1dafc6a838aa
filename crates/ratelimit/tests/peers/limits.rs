//! `limits` (PyPI): its fixed window, its moving window, which is our log, and its sliding window counter.
//!
//! `limits.json` is what release 5.8.0 decided under a clock that was moved by hand. `tests/peers/limits/trace.py` writes it, and tells
//! how to run it and what the traffic keeps away from.

use std::num::NonZeroU64;
use std::time::Duration;

use serde_json::Value;
use stanchion_core::Timestamp;
use stanchion_ratelimit::{CallId, Entries, Entry, EntryLimit, Frame, Limit, SlidingWindow, State};

/// What one limiter was asked.
struct Run {
    limit: u64,
    seconds: u64,
    events: Vec<Vec<Value>>,
}

fn runs(kind: &str) -> Vec<Run> {
    let traces: Value = serde_json::from_str(include_str!("limits.json")).unwrap();
    let run = |run: &Value| Run {
        limit: run["limit"].as_u64().unwrap(),
        seconds: run["seconds"].as_u64().unwrap(),
        events: serde_json::from_value(run["events"].clone()).unwrap(),
    };
    let runs: Vec<Run> = traces[kind].as_array().unwrap().iter().map(run).collect();
    assert!(runs.len() == 3 && runs.iter().all(|run| run.events.len() >= 250), "{kind}");
    runs
}

impl Run {
    fn frame(&self) -> Frame {
        Frame::Every(NonZeroU64::new(self.seconds * 1_000_000).unwrap())
    }
}

fn time(event: &[Value]) -> Timestamp {
    Timestamp::from_micros(event[0].as_i64().unwrap())
}

fn number(event: &[Value], at: usize) -> u64 {
    event[at].as_u64().unwrap()
}

fn admitted(event: &[Value]) -> bool {
    event.last().and_then(Value::as_bool).unwrap()
}

#[test]
fn fixed_windows_admit_the_same() {
    for run in runs("fixed_window") {
        let limit = Limit::fixed_window(run.limit, run.frame()).unwrap();
        let mut state = None;
        for event in &run.events {
            let (after, standing) = limit.charge(state, time(event), number(event, 1));
            assert_eq!(standing.fits, admitted(event), "{} in {} s: {event:?}", run.limit, run.seconds);
            state = if standing.fits { Some(after) } else { state };
        }
    }
}

#[test]
fn logs_admit_the_same() {
    for run in runs("moving_window") {
        let limit = EntryLimit::new(run.limit, Duration::from_secs(run.seconds)).unwrap();
        let mut entries = Entries::new();
        for (id, event) in (0_u128..).zip(&run.events) {
            let (now, cost) = (time(event), number(event, 1));
            let fits = limit.standing(&entries.in_use(&limit, now, cost), now, cost).fits;
            assert_eq!(fits, admitted(event), "{} in {} s: {event:?}", run.limit, run.seconds);
            if fits {
                entries.prune(now);
                entries.add(Entry { until: limit.until(now), id: CallId::new(id), amount: cost });
            }
        }
    }
}

/// An estimate of 5.6 is 5 there and 6 here. So where it is no whole number, they give as we do with a capacity of one more.
#[test]
fn sliding_windows_admit_the_same_but_for_the_way_in_which_they_round() {
    let mut rounded = 0;
    for run in runs("sliding_window") {
        let (length, mut state) = (run.seconds * 1_000_000, None);
        for event in &run.events {
            let (now, cost) = (time(event), number(event, 1));
            let (before, current) = (number(event, 2), number(event, 3));
            let start = now.micros().cast_unsigned() / length * length;
            let end = Timestamp::from_micros((start + length).cast_signed());
            let estimate = u128::from(before) * end.since(now).as_micros();
            let is_whole = estimate.is_multiple_of(length.into());
            rounded += u64::from(!is_whole);
            let capacity = run.limit + u64::from(!is_whole);
            let limit = SlidingWindow::new(capacity, run.frame()).map(Limit::SlidingWindow).unwrap();
            let theirs = State { at: end, used: SlidingWindow::used(before, current) };
            // What they have counted so far is what we make of their verdicts.
            let counted = limit.charge(state, now, 0).0;
            assert_eq!((counted.used, counted.at), (theirs.used, theirs.at), "{event:?}");
            let (after, standing) = limit.charge(state, now, cost);
            assert_eq!(standing.fits, admitted(event), "{} in {} s: {event:?}", run.limit, run.seconds);
            state = if standing.fits { Some(after) } else { state };
        }
    }
    assert!(rounded > 100, "{rounded}");
}
