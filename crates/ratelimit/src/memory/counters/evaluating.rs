//! What charges come to by what is counted, before anything is written.

use stanchion_core::Timestamp;

use super::{Guards, Seats};
use crate::charge::Standings;
use crate::memory::name::SlotId;
use crate::{Charge, Kernel, Limit, Mode, Standing, State};

/// Computes what each charge would do, and whether all of them together may.
pub(super) fn evaluate(
    slot: SlotId,
    charges: &[Charge<'_>],
    now: Timestamp,
    seats: &mut Seats,
    guards: &Guards<'_>,
    standings: &mut Standings,
) -> bool {
    // All are found before any is computed, so that the processor waits for several counters at a time.
    for (seat, charge) in seats.iter_mut().zip(charges) {
        if let Some(shard) = guards.get(seat.guard).filter(|_| charge.limit.kernel() != Kernel::Entries) {
            seat.place = shard.find(seat.hash, slot.with(charge.key));
        }
    }
    let mut admitted = true;
    for (seat, charge) in seats.iter_mut().zip(charges) {
        let Some(shard) = guards.get(seat.guard) else { continue };
        let wanted = slot.with(charge.key);
        let standing = if let Limit::Entries(limit) = &charge.limit {
            let in_use = shard.entries.in_use(seat.hash, wanted, limit, now, charge.cost);
            seat.amount = charge.cost;
            limit.standing(&in_use, now, charge.cost)
        } else {
            let before = seat.place.and_then(|place| shard.state(place));
            let (after, standing) = charge.limit.charge(before, now, charge.cost);
            (seat.after, seat.fresh_at) = (after, fresh_at(&charge.limit, after, now, &standing));
            standing
        };
        admitted &= standing.fits || charge.mode == Mode::Observe;
        seat.writes = standing.fits;
        if !standing.fits {
            seat.amount = 0;
        }
        standings.push(standing);
    }
    admitted
}

/// Turns to what is left of a refused call: charges that refusals take too, and how the others stand when nothing is taken.
pub(super) fn leave(
    slot: SlotId,
    charges: &[Charge<'_>],
    now: Timestamp,
    seats: &mut Seats,
    guards: &Guards<'_>,
    standings: &mut Standings,
) {
    for ((seat, charge), standing) in seats.iter_mut().zip(charges).zip(standings) {
        let Some(shard) = guards.get(seat.guard).filter(|_| seat.writes && !charge.charge_denied) else {
            continue;
        };
        (seat.writes, seat.amount) = (false, 0);
        *standing = if let Limit::Entries(limit) = &charge.limit {
            let in_use = shard.entries.in_use(seat.hash, slot.with(charge.key), limit, now, 0);
            limit.standing(&in_use, now, 0)
        } else {
            let before = seat.place.and_then(|place| shard.state(place));
            charge.limit.charge(before, now, 0).1
        };
    }
}

/// When a state that has just been charged is as good as new. The standing of a level tells it, which saves two divisions.
#[inline]
pub(super) fn fresh_at(limit: &Limit, after: State, now: Timestamp, standing: &Standing) -> Timestamp {
    match limit {
        Limit::Level(_) if after.used > 0 => {
            let fresh_at = now.plus(standing.reset_after);
            debug_assert_eq!(fresh_at, limit.fresh_at(after), "{limit:?} {after:?}");
            fresh_at
        }
        _ => limit.fresh_at(after),
    }
}
