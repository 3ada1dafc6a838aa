//! Which events were made and are not in the ledger, by the numbers that their producers gave them.

use std::collections::BTreeMap;
use std::time::Duration;

use stanchion_core::{Detail, Event, ProducerNumber, Scope, Text, Timestamp};
use uuid::Uuid;

use crate::engine::yield_once;
use crate::rotation::OWN;
use crate::{Error, Prover, parse};

/// Numbers that are missing may still come for so long after a later one was recorded.
const GRACE: Duration = Duration::from_secs(60);
/// A run of which nothing was recorded for so long, not even that there was nothing, has ended.
const SILENCE: Duration = Duration::from_secs(900);
/// How many of its last numbers a crash may have taken with it: what may wait of one scope.
const LOSS: u64 = 16_384;
const PAGE: usize = 1_000;

/// What the ledger of a scope holds of one run of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerRun {
    /// The producer.
    pub producer: Text,
    /// Which run of it.
    pub boot: Uuid,
    /// Whether its events were reported: then the numbers are their reporter's word.
    pub reported: bool,
    /// How many of its events are recorded.
    pub events: u64,
    /// The greatest number among them. What came after it and was never recorded is not known of.
    pub last: u64,
    /// How the run ended.
    pub state: RunState,
    /// The numbers that are missing, in order.
    pub gaps: Vec<NumberGap>,
}

impl ProducerRun {
    /// Tells whether events are missing and nothing explains it.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.gaps.iter().any(|gap| gap.cause == GapCause::Suppressed)
    }
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It has recorded something lately and no end.
    Running,
    /// It has recorded its end, `audit.stopped`.
    Stopped,
    /// It has neither recorded its end nor anything else for a quarter of an hour.
    Crashed,
    /// It is no process that writes to the ledger itself, so nothing is known of its end.
    Unknown,
}

/// Numbers that no recorded event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberGap {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// What is known of them.
    pub cause: GapCause,
}

/// Why numbers are missing, as far as that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The producer declared that it has not recorded them, `audit.events_refused`: there was no room, or the event's id was another's.
    Refused,
    /// They may still come: a later number was recorded less than a minute ago.
    InFlight,
    /// They may have been dropped when their time was over.
    Dropped,
    /// They may have been lost when their producer crashed: it recorded no end, and they are among its last.
    Crashed,
    /// Nothing explains it. Somebody kept them from the ledger.
    Suppressed,
}

impl GapCause {
    /// Returns the name that reports use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::InFlight => "in_flight",
            Self::Dropped => "dropped",
            Self::Crashed => "crashed",
            Self::Suppressed => "suppressed",
        }
    }
}

impl RunState {
    /// Returns the name that reports use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
            Self::Unknown => "unknown",
        }
    }
}

/// Gathers the numbers of events as they are read, in any order.
#[derive(Clone, Debug, Default)]
pub struct ProducerNumbers {
    /// By whether its events were reported, producer and boot.
    runs: BTreeMap<(bool, Text, Uuid), Seen>,
    /// Up to when entries were dropped.
    dropped: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    events: u64,
    /// Numbers that are there, as ranges: the first, the last, and when those two were recorded.
    ranges: BTreeMap<u64, (u64, Timestamp, Timestamp)>,
    refused: Vec<(u64, u64)>,
}

/// What the platform's ledger tells of the runs of processes.
#[derive(Clone, Debug, Default)]
pub struct Runs(BTreeMap<Uuid, (Timestamp, bool)>);

impl Runs {
    /// Takes an event of the platform's security chain into account.
    pub fn add(&mut self, event: &Event, recorded_at: Timestamp) {
        let named = match event.details.get("boot") {
            Some(Detail::Text(text)) => text.as_str().parse().ok(),
            _ => None,
        };
        let stopped = event.action.as_str() == "audit.stopped";
        let boot = match event.action.as_str() {
            "audit.started" | "audit.stopped" => named,
            _ => event.producer.as_ref().map(ProducerNumber::boot).filter(|boot| self.0.contains_key(boot)),
        };
        if let Some(boot) = boot {
            let (seen, has_stopped) = self.0.entry(boot).or_insert((recorded_at, false));
            *seen = recorded_at.max(*seen);
            *has_stopped |= stopped;
        }
    }

    fn state(&self, boot: Uuid, now: Timestamp) -> RunState {
        match self.0.get(&boot) {
            None => RunState::Unknown,
            Some((_, true)) => RunState::Stopped,
            Some((seen, false)) if now < seen.plus(SILENCE) => RunState::Running,
            Some(_) => RunState::Crashed,
        }
    }
}

impl ProducerNumbers {
    /// Takes an entry into account.
    pub fn add(&mut self, event: &Event, recorded_at: Timestamp) {
        if event.action.as_str() == "audit.events_refused" && !event.reported {
            self.refuse(event);
        }
        let Some(number) = &event.producer else { return };
        // What is reported may name any producer, and must not stand for what that one has made.
        let seen = self.runs.entry((event.reported, number.producer().clone(), number.boot())).or_default();
        seen.add(number.number(), recorded_at);
    }

    /// Tells that entries recorded until then may be gone.
    pub fn dropped_until(&mut self, recorded_at: Timestamp) {
        self.dropped = self.dropped.max(Some(recorded_at));
    }

    fn refuse(&mut self, event: &Event) {
        let (Some(number), Some(Detail::Text(ranges))) = (&event.producer, event.details.get("ranges"))
        else {
            return;
        };
        let run = self.runs.entry((false, number.producer().clone(), number.boot())).or_default();
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        run.refused.extend(ranges.as_str().split(',').filter_map(range));
    }

    /// Tells what is missing of each run.
    #[must_use]
    pub fn report(self, runs: &Runs, now: Timestamp) -> Vec<ProducerRun> {
        let dropped = self.dropped;
        let run = |((reported, producer, boot), seen): ((bool, Text, Uuid), Seen)| {
            let state = if reported { RunState::Unknown } else { runs.state(boot, now) };
            let last = seen.ranges.last_key_value().map_or(0, |(_, (last, ..))| *last);
            let gaps = seen.gaps(state, dropped, now);
            ProducerRun { producer, boot, reported, events: seen.events, last, state, gaps }
        };
        self.runs.into_iter().map(run).collect()
    }
}

impl Seen {
    fn add(&mut self, number: u64, at: Timestamp) {
        let before = self.ranges.range(..=number).next_back().map(|(first, range)| (*first, *range));
        if before.is_some_and(|(_, (last, ..))| last >= number) {
            return;
        }
        self.events += 1;
        let after = self.ranges.remove(&(number + 1));
        let (last, last_at) = after.map_or((number, at), |(last, _, last_at)| (last, last_at));
        match before {
            Some((first, (end, first_at, _))) if end + 1 == number => {
                self.ranges.insert(first, (last, first_at, last_at));
            }
            _ => {
                self.ranges.insert(number, (last, at, last_at));
            }
        }
    }

    fn gaps(&self, state: RunState, dropped: Option<Timestamp>, now: Timestamp) -> Vec<NumberGap> {
        let newest = self.ranges.last_key_value().map_or(0, |(_, (last, ..))| *last);
        let mut gaps = Vec::new();
        let (mut next, mut before) = (1, Timestamp::MIN);
        for (first, (last, first_at, last_at)) in &self.ranges {
            if next < *first {
                let unexplained = if dropped.is_some_and(|dropped| before <= dropped) {
                    GapCause::Dropped
                } else if now < first_at.plus(GRACE) {
                    GapCause::InFlight
                } else if matches!(state, RunState::Crashed | RunState::Unknown) && newest - next < LOSS {
                    GapCause::Crashed
                } else {
                    GapCause::Suppressed
                };
                self.split(next, *first - 1, unexplained, &mut gaps);
            }
            (next, before) = (*last + 1, *last_at);
        }
        gaps
    }

    /// Lists the parts of a gap: those that were declared, and the rest.
    fn split(&self, first: u64, last: u64, rest: GapCause, gaps: &mut Vec<NumberGap>) {
        let mut declared: Vec<(u64, u64)> = self.refused.clone();
        declared.retain(|(from, to)| from <= to && *to >= first && *from <= last);
        declared.sort_unstable();
        let mut next = first;
        for (from, to) in declared {
            let (from, to) = (from.max(next), to.min(last));
            if from > to {
                continue;
            }
            if next < from {
                gaps.push(NumberGap { first: next, last: from - 1, cause: rest });
            }
            gaps.push(NumberGap { first: from, last: to, cause: GapCause::Refused });
            next = to + 1;
        }
        if next <= last {
            gaps.push(NumberGap { first: next, last, cause: rest });
        }
    }
}

impl Prover {
    /// Tells, by the numbers that producers gave to the events of a scope, which events were made and are not in its ledger, and why as
    /// far as that can be told. Reads the whole ledger of the scope, and of how runs ended the platform's.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn producers(&self, scope: Scope) -> Result<Vec<ProducerRun>, Error> {
        let shared = self.ledger.shared();
        let now = shared.clock.now();
        let (mut numbers, mut runs) = (ProducerNumbers::default(), Runs::default());
        for chain in shared.store.chains(scope).await? {
            if chain.base.seq > 0 {
                numbers.dropped_until(chain.base.recorded_at);
            }
            self.each(chain.id, |event, at| numbers.add(event, at)).await?;
        }
        self.each(OWN, |event, at| runs.add(event, at)).await?;
        Ok(numbers.report(&runs, now))
    }

    async fn each(
        &self,
        chain: crate::ChainId,
        mut see: impl FnMut(&Event, Timestamp) + Send,
    ) -> Result<(), Error> {
        let mut next = 1;
        loop {
            let rows = self.ledger.shared().store.read(chain, next, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            next = last.seq.saturating_add(1);
            // What cannot be read verification tells of.
            rows.iter().for_each(|row| {
                if let Ok(event) = parse(&row.content.canonical) {
                    see(&event, row.recorded_at);
                }
            });
            yield_once().await;
        }
    }
}
