//! Whether the counters can be reached, as decisions find out.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use stanchion_core::{Category, Event, Outcome, Scope, Severity, StoreErrorKind, Timestamp};

use super::Engine;

/// For how long no decision may have failed before an outage is over: one of several servers may be gone, and others answer.
const CALM: Duration = Duration::from_secs(5);

/// There is none.
const NONE: i64 = i64::MIN;

/// An outage of the counters. While there is none, a decision pays for one look.
#[derive(Debug)]
pub(super) struct Outage {
    since: AtomicI64,
    failed_at: AtomicI64,
    decisions: AtomicU64,
    began: AtomicU64,
}

impl Default for Outage {
    fn default() -> Self {
        let none = || AtomicI64::new(NONE);
        Self { since: none(), failed_at: none(), decisions: AtomicU64::new(0), began: AtomicU64::new(0) }
    }
}

impl Outage {
    /// Takes in that a decision failed. Tells whether an outage has begun with it.
    fn failed(&self, now: Timestamp) -> bool {
        self.failed_at.fetch_max(now.micros(), Ordering::Relaxed);
        let (order, relaxed) = (Ordering::AcqRel, Ordering::Relaxed);
        let has_begun = self.since.compare_exchange(NONE, now.micros(), order, relaxed).is_ok();
        if has_begun {
            self.decisions.store(0, Ordering::Relaxed);
            self.began.fetch_add(1, Ordering::Relaxed);
        }
        self.decisions.fetch_add(1, Ordering::Relaxed);
        has_begun
    }

    /// Takes in that the counters have answered. Returns since when there was an outage that is over with it.
    fn answered(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.since.load(Ordering::Relaxed);
        if since == NONE {
            return None;
        }
        let failed_at = Timestamp::from_micros(self.failed_at.load(Ordering::Relaxed));
        if now.since(failed_at) < CALM {
            return None;
        }
        let (order, relaxed) = (Ordering::AcqRel, Ordering::Relaxed);
        let is_over = self.since.compare_exchange(since, NONE, order, relaxed).is_ok();
        is_over.then(|| Timestamp::from_micros(since))
    }

    /// Returns how many outages there were.
    pub(super) fn began(&self) -> u64 {
        self.began.load(Ordering::Relaxed)
    }

    /// Returns since when there is an outage.
    pub(super) fn since(&self) -> Option<Timestamp> {
        Some(self.since.load(Ordering::Relaxed)).filter(|since| *since != NONE).map(Timestamp::from_micros)
    }
}

impl Engine {
    /// Notes that the counters could not be asked, and tells when that begins.
    pub(super) fn note_failure(&self, kind: StoreErrorKind, now: Timestamp) {
        if self.outage.failed(now) {
            self.tell_of_outage(now, "limit.counting_failed", |event| {
                event.outcome = Outcome::Error;
                event.severity = Severity::High;
                event.reason = Some(kind.as_str().into());
            });
        }
    }

    /// Notes that the counters have answered, and tells when an outage is over.
    pub(super) fn note_answer(&self, now: Timestamp) {
        if let Some(since) = self.outage.answered(now) {
            self.tell_of_outage(now, "limit.counting_resumed", |event| {
                event.severity = Severity::Notice;
                event.details.push("failed_at", since.to_string());
                event.details.push("decisions", self.outage.decisions.load(Ordering::Relaxed));
            });
        }
    }

    fn tell_of_outage(&self, now: Timestamp, action: &'static str, complete: impl FnOnce(&mut Event)) {
        self.tell_at_once(now, |id, actor| {
            let mut event = Event::new(id, now, Scope::Platform, actor, action, Category::System);
            complete(&mut event);
            event
        });
    }
}
