//! Who is told of what limits have done, and how often.

use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Actor, Event, EventSink, Timestamp};

use super::Engine;
use crate::analytics::digest::{Digest, Due};
use crate::{AnalyticsConfig, NearLimitReached, Violation};

/// Whoever wants to hear of violations and near limits, and what it was not told yet.
#[derive(Debug)]
pub(super) struct Listener {
    sink: Arc<dyn EventSink>,
    violations: Digest<Violation>,
    near_limits: Digest<NearLimitReached>,
    /// How long what is alike is added up; zero to tell each.
    interval: Duration,
}

impl Listener {
    pub(super) fn new(sink: Arc<dyn EventSink>, config: &AnalyticsConfig) -> Self {
        let interval = Duration::from_secs(config.event_interval_seconds.into());
        let (violations, near_limits) = (Digest::new(config.events), Digest::new(config.events));
        Self { sink, violations, near_limits, interval }
    }

    pub(super) fn untold(&self) -> u64 {
        self.violations.untold().saturating_add(self.near_limits.untold())
    }
}

impl Engine {
    /// Tells the events of what is due. The owner calls it every few seconds, where events are [added
    /// up](AnalyticsConfig::event_interval_seconds); if nobody does, violations and near limits are not told.
    pub fn tell_due_events(&self) {
        let Some(listener) = &self.events else { return };
        let (now, interval) = (self.clock.now(), listener.interval);
        self.tell(listener, &listener.violations.take_due(now, interval), Violation::event);
        self.tell(listener, &listener.near_limits.take_due(now, interval), NearLimitReached::event);
    }

    /// Tells the events of all that was not told yet, for a process that is about to end.
    pub fn tell_all_events(&self) {
        let Some(listener) = &self.events else { return };
        let now = self.clock.now();
        self.tell(listener, &listener.violations.take_all(now), Violation::event);
        self.tell(listener, &listener.near_limits.take_all(now), NearLimitReached::event);
    }

    pub(super) fn tell_violation(&self, violation: &Violation) {
        match &self.events {
            Some(listener) if listener.interval.is_zero() => {
                listener.sink.emit(violation.event(self.ids.event_id(violation.at), actor()));
            }
            Some(listener) => listener.violations.add(violation),
            None => {}
        }
    }

    pub(super) fn tell_near_limit(&self, reached: &NearLimitReached) {
        match &self.events {
            Some(listener) if listener.interval.is_zero() => {
                listener.sink.emit(reached.event(self.ids.event_id(reached.at), actor()));
            }
            Some(listener) => listener.near_limits.add(reached),
            None => {}
        }
    }

    /// Tells of something that is rare enough to be told at once.
    pub(super) fn tell_at_once(
        &self,
        now: Timestamp,
        event: impl FnOnce(stanchion_core::EventId, Actor) -> Event,
    ) {
        if let Some(listener) = &self.events {
            listener.sink.emit(event(self.ids.event_id(now), actor()));
        }
    }

    fn tell<R>(
        &self,
        listener: &Listener,
        due: &[Due<R>],
        event: impl Fn(&R, stanchion_core::EventId, Actor) -> Event,
    ) {
        for due in due {
            let id = self.ids.event_id(self.clock.now());
            listener.sink.emit(due.complete(event(&due.latest, id, actor())));
        }
    }
}

const fn actor() -> Actor {
    Actor::System(stanchion_core::Text::Static("ratelimit"))
}
