use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Actor, Category, Event, Outcome, Scope, Severity};

use super::Sequencer;
use super::pending::{Answer, Pending};
use crate::draft::content_of;
use crate::engine::{Reply, count};
use crate::numbers::Unused;
use crate::{ChainId, Head, parse};

/// The largest refused event that is kept whole in the record of its refusal, as text within JSON it may double.
const MAX_QUOTED: usize = 16_384;

impl Sequencer {
    /// Records which numbers were given to events that are not recorded, at most once a second for each scope.
    pub(super) fn declared(&mut self) -> Vec<Pending> {
        let is_due = self.shared.clock.now() >= self.declared_at.plus(Duration::from_secs(1));
        if is_due { self.declare() } else { Vec::new() }
    }

    /// Records the same at the end, however long ago the last ones were.
    pub(super) fn declare_last(&mut self) {
        self.pending = self.declare();
    }

    fn declare(&mut self) -> Vec<Pending> {
        /// So many ranges of one event.
        const RANGES: usize = 500;
        let Some(numbers) = self.shared.numbers.get().filter(|numbers| numbers.has_unused()) else {
            return Vec::new();
        };
        self.declared_at = self.shared.clock.now();
        let mut declared = Vec::new();
        for Unused { scope, ranges } in numbers.take_unused(self.shard) {
            for part in ranges.chunks(RANGES) {
                let count: u64 = part.iter().map(|(first, last)| last - first + 1).sum();
                let text = |(first, last): &(u64, u64)| match first == last {
                    true => first.to_string(),
                    false => format!("{first}-{last}"),
                };
                let text: Vec<String> = part.iter().map(text).collect();
                let event = self
                    .own_event(scope, "audit.events_refused", Severity::Warning)
                    .with_detail("count", count)
                    .with_detail("ranges", text.join(","));
                declared.push(recorded(event, 0, Vec::new()));
            }
        }
        declared
    }

    /// Records that an event's id was used before for something else. Those who wait for the event are told once that is durable.
    pub(super) fn refuse_reused(&self, refused: Pending) -> Pending {
        count(&self.shared.counters.conflicts, 1);
        let event = parse(&refused.content.canonical).ok();
        self.shared.leave(event.and_then(|event| Some((event.scope, event.producer?))));
        let Pending { chain, content, accepted, waiting } = refused;
        let mut event = self
            .own_event(chain.scope, "audit.id_reused", Severity::High)
            .with_detail("leaf", content.leaf.to_string());
        event.correlation.parent = Some(content.id);
        event.correlation.request = content.projection.request;
        if content.canonical.len() <= MAX_QUOTED {
            event = event.with_detail("event", String::from_utf8_lossy(&content.canonical).into_owned());
        }
        let waiting = waiting.into_iter().map(|(reply, _)| (reply, Answer::IdReused(content.id))).collect();
        recorded(event, accepted, waiting)
    }

    fn own_event(&self, scope: Scope, action: &'static str, severity: Severity) -> Event {
        let now = self.shared.clock.now();
        let actor = Actor::System("audit".into());
        let mut event =
            Event::new(self.shared.ids.event_id(now), now, scope, actor, action, Category::Security);
        event.severity = severity;
        event.outcome = Outcome::Failure;
        event.producer = self.shared.numbers.get().and_then(|numbers| numbers.take(scope));
        event
    }

    /// Returns the record of a chain that has become shorter or another than it was when this sequencer committed to it.
    pub(super) fn entries_lost(&self, chain: ChainId, before: Head, stored: Head) -> Pending {
        let event = self
            .own_event(chain.scope, "audit.entries_lost", Severity::Critical)
            .with_detail("class", chain.class.as_str())
            .with_detail("committed_link", before.link.to_string())
            .with_detail("committed_seq", before.seq)
            .with_detail("stored_link", stored.link.to_string())
            .with_detail("stored_seq", stored.seq);
        recorded(event, 0, Vec::new())
    }
}

fn recorded(event: Event, accepted: u64, waiting: Vec<(Reply, Answer)>) -> Pending {
    let (chain, content, _) = content_of(event, &mut Vec::new());
    Pending { chain, content: Arc::new(content), accepted, waiting }
}
