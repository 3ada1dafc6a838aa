//! What becomes of counters, computed by the functions that every store shares.

use stanchion_core::Timestamp;
use stanchion_ratelimit::{Call, Charge, Entry, Limit, Mode, Outcome, Settled, Settlement, Standing, State};

use super::log::Rewriting;
use super::state::Kept;

/// A change of one counter, by the number of its key.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub(super) key: usize,
    pub(super) after: Kept,
    /// From when on it is as good as new.
    pub(super) fresh_at: Timestamp,
    pub(super) entries: Option<Rewriting>,
}

/// What a decision comes to.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) outcome: Outcome,
    pub(super) changes: Vec<Changed>,
}

/// Whether what fits is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// As the charges say.
    Charges,
    /// It is only looked at.
    Nothing,
}

/// Decides over counters, each with its charge. `keys` tells the number of each charge's key.
pub(super) fn decide(
    call: &Call<'_>,
    now: Timestamp,
    keys: &[usize],
    counters: &[Kept],
    takes: Takes,
) -> Decided {
    let unused = Kept::default();
    let kept = |key: &usize| counters.get(*key).unwrap_or(&unused);
    let charged: Vec<(&usize, &Charge<'_>, Option<State>, Standing)> = keys
        .iter()
        .zip(call.charges)
        .map(|(key, charge)| {
            let (after, standing) = kept(key).charge(&charge.limit, now, charge.cost);
            (key, charge, after, standing)
        })
        .collect();
    let admitted =
        charged.iter().all(|(_, charge, _, standing)| standing.fits || charge.mode == Mode::Observe);
    let mut changes = Vec::new();
    let standings = charged.into_iter().map(|(key, charge, after, standing)| {
        let is_taken = takes == Takes::Charges && standing.fits && (admitted || charge.charge_denied);
        if is_taken {
            changes.extend(kept(key).charged(*key, call, charge, after, now));
        } else if takes == Takes::Charges {
            changes.extend(kept(key).tidied(*key, now));
        }
        if is_taken || !standing.fits { standing } else { kept(key).charge(&charge.limit, now, 0).1 }
    });
    let outcome = Outcome::new(admitted, now, standings.collect::<Vec<_>>());
    Decided { outcome, changes }
}

/// Corrects counters, each with its settlement, one after the other.
pub(super) fn settle(
    call: Settled,
    corrections: &[Settlement<'_>],
    now: Timestamp,
    keys: &[usize],
    counters: &mut [Kept],
) -> Vec<Changed> {
    let mut changes: Vec<Changed> = Vec::new();
    for (key, correction) in keys.iter().zip(corrections) {
        let Some(kept) = counters.get_mut(*key) else { continue };
        let changed = match correction.limit {
            Limit::Entries(limit) => {
                kept.corrected(*key, (call.id, limit.until(now)), correction.adjustment, now)
            }
            limit => limit.settle(kept.state(), now, call.at, correction.adjustment).map(|after| {
                *kept = kept.with(after);
                Changed { key: *key, after: kept.clone(), fresh_at: limit.fresh_at(after), entries: None }
            }),
        };
        // What comes later tells all that became of the counter.
        changes.retain(|before| before.key != *key);
        changes.extend(changed);
    }
    changes
}

impl Kept {
    fn charge(&self, limit: &Limit, now: Timestamp, cost: u64) -> (Option<State>, Standing) {
        match limit {
            Limit::Entries(limit) => (None, limit.standing(&self.in_use(now), now, cost)),
            limit => {
                let (after, standing) = limit.charge(self.state(), now, cost);
                (Some(after), standing)
            }
        }
    }

    /// What a charge that fits makes of it, if anything.
    fn charged(
        &self,
        key: usize,
        call: &Call<'_>,
        charge: &Charge<'_>,
        after: Option<State>,
        now: Timestamp,
    ) -> Option<Changed> {
        match (charge.limit, after) {
            (Limit::Entries(limit), _) => {
                let entry = Entry { until: limit.until(now), id: call.id, amount: charge.cost };
                self.added(key, entry, now)
            }
            (limit, Some(after)) if self.state().is_some() || after.used > 0 => {
                let fresh_at = limit.fresh_at(after);
                Some(Changed { key, after: self.with(after), fresh_at, entries: None })
            }
            _ => None,
        }
    }
}
