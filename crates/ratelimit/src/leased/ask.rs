use smallvec::SmallVec;
use stanchion_core::{StoreError, StoreErrorKind, Timestamp};
use tokio::sync::futures::Notified;

use super::LeasedCounterStore;
use super::account::Look;
use super::lot::{Answer, Held, Owed};
use super::survey::{Seat, Survey, Verdict};
use super::table::Address;
use crate::memory::name::SlotId;
use crate::{Call, Charge, Lease, Mode, Outcome, Slot, Standing};

/// How a call goes on.
pub(super) enum Next<'a> {
    /// It was decided here.
    Decided(Outcome),
    /// Another call is on its way for what this one needs.
    Wait(Notified<'a>, Awaited),
    /// The shared store has to be asked, once these units have been given back to it.
    Ask(Ask<'a>, Vec<Owed>),
}

/// Whether a call waits for what another one may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It waits, for whichever call it is.
    Waits,
    /// It waits for this one, and then for no other.
    WaitsFor(Awaited),
}

/// A call that is waited for: the shard of its account, and its ticket if it brings a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    shard: usize,
    flight: u64,
}

/// Whether a refused call would be refused again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Final,
    /// Another call had, or has, what it lacked.
    Open,
}

/// A call on its way to the shared store. When it is dropped without an answer, what it held is put back.
pub(super) struct Ask<'a> {
    pub(super) store: &'a LeasedCounterStore,
    pub(super) slot: Slot,
    pub(super) call: &'a Call<'a>,
    pub(super) parts: Vec<Part>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Where its account is, and the account's serial; `None` when there is none.
    pub(super) account: Option<(Address, u64)>,
    /// Whether the account waits for it.
    pub(super) is_pending: bool,
    pub(super) role: Role,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Known here: a charge that only watches and does not fit.
    Known(Standing),
    /// Covered here; its units wait for the others.
    Held(Held),
    /// Asked of the shared store.
    Asked(Asked),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// How much the shared store has to give.
    pub(super) need: u64,
    /// How much it is asked for.
    pub(super) amount: u64,
    /// What comes from here.
    pub(super) held: Held,
    /// The ticket under which more than the need may be kept; zero when it may not.
    pub(super) flight: u64,
    pub(super) lease: Option<Lease>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Whole chunks are asked for.
    Chunks,
    /// Parts of what the shared store said is left.
    Rest,
    /// No more than is needed.
    Exact,
}

impl LeasedCounterStore {
    /// Decides a call here, or prepares to ask the shared store.
    pub(super) fn prepare<'a>(&'a self, slot: Slot, call: &'a Call<'a>, patience: Patience) -> Next<'a> {
        let now = self.now(call);
        let mut survey = Survey::new(&self.table, slot.into(), call, now);
        if let Some(outcome) = survey.settle(call, now) {
            return Next::Decided(outcome);
        }
        debug_assert_eq!(survey.verdict, Verdict::Open);
        if let Some(awaited) = survey.awaited(call, now)
            && (patience == Patience::Waits
                || (patience == Patience::WaitsFor(awaited) && awaited.flight != 0))
        {
            return Next::Wait(self.table.landed(awaited.shard).notified(), awaited);
        }
        let mut owed = Vec::new();
        let parts = (0..call.charges.len())
            .filter_map(|number| self.part(slot, call, number, now, &mut survey, &mut owed))
            .collect();
        let mut ask = Ask { store: self, slot, call, parts, stage: Stage::Chunks };
        if ask.asked().all(|asked| asked.amount == asked.need) {
            ask.stage = Stage::Exact;
        }
        Next::Ask(ask, owed)
    }

    fn part(
        &self,
        slot: Slot,
        call: &Call<'_>,
        number: usize,
        now: Timestamp,
        survey: &mut Survey<'_>,
        owed: &mut Vec<Owed>,
    ) -> Option<Part> {
        let (charge, seat) = (call.charges.get(number)?, *survey.seats.get(number)?);
        let cost = charge.cost;
        let exact = Asked { need: cost, amount: cost, held: Held::default(), flight: 0, lease: None };
        let (Some(address), Some(lease)) = (seat.address, charge.lease) else {
            return Some(Part { account: None, is_pending: false, role: Role::Asked(exact) });
        };
        if matches!(seat.look, Look::Refused(_)) && charge.mode == Mode::Observe {
            let standing = survey.standing(&seat, now)?;
            return Some(Part { account: None, is_pending: false, role: Role::Known(standing) });
        }
        let shard = survey.guards.get_mut(seat.guard)?;
        let wanted = SlotId::from(slot).with(charge.key);
        if shard.get_mut(address.hash, wanted).is_none()
            && !shard.open(slot, wanted, charge.limit, now, self.table.hasher(), owed)
        {
            return Some(Part { account: None, is_pending: false, role: Role::Asked(exact) });
        }
        let ticket = shard.next_ticket();
        let account = shard.get_mut(address.hash, wanted)?;
        if *account.limit() != charge.limit {
            owed.extend(account.change(charge.limit, now));
        } else if account.has_expired(now) {
            owed.extend(account.clear(now));
        }
        let need = account.need(charge, now);
        let held = if need < charge.cost { account.take(charge.cost, now) } else { Held::default() };
        let is_refused = matches!(seat.look, Look::Refused(_));
        let brings = need > 0 && !is_refused && account.reserve(ticket);
        let is_pending = brings || held.units > 0;
        if is_pending {
            account.depart();
        }
        let (flight, amount) =
            if brings { (ticket, account.amount(charge, lease, need, now)) } else { (0, need) };
        // The shared store remembers holds, also those of which it has to give nothing.
        let is_held_here = seat.look == Look::Covered && call.hold.is_none();
        let asked = Asked { need, amount, held, flight, lease: Some(lease) };
        let role = if is_held_here { Role::Held(held) } else { Role::Asked(asked) };
        Some(Part { account: Some((address, account.serial())), is_pending, role })
    }
}

impl Survey<'_> {
    /// The call that is on its way for more of an account that this one needs more of.
    fn awaited(&self, call: &Call<'_>, now: Timestamp) -> Option<Awaited> {
        let awaited = |(seat, charge): (&Seat, &Charge<'_>)| {
            let needs_more = charge.cost > 0 && matches!(seat.look, Look::Likely | Look::Unknown);
            let account = self.guards.get(seat.guard)?.at(seat.place?)?;
            let shard = seat.address?.shard;
            (needs_more && account.is_awaited(charge, now))
                .then(|| Awaited { shard, flight: account.flight() })
        };
        self.seats.iter().zip(call.charges).find_map(awaited)
    }
}

impl Ask<'_> {
    /// Asks, for less if a chunk is too much, and keeps what comes back. Tells also whether a refusal is worth another look, since
    /// what was refused may be here by now.
    pub(super) async fn run(mut self, owed: Vec<Owed>) -> Result<(Outcome, Refusal), StoreError> {
        // Units that expired here can be taken again, by this call too.
        let _ = self.store.give_back(owed).await;
        let (outcome, asked) = loop {
            let (outcome, asked) = self.put().await?;
            if outcome.is_admitted() || !self.wants_less(outcome.standings()) {
                break (outcome, asked);
            }
        };
        let mut answers = self.answers(&outcome, asked);
        if outcome.is_admitted() {
            self.watch(&mut answers).await;
        }
        let landed = self.land(outcome.is_admitted(), &answers);
        let _ = self.store.give_back(landed.owed).await;
        let refusal = if landed.is_open { Refusal::Open } else { Refusal::Final };
        Ok((Outcome::from_standings(outcome.is_admitted(), outcome.at(), landed.standings), refusal))
    }

    /// Puts the question as it stands, and tells the time here before it.
    async fn put(&self) -> Result<(Outcome, Timestamp), StoreError> {
        let (asked, charges) = (self.store.now(self.call), self.charges());
        let outcome = self.store.shared.decide(self.slot, &Call { charges: &charges, ..*self.call }).await?;
        if outcome.standings().len() == charges.len() { Ok((outcome, asked)) } else { Err(corrupt()) }
    }

    fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.parts.iter().filter_map(|part| match &part.role {
            Role::Asked(asked) => Some(asked),
            Role::Known(_) | Role::Held(_) => None,
        })
    }

    fn charges(&self) -> SmallVec<[Charge<'_>; 8]> {
        let is_last = self.stage == Stage::Exact;
        let asked = self.parts.iter().zip(self.call.charges).filter_map(|(part, charge)| {
            let Role::Asked(asked) = part.role else { return None };
            // A question that may be asked again must leave no trace when it is refused.
            Some(Charge {
                cost: asked.amount,
                charge_denied: charge.charge_denied && is_last,
                lease: None,
                ..*charge
            })
        });
        asked.collect()
    }

    /// Turns to smaller amounts after a refusal, where they may change the answer or tell more exactly when it changes.
    fn wants_less(&mut self, standings: &[Standing]) -> bool {
        if self.stage == Stage::Exact {
            return false;
        }
        let (mut too_much, mut hopeless) = (false, false);
        for ((asked, charge), standing) in self.asked_mut().zip(standings) {
            if charge.mode == Mode::Observe || standing.fits {
                continue;
            }
            too_much |= asked.amount > asked.need;
            hopeless |= asked.amount == asked.need || standing.remaining < asked.need;
        }
        let leaves_a_trace = self.call.charges.iter().any(|charge| charge.charge_denied);
        if hopeless && !too_much && !leaves_a_trace {
            return false;
        }
        let next = if hopeless || self.stage == Stage::Rest { Stage::Exact } else { Stage::Rest };
        for ((asked, charge), standing) in self.asked_mut().zip(standings) {
            if next == Stage::Exact {
                asked.amount = asked.need;
            } else if charge.mode == Mode::Enforce && !standing.fits {
                asked.amount = asked.need.max(standing.remaining / 2);
            }
        }
        self.stage = next;
        true
    }

    fn asked_mut(&mut self) -> impl Iterator<Item = (&mut Asked, &Charge<'_>)> {
        self.parts.iter_mut().zip(self.call.charges).filter_map(|(part, charge)| match &mut part.role {
            Role::Asked(asked) => Some((asked, charge)),
            Role::Known(_) | Role::Held(_) => None,
        })
    }

    /// The shared store's answer to each part that was asked.
    fn answers(&self, outcome: &Outcome, asked: Timestamp) -> SmallVec<[Option<Answer>; 8]> {
        let answered = self.store.now(self.call);
        let mut standings = outcome.standings().iter();
        let answer = |part: &Part| match part.role {
            Role::Asked(_) => standings.next().map(|standing| Answer {
                standing: *standing,
                there: outcome.at(),
                asked,
                answered,
            }),
            Role::Known(_) | Role::Held(_) => None,
        };
        self.parts.iter().map(answer).collect()
    }

    /// A chunk that did not fit refuses nothing where the charge only watches, so the cost itself has to be asked for once more. A
    /// failure leaves it as it is: not fitting.
    async fn watch(&mut self, answers: &mut SmallVec<[Option<Answer>; 8]>) {
        let mut watching = SmallVec::<[usize; 8]>::new();
        let mut charges = SmallVec::<[Charge<'_>; 8]>::new();
        for (number, (part, charge)) in self.parts.iter_mut().zip(self.call.charges).enumerate() {
            let Role::Asked(asked) = &mut part.role else { continue };
            let fits = answers.get(number).copied().flatten().is_some_and(|answer| answer.standing.fits);
            if !fits && asked.amount > asked.need {
                asked.amount = asked.need;
                watching.push(number);
                charges.push(Charge { cost: asked.need, lease: None, ..*charge });
            }
        }
        if charges.is_empty() {
            return;
        }
        let asked = self.store.now(self.call);
        let call = Call { charges: &charges, hold: None, ..*self.call };
        let Ok(outcome) = self.store.shared.decide(self.slot, &call).await else { return };
        let answered = self.store.now(self.call);
        for (number, standing) in watching.into_iter().zip(outcome.standings()) {
            if let Some(answer) = answers.get_mut(number) {
                *answer = Some(Answer { standing: *standing, there: outcome.at(), asked, answered });
            }
        }
    }
}

fn corrupt() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "leased", "decide")
        .with_source("the shared store's answer does not belong to the question")
}
