use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use stanchion_ratelimit::{LatencyLoad, LatencyTarget, Load};
use tokio::time::Instant;

use crate::body::Upload;

/// How loaded the upstreams are, judged by what their requests take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLoad {
    /// That of the slowest of them, or that of all requests on their way, if that is more.
    pub load: Load,
    /// The slowest upstream, and how long it takes on average to begin an answer. None before the first answer.
    pub slowest: Option<(String, Duration)>,
    /// How many requests are on their way: forwarded, and not answered to the end.
    pub in_flight: u32,
}

/// What the requests of one upstream take. While nobody wants to know, a request pays for one look.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    latency: ArcSwapOption<LatencyLoad>,
    /// Requests whose answer has not begun.
    waiting: AtomicU32,
    /// Requests whose answer has not ended.
    in_flight: AtomicU32,
    /// Whether a latency was taken in since the last look.
    is_fresh: AtomicBool,
    /// For how many microseconds of looks none was, while requests waited.
    silence: AtomicU64,
}

/// Watches one request until its answer begins.
#[derive(Debug)]
pub(crate) struct Watch {
    meter: Arc<Meter>,
    latency: Arc<LatencyLoad>,
    begun: Instant,
    upload: Option<Upload>,
    is_open: bool,
}

/// A request on its way, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Meter>);

impl Meter {
    /// Says what is a full load; `None` measures nothing. Means go on under a target that stays.
    pub(crate) fn aim(&self, target: Option<LatencyTarget>) {
        let before = self.latency.load().as_ref().map(|latency| latency.target());
        if before != target {
            self.latency.store(target.map(|target| Arc::new(LatencyLoad::new(target))));
            self.is_fresh.store(false, Ordering::Relaxed);
            self.silence.store(0, Ordering::Relaxed);
        }
    }

    /// Begins to watch a request, if that is wanted; `upload` tells how its body gets on.
    pub(crate) fn watch(self: &Arc<Self>, upload: Option<&Upload>) -> Option<(Watch, InFlight)> {
        let latency = self.latency.load_full()?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let (meter, begun) = (Arc::clone(self), Instant::now());
        let watch = Watch { meter, latency, begun, upload: upload.cloned(), is_open: true };
        Some((watch, InFlight(Arc::clone(self))))
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Judges what was measured, with so many requests on their way everywhere, and what was not: an upstream that has been silent for
    /// longer than its mean, while requests wait, takes at least as long as that, and one that nobody asks recovers. To be called
    /// every `interval`.
    pub(crate) fn look(&self, in_flight: u32, interval: Duration) -> Option<(Load, Duration)> {
        let latency = self.latency.load_full()?;
        let silence = if self.is_fresh.swap(false, Ordering::Relaxed) {
            self.silence.store(0, Ordering::Relaxed);
            None
        } else if self.waiting.load(Ordering::Relaxed) == 0 {
            self.silence.store(0, Ordering::Relaxed);
            Some(Duration::ZERO)
        } else {
            let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
            let before = self.silence.fetch_add(micros, Ordering::Relaxed);
            Some(Duration::from_micros(before.saturating_add(micros)))
                .filter(|silence| *silence > latency.mean())
        };
        let load = match silence {
            Some(silence) => latency.sample(silence, in_flight),
            None => latency.load(in_flight),
        };
        Some((load, latency.mean()))
    }
}

impl Watch {
    /// Takes in how long the answer took to begin, or that none had begun when the wait was given up.
    pub(crate) fn waited(mut self) {
        self.take_in(self.wait());
    }

    /// Takes nothing in: the upstream was not reached, or somebody else broke off.
    pub(crate) fn forget(mut self) {
        self.is_open = false;
    }

    /// How long the upstream has had all that it was sent so far: what the client takes to send is not its doing.
    fn wait(&self) -> Duration {
        self.upload.as_ref().map_or_else(|| self.begun.elapsed(), Upload::rests)
    }

    fn take_in(&mut self, wait: Duration) {
        self.is_open = false;
        self.latency.sample(wait, 0);
        self.meter.is_fresh.store(true, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.meter.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.is_open {
            // The client left. It would have waited at least as long; if that is not long it says nothing.
            let wait = self.wait();
            if wait > self.latency.mean() {
                self.take_in(wait);
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const LOOK: Duration = Duration::from_millis(100);

    fn target(latency_ms: u32, in_flight: Option<u32>) -> LatencyTarget {
        let number = |number| NonZeroU32::new(number).unwrap();
        LatencyTarget { latency_ms: number(latency_ms), in_flight: in_flight.map(number), smoothing: 0 }
    }

    fn meter(target: LatencyTarget) -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        meter.aim(Some(target));
        meter
    }

    fn load(meter: &Meter) -> u16 {
        meter.look(meter.in_flight(), LOOK).unwrap().0.permille()
    }

    #[tokio::test(start_paused = true)]
    async fn the_load_follows_what_answers_take_and_falls_when_nobody_asks() {
        let meter = meter(target(1_000, None));
        let (watch, in_flight) = meter.watch(None).unwrap();
        tokio::time::advance(Duration::from_millis(250)).await;
        watch.waited();
        assert_eq!((load(&meter), meter.in_flight()), (250, 1));
        drop(in_flight);
        assert_eq!((load(&meter), meter.in_flight()), (0, 0), "nobody has asked since the last look");
        assert!(Meter::default().look(0, LOOK).is_none(), "nobody wants to know");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_stays_silent_is_slow_before_it_answers() {
        let meter = meter(target(1_000, None));
        let asked = meter.watch(None).unwrap();
        assert_eq!([load(&meter), load(&meter), load(&meter)], [100, 200, 300]);
        asked.0.forget();
        assert_eq!(load(&meter), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_after_a_long_wait_tells_of_it_and_who_leaves_at_once_tells_nothing() {
        let meter = meter(target(1_000, None));
        let asked = meter.watch(None).unwrap();
        tokio::time::advance(Duration::from_millis(600)).await;
        drop(asked);
        assert_eq!(load(&meter), 600);
        let asked = meter.watch(None).unwrap();
        let impatient = meter.watch(None).unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
        drop(impatient);
        assert_eq!(load(&meter), 600);
        drop(asked);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_takes_to_send_is_no_load() {
        let meter = meter(target(1_000, None));
        let upload = Upload::default();
        let (watch, _in_flight) = meter.watch(Some(&upload)).unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        upload.moved();
        tokio::time::advance(Duration::from_millis(100)).await;
        watch.waited();
        assert_eq!(load(&meter), 100);
    }

    #[test]
    fn requests_on_their_way_are_a_load_and_a_target_that_stays_forgets_nothing() {
        let meter = meter(target(1_000, Some(4)));
        let asked = [meter.watch(None).unwrap(), meter.watch(None).unwrap()];
        assert_eq!(meter.look(meter.in_flight(), Duration::ZERO).unwrap().0.permille(), 500);
        let before = meter.latency.load_full();
        meter.aim(Some(target(1_000, Some(4))));
        assert!(Arc::ptr_eq(&before.unwrap(), &meter.latency.load_full().unwrap()));
        meter.aim(None);
        assert!(meter.watch(None).is_none());
        drop(asked);
        assert_eq!(meter.in_flight(), 0);
    }
}
