use redis::Value;
use stanchion_core::Timestamp;
use stanchion_ratelimit::{Charge, InUse, Limit, Outcome, Standing, State};

use super::question::Take;
use crate::connection::Failure;

/// Reads how the counters stood before, whether the charges fitted, and when that was, and computes the standings from it by the
/// functions that every store has them from.
pub(super) fn outcome(answer: &Value, charges: &[Charge<'_>], take: Take) -> Result<Outcome, Failure> {
    let read = || {
        let Value::Array(values) = answer else { return None };
        let (before, rest) = values.split_at_checked(charges.len())?;
        let [Value::Int(end)] = rest else { return None };
        let (is_admitted, now) = (end % 2 == 1, Timestamp::from_micros(end / 2));
        let standing = |(charge, before): (&Charge<'_>, &Value)| {
            let is_taken = take == Take::Charges && (is_admitted || charge.charge_denied);
            standing(charge, before, now, is_taken)
        };
        let standings: Option<Vec<Standing>> = charges.iter().zip(before).map(standing).collect();
        Some(Outcome::new(is_admitted, now, standings?))
    };
    read().ok_or_else(|| Failure::Unexpected(format!("{answer:?}")))
}

/// Where it is not taken, what would have fitted is told as it stands without the charge.
fn standing(charge: &Charge<'_>, before: &Value, now: Timestamp, is_taken: bool) -> Option<Standing> {
    let compute = |cost| match charge.limit {
        Limit::Entries(limit) => Some(limit.standing(&in_use(before)?, now, cost)),
        limit => Some(limit.charge(state(before)?, now, cost).1),
    };
    let standing = compute(charge.cost)?;
    if standing.fits && !is_taken { compute(0) } else { Some(standing) }
}

#[expect(clippy::option_option, reason = "a counter that cannot be read is not one that is not there")]
fn state(value: &Value) -> Option<Option<State>> {
    if *value == Value::Nil {
        return Some(None);
    }
    let [at, used, _] = numbers(value)?;
    Some(Some(State { at: Timestamp::from_micros(i64::from_le_bytes(at)), used: u64::from_le_bytes(used) }))
}

fn in_use(value: &Value) -> Option<InUse> {
    let [amount, fits_at, clear_at] = numbers(value)?;
    Some(InUse {
        amount: u64::from_le_bytes(amount),
        fits_at: Timestamp::from_micros(i64::from_le_bytes(fits_at)),
        clear_at: Timestamp::from_micros(i64::from_le_bytes(clear_at)),
    })
}

/// Cuts 24 bytes into three numbers.
fn numbers(value: &Value) -> Option<[[u8; 8]; 3]> {
    let Value::BulkString(bytes) = value else { return None };
    let (numbers, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() { numbers.try_into().ok() } else { None }
}
