use stanchion_core::{StoreError, Timestamp};

use super::{Guards, MemoryCounterStore, Seats};
use crate::memory::entries::Hashed;
use crate::memory::name::SlotId;
use crate::{Adjustment, Limit, Settled, Settlement, Slot};

impl MemoryCounterStore {
    /// Corrects counters as one step with the end of the hold, under the locks of them all.
    pub(super) fn settle_all(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut holds = call.hold.then(|| self.holds.lock());
        if holds.as_ref().is_some_and(|holds| !holds.lasts(slot, call.id, now)) {
            return Ok(false);
        }
        let (mut seats, mut guards) = (Seats::new(), Guards::new());
        let slot_id = SlotId::from(slot);
        self.sit(slot_id, corrections.iter().map(|correction| correction.key), &mut seats, &mut guards);
        for (seat, correction) in seats.iter_mut().zip(corrections) {
            let Some(shard) = guards.get(seat.guard) else { continue };
            let wanted = slot_id.with(correction.key);
            if let Limit::Entries(_) = correction.limit {
                seat.writes = true;
                // What is added to an entry that has ended begins another.
                if let Adjustment::Add(amount) = correction.adjustment
                    && !shard.entries.has(
                        Hashed { wanted, hash: seat.hash, hasher: &self.hasher },
                        call.id,
                        now,
                    )
                {
                    seat.amount = amount;
                }
                continue;
            }
            seat.place = shard.find(seat.hash, wanted);
            let before = seat.place.and_then(|place| shard.state(place));
            if let Some(after) = correction.limit.settle(before, now, call.at, correction.adjustment) {
                (seat.after, seat.writes) = (after, true);
            }
        }
        let rooms = self.make_room(now, &seats, &mut guards)?;
        for ((seat, room), correction) in seats.iter().zip(rooms).zip(corrections) {
            let Some(shard) = guards.get_mut(seat.guard).filter(|_| seat.writes) else { continue };
            let wanted = slot_id.with(correction.key);
            match (correction.limit, room) {
                (Limit::Entries(limit), _) => {
                    let until = limit.until(now);
                    let name = Hashed { wanted, hash: seat.hash, hasher: &self.hasher };
                    shard.entries.settle(name, call.id, until, correction.adjustment, now);
                }
                (limit, Some(place)) => self.write(shard, place, seat, wanted, limit.fresh_at(seat.after)),
                (_, None) => {}
            }
        }
        if let Some(holds) = &mut holds {
            holds.end(slot, call.id);
        }
        Ok(true)
    }
}
