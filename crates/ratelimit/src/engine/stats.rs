use std::sync::atomic::{AtomicU64, Ordering};

use stanchion_core::Timestamp;

use crate::{Decision, Reason, Verdict};

/// How many decisions there were since the engine was set up, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// All of them, also those that no rule was for.
    pub decisions: u64,
    /// Those refused because a limit was used up.
    pub exceeded: u64,
    /// Those refused because the caller is shut out.
    pub quarantined: u64,
    /// Those admitted after a delay.
    pub delayed: u64,
    /// Those refused because the request lacked what a rule counts by.
    pub missing_identifier: u64,
    /// Those refused because the counters could not be reached.
    pub failed_closed: u64,
    /// Those admitted past a rule because the counters could not be reached.
    pub failed_open: u64,
    /// What decisions set going and there was no room for.
    pub dropped_errands: u64,
    /// What decisions set going and could not be done.
    pub failed_errands: u64,
    /// Those during which the counters could not be reached, however they ended.
    pub backend_failures: u64,
    /// How often a counter came near its limit, once in its window.
    pub near_limits: u64,
    /// How often the counters became unreachable. An outage is over when they have answered and no decision has failed for five
    /// seconds.
    pub outages: u64,
    /// Since when they are unreachable.
    pub outage_since: Option<Timestamp>,
    /// How many violations and near limits found no room to be told of.
    pub untold_events: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    decisions: AtomicU64,
    exceeded: AtomicU64,
    quarantined: AtomicU64,
    delayed: AtomicU64,
    missing_identifier: AtomicU64,
    failed_closed: AtomicU64,
    failed_open: AtomicU64,
    backend_failures: AtomicU64,
    near_limits: AtomicU64,
}

impl Counts {
    pub(super) fn add(&self, decision: &Decision) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        count(&self.decisions);
        match &decision.verdict {
            Verdict::Admitted if decision.failed_open => count(&self.failed_open),
            Verdict::Admitted if !decision.delay.is_zero() => count(&self.delayed),
            Verdict::Admitted => 0,
            Verdict::Refused { reason: Reason::Exceeded, .. } => count(&self.exceeded),
            Verdict::Refused { reason: Reason::Quarantined, .. } => count(&self.quarantined),
            Verdict::Refused { reason: Reason::MissingIdentifier, .. } => count(&self.missing_identifier),
            Verdict::Refused { reason: Reason::BackendFailure, .. } => count(&self.failed_closed),
        };
        if decision.backend_failure.is_some() {
            count(&self.backend_failures);
        }
    }

    pub(super) fn add_near_limit(&self) {
        self.near_limits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            decisions: read(&self.decisions),
            exceeded: read(&self.exceeded),
            quarantined: read(&self.quarantined),
            delayed: read(&self.delayed),
            missing_identifier: read(&self.missing_identifier),
            failed_closed: read(&self.failed_closed),
            failed_open: read(&self.failed_open),
            backend_failures: read(&self.backend_failures),
            near_limits: read(&self.near_limits),
            ..Stats::default()
        }
    }
}
