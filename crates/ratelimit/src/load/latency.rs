use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Load;

/// What a service can bear, by which its samples are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LatencyTarget {
    /// The mean latency, in milliseconds, at which the load is full.
    pub latency_ms: NonZeroU32,
    /// How many requests at the same time are a full load. Unset, only the latency counts.
    #[serde(default)]
    pub in_flight: Option<NonZeroU32>,
    /// How slowly the mean moves: a sample weighs one part in 2 to this power, 0 to 16. At 5 the mean is that of about 32 samples.
    #[serde(default = "five")]
    pub smoothing: u8,
}

const fn five() -> u8 {
    5
}

impl LatencyTarget {
    /// The slowest that a mean may move.
    pub(crate) const MOST_SMOOTHING: u8 = 16;
}

/// Estimates the load from what requests take: the greater of the latency's part of its target and that of the requests in flight.
///
/// The mean is an exponentially weighted moving average in whole numbers, 256ths of a microsecond: the same samples in the same order
/// give the same load everywhere. It takes any number of threads and no lock.
#[derive(Debug)]
pub struct LatencyLoad {
    target: LatencyTarget,
    /// The mean in 256ths of a microsecond, plus one; zero before the first sample.
    mean: AtomicU64,
}

impl LatencyLoad {
    const FRACTION: u32 = 8;
    /// Longer latencies, of more than an hour, count as one.
    const LONGEST: u64 = 3_600_000_000;

    /// Starts without a sample.
    #[must_use]
    pub const fn new(target: LatencyTarget) -> Self {
        Self { target, mean: AtomicU64::new(0) }
    }

    /// Returns what its samples are judged by.
    #[must_use]
    pub const fn target(&self) -> LatencyTarget {
        self.target
    }

    /// Takes in how long a request took and how many there are now, and returns the load.
    pub fn sample(&self, latency: Duration, in_flight: u32) -> Load {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(Self::LONGEST).min(Self::LONGEST);
        let (sample, shift) =
            (micros << Self::FRACTION, u32::from(self.target.smoothing.min(LatencyTarget::MOST_SMOOTHING)));
        let next = |mean: u64| match mean.checked_sub(1) {
            None => sample + 1,
            // Rounded up, so that it comes all the way.
            Some(mean) if sample >= mean => mean + (sample - mean).div_ceil(1 << shift) + 1,
            Some(mean) => mean - (mean - sample).div_ceil(1 << shift) + 1,
        };
        let update = |mean| Some(next(mean));
        let before = self.mean.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        self.judge(next(before.unwrap_or_else(|mean| mean)), in_flight)
    }

    /// Returns the load by the samples so far and how many requests there are now: for when there are no new samples.
    #[must_use]
    pub fn load(&self, in_flight: u32) -> Load {
        self.judge(self.mean.load(Ordering::Relaxed), in_flight)
    }

    /// Returns the mean latency, to the microsecond.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_micros(self.mean.load(Ordering::Relaxed).saturating_sub(1) >> Self::FRACTION)
    }

    fn judge(&self, mean: u64, in_flight: u32) -> Load {
        let target = u64::from(self.target.latency_ms.get()) * 1_000;
        let latency = part(mean.saturating_sub(1) >> Self::FRACTION, target);
        let queue = self.target.in_flight.map_or(0, |most| part(in_flight.into(), most.get().into()));
        Load::from_permille(latency.max(queue))
    }
}

/// Thousandths of a whole, at most all of it.
fn part(of: u64, whole: u64) -> u16 {
    let permille = of.saturating_mul(1000).checked_div(whole).unwrap_or(1000);
    u16::try_from(permille.min(1000)).unwrap_or(1000)
}
