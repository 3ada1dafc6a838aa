use std::time::Duration;

use super::account::{Account, Look};
use super::ask::{Ask, Asked, Part, Role};
use super::lot::{Answer, Held, Lot, Owed};
use crate::charge::Standings;
use crate::memory::name::SlotId;
use crate::{Charge, Mode, Standing};

/// What a call leaves when it is over.
pub(super) struct Landed {
    pub(super) standings: Standings,
    pub(super) owed: Vec<Owed>,
    /// Whether it was refused and would perhaps not be again.
    pub(super) is_open: bool,
}

/// What a call does to the accounts when it is over.
impl Ask<'_> {
    /// Keeps what came back, puts back what was not used, and tells how each charge stands.
    pub(super) fn land(&mut self, admitted: bool, answers: &[Option<Answer>]) -> Landed {
        let mut landed = Landed { standings: Standings::new(), owed: Vec::new(), is_open: !admitted };
        let parts = std::mem::take(&mut self.parts);
        for ((part, charge), answer) in parts.iter().zip(self.call.charges).zip(answers) {
            let is_taken = |fits| fits && (admitted || charge.charge_denied);
            let (standing, is_open) = match (part.role, answer) {
                (Role::Known(standing), _) => (standing, false),
                (Role::Held(held), _) => {
                    let standing = self.release(part, charge, held, is_taken(true), &mut landed.owed);
                    (standing, false)
                }
                (Role::Asked(asked), Some(answer)) => {
                    let taken = is_taken(answer.standing.fits);
                    self.keep(part, charge, &asked, answer, taken, &mut landed.owed)
                }
                (Role::Asked(_), None) => continue,
            };
            let refuses = charge.mode == Mode::Enforce && !standing.fits;
            // What a refusal takes is not to be taken twice.
            landed.is_open &= (is_open || !refuses) && !charge.charge_denied;
            landed.standings.push(standing);
        }
        self.tell(&parts);
        landed
    }

    /// Ends the part of a charge that was covered here.
    fn release(
        &self,
        part: &Part,
        charge: &Charge<'_>,
        held: Held,
        is_taken: bool,
        owed: &mut Vec<Owed>,
    ) -> Standing {
        let now = self.store.now(self.call);
        self.with_account(part, charge, |account| {
            if part.is_pending {
                account.arrive(0);
            }
            if !is_taken {
                owed.extend(account.put_back(held));
            }
            account.standing(Look::Covered, now)
        })
        .unwrap_or_else(|| {
            self.store.lose(if is_taken { 0 } else { held.units });
            Standing {
                fits: true,
                remaining: 0,
                reset_after: Duration::ZERO,
                retry_after: None,
                delay: Duration::ZERO,
            }
        })
    }

    /// Ends the part of a charge that the shared store was asked for. Tells also whether there is, or soon may be, what it refused.
    fn keep(
        &self,
        part: &Part,
        charge: &Charge<'_>,
        asked: &Asked,
        answer: &Answer,
        is_taken: bool,
        owed: &mut Vec<Owed>,
    ) -> (Standing, bool) {
        let standing = answer.standing;
        let Some(lease) = asked.lease else { return (standing, false) };
        let more = if is_taken { asked.amount - asked.need } else { 0 };
        let here = self.with_account(part, charge, |account| {
            let is_awaited = part.is_pending && account.arrive(asked.flight);
            if is_awaited && more > 0 {
                let lot = Lot::new(asked.flight, more, asked.amount, &charge.limit, answer, lease);
                owed.extend(account.stock(lot, answer.answered));
            } else {
                // The account has another limit by now.
                self.store.lose(more);
            }
            if *account.limit() == charge.limit {
                if standing.fits || asked.amount > asked.need {
                    account.saw(answer, lease);
                } else {
                    account.was_refused(asked.amount, answer, lease);
                }
            }
            if !is_taken {
                owed.extend(account.put_back(asked.held));
            }
            let is_open = account.is_pending() || account.need(charge, answer.answered) == 0;
            (account.left(answer.answered), is_open)
        });
        if here.is_none() {
            // The account was reset.
            self.store.lose(more + if is_taken { 0 } else { asked.held.units });
        }
        let (left, is_open) = here.unwrap_or((0, false));
        // A chunk may not have fitted where the cost would have.
        let fits = standing.fits || (asked.amount > asked.need && standing.remaining >= asked.need);
        let remaining = standing.remaining.saturating_add(left).min(charge.limit.capacity());
        let retry_after = if fits { None } else { standing.retry_after };
        (Standing { fits, remaining, retry_after, ..standing }, is_open)
    }

    fn with_account<T>(
        &self,
        part: &Part,
        charge: &Charge<'_>,
        work: impl FnOnce(&mut Account) -> T,
    ) -> Option<T> {
        let (address, serial) = part.account?;
        let mut shard = self.store.table.lock(address.shard);
        let account = shard.get_mut(address.hash, SlotId::from(self.slot).with(charge.key));
        account.filter(|account| account.serial() == serial).map(work)
    }

    /// Tells those who wait that there is something new.
    fn tell(&self, parts: &[Part]) {
        for part in parts {
            if let (true, Some((address, _))) = (part.is_pending, part.account) {
                self.store.table.landed(address.shard).notify_waiters();
            }
        }
    }
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        for (part, charge) in parts.iter().zip(self.call.charges) {
            let (held, flight) = match part.role {
                Role::Known(_) => continue,
                Role::Held(held) => (held, 0),
                Role::Asked(asked) => (asked.held, asked.flight),
            };
            let owed = self.with_account(part, charge, |account| {
                if part.is_pending {
                    account.arrive(flight);
                }
                account.put_back(held).map_or(0, |owed| owed.units)
            });
            self.store.lose(owed.unwrap_or(held.units));
        }
        self.tell(&parts);
    }
}
