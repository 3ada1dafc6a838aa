use smallvec::SmallVec;
use stanchion_core::Timestamp;

use super::account::Look;
use super::table::{Address, Guards, Table};
use crate::charge::Standings;
use crate::memory::name::SlotId;
use crate::{Call, Charge, Limit, Mode, Outcome, Standing};

/// How all charges of a call stand here, with the shards of the leased ones locked.
pub(super) struct Survey<'t> {
    pub(super) seats: SmallVec<[Seat; 8]>,
    pub(super) guards: Guards<'t>,
    pub(super) verdict: Verdict,
}

/// One charge: where its account is, and how it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// `None` for a charge that is not leased.
    pub(super) address: Option<Address>,
    /// Which of the locks taken is its shard's.
    pub(super) guard: usize,
    pub(super) place: Option<usize>,
    pub(super) look: Look,
}

/// What a call comes to by what is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    Refused,
    /// The shared store has to be asked.
    Open,
}

/// Whether a charge can be decided here: it has a lease that lasts, and is of a kernel whose units are alike. An entry belongs to its
/// call, and who waits in a queue has a turn of its own.
#[inline]
pub(super) fn is_leased(charge: &Charge<'_>) -> bool {
    let Some(lease) = charge.lease else { return false };
    let is_leasable = match charge.limit {
        Limit::Level(level) => level.late() == 0,
        Limit::FixedWindow(_) | Limit::SlidingWindow(_) => true,
        Limit::Entries(_) => false,
    };
    is_leasable && !lease.ttl.is_zero()
}

/// Decides the usual call, of one charge, without the book-keeping of several. `None` when the shared store has to be asked.
#[inline]
pub(super) fn settle_one(
    table: &Table,
    slot: SlotId,
    charge: &Charge<'_>,
    call: &Call<'_>,
    now: Timestamp,
) -> Option<Outcome> {
    if call.hold.is_some() {
        return None;
    }
    let address = table.address(slot, charge.key);
    let mut shard = table.lock(address.shard);
    let account = shard.get_mut(address.hash, slot.with(charge.key))?;
    let look = account.look(charge, now);
    let admitted = match look {
        Look::Covered => true,
        Look::Refused(_) => charge.mode == Mode::Observe,
        Look::Likely | Look::Unknown => return None,
    };
    if look == Look::Covered {
        account.take(charge.cost, now);
    }
    let standing = account.standing(look, now);
    let at = call.now.unwrap_or_else(|| account.store_time(now));
    shard.decided += 1;
    Some(Outcome::of_one(admitted, at, standing))
}

impl<'t> Survey<'t> {
    #[inline]
    pub(super) fn new(table: &'t Table, slot: SlotId, call: &Call<'_>, now: Timestamp) -> Self {
        let mut seats: SmallVec<[Seat; 8]> = SmallVec::new();
        let mut shards: SmallVec<[usize; 8]> = SmallVec::new();
        for charge in call.charges {
            let address = is_leased(charge).then(|| table.address(slot, charge.key));
            shards.extend(address.map(|address| address.shard));
            seats.push(Seat { address, guard: 0, place: None, look: Look::Unknown });
        }
        shards.sort_unstable();
        shards.dedup();
        let guards = table.lock_all(&shards);
        for (seat, charge) in seats.iter_mut().zip(call.charges) {
            let Some(address) = seat.address else { continue };
            seat.guard = shards.iter().position(|shard| *shard == address.shard).unwrap_or(0);
            let Some(shard) = guards.get(seat.guard) else { continue };
            let Some(place) = shard.find(address.hash, slot.with(charge.key)) else { continue };
            seat.place = Some(place);
            seat.look = shard.at(place).map_or(Look::Unknown, |account| account.look(charge, now));
        }
        let verdict = judge(call, &seats);
        Self { seats, guards, verdict }
    }

    /// Takes what is to be taken, when the call is decided here; `None` when it is not.
    #[inline]
    pub(super) fn settle(&mut self, call: &Call<'_>, now: Timestamp) -> Option<Outcome> {
        let admitted = match self.verdict {
            Verdict::Admitted => true,
            Verdict::Refused => false,
            Verdict::Open => return None,
        };
        let mut standings = Standings::with_capacity(call.charges.len());
        let mut at = call.now;
        for (seat, charge) in self.seats.iter().zip(call.charges) {
            let account = self.guards.get_mut(seat.guard)?.at_mut(seat.place?)?;
            if seat.look == Look::Covered && (admitted || charge.charge_denied) {
                account.take(charge.cost, now);
            }
            standings.push(account.standing(seat.look, now));
            at = at.or_else(|| Some(account.store_time(now)));
        }
        if let Some(first) = self.guards.first_mut() {
            first.decided += 1;
        }
        Some(Outcome::from_standings(admitted, at.unwrap_or(now), standings))
    }

    /// How a charge stands by what is known here.
    pub(super) fn standing(&self, seat: &Seat, now: Timestamp) -> Option<Standing> {
        Some(self.guards.get(seat.guard)?.at(seat.place?)?.standing(seat.look, now))
    }
}

fn judge(call: &Call<'_>, seats: &[Seat]) -> Verdict {
    let (mut refused, mut short, mut unknown) = (false, false, false);
    for (seat, charge) in seats.iter().zip(call.charges) {
        match seat.look {
            Look::Covered => {}
            Look::Refused(_) => refused |= charge.mode == Mode::Enforce,
            // What a refusal takes too has to be taken from somewhere.
            Look::Likely if charge.charge_denied => unknown = true,
            Look::Likely => short = true,
            Look::Unknown => unknown = true,
        }
    }
    // The shared store remembers what is held.
    let stays = unknown || if refused { false } else { short || call.hold.is_some() };
    match (stays, refused) {
        (true, _) => Verdict::Open,
        (false, true) => Verdict::Refused,
        (false, false) => Verdict::Admitted,
    }
}
