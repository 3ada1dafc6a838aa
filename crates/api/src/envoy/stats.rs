use std::sync::atomic::{AtomicU64, Ordering};

use super::decide::{Decided, Outcome};

/// What is counted of requests that no domain takes.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    unknown_domain: AtomicU64,
}

/// What is counted of the requests of a domain.
#[derive(Debug, Default)]
pub(crate) struct DomainStats {
    ok: AtomicU64,
    over_limit: AtomicU64,
    unavailable: AtomicU64,
    invalid: AtomicU64,
    unusable_entries: AtomicU64,
    ignored_limits: AtomicU64,
}

impl Stats {
    pub(super) fn unknown_domain(&self) {
        add(&self.unknown_domain, 1);
    }

    pub(crate) fn unknown_domains(&self) -> u64 {
        read(&self.unknown_domain)
    }
}

impl DomainStats {
    /// Counts a request by how it ends, and returns that.
    pub(super) fn count(&self, decided: &[Decided]) -> Outcome {
        let outcome = overall(decided);
        match outcome {
            Outcome::Admitted => add(&self.ok, 1),
            Outcome::OverLimit => add(&self.over_limit, 1),
            Outcome::Unavailable => add(&self.unavailable, 1),
        }
        for decided in decided.iter().filter(|decided| decided.unusable > 0 || decided.has_limit) {
            add(&self.unusable_entries, decided.unusable);
            add(&self.ignored_limits, u64::from(decided.has_limit));
        }
        outcome
    }

    pub(super) fn unavailable(&self) {
        add(&self.unavailable, 1);
    }

    pub(super) fn invalid(&self) {
        add(&self.invalid, 1);
    }

    /// Returns how many requests ended in which way.
    pub(crate) fn outcomes(&self) -> [(&'static str, u64); 4] {
        [
            ("ok", read(&self.ok)),
            ("over_limit", read(&self.over_limit)),
            ("unavailable", read(&self.unavailable)),
            ("invalid", read(&self.invalid)),
        ]
    }

    pub(crate) fn unusable_entries(&self) -> u64 {
        read(&self.unusable_entries)
    }

    pub(crate) fn ignored_limits(&self) -> u64 {
        read(&self.ignored_limits)
    }
}

/// How a request ends: one descriptor over its limit refuses it, whatever could not be counted beside that.
fn overall(decided: &[Decided]) -> Outcome {
    let has = |outcome| decided.iter().any(|decided| decided.outcome == outcome);
    [Outcome::OverLimit, Outcome::Unavailable]
        .into_iter()
        .find(|outcome| has(*outcome))
        .unwrap_or(Outcome::Admitted)
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
