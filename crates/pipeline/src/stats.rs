use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stanchion_core::ProblemCode;

/// What has been counted on one route since the process started. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct RouteStats(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    statuses: [AtomicU64; 6],
    refusals: [AtomicU64; ProblemCode::ALL.len()],
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    durations: [AtomicU64; RouteStats::BUCKETS.len()],
    duration_micros: AtomicU64,
}

impl RouteStats {
    /// The upper bounds of the duration histogram, in microseconds; the last bucket takes everything longer.
    pub const BUCKETS: [u64; 14] = [
        100,
        250,
        500,
        1_000,
        2_500,
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        500_000,
        2_500_000,
        10_000_000,
        u64::MAX,
    ];

    pub(crate) fn refused(&self, code: ProblemCode) {
        if let Some(count) = ProblemCode::ALL.iter().position(|known| *known == code) {
            add(self.0.refusals.get(count), 1);
        }
    }

    pub(crate) fn ended(&self, status: Option<u16>, request_bytes: u64, response_bytes: u64, took: Duration) {
        add(self.0.statuses.get(usize::from(status.unwrap_or(0) / 100)), 1);
        add(Some(&self.0.request_bytes), request_bytes);
        add(Some(&self.0.response_bytes), response_bytes);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(self.0.durations.get(Self::BUCKETS.partition_point(|bound| *bound < micros)), 1);
        add(Some(&self.0.duration_micros), micros);
    }

    /// Returns how many admitted exchanges ended with a status of each class: `(0, n)` never came to a status, `(2, n)` ended with 2xx.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        (0..).zip(self.0.statuses.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Returns how many requests were refused with each code.
    pub fn refusals(&self) -> impl Iterator<Item = (ProblemCode, u64)> {
        ProblemCode::ALL
            .iter()
            .copied()
            .zip(self.0.refusals.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Returns the bytes of request bodies and of response bodies.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.0.request_bytes.load(Ordering::Relaxed), self.0.response_bytes.load(Ordering::Relaxed))
    }

    /// Returns the histogram of durations from the decision to the end of the answer: a count per bucket of
    /// [`RouteStats::BUCKETS`], and the sum in microseconds.
    #[must_use]
    pub fn durations(&self) -> (Vec<u64>, u64) {
        let counts = self.0.durations.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        (counts, self.0.duration_micros.load(Ordering::Relaxed))
    }
}

/// What has been counted apart from routes since the process started.
#[derive(Debug, Default)]
pub struct PipelineStats {
    unmatched: RouteStats,
    failures: AtomicU64,
    pub(crate) unrecorded: AtomicU64,
}

impl PipelineStats {
    pub(crate) fn refused(&self, code: ProblemCode) {
        self.unmatched.refused(code);
    }

    pub(crate) fn failed(&self, stage: &'static str, error: &(dyn std::error::Error + 'static)) {
        add(Some(&self.failures), 1);
        tracing::error!(stage, error, "a stage failed and the request was refused");
    }

    /// Returns how many requests were refused with each code before a route was found.
    pub fn refusals(&self) -> impl Iterator<Item = (ProblemCode, u64)> {
        self.unmatched.refusals()
    }

    /// Returns how many requests were refused because a store could not be asked.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Returns how many records found no room: refusals of known callers, and ends of exchanges whose outcome stays `unknown`.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }
}

fn add(count: Option<&AtomicU64>, by: u64) {
    if let Some(count) = count {
        count.fetch_add(by, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let stats = RouteStats::default();
        stats.ended(Some(204), 1, 2, Duration::from_micros(100));
        stats.ended(Some(503), 0, 0, Duration::from_micros(101));
        stats.ended(None, 0, 0, Duration::from_secs(60));
        let (counts, sum) = stats.durations();
        assert_eq!((counts[0], counts[1], counts[13], sum), (1, 1, 1, 60_000_201));
        assert_eq!(stats.statuses().collect::<Vec<_>>(), [(0, 1), (1, 0), (2, 1), (3, 0), (4, 0), (5, 1)]);
        assert_eq!(stats.bytes(), (1, 2));
    }
}
