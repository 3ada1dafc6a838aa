//! What the cases ask, and how.

use std::num::NonZeroU64;
use std::time::Duration;

use stanchion_core::{IdGen, SeededRandom, Timestamp};

use crate::{
    Adjustment, Call, CallId, Charge, CounterStore, Frame, Kernel, Limit, Mode, Outcome, Settled, Settlement,
    Slot,
};

/// 2026-03-01T12:00:00Z.
pub(super) const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

pub(super) fn later(seconds: u64) -> Timestamp {
    NOON.plus(Duration::from_secs(seconds))
}

pub(super) fn tenant(seed: u64) -> Slot {
    Slot::Tenant(SeededRandom::new(seed).tenant_id(NOON))
}

pub(super) fn bucket(capacity: u64, refill: u64, seconds: u64) -> Limit {
    Limit::token_bucket(capacity, refill, seconds).expect("a bucket")
}

pub(super) fn every(seconds: u64) -> Frame {
    Frame::Every(NonZeroU64::new(seconds * 1_000_000).expect("a length"))
}

pub(super) fn window(capacity: u64, seconds: u64) -> Limit {
    Limit::fixed_window(capacity, every(seconds)).expect("a window")
}

pub(super) fn sliding(capacity: u64, seconds: u64) -> Limit {
    Limit::sliding_window(capacity, every(seconds)).expect("a window")
}

pub(super) fn log(capacity: u64, seconds: u64) -> Limit {
    Limit::sliding_log(capacity, Duration::from_secs(seconds)).expect("a log")
}

/// Those of the limits that the store can count by.
pub(super) fn known<'k>(store: &dyn CounterStore, limits: Vec<(&'k [u8], Limit)>) -> Vec<(&'k [u8], Limit)> {
    let kernels = store.capabilities().kernels;
    limits.into_iter().filter(|(_, limit)| kernels.contains(&limit.kernel())).collect()
}

/// The limits that most cases run with: a capacity of so many, under each kernel the store has, on its own key.
pub(super) fn each(store: &dyn CounterStore, capacity: u64) -> Vec<(&'static [u8], Limit)> {
    known(
        store,
        vec![
            (b"bucket", bucket(capacity, capacity, 60)),
            (b"window", window(capacity, 60)),
            (b"sliding", sliding(capacity, 60)),
            (b"log", log(capacity, 60)),
        ],
    )
}

pub(super) fn has(store: &dyn CounterStore, kernel: Kernel) -> bool {
    store.capabilities().kernels.contains(&kernel)
}

pub(super) fn charge(key: &[u8], limit: Limit, cost: u64) -> Charge<'_> {
    Charge::new(key, limit, cost)
}

pub(super) fn observe(key: &[u8], limit: Limit, cost: u64) -> Charge<'_> {
    Charge { mode: Mode::Observe, ..charge(key, limit, cost) }
}

/// Asks under a name that no other call has.
pub(super) fn call<'a>(charges: &'a [Charge<'a>], now: impl Into<Option<Timestamp>>) -> Call<'a> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NAMES: AtomicU64 = AtomicU64::new(1);
    let id = CallId::new(NAMES.fetch_add(1, Ordering::Relaxed).into());
    Call { id, ..Call::new(charges, now.into()) }
}

pub(super) async fn decide(
    store: &dyn CounterStore,
    slot: Slot,
    charges: &[Charge<'_>],
    now: impl Into<Option<Timestamp>>,
) -> Outcome {
    store.decide(slot, &call(charges, now)).await.expect("decides")
}

/// Decides as the engine does: without waiting where the store can.
pub(super) async fn ask(store: &dyn CounterStore, slot: Slot, call: &Call<'_>) -> Outcome {
    match store.try_decide(slot, call) {
        Some(outcome) => outcome.expect("decides"),
        None => store.decide(slot, call).await.expect("decides"),
    }
}

pub(super) async fn peek(
    store: &dyn CounterStore,
    slot: Slot,
    charges: &[Charge<'_>],
    now: impl Into<Option<Timestamp>>,
) -> Outcome {
    store.peek(slot, &call(charges, now)).await.expect("peeks")
}

/// Settles as the engine does: without waiting where the store can.
pub(super) async fn settle(
    store: &dyn CounterStore,
    slot: Slot,
    call: Settled,
    corrections: &[Settlement<'_>],
    now: Timestamp,
) -> bool {
    match store.try_settle(slot, call, corrections, Some(now)) {
        Some(settled) => settled.expect("settles"),
        None => store.settle(slot, call, corrections, Some(now)).await.expect("settles"),
    }
}

pub(super) const fn correct(key: &[u8], limit: Limit, adjustment: Adjustment) -> Settlement<'_> {
    Settlement { key, limit, adjustment }
}

pub(super) fn remaining(outcome: &Outcome) -> Vec<u64> {
    outcome.standings().iter().map(|standing| standing.remaining).collect()
}

pub(super) fn fits(outcome: &Outcome) -> Vec<bool> {
    outcome.standings().iter().map(|standing| standing.fits).collect()
}

pub(super) fn retries(outcome: &Outcome) -> Vec<Option<Duration>> {
    outcome.standings().iter().map(|standing| standing.retry_after).collect()
}

pub(super) async fn left(
    store: &dyn CounterStore,
    slot: Slot,
    key: &[u8],
    limit: Limit,
    now: Timestamp,
) -> u64 {
    let outcome = peek(store, slot, &[charge(key, limit, 0)], now).await;
    outcome.standings().first().expect("one standing").remaining
}
