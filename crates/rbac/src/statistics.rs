use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use stanchion_core::{Author, Scope, SubjectRef, Timestamp};

use crate::{CheckRequest, Decision, Engine, Permission, Reason, ResourceSelector, RoleId};

/// What an engine has decided since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// How many checks were decided.
    pub checks: u64,
    /// How many of them permitted what was asked.
    pub permitted: u64,
    /// How many of them were decided from memory.
    pub from_memory: u64,
    /// The microseconds that the checks took together whose time was taken, and how many those were.
    pub timed: (u64, u64),
}

impl Statistics {
    /// Returns how many of a million checks permitted what was asked.
    #[must_use]
    pub fn permitted_per_million(&self) -> u64 {
        self.permitted.saturating_mul(1_000_000).checked_div(self.checks).unwrap_or(0)
    }

    /// Returns how many of a million checks were decided from memory.
    #[must_use]
    pub fn from_memory_per_million(&self) -> u64 {
        self.from_memory.saturating_mul(1_000_000).checked_div(self.checks).unwrap_or(0)
    }

    /// Returns the nanoseconds that a check takes, waiting included, by those whose time was taken; none if there are none yet.
    #[must_use]
    pub fn nanos_per_check(&self) -> Option<u64> {
        self.timed.0.saturating_mul(1_000).checked_div(self.timed.1)
    }
}

/// Somebody tried something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub scope: Scope,
    /// Who.
    pub subject: SubjectRef,
    /// What.
    pub permission: Permission,
    /// On which resource, if one with an id was named.
    pub resource: Option<ResourceSelector>,
    /// Whether it was permitted.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The role that decided.
    pub role: Option<RoleId>,
}

/// Which attempts are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Only those of this subject.
    pub subject: Option<SubjectRef>,
    /// Only those that were permitted, or refused.
    pub allowed: Option<bool>,
}

/// Counts in several places, so that threads do not wait for each other.
#[derive(Debug)]
pub(crate) struct Counters {
    stripes: [Stripe; STRIPES],
    reads: AtomicU64,
    timed: [AtomicU64; 2],
    recent: Mutex<VecDeque<Attempt>>,
}

const STRIPES: usize = 16;

/// Which of the stripes is a thread's, and the number of the check that it has begun last. The first is 0.
type ThreadPart = (usize, Cell<u32>);

thread_local! {
    static MINE: ThreadPart = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        (NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES, Cell::new(u32::MAX))
    };
}

/// As large as what processors pass between each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    /// Refused and permitted.
    outcomes: [AtomicU64; 2],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            stripes: std::array::from_fn(|_| Stripe::default()),
            reads: AtomicU64::new(0),
            timed: [AtomicU64::new(0), AtomicU64::new(0)],
            recent: Mutex::new(VecDeque::new()),
        }
    }
}

impl Counters {
    /// Counts a check that could not be decided from memory.
    pub(crate) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells whether the check that begins now is one of those whose time is taken.
    pub(crate) fn begins() -> bool {
        let next = |(_, begun): &ThreadPart| {
            begun.set(begun.get().wrapping_add(1));
            begun.get().is_multiple_of(TIMED)
        };
        MINE.try_with(next).unwrap_or(false)
    }

    /// This thread's part.
    fn stripe(&self) -> Option<&Stripe> {
        MINE.try_with(|(mine, _)| *mine).ok().and_then(|mine| self.stripes.get(mine))
    }

    /// Counts a decision, and tells how many like it this part has counted before.
    fn count(&self, allowed: bool) -> u64 {
        let stripe = self.stripe();
        let counter = stripe.and_then(|stripe| stripe.outcomes.get(usize::from(allowed)));
        counter.map_or(0, |counter| counter.fetch_add(1, Ordering::Relaxed))
    }
}

/// One check in so many has its time taken.
const TIMED: u32 = 256;

impl Engine {
    /// Returns what was decided so far. What is being decided meanwhile may be counted in part.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let sum = |outcome: usize| {
            let counters = self.counters.stripes.iter().filter_map(|stripe| stripe.outcomes.get(outcome));
            counters.map(|counter| counter.load(Ordering::Relaxed)).sum::<u64>()
        };
        let (refused, permitted) = (sum(0), sum(1));
        let checks = refused + permitted;
        let [micros, timed] = &self.counters.timed;
        Statistics {
            checks,
            permitted,
            from_memory: checks.saturating_sub(self.counters.reads.load(Ordering::Relaxed)),
            timed: (micros.load(Ordering::Relaxed), timed.load(Ordering::Relaxed)),
        }
    }

    /// Lists the latest attempts that are kept, the latest first, at most `most`.
    #[must_use]
    pub fn recent_attempts(&self, scope: Scope, filter: &AttemptFilter, most: usize) -> Vec<Attempt> {
        let recent = self.counters.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |attempt: &&Attempt| {
            attempt.scope == scope
                && filter.subject.as_ref().is_none_or(|subject| attempt.subject == *subject)
                && filter.allowed.is_none_or(|allowed| attempt.allowed == allowed)
        };
        recent.iter().rev().filter(wanted).take(most).cloned().collect()
    }

    /// Counts a decision that was asked for, and records it where that is wanted.
    pub(crate) fn record(&self, request: &CheckRequest<'_>, decision: &Decision) {
        let number = self.counters.count(decision.allowed);
        let is_kept = !decision.allowed
            || number.checked_rem(self.config.decisions.permits.into()).is_some_and(|rest| rest == 0);
        if is_kept && (self.sink.is_some() || self.config.decisions.recent > 0) {
            self.keep(request, decision);
        }
    }

    /// Takes in how long a check took.
    pub(crate) fn took(&self, since: Timestamp) {
        let micros = self.clock.now().micros().saturating_sub(since.micros());
        let [sum, count] = &self.counters.timed;
        sum.fetch_add(u64::try_from(micros).unwrap_or(0), Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    fn keep(&self, request: &CheckRequest<'_>, decision: &Decision) {
        let now = self.clock.now();
        if self.config.decisions.recent > 0 {
            let selected = request
                .resource
                .and_then(|resource| ResourceSelector::one(resource.kind.clone(), resource.id.clone()?).ok());
            let attempt = Attempt {
                at: now,
                scope: request.scope,
                subject: request.subject.clone(),
                permission: request.permission.clone(),
                resource: selected,
                allowed: decision.allowed,
                reason: decision.reason,
                role: decision.role.clone(),
            };
            let mut recent = self.counters.recent.lock().unwrap_or_else(PoisonError::into_inner);
            while recent.len() >= self.config.decisions.recent {
                recent.pop_front();
            }
            recent.push_back(attempt);
        }
        if let Some(sink) = &self.sink {
            sink.emit(request.event(decision, &Author::system("rbac"), &*self.ids, now));
        }
    }
}
