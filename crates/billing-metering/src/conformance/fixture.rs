use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use stanchion_calendar::Period;
use stanchion_core::{IdGen, PageRequest, SeededRandom, SystemScope, TenantId, Text, Timestamp};

use crate::{AppendOutcome, Filter, MeterId, StoredEvent, Total, UsageEvent, UsageStore};

pub(super) type Store = Arc<dyn UsageStore>;

/// 2026-03-14T12:00:00Z, the present of the suite: a full quarter of an hour.
pub(super) const AT: Timestamp = Timestamp::from_micros(1_773_489_600_000_000);
pub(super) const SYSTEM: SystemScope = SystemScope::new("conformance");

pub(super) const fn later(micros: i64) -> Timestamp {
    Timestamp::from_micros(AT.micros() + micros)
}

pub(super) const fn sooner(micros: i64) -> Timestamp {
    later(-micros)
}

pub(super) fn period(start: Timestamp, end: Timestamp) -> Period {
    Period::new(start, end).expect("start before end")
}

pub(super) fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).expect("a decimal")
}

pub(super) fn meter(name: &str) -> MeterId {
    MeterId::new(name).expect("a meter")
}

pub(super) fn tenant(number: u64) -> TenantId {
    SeededRandom::new(number).tenant_id(AT)
}

pub(super) fn event(tenant_number: u64, id: impl Into<Text>, value: &str) -> UsageEvent {
    UsageEvent::new(tenant(tenant_number), "suite", id, meter("calls"), AT, decimal(value))
}

/// Events of tenant 1 at random instants of the 26 hours before the present.
pub(super) fn events(seed: u64, count: usize) -> Vec<UsageEvent> {
    let random = SeededRandom::new(seed);
    let one = |number| {
        let back = Duration::from_micros(random.next_u64() % 93_600_000_000);
        let value = Decimal::new(i64::try_from(random.next_u64() % 1_000_000).unwrap_or(0), 4);
        UsageEvent { time: AT.minus(back), value, ..event(1, format!("{seed}-{number}"), "0") }
    };
    (0..count).map(one).collect()
}

pub(super) async fn append(store: &Store, batch: &[UsageEvent]) -> Vec<AppendOutcome> {
    let outcomes = store.append(SYSTEM, batch, AT).await.expect("appends");
    assert_eq!(outcomes.len(), batch.len(), "one outcome for each event");
    outcomes
}

pub(super) fn accepted(outcomes: &[AppendOutcome]) -> bool {
    outcomes.iter().all(|outcome| number(outcome).is_some())
}

pub(super) const fn number(outcome: &AppendOutcome) -> Option<u64> {
    match outcome {
        AppendOutcome::Accepted { seq } => Some(*seq),
        AppendOutcome::Duplicate | AppendOutcome::Conflict | AppendOutcome::TooLate => None,
    }
}

pub(super) async fn total(store: &Store, tenant_number: u64, period: Period) -> Total {
    let total = store.total(tenant(tenant_number), &meter("calls"), period, &Filter::default()).await;
    total.expect("reads")
}

pub(super) async fn totals(store: &Store, tenant_number: u64, period: Period) -> Vec<(String, Total)> {
    let totals = store.totals(tenant(tenant_number), period).await.expect("reads");
    totals.into_iter().map(|total| (total.meter.as_str().to_owned(), total.total)).collect()
}

/// Reads all pages of a list of the meter `calls`.
pub(super) async fn list_all(
    store: &Store,
    tenant_number: u64,
    period: Period,
    filter: &Filter,
    limit: usize,
) -> Vec<StoredEvent> {
    list(store, tenant(tenant_number), &meter("calls"), period, filter, limit).await
}

pub(super) async fn list(
    store: &Store,
    tenant: TenantId,
    meter: &MeterId,
    period: Period,
    filter: &Filter,
    limit: usize,
) -> Vec<StoredEvent> {
    let mut request = PageRequest::first(limit);
    let mut listed = Vec::new();
    loop {
        let page = store.events(tenant, meter, period, filter, &request).await.expect("reads");
        assert!(page.items.len() <= limit, "no page is longer than asked for");
        let last = page.items.last().map(|last| last.position().to_string());
        assert!(page.next.is_none() || page.next == last, "the next page follows the last item");
        listed.extend(page.items);
        match page.next {
            Some(next) => request = request.after(next),
            None => return listed,
        }
    }
}
