use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hashbrown::DefaultHashBuilder;
use smallvec::SmallVec;
use stanchion_core::{Clock, StoreError, StoreErrorKind, Timestamp};

use super::name::SlotBytes;
use super::shard::{Place, Shard};
use crate::charge::Standings;
use crate::{Algorithm, Capabilities, Charge, CounterStore, Mode, Outcome, Slot, State};

const SHARDS: usize = 64;

/// Counters in the memory of one process; a restart forgets them.
///
/// Exact under any number of threads: a decision holds the locks of all the parts it touches, taken in their order. Memory is
/// bounded: a counter takes about 75 bytes (names of more than 38 bytes take their length besides), and there are at most as many as
/// the store was made for, an equal number in each of 64 parts. Counters that are as good as new make room for others; where a part
/// has none, the decision fails with `Unavailable`, and nothing in use is forgotten.
pub struct MemoryCounterStore {
    shards: Box<[Mutex<Shard>]>,
    hasher: DefaultHashBuilder,
    clock: Arc<dyn Clock>,
}

/// One charge under way: where its counter is, and what becomes of it.
#[derive(Clone, Copy, Debug)]
struct Seat {
    hash: u64,
    shard: usize,
    /// Which of the locks taken is its shard's.
    guard: usize,
    place: Option<Place>,
    after: State,
}

type Seats = SmallVec<[Seat; 8]>;
type Guards<'a> = SmallVec<[MutexGuard<'a, Shard>; 8]>;

impl MemoryCounterStore {
    /// Makes an empty store for at most about `capacity` counters (at least 64). `clock` decides where callers leave the time to the
    /// store.
    #[must_use]
    pub fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let capacity = capacity.div_ceil(SHARDS).max(1);
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(capacity))).collect();
        Self { shards, hasher: DefaultHashBuilder::default(), clock }
    }

    /// Returns how many counters there are, those that are as good as new included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decides, without waiting.
    pub(crate) fn charge(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let slot = SlotBytes::from(slot);
        let [charge] = charges else { return self.charge_all(slot, charges, now) };
        // One rule is the usual case, and needs none of the book-keeping.
        let wanted = slot.with(charge.key);
        let hash = wanted.hash(&self.hasher);
        let mut shard = self.lock(shard_of(hash));
        let mut place = shard.find(hash, wanted);
        let before = place.and_then(|place| shard.state(place));
        let (after, standing) = charge.limit.charge(before, now, charge.cost);
        if standing.fits && (before.is_some() || after.used > 0) {
            if place.is_none() {
                place = shard.allocate(now, &self.hasher, |_| false);
                shard.fill(place.ok_or_else(full)?, hash, wanted, &self.hasher);
            }
            shard.set(place.ok_or_else(full)?, after, charge.limit.fresh_at(after));
        }
        let admitted = standing.fits || charge.mode == Mode::Observe;
        Ok(Outcome::of_one(admitted, standing))
    }

    fn charge_all(
        &self,
        slot: SlotBytes,
        charges: &[Charge<'_>],
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let (mut seats, mut guards, mut standings) =
            (Seats::new(), Guards::new(), Standings::with_capacity(charges.len()));
        self.sit(slot, charges, &mut seats, &mut guards);
        let admitted = evaluate(slot, charges, now, &mut seats, &guards, &mut standings);
        if admitted {
            self.take(slot, charges, now, &seats, &mut guards, &standings)?;
        } else {
            leave(charges, now, &seats, &guards, &mut standings);
        }
        Ok(Outcome::from_standings(admitted, standings))
    }

    /// Finds each charge's shard and locks them, lowest first, so that no two decisions wait for each other.
    fn sit<'a>(
        &'a self,
        slot: SlotBytes,
        charges: &[Charge<'_>],
        seats: &mut Seats,
        guards: &mut Guards<'a>,
    ) {
        let mut shards = SmallVec::<[usize; 8]>::new();
        for charge in charges {
            let hash = slot.with(charge.key).hash(&self.hasher);
            let (shard, after) = (shard_of(hash), State { at: Timestamp::EPOCH, used: 0 });
            seats.push(Seat { hash, shard, guard: 0, place: None, after });
            shards.push(shard);
        }
        shards.sort_unstable();
        shards.dedup();
        for seat in seats {
            seat.guard = shards.iter().position(|shard| *shard == seat.shard).unwrap_or(0);
        }
        for shard in shards {
            guards.push(self.lock(shard));
        }
    }

    /// Writes what was evaluated: first all the room that it takes, then everything.
    fn take(
        &self,
        slot: SlotBytes,
        charges: &[Charge<'_>],
        now: Timestamp,
        seats: &Seats,
        guards: &mut Guards<'_>,
        standings: &Standings,
    ) -> Result<(), StoreError> {
        let mut rooms: SmallVec<[Option<Place>; 8]> = SmallVec::new();
        for (seat, standing) in seats.iter().zip(standings) {
            let Some(shard) = guards.get_mut(seat.guard) else { continue };
            let is_new = seat.place.is_none() && standing.fits && seat.after.used > 0;
            let wanted =
                |place| seats.iter().any(|other| other.guard == seat.guard && other.place == Some(place));
            let room = if is_new { shard.allocate(now, &self.hasher, wanted) } else { seat.place };
            if is_new && room.is_none() {
                for (room, seat) in rooms.iter().zip(seats) {
                    if let (Some(room), None, Some(shard)) = (room, seat.place, guards.get_mut(seat.guard)) {
                        shard.release(*room);
                    }
                }
                return Err(full());
            }
            rooms.push(room);
        }
        for (((seat, standing), room), charge) in seats.iter().zip(standings).zip(rooms).zip(charges) {
            let (Some(shard), Some(place)) = (guards.get_mut(seat.guard), room) else { continue };
            if standing.fits {
                if seat.place.is_none() {
                    shard.fill(place, seat.hash, slot.with(charge.key), &self.hasher);
                }
                shard.set(place, seat.after, charge.limit.fresh_at(seat.after));
            }
        }
        Ok(())
    }

    #[expect(clippy::indexing_slicing, reason = "`shard_of` is less than the number of shards")]
    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        lock(&self.shards[shard])
    }

    fn time(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
    }
}

/// Computes what each charge would do, and whether all of them together may.
fn evaluate(
    slot: SlotBytes,
    charges: &[Charge<'_>],
    now: Timestamp,
    seats: &mut Seats,
    guards: &Guards<'_>,
    standings: &mut Standings,
) -> bool {
    let mut admitted = true;
    for (seat, charge) in seats.iter_mut().zip(charges) {
        let Some(shard) = guards.get(seat.guard) else { continue };
        seat.place = shard.find(seat.hash, slot.with(charge.key));
        let before = seat.place.and_then(|place| shard.state(place));
        let (after, standing) = charge.limit.charge(before, now, charge.cost);
        admitted &= standing.fits || charge.mode == Mode::Observe;
        seat.after = after;
        standings.push(standing);
    }
    admitted
}

/// Tells how counters stand when nothing is taken.
fn leave(
    charges: &[Charge<'_>],
    now: Timestamp,
    seats: &Seats,
    guards: &Guards<'_>,
    standings: &mut Standings,
) {
    for ((seat, charge), standing) in seats.iter().zip(charges).zip(standings) {
        if standing.fits {
            let state = |place| guards.get(seat.guard)?.state(place);
            *standing = charge.limit.charge(seat.place.and_then(state), now, 0).1;
        }
    }
}

/// Which shard a hash belongs to, by bits that the table inside the shard does not use.
const fn shard_of(hash: u64) -> usize {
    const { assert!(SHARDS == 64) };
    (hash >> 48 & 63) as usize
}

fn full() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "memory", "decide")
        .with_source("every counter there is room for is in use")
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl CounterStore for MemoryCounterStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(&[Algorithm::TokenBucket, Algorithm::FixedWindow], false)
    }

    async fn decide(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Option<Timestamp>,
    ) -> Result<Outcome, StoreError> {
        self.charge(slot, charges, self.time(now))
    }

    fn try_decide(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Option<Timestamp>,
    ) -> Option<Result<Outcome, StoreError>> {
        Some(self.charge(slot, charges, self.time(now)))
    }

    async fn peek(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Option<Timestamp>,
    ) -> Result<Outcome, StoreError> {
        let (slot, now) = (slot.into(), self.time(now));
        let (mut seats, mut guards, mut standings) =
            (Seats::new(), Guards::new(), Standings::with_capacity(charges.len()));
        self.sit(slot, charges, &mut seats, &mut guards);
        let admitted = evaluate(slot, charges, now, &mut seats, &guards, &mut standings);
        leave(charges, now, &seats, &guards, &mut standings);
        Ok(Outcome::from_standings(admitted, standings))
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        let wanted = SlotBytes::from(slot).with(key);
        let hash = wanted.hash(&self.hasher);
        self.lock(shard_of(hash)).remove(hash, wanted);
        Ok(())
    }
}

impl fmt::Debug for MemoryCounterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCounterStore").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
