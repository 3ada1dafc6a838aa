use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hashbrown::DefaultHashBuilder;
use smallvec::SmallVec;
use stanchion_core::{Clock, StoreError, StoreErrorKind, Timestamp};

use super::name::SlotBytes;
use super::shard::{Place, Shard};
use crate::{Algorithm, Capabilities, Charge, CounterStore, Mode, Outcome, Slot, Standing, State};

const SHARDS: usize = 64;

/// Counters in the memory of one process; a restart forgets them.
///
/// Exact under any number of threads: a decision holds the locks of all the parts it touches, taken in their order. Memory is
/// bounded: a counter takes about 70 bytes (names of more than 38 bytes take their length besides), and there are at most as many as
/// the store was made for, an equal number in each of 64 parts. Counters that are as good as new make room for others; where a part
/// has none, the decision fails with `Unavailable`, and nothing in use is forgotten.
pub struct MemoryCounterStore {
    shards: Box<[Mutex<Shard>]>,
    hasher: DefaultHashBuilder,
    clock: Arc<dyn Clock>,
}

/// One charge under way.
#[derive(Debug)]
struct Seat {
    hash: u64,
    shard: usize,
    /// Which of the locks taken is its shard's.
    guard: usize,
    place: Option<Place>,
    before: Option<State>,
    after: State,
    standing: Standing,
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
        let slot = slot.into();
        let (mut seats, mut guards) = self.sit(&slot, charges);
        let admitted = evaluate(&mut seats, &guards, &slot, charges, now);
        if admitted {
            self.take(&seats, &mut guards, &slot, charges, now)?;
        } else {
            leave(&mut seats, charges, now);
        }
        Ok(Outcome::new(admitted, seats.into_iter().map(|seat| seat.standing)))
    }

    /// Finds each charge's shard and locks them, lowest first, so that no two decisions wait for each other.
    fn sit<'a>(&'a self, slot: &SlotBytes, charges: &[Charge<'_>]) -> (Seats, Guards<'a>) {
        let seat = |charge: &Charge<'_>| {
            let hash = slot.with(charge.key).hash(&self.hasher);
            // Bits that the table inside the shard does not use.
            let shard = usize::try_from(hash >> 48).unwrap_or(0) % SHARDS;
            let standing =
                Standing { fits: false, remaining: 0, reset_after: Default::default(), retry_after: None };
            let after = State { at: Timestamp::EPOCH, used: 0 };
            Seat { hash, shard, guard: 0, place: None, before: None, after, standing }
        };
        let mut seats: Seats = charges.iter().map(seat).collect();
        let mut shards: SmallVec<[usize; 8]> = seats.iter().map(|seat| seat.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        for seat in &mut seats {
            seat.guard = shards.binary_search(&seat.shard).unwrap_or(0);
        }
        let guards = shards.iter().filter_map(|shard| self.shards.get(*shard)).map(lock).collect();
        (seats, guards)
    }

    /// Writes what was evaluated: first all the room that it takes, then everything.
    fn take(
        &self,
        seats: &Seats,
        guards: &mut Guards<'_>,
        slot: &SlotBytes,
        charges: &[Charge<'_>],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut rooms: SmallVec<[Option<Place>; 8]> = SmallVec::new();
        for seat in seats {
            let Some(shard) = guards.get_mut(seat.guard) else { continue };
            let is_new = seat.place.is_none() && seat.standing.fits && seat.after.used > 0;
            let wanted =
                |place| seats.iter().any(|other| other.guard == seat.guard && other.place == Some(place));
            let room = if is_new { shard.allocate(now, &self.hasher, wanted) } else { seat.place };
            if is_new && room.is_none() {
                for (room, seat) in rooms.iter().zip(seats) {
                    if let (Some(room), None, Some(shard)) = (room, seat.place, guards.get_mut(seat.guard)) {
                        shard.release(*room);
                    }
                }
                return Err(StoreError::new(StoreErrorKind::Unavailable, "memory", "decide")
                    .with_source("every counter there is room for is in use"));
            }
            rooms.push(room);
        }
        for ((seat, room), charge) in seats.iter().zip(rooms).zip(charges) {
            let (Some(shard), Some(place)) = (guards.get_mut(seat.guard), room) else { continue };
            if seat.standing.fits {
                if seat.place.is_none() {
                    shard.fill(place, seat.hash, slot.with(charge.key), &self.hasher);
                }
                shard.set(place, seat.after, charge.limit.fresh_at(seat.after));
            }
        }
        Ok(())
    }

    fn time(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
    }
}

/// Computes what each charge would do, and whether all of them together may.
fn evaluate(
    seats: &mut Seats,
    guards: &Guards<'_>,
    slot: &SlotBytes,
    charges: &[Charge<'_>],
    now: Timestamp,
) -> bool {
    let mut admitted = true;
    for (seat, charge) in seats.iter_mut().zip(charges) {
        let Some(shard) = guards.get(seat.guard) else { continue };
        seat.place = shard.find(seat.hash, slot.with(charge.key));
        seat.before = seat.place.and_then(|place| shard.state(place));
        (seat.after, seat.standing) = charge.limit.charge(seat.before, now, charge.cost);
        admitted &= seat.standing.fits || charge.mode == Mode::Observe;
    }
    admitted
}

/// Tells how counters stand when nothing is taken.
fn leave(seats: &mut Seats, charges: &[Charge<'_>], now: Timestamp) {
    for (seat, charge) in seats.iter_mut().zip(charges) {
        if seat.standing.fits {
            seat.standing = charge.limit.charge(seat.before, now, 0).1;
        }
    }
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
        let (mut seats, guards) = self.sit(&slot, charges);
        let admitted = evaluate(&mut seats, &guards, &slot, charges, now);
        leave(&mut seats, charges, now);
        Ok(Outcome::new(admitted, seats.into_iter().map(|seat| seat.standing)))
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        let slot = SlotBytes::from(slot);
        let wanted = slot.with(key);
        let hash = wanted.hash(&self.hasher);
        if let Some(shard) = usize::try_from(hash >> 48).ok().and_then(|bits| self.shards.get(bits % SHARDS))
        {
            lock(shard).remove(hash, wanted);
        }
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
