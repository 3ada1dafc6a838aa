use super::*;

use proptest::prelude::*;
use rust_decimal::Decimal;
use stanchion_calendar::{Month, Zone};
use stanchion_core::{IdGen, SeededRandom, SubjectRef};

const SYSTEM: SystemScope = SystemScope::new("test");
const SECOND: i64 = 1_000_000;
const QUARTER: i64 = 900 * SECOND;

/// 2026-03-14T12:00:00Z.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_773_489_600 * SECOND + micros)
}

fn period(start: i64, end: i64) -> Period {
    Period::new(at(start), at(end)).unwrap()
}

fn tenant() -> TenantId {
    SeededRandom::new(1).tenant_id(Timestamp::EPOCH)
}

fn calls() -> MeterId {
    MeterId::new("calls").unwrap()
}

fn event(id: impl ToString, micros: i64) -> UsageEvent {
    UsageEvent::new(tenant(), "test", id.to_string(), calls(), at(micros), Decimal::ONE)
}

fn store(config: MemoryConfig) -> MemoryUsageStore {
    MemoryUsageStore::new(config)
}

async fn append(store: &MemoryUsageStore, events: &[UsageEvent], micros: i64) -> Vec<AppendOutcome> {
    store.append(SYSTEM, events, at(micros)).await.unwrap()
}

async fn count(store: &MemoryUsageStore, period: Period) -> Result<u64, StoreErrorKind> {
    let total = store.total(tenant(), &calls(), period, &Filter::default()).await;
    total.map(|total| total.events).map_err(|error| error.kind())
}

async fn list(store: &MemoryUsageStore, period: Period) -> Result<usize, StoreErrorKind> {
    let page = PageRequest::first(1_000);
    let listed = store.events(tenant(), &calls(), period, &Filter::default(), &page).await;
    listed.map(|page| page.items.len()).map_err(|error| error.kind())
}

/// One event a second for an hour and a half, ending at 12:00; only the last 1,000 are kept singly.
async fn full() -> MemoryUsageStore {
    let store = store(MemoryConfig { events: 1_000, ..MemoryConfig::default() });
    let events: Vec<_> = (0..5_400).map(|number| event(number, (number - 5_400) * SECOND)).collect();
    append(&store, &events, 0).await;
    store
}

#[tokio::test]
async fn totals_of_whole_quarter_hours_need_no_single_events() {
    let store = full().await;
    assert_eq!(count(&store, period(-6 * QUARTER, 0)).await, Ok(5_400));
    assert_eq!(count(&store, period(-6 * QUARTER, -5 * QUARTER)).await, Ok(900));
    assert_eq!(store.totals(tenant(), period(-QUARTER, 0)).await.unwrap()[0].total.events, 900);
}

#[tokio::test]
async fn a_period_that_cuts_a_quarter_hour_is_exact_or_refused() {
    let store = full().await;
    // The last 1,000 seconds are here singly: from -1,000 s on.
    assert_eq!(count(&store, period(-1_000 * SECOND, 0)).await, Ok(1_000));
    assert_eq!(count(&store, period(-1_001 * SECOND + 1, 0)).await, Ok(1_000));
    assert_eq!(count(&store, period(-1_001 * SECOND, 0)).await, Err(StoreErrorKind::Unsupported));
    assert_eq!(count(&store, period(-5_400 * SECOND, -10 * SECOND)).await, Ok(5_390));
    // Nothing lies in what is cut off here: an answer needs no single event.
    assert_eq!(count(&store, period(-7 * QUARTER + 1, 1)).await, Ok(5_400));
    assert_eq!(count(&store, period(-7 * QUARTER + 1, -6 * QUARTER - 1)).await, Ok(0));
    let error = store.totals(tenant(), period(-5_399 * SECOND, 0)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "single events of this period are no longer kept: ask for whole quarter hours and without a filter"
    );
}

#[tokio::test]
async fn lists_and_filters_are_complete_or_refused() {
    let store = full().await;
    assert_eq!(list(&store, period(-1_000 * SECOND, 0)).await, Ok(1_000));
    assert_eq!(list(&store, period(-1_001 * SECOND, 0)).await, Err(StoreErrorKind::Unsupported));
    assert_eq!(list(&store, period(-8 * QUARTER, -6 * QUARTER)).await, Ok(0));
    let filter = Filter { subject: Some(SubjectRef::user("alice").unwrap()), ..Filter::default() };
    let filtered = async |period| store.total(tenant(), &calls(), period, &filter).await;
    assert_eq!(filtered(period(-QUARTER, 0)).await.unwrap(), Total::default());
    assert_eq!(filtered(period(-2 * QUARTER, 0)).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
}

#[tokio::test]
async fn local_months_of_every_offset_in_use_begin_with_a_quarter_hour() {
    // Kathmandu is 5:45 ahead of UTC, so its March 2026 begins at 2026-02-28T18:15Z.
    let store = store(MemoryConfig { events: 0, ..MemoryConfig::default() });
    let march = "2026-03".parse::<Month>().unwrap().period("Asia/Kathmandu".parse().unwrap());
    let times = [-1, 0, 1].map(|off| Timestamp::from_micros(march.start().micros() + off));
    let events = times.map(|time| UsageEvent { time, ..event(time, 0) });
    append(&store, &events, 0).await;
    assert_eq!(count(&store, march).await, Ok(2));
    let utc = "2026-03".parse::<Month>().unwrap().period(Zone::UTC);
    assert_eq!(count(&store, utc).await, Ok(0));
}

#[tokio::test]
async fn sums_past_their_retention_are_refused_not_missing() {
    let day = Duration::from_secs(86_400);
    let store = store(MemoryConfig { window: day, retention: 2 * day, events: 0, ..MemoryConfig::default() });
    append(&store, &[event("old", 0)], 0).await;
    append(&store, &[event("new", 4 * 86_400 * SECOND)], 4 * 86_400 * SECOND).await;
    assert_eq!(count(&store, period(0, 5 * 86_400 * SECOND)).await, Err(StoreErrorKind::Unsupported));
    assert_eq!(count(&store, period(2 * 86_400 * SECOND, 5 * 86_400 * SECOND)).await, Ok(1));
}

#[tokio::test]
async fn without_its_sums_every_answer_is_the_same() {
    let random = SeededRandom::new(5);
    let instant = || -i64::try_from(random.next_u64() % 20_000_000_000).unwrap();
    let events: Vec<_> = (0..500).map(|number| event(number, instant())).collect();
    let store = store(MemoryConfig::default());
    append(&store, &events, 0).await;
    let periods: Vec<_> =
        (0..50).map(|_| (instant(), instant())).filter(|(one, other)| one < other).collect();
    let mut before = Vec::new();
    for (start, end) in &periods {
        before.push(count(&store, period(*start, *end)).await.unwrap());
    }
    store.state().series.iter_mut().for_each(Series::rebuild_cells);
    for ((start, end), before) in periods.iter().zip(before) {
        assert_eq!(count(&store, period(*start, *end)).await.unwrap(), before);
    }
}

#[tokio::test]
async fn an_event_from_before_the_window_is_too_late() {
    let store = store(MemoryConfig { window: Duration::from_secs(60), ..MemoryConfig::default() });
    let outcomes = append(&store, &[event("in", -60 * SECOND), event("out", -60 * SECOND - 1)], 0).await;
    assert!(matches!(outcomes[..], [AppendOutcome::Accepted { .. }, AppendOutcome::TooLate]));
}

#[tokio::test]
async fn ids_beyond_the_bound_are_forgotten_oldest_first_and_refused_from_then_on() {
    let store = store(MemoryConfig { ids: 800, ..MemoryConfig::default() });
    let events: Vec<_> = (0..800).map(|number| event(number, (number - 800) * SECOND)).collect();
    append(&store, &events, 0).await;
    assert!(matches!(append(&store, &[event("next", 0)], 0).await[..], [AppendOutcome::Accepted { .. }]));
    // The oldest eighth is 100 ids and the one at the cut.
    let again = append(&store, &events, 0).await;
    assert_eq!(again.iter().filter(|outcome| **outcome == AppendOutcome::TooLate).count(), 101);
    assert_eq!(again.iter().filter(|outcome| **outcome == AppendOutcome::Duplicate).count(), 699);
    assert_eq!(count(&store, period(-QUARTER, QUARTER)).await, Ok(801));
}

#[tokio::test]
async fn a_flood_from_the_near_future_does_not_shut_out_the_present() {
    let store = store(MemoryConfig { ids: 80, ..MemoryConfig::default() });
    let flood: Vec<_> = (0..80).map(|number| event(number, 300 * SECOND)).collect();
    append(&store, &flood, 0).await;
    let refused = store.append(SYSTEM, &[event("now", 0)], at(0)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "told to come again, not that it is too late");
    // Once the flood is the past it makes room.
    assert!(matches!(
        append(&store, &[event("now", 301 * SECOND)], 301 * SECOND).await[..],
        [AppendOutcome::Accepted { .. }]
    ));
}

#[tokio::test]
async fn many_ids_stay_within_their_bound() {
    let store = store(MemoryConfig { ids: 20_000, events: 0, ..MemoryConfig::default() });
    for batch in 0..50 {
        let events: Vec<_> = (0..1_000).map(|number| event(batch * 1_000 + number, batch * SECOND)).collect();
        let outcomes = append(&store, &events, batch * SECOND).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Accepted { .. })));
        assert!(store.state().keys.len() <= 20_000);
        let again = append(&store, &events, batch * SECOND).await;
        assert!(again.iter().all(|outcome| *outcome == AppendOutcome::Duplicate));
    }
    assert_eq!(count(&store, period(-QUARTER, QUARTER)).await, Ok(50_000));
}

proptest! {
    /// Whatever is forgotten, no event is counted twice.
    #[test]
    fn nothing_is_counted_twice(work in prop::collection::vec((0..200_u16, 0..3_i64), 1..800)) {
        let store = store(MemoryConfig { ids: 40, events: 10, ..MemoryConfig::default() });
        let mut state = store.state();
        let mut accepted = std::collections::BTreeSet::new();
        let mut now = 0;
        for (id, step) in work {
            now += step * SECOND;
            // The time of an event is its id's: sent again, it is the same event.
            let event = event(id, i64::from(id) * SECOND);
            if let Ok(AppendOutcome::Accepted { .. }) = state.append(&event, at(now), &store.config) {
                prop_assert!(accepted.insert(id), "{} was accepted twice", id);
            }
        }
    }
}
