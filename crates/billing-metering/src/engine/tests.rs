use super::*;

use std::sync::Mutex;
use std::task::{Context, Waker};

use async_trait::async_trait;
use rust_decimal::Decimal;
use stanchion_calendar::{Month, Zone};
use stanchion_core::{IdGen, ManualClock, SeededRandom};

use crate::{Aggregation, Currency, MemoryUsageStore, Meter, MeterTotal, Money, Price, RateCard, Total};

const DAY: Duration = Duration::from_secs(86_400);

fn meter(id: &str, unit: &str, aggregation: Aggregation) -> Meter {
    Meter {
        id: MeterId::new(id).unwrap(),
        name: id.parse().unwrap(),
        unit: unit.parse().unwrap(),
        aggregation,
    }
}

fn catalog(call: &str) -> Catalog {
    let meters = [
        meter("api.calls", "call", Aggregation::Count),
        meter("storage", "GB", Aggregation::Sum),
        meter("free", "thing", Aggregation::Sum),
    ];
    let price = |text: &str| Price::per_unit(text.parse().unwrap()).unwrap();
    let rates = [(meters[0].id.clone(), price(call)), (meters[1].id.clone(), price("0.1"))];
    Catalog::new(meters, RateCard { currency: Currency::USD, rates: rates.into() }).unwrap()
}

fn tenant(number: u64) -> TenantId {
    SeededRandom::new(number).tenant_id(Timestamp::EPOCH)
}

fn march() -> Period {
    "2026-03".parse::<Month>().unwrap().period(Zone::UTC)
}

struct World {
    clock: Arc<ManualClock>,
    store: Arc<Flaky>,
    engine: Engine,
    recorder: Recorder,
}

fn world(config: Config) -> World {
    let clock = Arc::new(ManualClock::at(Timestamp::parse_rfc3339("2026-03-14T12:00:00Z").unwrap()));
    let store = Arc::new(Flaky::default());
    let (engine, recorder) =
        Engine::new(store.clone(), catalog("0.0001"), clock.clone(), clock.clone(), config);
    World { clock, store, engine, recorder }
}

impl World {
    fn event(&self, id: &str, meter: &str, value: &str) -> UsageEvent {
        let meter = MeterId::new(meter).unwrap();
        UsageEvent::new(tenant(1), "test", id.to_owned(), meter, self.clock.now(), value.parse().unwrap())
    }

    fn call(&self, id: &str) -> UsageEvent {
        // A meter that counts does not look at the value.
        self.event(id, "api.calls", "3")
    }
}

/// The store in memory, failing as often as told: before it keeps anything, or after, so that its reply is lost.
#[derive(Debug, Default)]
struct Flaky {
    memory: MemoryUsageStore,
    failures: Mutex<Vec<Failure>>,
    appends: Mutex<Vec<usize>>,
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    Before,
    After,
}

#[async_trait]
impl UsageStore for Flaky {
    fn window(&self) -> Duration {
        self.memory.window()
    }

    async fn append(
        &self,
        system: SystemScope,
        batch: &[UsageEvent],
        at: Timestamp,
    ) -> Result<Vec<AppendOutcome>, StoreError> {
        self.appends.lock().unwrap().push(batch.len());
        let failure = self.failures.lock().unwrap().pop();
        if matches!(failure, None | Some(Failure::After)) {
            let outcomes = self.memory.append(system, batch, at).await?;
            if failure.is_none() {
                return Ok(outcomes);
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "flaky", "append"))
    }

    async fn total(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
    ) -> Result<Total, StoreError> {
        self.memory.total(tenant, meter, period, filter).await
    }

    async fn totals(&self, tenant: TenantId, period: Period) -> Result<Vec<MeterTotal>, StoreError> {
        self.memory.totals(tenant, period).await
    }

    async fn events(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError> {
        self.memory.events(tenant, meter, period, filter, page).await
    }
}

#[tokio::test]
async fn seed_003_prices_calls_and_storage_line_by_line() {
    let world = world(Config::default());
    let mut events: Vec<_> = (0..1_234).map(|number| world.call(&format!("call-{number}"))).collect();
    events.push(world.event("gb-1", "storage", "0.2"));
    events.push(world.event("gb-2", "storage", "0.24"));
    events.push(world.event("free-1", "free", "7"));
    let outcomes = world.engine.record(events).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));

    // 1,234 × 0.0001 = 0.1234, rounded 0.12; 0.44 × 0.1 = 0.044, rounded 0.04; together 0.16. The precise amounts together are
    // 0.1674 and would round to 0.17: lines are rounded, not the total.
    let cost = world.engine.cost(tenant(1), march()).await.unwrap();
    let lines: Vec<_> =
        cost.lines.iter().map(|line| (line.quantity.to_string(), line.precise, line.amount)).collect();
    assert_eq!(
        lines,
        [
            ("1234".to_owned(), "0.1234".parse().unwrap(), Money::new(12, Currency::USD)),
            ("0.44".to_owned(), "0.044".parse().unwrap(), Money::new(4, Currency::USD)),
        ]
    );
    assert_eq!(cost.total, Money::new(16, Currency::USD));
    assert_eq!(cost.lines[0].price, "0.0001 USD per call");
    assert_eq!(cost.lines[1].price, "0.1 USD per GB");
    assert_eq!(cost.unpriced, [MeterId::new("free").unwrap()]);

    let usage = world.engine.usage(tenant(1), None, march()).await.unwrap();
    let usage: Vec<_> =
        usage.iter().map(|used| (used.meter.as_str(), used.quantity.to_string(), used.events)).collect();
    assert_eq!(
        usage,
        [
            ("api.calls", "1234".to_owned(), 1_234),
            ("free", "7".to_owned(), 1),
            ("storage", "0.44".to_owned(), 2)
        ]
    );
    assert!(world.engine.usage(tenant(2), None, march()).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_event_of_a_batch_has_an_outcome_of_its_own() {
    let world = world(Config::default());
    let late = |by: Duration, id: &str| UsageEvent { time: world.clock.now().minus(by), ..world.call(id) };
    let ahead = |by: Duration, id: &str| UsageEvent { time: world.clock.now().plus(by), ..world.call(id) };
    let micro = Duration::from_micros(1);
    let batch = vec![
        world.call("a"),
        world.call("a"),
        world.event("a", "api.calls", "2"),
        world.event("b", "unknown", "1"),
        late(100 * DAY, "c"),
        late(100 * DAY + micro, "d"),
        ahead(Duration::from_secs(300), "e"),
        ahead(Duration::from_secs(300) + micro, "f"),
        world.event("g", "storage", "-1"),
        world.event("h", "storage", "0.0000000000001"),
        world.call(""),
        world.call("i"),
    ];
    let outcomes = world.engine.record(batch).await.unwrap();
    let words = outcomes.iter().map(|outcome| match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Duplicate => "duplicate",
        Outcome::Conflict => "conflict",
        Outcome::Rejected { reason } => reason.as_str(),
    });
    assert_eq!(
        words.collect::<Vec<_>>(),
        [
            "accepted",
            "duplicate",
            "conflict",
            "unknown_meter",
            "accepted",
            "too_late",
            "accepted",
            "in_future",
            "negative_value",
            "value_out_of_range",
            "invalid_id",
            "accepted",
        ]
    );
    let stats = world.engine.stats();
    assert_eq!((stats.accepted, stats.duplicates, stats.conflicts, stats.rejected), (4, 1, 1, 6));
}

#[tokio::test]
async fn the_time_of_the_event_decides_its_period_not_that_of_its_arrival() {
    let world = world(Config::default());
    let february = UsageEvent { time: march().start().minus(Duration::from_micros(1)), ..world.call("late") };
    world.engine.record(vec![february, world.call("now")]).await.unwrap();
    let calls = MeterId::new("api.calls").unwrap();
    let used = world.engine.usage(tenant(1), Some(&calls), march()).await.unwrap();
    assert_eq!(used[0].quantity, Decimal::ONE);
    let unknown = MeterId::new("unknown").unwrap();
    assert!(matches!(
        world.engine.usage(tenant(1), Some(&unknown), march()).await,
        Err(Error::UnknownMeter(meter)) if meter == unknown
    ));
}

#[tokio::test]
async fn what_is_submitted_is_counted_once_the_recorder_has_run() {
    let world = world(Config { batch: 100, ..Config::default() });
    for number in 0..250 {
        world.engine.submit(world.call(&format!("{number}"))).unwrap();
    }
    let made = world.event("late", "storage", "3");
    world.engine.submit_late(tenant(1), Box::new(move || made)).unwrap();
    let place = world.engine.reserve(tenant(1)).unwrap();
    drop(world.engine.reserve(tenant(1)).unwrap());
    assert_eq!(world.engine.stats().waiting, 251);
    world.engine.close();
    assert_eq!(world.engine.submit(world.call("after")), Err(Refused::Closed));
    place.submit(world.event("placed", "storage", "4"));
    world.recorder.run().await;
    let usage = world.engine.usage(tenant(1), None, march()).await.unwrap();
    let quantities: Vec<_> = usage.iter().map(|used| used.quantity.to_string()).collect();
    assert_eq!(quantities, ["250", "7"]);
    assert_eq!(*world.store.appends.lock().unwrap(), [100, 100, 52]);
    let stats = world.engine.stats();
    assert_eq!((stats.submitted, stats.accepted, stats.refused, stats.waiting), (252, 252, 1, 0));
}

#[tokio::test]
async fn a_store_that_fails_or_loses_its_reply_loses_and_doubles_nothing() {
    let world = world(Config::default());
    for number in 0..10 {
        world.engine.submit(world.call(&format!("{number}"))).unwrap();
    }
    *world.store.failures.lock().unwrap() = vec![Failure::After, Failure::Before, Failure::Before];
    world.engine.close();
    let mut run = Box::pin(world.recorder.run());
    let mut context = Context::from_waker(Waker::noop());
    // 50 ms, 100 ms and 200 ms pass between the four attempts.
    for (attempt, millis) in [(1, 50), (2, 100), (3, 200)] {
        assert!(run.as_mut().poll(&mut context).is_pending());
        assert_eq!(world.store.appends.lock().unwrap().len(), attempt);
        world.clock.advance(Duration::from_millis(millis - 1));
        assert!(run.as_mut().poll(&mut context).is_pending());
        assert_eq!(world.store.appends.lock().unwrap().len(), attempt, "too early");
        world.clock.advance(Duration::from_millis(1));
    }
    run.await;
    let stats = world.engine.stats();
    assert_eq!(
        (stats.failures, stats.accepted, stats.duplicates),
        (3, 0, 10),
        "the lost reply had kept them"
    );
    assert_eq!(world.engine.usage(tenant(1), None, march()).await.unwrap()[0].quantity, Decimal::TEN);
}

#[tokio::test]
async fn a_failed_record_may_be_sent_again() {
    let world = world(Config::default());
    *world.store.failures.lock().unwrap() = vec![Failure::After];
    let batch = vec![world.call("a"), world.call("b")];
    assert!(matches!(world.engine.record(batch.clone()).await, Err(Error::Store(_))));
    assert_eq!(world.engine.record(batch).await.unwrap(), [Outcome::Duplicate; 2]);
    assert_eq!(world.engine.usage(tenant(1), None, march()).await.unwrap()[0].quantity, Decimal::TWO);
}

#[tokio::test]
async fn a_full_queue_refuses_by_name_and_a_place_is_kept() {
    let world = world(Config { queue_capacity: 3, queue_share: 2, ..Config::default() });
    let place = world.engine.reserve(tenant(1)).unwrap();
    world.engine.submit(world.call("a")).unwrap();
    assert_eq!(world.engine.submit(world.call("b")), Err(Refused::ShareFull));
    let other = |id: &str| UsageEvent { tenant: tenant(2), ..world.call(id) };
    world.engine.submit(other("a")).unwrap();
    assert_eq!(world.engine.submit(other("b")), Err(Refused::Full));
    assert!(matches!(world.engine.reserve(tenant(3)), Err(Refused::Full)));
    place.submit(world.call("kept"));
    assert_eq!(world.engine.stats().waiting, 3);
    assert_eq!(
        world.engine.submit(world.event("x", "unknown", "1")),
        Err(Refused::Rejected(Rejection::UnknownMeter))
    );
}

#[tokio::test]
async fn whoever_waits_for_a_place_to_be_kept_is_told_what_became_of_it_or_that_it_took_too_long() {
    let World { clock, engine, recorder, .. } = {
        let world = world(Config { linger_ms: 0, ..Config::default() });
        let place = |id: &str| world.engine.reserve(tenant(1)).unwrap().commit(world.call(id));
        let mut late = Box::pin(place("late"));
        assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        world.clock.advance(Duration::from_secs(1));
        assert!(matches!(late.await, Err(Error::Late)), "nobody has carried it to the store");
        world
    };
    let of = |tenant: TenantId, id: &str| UsageEvent {
        tenant,
        ..UsageEvent::new(
            tenant,
            "test",
            id.to_owned(),
            MeterId::new("api.calls").unwrap(),
            clock.now(),
            Decimal::ONE,
        )
    };
    let all = async {
        let commit = |event: UsageEvent| engine.reserve(tenant(1)).unwrap().commit(event);
        let (first, again) = (of(tenant(1), "a"), of(tenant(1), "a"));
        let outcomes = tokio::join!(commit(first), commit(again), commit(of(tenant(2), "b")));
        engine.close();
        outcomes
    };
    let (outcomes, ()) = tokio::join!(all, recorder.run());
    assert!(matches!(outcomes.0, Ok(Outcome::Accepted { .. })), "{outcomes:?}");
    assert!(matches!(outcomes.1, Ok(Outcome::Duplicate)), "{outcomes:?}");
    assert!(matches!(outcomes.2, Ok(Outcome::Rejected { .. })), "{outcomes:?}");
}

#[tokio::test]
async fn an_event_that_turns_out_wrong_is_counted_as_rejected_and_holds_up_nobody() {
    let world = world(Config::default());
    let (wrong, right) = (world.call("wrong"), world.call("right"));
    let other = UsageEvent { tenant: tenant(2), ..world.call("other") };
    world.engine.reserve(tenant(1)).unwrap().submit(UsageEvent { value: -Decimal::ONE, ..wrong });
    world.engine.reserve(tenant(1)).unwrap().submit(other);
    world.engine.reserve(tenant(1)).unwrap().submit_late(Box::new(move || right));
    world.engine.close();
    world.recorder.run().await;
    let stats = world.engine.stats();
    assert_eq!((stats.submitted, stats.rejected, stats.accepted), (3, 2, 1));
    assert!(world.engine.usage(tenant(2), None, march()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_catalog_counts_from_its_replacement_on() {
    let world = world(Config::default());
    world.engine.record(vec![world.call("a"), world.event("b", "free", "1")]).await.unwrap();
    world.engine.replace_catalog(catalog("2.5"));
    assert_eq!(world.engine.cost(tenant(1), march()).await.unwrap().total, Money::new(250, Currency::USD));
    let rates = RateCard { currency: Currency::EUR, rates: [].into() };
    let only_calls = Catalog::new([meter("api.calls", "call", Aggregation::Count)], rates).unwrap();
    world.engine.replace_catalog(only_calls);
    let cost = world.engine.cost(tenant(1), march()).await.unwrap();
    assert_eq!(cost.total, Money::zero(Currency::EUR));
    assert_eq!(cost.unpriced.iter().map(MeterId::as_str).collect::<Vec<_>>(), ["api.calls", "free"]);
    assert_eq!(world.engine.usage(tenant(1), None, march()).await.unwrap().len(), 1);
    assert_eq!(
        world.engine.submit(world.event("c", "free", "1")),
        Err(Refused::Rejected(Rejection::UnknownMeter))
    );
}

#[tokio::test]
async fn single_events_are_listed_and_add_up_to_the_usage() {
    let world = world(Config::default());
    world.engine.record((0..25).map(|number| world.call(&number.to_string())).collect()).await.unwrap();
    let calls = MeterId::new("api.calls").unwrap();
    let mut request = PageRequest::first(10);
    let mut listed = 0;
    loop {
        let page =
            world.engine.events(tenant(1), &calls, march(), &Filter::default(), &request).await.unwrap();
        listed += page.items.len();
        match page.next {
            Some(next) => request = request.after(next),
            None => break,
        }
    }
    assert_eq!(listed, 25);
    let bad = PageRequest::first(10).after("25");
    let refused = world.engine.events(tenant(1), &calls, march(), &Filter::default(), &bad).await;
    assert!(matches!(refused, Err(Error::InvalidPageKey(_))));
}
