use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hashbrown::DefaultHashBuilder;
use smallvec::SmallVec;
use stanchion_core::{Clock, StoreError, StoreErrorKind, Timestamp};

use super::entries::Hashed;
use super::holds::Holds;
use super::lock::{Guard, Lock};
use super::name::{SlotId, Wanted};
use super::shard::{Place, Shard};
use crate::charge::Standings;
use crate::{
    Call, Capabilities, Charge, CounterStore, Entry, Kernel, Limit, Mode, Outcome, Settled, Settlement, Slot,
    State,
};

mod evaluating;
mod settling;

use self::evaluating::{evaluate, fresh_at, leave};

const SHARDS: usize = 64;

/// Counters in the memory of one process; a restart forgets them.
///
/// Exact under any number of threads: a decision holds the locks of all the parts it touches, taken in their order. Memory is
/// bounded: a counter takes about 75 bytes (a tenant's key of more than 22 bytes, or another slot's of more than 37, takes its length
/// besides), and there are at most as many as the store was made for, an equal number in each of 64 parts; as many entries of logs
/// and leases, and as many holds. Counters that are as good as new make room for others; where a part has none, the decision fails
/// with `Unavailable`, and nothing in use is forgotten.
pub struct MemoryCounterStore {
    shards: Box<[Lock<Shard>]>,
    /// Locked before any shard.
    holds: Lock<Holds>,
    capacity: usize,
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
    fresh_at: Timestamp,
    /// How much an entry is to take.
    amount: u64,
    /// Whether anything is to be written.
    writes: bool,
}

type Seats = SmallVec<[Seat; 8]>;
type Guards<'a> = SmallVec<[Guard<'a, Shard>; 8]>;
type Rooms = SmallVec<[Option<Place>; 8]>;

impl MemoryCounterStore {
    /// Makes an empty store for at most about `capacity` counters (at least 64). `clock` decides where callers leave the time to the
    /// store.
    #[must_use]
    pub fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let of_shard = capacity.div_ceil(SHARDS).max(1);
        let shards = (0..SHARDS).map(|_| Lock::new(Shard::new(of_shard))).collect();
        let capacity = of_shard.saturating_mul(SHARDS);
        Self { shards, holds: Lock::default(), capacity, hasher: DefaultHashBuilder::default(), clock }
    }

    /// Returns how many counters and entries there are, those that are as good as new included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decides, without waiting.
    pub(crate) fn charge(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        let now = self.time(call.now);
        match call.hold {
            Some(lasts) => self.charge_held(slot, call, lasts, now),
            None => match call.charges {
                [charge] if charge.limit.kernel() != Kernel::Entries && !charge.charge_denied => {
                    self.charge_one(SlotId::from(slot), charge, now)
                }
                _ => self.charge_all(SlotId::from(slot), call, now),
            },
        }
    }

    /// One rule is the usual case, and needs none of the book-keeping.
    fn charge_one(&self, slot: SlotId, charge: &Charge<'_>, now: Timestamp) -> Result<Outcome, StoreError> {
        let wanted = slot.with(charge.key);
        let hash = wanted.hash(&self.hasher);
        let mut shard = self.lock(shard_of(hash));
        let found = shard.find_mut(hash, wanted);
        let before = found.as_ref().map(|counter| counter.state);
        let (after, standing) = charge.limit.charge(before, now, charge.cost);
        if standing.fits {
            let fresh_at = fresh_at(&charge.limit, after, now, &standing);
            match found {
                Some(counter) => (counter.state, counter.fresh_at) = (after, fresh_at),
                None if after.used > 0 => {
                    let place = shard.allocate(now, &self.hasher, |_| false).ok_or_else(full)?;
                    shard.fill(place, hash, wanted, &self.hasher);
                    shard.set(place, after, fresh_at);
                }
                None => {}
            }
        }
        drop(shard);
        let admitted = standing.fits || charge.mode == Mode::Observe;
        Ok(Outcome::of_one(admitted, now, standing))
    }

    /// Takes the charges and remembers them, or neither.
    fn charge_held(
        &self,
        slot: Slot,
        call: &Call<'_>,
        lasts: Duration,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut holds = self.holds.lock();
        if !holds.has_room(self.capacity, now) {
            return Err(full());
        }
        let outcome = self.charge_all(slot.into(), call, now)?;
        if outcome.is_admitted() {
            holds.add(slot, call.id, now.plus(lasts));
        }
        Ok(outcome)
    }

    fn charge_all(&self, slot: SlotId, call: &Call<'_>, now: Timestamp) -> Result<Outcome, StoreError> {
        let (mut seats, mut guards, mut standings) =
            (Seats::new(), Guards::new(), Standings::with_capacity(call.charges.len()));
        let keys = call.charges.iter().map(|charge| charge.key);
        self.sit(slot, keys, &mut seats, &mut guards);
        let admitted = evaluate(slot, call.charges, now, &mut seats, &guards, &mut standings);
        if !admitted {
            leave(slot, call.charges, now, &mut seats, &guards, &mut standings);
        }
        if seats.iter().any(|seat| seat.writes) {
            self.take(slot, call, now, &seats, &mut guards)?;
        }
        Ok(Outcome::from_standings(admitted, now, standings))
    }

    /// Finds each key's shard and locks them, lowest first, so that no two decisions wait for each other.
    fn sit<'a, 'k>(
        &'a self,
        slot: SlotId,
        keys: impl Iterator<Item = &'k [u8]>,
        seats: &mut Seats,
        guards: &mut Guards<'a>,
    ) {
        // One bit for each shard: their order, and the place of each among those that are locked, come for nothing.
        let mut touched = 0_u64;
        for key in keys {
            let hash = slot.with(key).hash(&self.hasher);
            let (shard, place, after) = (shard_of(hash), None, State { at: Timestamp::EPOCH, used: 0 });
            let fresh_at = Timestamp::EPOCH;
            seats.push(Seat { hash, shard, guard: 0, place, after, fresh_at, amount: 0, writes: false });
            touched |= 1 << shard;
        }
        for seat in seats {
            let before = touched & ((1 << seat.shard) - 1);
            seat.guard = usize::try_from(before.count_ones()).unwrap_or(usize::MAX);
        }
        while touched != 0 {
            guards.push(self.lock(usize::try_from(touched.trailing_zeros()).unwrap_or(0)));
            touched &= touched - 1;
        }
    }

    /// Writes what was evaluated: first all the room that it takes, then everything.
    fn take(
        &self,
        slot: SlotId,
        call: &Call<'_>,
        now: Timestamp,
        seats: &Seats,
        guards: &mut Guards<'_>,
    ) -> Result<(), StoreError> {
        let rooms = self.make_room(now, seats, guards)?;
        for ((seat, room), charge) in seats.iter().zip(rooms).zip(call.charges) {
            let Some(shard) = guards.get_mut(seat.guard).filter(|_| seat.writes) else { continue };
            let wanted = slot.with(charge.key);
            match (charge.limit, room) {
                (Limit::Entries(limit), _) => {
                    let entry = Entry { until: limit.until(now), id: call.id, amount: seat.amount };
                    let name = Hashed { wanted, hash: seat.hash, hasher: &self.hasher };
                    shard.entries.add(name, entry, now);
                }
                (_, Some(place)) => self.write(shard, place, seat, wanted, seat.fresh_at),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// Finds room for all that is written and not there yet: each seat's place, where it has one.
    fn make_room(&self, now: Timestamp, seats: &Seats, guards: &mut Guards<'_>) -> Result<Rooms, StoreError> {
        let adds_entries = seats.iter().any(|seat| seat.amount > 0);
        for (number, shard) in guards.iter_mut().enumerate().filter(|_| adds_entries) {
            let entries = seats.iter().filter(|seat| seat.guard == number && seat.amount > 0).count();
            if entries > 0 && !shard.entries.has_room(entries, now) {
                return Err(full());
            }
        }
        let mut rooms = Rooms::new();
        for seat in seats {
            let Some(shard) = guards.get_mut(seat.guard) else { continue };
            let is_new = seat.place.is_none() && seat.writes && seat.after.used > 0;
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
        Ok(rooms)
    }

    /// Writes a counter into its place, under its name if it is new there.
    fn write(&self, shard: &mut Shard, place: Place, seat: &Seat, wanted: Wanted<'_>, fresh_at: Timestamp) {
        if seat.place.is_none() {
            shard.fill(place, seat.hash, wanted, &self.hasher);
        }
        shard.set(place, seat.after, fresh_at);
    }

    #[expect(clippy::indexing_slicing, reason = "`shard_of` is less than the number of shards")]
    fn lock(&self, shard: usize) -> Guard<'_, Shard> {
        self.shards[shard].lock()
    }

    fn time(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
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

#[async_trait]
impl CounterStore for MemoryCounterStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Kernel::ALL, false)
    }

    async fn decide(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        self.charge(slot, call)
    }

    fn try_decide(&self, slot: Slot, call: &Call<'_>) -> Option<Result<Outcome, StoreError>> {
        Some(self.charge(slot, call))
    }

    async fn peek(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        let (slot, now) = (slot.into(), self.time(call.now));
        let (mut seats, mut guards, mut standings) =
            (Seats::new(), Guards::new(), Standings::with_capacity(call.charges.len()));
        self.sit(slot, call.charges.iter().map(|charge| charge.key), &mut seats, &mut guards);
        let admitted = evaluate(slot, call.charges, now, &mut seats, &guards, &mut standings);
        let free: SmallVec<[Charge<'_>; 8]> =
            call.charges.iter().map(|charge| Charge { charge_denied: false, ..*charge }).collect();
        leave(slot, &free, now, &mut seats, &guards, &mut standings);
        Ok(Outcome::from_standings(admitted, now, standings))
    }

    async fn settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.settle_all(slot, call, corrections, self.time(now))
    }

    fn try_settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Option<Result<bool, StoreError>> {
        Some(self.settle_all(slot, call, corrections, self.time(now)))
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        let wanted = SlotId::from(slot).with(key);
        let hash = wanted.hash(&self.hasher);
        let mut shard = self.lock(shard_of(hash));
        shard.remove(hash, wanted);
        shard.entries.remove(hash, wanted);
        Ok(())
    }
}

impl fmt::Debug for MemoryCounterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCounterStore").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
