use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stanchion_ratelimit::{Call, Outcome, Slot};
use tokio::time::Instant;

const PLACES: usize = 4_096;

/// The bits of a place that tell the time, in milliseconds: enough for thirty years. The others are from the hash of a call.
const TIME: u64 = (1 << 40) - 1;

/// For how long a call that never fits is expected not to.
const NEVER: Duration = Duration::from_secs(60);

/// Which calls were refused lately, and until when they would be if nothing else happened: a hint that looking comes before asking.
///
/// It is never an answer. Calls that share a place, and writers that come at once, only make a look too many or one too few. It takes
/// 32 KiB, whatever is refused.
pub(super) struct Refusals {
    places: Box<[AtomicU64]>,
    hasher: RandomState,
    started: Instant,
}

/// Where a call has its place, and how it is known there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    number: usize,
    mark: u64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        let places = std::iter::repeat_with(AtomicU64::default).take(PLACES).collect();
        Self { places, hasher: RandomState::new(), started: Instant::now() }
    }

    pub(super) fn place(&self, slot: Slot, call: &Call<'_>) -> Place {
        let mut hasher = self.hasher.build_hasher();
        slot.hash(&mut hasher);
        for charge in call.charges {
            (charge.key, charge.cost).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let number = usize::try_from(hash & TIME).unwrap_or_default() % PLACES;
        Place { number, mark: hash & !TIME }
    }

    /// Tells whether a call is likely to be refused.
    pub(super) fn expects(&self, place: Place) -> bool {
        let noted = self.places.get(place.number).map_or(0, |noted| noted.load(Ordering::Relaxed));
        noted & !TIME == place.mark && noted & TIME > self.now()
    }

    pub(super) fn note(&self, place: Place, outcome: &Outcome) {
        let Some(noted) = self.places.get(place.number) else { return };
        let until = if outcome.is_admitted() {
            if noted.load(Ordering::Relaxed) & !TIME != place.mark {
                return;
            }
            0
        } else {
            let refusing = outcome.standings().iter().filter(|standing| !standing.fits);
            let longest = refusing.map(|standing| standing.retry_after.unwrap_or(NEVER)).max();
            self.now().saturating_add(milliseconds(longest.unwrap_or_default())).min(TIME)
        };
        noted.store(place.mark | until, Ordering::Relaxed);
    }

    /// The time since the beginning in milliseconds.
    fn now(&self) -> u64 {
        milliseconds(self.started.elapsed())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
