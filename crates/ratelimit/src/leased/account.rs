use std::time::Duration;

use hashbrown::DefaultHashBuilder;
use stanchion_core::Timestamp;

use super::lot::{Answer, Held, Lot, Owed, returnable};
use crate::memory::name::{Name, SlotId, Wanted};
use crate::{Charge, Lease, Level, Limit, Slot, Standing};

/// What a replica has of one counter, and what it knows of it. What a decision reads stands first, in three cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Account {
    name: Name,
    lot: Lot,
    seen: Seen,
    limit: Limit,
    refusal: Option<Refusal>,
    /// The ticket of the call that is on its way for another lot; zero when none is.
    flight: u64,
    /// Tells it from another account of the same counter, before or after it.
    serial: u64,
    /// How many calls are on their way that hold units of the lot, or may bring some.
    pending: u32,
    slot: Slot,
}

const _: () = assert!(size_of::<Account>() <= 256);

/// What the shared store said when it was asked last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    remaining: u64,
    /// When nothing is used any more.
    clear_at: Timestamp,
    /// Until when that is worth anything.
    until: Timestamp,
    /// The time here before it was asked, and its own when it decided: between them lies no more than a round trip.
    here: Timestamp,
    there: Timestamp,
}

/// A refusal by the shared store, which it need not be asked to repeat.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// The least that is refused.
    amount: u64,
    /// When so much fits; `None` for never.
    fits_at: Option<Timestamp>,
    /// Until when it is believed.
    until: Timestamp,
}

/// How a charge stands by what is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// What is here is enough.
    Covered,
    /// What is here is not enough, and the shared store has refused as much. It fits after so long, or never.
    Refused(Option<Duration>),
    /// The shared store had enough when it was last asked.
    Likely,
    /// It has to be asked.
    Unknown,
}

impl Account {
    pub(super) fn new(slot: Slot, wanted: Wanted<'_>, limit: Limit, serial: u64) -> Self {
        let never = Timestamp::MIN;
        Self {
            slot,
            name: wanted.into(),
            limit,
            lot: Lot::none(),
            seen: Seen { remaining: 0, clear_at: never, until: never, here: never, there: never },
            refusal: None,
            flight: 0,
            pending: 0,
            serial,
        }
    }

    pub(super) fn is(&self, wanted: Wanted<'_>) -> bool {
        self.name.is(wanted)
    }

    pub(super) fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        SlotId::from(self.slot).with(self.name.key()).hash(hasher)
    }

    pub(super) fn limit(&self) -> &Limit {
        &self.limit
    }

    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }

    /// The ticket of the call that is on its way for another lot; zero when none is.
    pub(super) const fn flight(&self) -> u64 {
        self.flight
    }

    /// Lets a call bring a lot, under its ticket, unless another one is on its way for that.
    pub(super) const fn reserve(&mut self, ticket: u64) -> bool {
        let is_free = self.flight == 0;
        if is_free {
            self.flight = ticket;
        }
        is_free
    }

    /// Notes that a call is on its way that holds units, or brings some.
    pub(super) const fn depart(&mut self) {
        self.pending += 1;
    }

    /// Notes that such a call has come back, and tells whether it is the one that brings a lot.
    pub(super) const fn arrive(&mut self, ticket: u64) -> bool {
        self.pending = self.pending.saturating_sub(1);
        let brings = ticket != 0 && self.flight == ticket;
        if brings {
            self.flight = 0;
        }
        brings
    }

    /// Whether there may soon be more here: what was refused need not stay so.
    pub(super) const fn is_pending(&self) -> bool {
        self.pending > 0
    }

    /// Whether it is worth waiting for a call that is on its way: it brings a lot, or it is all that a refusal hangs on.
    pub(super) fn is_awaited(&self, charge: &Charge<'_>, now: Timestamp) -> bool {
        let need = self.need(charge, now);
        let refuses = |refusal: Refusal| now < refusal.until && need >= refusal.amount;
        self.limit == charge.limit
            && (self.flight != 0 || (self.pending > 0 && self.refusal.is_some_and(refuses)))
    }

    /// How many units may be used now.
    pub(super) fn left(&self, now: Timestamp) -> u64 {
        if now < self.lot.until { self.lot.left } else { 0 }
    }

    /// Whether there is a lot that can be used, even if nothing is left of it.
    pub(super) fn is_stocked(&self, now: Timestamp) -> bool {
        now < self.lot.until
    }

    /// How many units could be put back to the lot before it were larger than when it came.
    pub(super) fn room(&self, now: Timestamp) -> u64 {
        if now < self.lot.until { self.lot.size.saturating_sub(self.lot.left) } else { 0 }
    }

    #[inline]
    pub(super) fn look(&self, charge: &Charge<'_>, now: Timestamp) -> Look {
        if self.limit != charge.limit {
            return Look::Unknown;
        }
        let is_seen = now < self.seen.until;
        if charge.cost == 0 {
            return if is_seen { Look::Covered } else { Look::Unknown };
        }
        let need = self.need(charge, now);
        if need == 0 {
            return Look::Covered;
        }
        match &self.refusal {
            Some(refusal) if now < refusal.until && need >= refusal.amount && self.pending == 0 => {
                match self.fits_at(refusal, need) {
                    Some(fits_at) => Look::Refused(fits_at.map(|at| at.since(now))),
                    None => Look::Unknown,
                }
            }
            _ if is_seen && need <= self.seen.remaining => Look::Likely,
            _ => Look::Unknown,
        }
    }

    /// How much the shared store has to give, so that a charge fits. What costs more than the limit ever gives at once is not helped
    /// by what is here.
    pub(super) fn need(&self, charge: &Charge<'_>, now: Timestamp) -> u64 {
        if charge.cost > charge.limit.capacity() {
            return charge.cost;
        }
        charge.cost.saturating_sub(self.left(now))
    }

    /// How much to ask for, where `need` is the least: a chunk, but of what may be less than a chunk only half, so that replicas use
    /// up the rest of a limit together. After a refusal that may still hold it is no more than the need.
    pub(super) fn amount(&self, charge: &Charge<'_>, lease: Lease, need: u64, now: Timestamp) -> u64 {
        let refused = |refusal: Refusal| refusal.fits_at.is_none_or(|fits_at| now < fits_at);
        if self.refusal.is_some_and(refused) {
            return need;
        }
        let chunk = lease.chunk.get().min(charge.limit.capacity());
        let scarce = now < self.seen.until && self.seen.remaining < chunk;
        need.max(if scarce { self.seen.remaining / 2 } else { chunk })
    }

    /// When an amount fits that is at least the refused one; the outer `None` when that cannot be told from here.
    fn fits_at(&self, refusal: &Refusal, amount: u64) -> Option<Option<Timestamp>> {
        let more = amount.saturating_sub(refusal.amount);
        match (&self.limit, refusal.fits_at) {
            (limit, _) if amount > limit.capacity() => Some(None),
            (_, fits_at) if more == 0 => Some(fits_at),
            (Limit::FixedWindow(_), fits_at) => Some(fits_at),
            (Limit::Level(level), Some(fits_at)) => {
                // Rounded up once more than the store would: late by less than a tick, never early.
                let ticks = more.saturating_mul(Level::UNIT).div_ceil(level.refill());
                let wait = ticks.saturating_mul(u64::from(level.window_seconds()));
                Some(Some(fits_at.plus(Duration::from_micros(wait))))
            }
            _ => None,
        }
    }

    /// How the counter stands by what is here and what was seen.
    #[inline]
    pub(super) fn standing(&self, look: Look, now: Timestamp) -> Standing {
        let remaining = self.left(now).saturating_add(self.seen.remaining).min(self.limit.capacity());
        let (fits, retry_after) = match look {
            Look::Refused(retry_after) => (false, retry_after),
            Look::Covered | Look::Likely | Look::Unknown => (true, None),
        };
        Standing {
            fits,
            remaining,
            reset_after: self.seen.clear_at.since(now),
            retry_after,
            delay: Duration::ZERO,
        }
    }

    /// The store's time, to within a round trip.
    pub(super) fn store_time(&self, now: Timestamp) -> Timestamp {
        self.seen.there.plus(now.since(self.seen.here))
    }

    /// Takes at most so many units off the lot.
    #[inline]
    pub(super) fn take(&mut self, most: u64, now: Timestamp) -> Held {
        let units = self.left(now).min(most);
        self.lot.left -= units;
        Held { units, ticket: self.lot.ticket, charged: self.lot.charged }
    }

    /// Puts units back that a call did not use. Where their lot is gone they are owed to the shared store.
    pub(super) fn put_back(&mut self, held: Held) -> Option<Owed> {
        if held.units == 0 {
            return None;
        }
        let room =
            if held.ticket == self.lot.ticket { self.lot.size.saturating_sub(self.lot.left) } else { 0 };
        let back = held.units.min(room);
        self.lot.left = self.lot.left.saturating_add(back);
        let rest = held.units - back;
        (rest > 0).then(|| self.owed(rest, held.charged))
    }

    /// Adds units to the lot that a caller gives back: no more than there is [`room`](Self::room) for.
    pub(super) const fn refund(&mut self, units: u64) {
        self.lot.left = self.lot.left.saturating_add(units);
    }

    /// Replaces the lot; what was left of the former one is owed to the shared store.
    pub(super) fn stock(&mut self, lot: Lot, now: Timestamp) -> Option<Owed> {
        let former = self.clear(now);
        self.lot = lot;
        former
    }

    /// Lets go of the lot, and tells what is to be given back of it.
    pub(super) fn clear(&mut self, now: Timestamp) -> Option<Owed> {
        let Lot { left, charged, .. } = self.lot;
        self.lot = Lot::none();
        let owed = returnable(&self.limit, self.store_time(now), charged, left);
        (owed > 0).then(|| self.owed(left, charged))
    }

    /// Goes on under another limit. Nothing that was taken or learned under the former one holds.
    pub(super) fn change(&mut self, limit: Limit, now: Timestamp) -> Option<Owed> {
        let owed = self.clear(now);
        self.limit = limit;
        self.forget();
        self.flight = 0;
        owed.map(|owed| Owed { limit, ..owed })
    }

    /// Forgets what the shared store has said.
    pub(super) fn forget(&mut self) {
        self.refusal = None;
        self.seen.until = Timestamp::MIN;
    }

    /// Remembers what the shared store has left.
    pub(super) fn saw(&mut self, answer: &Answer, lease: Lease) {
        self.refusal = None;
        self.seen = Seen {
            remaining: answer.standing.remaining,
            clear_at: answer.answered.plus(answer.standing.reset_after),
            until: answer.asked.plus(lease.ttl),
            here: answer.asked,
            there: answer.there,
        };
    }

    /// Remembers that the shared store refuses an amount.
    pub(super) fn was_refused(&mut self, amount: u64, answer: &Answer, lease: Lease) {
        self.saw(answer, lease);
        let wait = answer.standing.retry_after;
        self.refusal = Some(Refusal {
            amount,
            fits_at: wait.map(|wait| answer.answered.plus(wait)),
            until: answer.asked.plus(wait.map_or(lease.ttl, |wait| wait.min(lease.ttl))),
        });
    }

    /// Whether a lot has units that may not be used any more.
    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.lot.left > 0 && now >= self.lot.until
    }

    /// The first instant at which nothing is lost with the account, unless it is used until then; `None` while a call is on its way.
    pub(super) fn idle_at(&self) -> Option<Timestamp> {
        let refused = self.refusal.map_or(Timestamp::MIN, |refusal| refusal.until);
        let used = if self.lot.left > 0 { self.lot.until } else { Timestamp::MIN };
        (self.pending == 0).then(|| used.max(self.seen.until).max(refused))
    }

    fn owed(&self, units: u64, charged: Timestamp) -> Owed {
        Owed { slot: self.slot, key: self.name.key().into(), limit: self.limit, units, charged }
    }
}
