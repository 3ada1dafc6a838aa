use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stanchion_core::{Page, PageRequest, Scope, TenantId, Timestamp};

use super::Violation;
use crate::RuleId;

/// How many violations a query looks at before it lets others go on.
const GLANCE: u64 = 64;

/// The last so many violations of a process.
///
/// A push moves one violation in under a lock and one out; a query lets go of the lock every few looks. So decisions never wait for a
/// reader, and for each other no longer than that move takes.
#[derive(Debug)]
pub struct Violations {
    kept: Mutex<Kept>,
    capacity: usize,
}

#[derive(Debug)]
struct Kept {
    violations: VecDeque<Violation>,
    /// How many there were before the first that is kept.
    gone: u64,
}

/// Which violations are wanted: those that everything stated is true of.
#[derive(Clone, Copy, Debug, Default)]
pub struct ViolationFilter<'a> {
    /// Of rules of this scope.
    pub scope: Option<Scope>,
    /// By requests of this tenant.
    pub tenant: Option<TenantId>,
    /// Of this rule.
    pub rule: Option<&'a RuleId>,
    /// By this caller: one of the identifiers, such as `user:alice`, or all of them as they are written.
    pub identifier: Option<&'a str>,
    /// Not earlier than this.
    pub from: Option<Timestamp>,
    /// Earlier than this.
    pub until: Option<Timestamp>,
    /// Of shadow rules only, or of others only.
    pub shadow: Option<bool>,
}

impl ViolationFilter<'_> {
    /// Tells whether a violation is wanted.
    #[must_use]
    pub fn matches(&self, violation: &Violation) -> bool {
        self.scope.is_none_or(|scope| violation.scope == scope)
            && self.tenant.is_none_or(|tenant| violation.tenant == Some(tenant))
            && self.rule.is_none_or(|rule| violation.rule == *rule)
            && self.from.is_none_or(|from| violation.at >= from)
            && self.until.is_none_or(|until| violation.at < until)
            && self.shadow.is_none_or(|shadow| violation.shadow == shadow)
            && self.identifier.is_none_or(|identifier| violation.identifiers.contains(identifier))
    }
}

impl Violations {
    /// Starts with none; at most so many are kept.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        let capacity = capacity.get();
        // All at once, so that no push ever has to move what is there; memory that nobody has written to yet is not taken.
        let kept = Kept { violations: VecDeque::with_capacity(capacity), gone: 0 };
        Self { kept: Mutex::new(kept), capacity }
    }

    /// Keeps a violation; the oldest makes room for it.
    pub fn push(&self, violation: Violation) {
        let mut kept = self.kept();
        let oldest = if kept.violations.len() >= self.capacity { kept.violations.pop_front() } else { None };
        kept.gone += u64::from(oldest.is_some());
        kept.violations.push_back(violation);
        drop(kept);
        // Its memory is given back when nobody waits for it.
        drop(oldest);
    }

    /// Returns how many there were, those that have made room included.
    #[must_use]
    pub fn total(&self) -> u64 {
        let kept = self.kept();
        kept.end()
    }

    /// Returns those that are wanted, the newest first. The next page goes on with older ones, whatever has come since; the sort key
    /// is the number of a violation, and one that is no number finds none.
    #[must_use]
    pub fn list(&self, filter: &ViolationFilter<'_>, request: &PageRequest) -> Page<Violation> {
        let mut before = match request.key().map(str::parse::<u64>) {
            None => u64::MAX,
            Some(Ok(number)) => number,
            Some(Err(_)) => return Page { items: Vec::new(), next: None },
        };
        let (mut items, mut last) = (Vec::new(), 0);
        loop {
            let kept = self.kept();
            let end = before.min(kept.end());
            let start = end.saturating_sub(GLANCE).max(kept.gone);
            for number in (start..end).rev() {
                let Some(violation) = kept.get(number).filter(|violation| filter.matches(violation)) else {
                    continue;
                };
                if items.len() == request.limit() {
                    return Page { items, next: Some(last.to_string()) };
                }
                items.push(violation.clone());
                last = number;
            }
            if start >= end || start == kept.gone {
                return Page { items, next: None };
            }
            before = start;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn end(&self) -> u64 {
        self.gone + u64::try_from(self.violations.len()).unwrap_or(u64::MAX)
    }

    fn get(&self, number: u64) -> Option<&Violation> {
        self.violations.get(usize::try_from(number.checked_sub(self.gone)?).ok()?)
    }
}
