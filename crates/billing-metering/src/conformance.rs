//! The suite of [`UsageStore`](crate::UsageStore): every adapter passes it, ours and yours.
//!
//! Run it with `usage_store_conformance!(mod memory_usage_store, factory());`, where the factory is an expression that returns a
//! future of an empty `Arc<dyn UsageStore>`. The crate that runs it needs tokio with `rt-multi-thread` and `macros`.

#![expect(clippy::expect_used, reason = "a suite fails by panicking")]

mod fixture;
mod model;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use stanchion_core::{IdGen, PageRequest, SeededRandom, StoreErrorKind, SubjectRef};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use self::fixture::{
    AT, Store, accepted, append, decimal, event, events, later, list_all, meter, period, sooner, tenant,
    total, totals,
};
use crate::AppendOutcome::{Conflict, Duplicate, TooLate};
use crate::{Dimensions, Filter, Total, UsageEvent};

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $store:ident => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($store: Store) $body)+

        /// Runs the suite of `UsageStore`: `usage_store_conformance!(mod memory_usage_store, factory());`, where the factory is an
        /// expression that returns a future of an empty `Arc<dyn UsageStore>`.
        #[macro_export]
        macro_rules! usage_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() { $crate::conformance::$case($dollar factory.await).await; })+
                }
            };
        }
    };
}

suite! { $
    /// An event is counted once, however often it comes; a value's trailing zeros change nothing.
    the_same_event_again_is_a_duplicate: store => {
        let one = event(1, "a", "1.5");
        assert!(accepted(&append(&store, std::slice::from_ref(&one)).await));
        let again = UsageEvent { value: decimal("1.500"), ..one.clone() };
        assert_eq!(append(&store, &[one.clone(), again]).await, [Duplicate, Duplicate]);
        assert_eq!(total(&store, 1, period(sooner(1), later(1))).await, Total { events: 1, sum: decimal("1.5") });
    }

    /// The same id with anything else changed is a conflict, whatever it is, and is not counted.
    another_payload_is_a_conflict: store => {
        let one = event(1, "a", "1");
        let others = [
            UsageEvent { value: decimal("1.000000000001"), ..one.clone() },
            UsageEvent { time: later(1), ..one.clone() },
            UsageEvent { time: sooner(26 * 3_600_000_000), ..one.clone() },
            UsageEvent { meter: meter("other"), ..one.clone() },
            one.clone().with_subject(SubjectRef::user("alice").expect("a valid subject")),
            one.clone().with_dimensions(Dimensions::from_iter([("route", "chat")])),
        ];
        assert!(accepted(&append(&store, std::slice::from_ref(&one)).await));
        assert_eq!(append(&store, &others).await, [Conflict; 6]);
        let day = period(sooner(48 * 3_600_000_000), later(48 * 3_600_000_000));
        assert_eq!(totals(&store, 1, day).await, [("calls".to_owned(), Total { events: 1, sum: Decimal::ONE })]);
    }

    /// Within a batch the events before one count as appended.
    a_batch_may_repeat_itself: store => {
        let batch = [event(1, "a", "1"), event(1, "a", "1"), event(1, "a", "2"), event(1, "b", "4")];
        let outcomes = append(&store, &batch).await;
        assert_eq!(outcomes.get(1..3), Some([Duplicate, Conflict].as_slice()));
        assert_eq!(total(&store, 1, period(sooner(1), later(1))).await, Total { events: 2, sum: decimal("5") });
        assert!(append(&store, &[]).await.is_empty());
    }

    /// Tenant, source and id are compared one by one, never joined.
    ids_belong_to_their_source_and_tenant: store => {
        let with = |number, source: &'static str, id: &'static str| {
            UsageEvent { source: source.into(), ..event(number, id, "1") }
        };
        let batch = [
            with(1, "a-b", "c"), with(1, "a", "b-c"), with(1, "ab", "c"), with(1, "a", "bc"), with(1, "a", "c"),
            with(2, "a-b", "c"), with(1, "c", "a"), with(1, "A", "C"), with(1, "a", "C "),
        ];
        assert!(accepted(&append(&store, &batch).await));
        assert_eq!(total(&store, 1, period(sooner(1), later(1))).await.events, 8);
    }

    /// An event at the start of a period belongs to it, one at its end does not, down to the microsecond.
    periods_are_half_open: store => {
        let times = [sooner(3_600_000_001), sooner(3_600_000_000), sooner(3_599_999_999), sooner(1), AT, later(1)];
        let batch: Vec<UsageEvent> = (0..).zip(times).map(|(number, time): (u32, _)| {
            UsageEvent { time, ..event(1, format!("{number}"), &10_u64.pow(number).to_string()) }
        }).collect();
        assert!(accepted(&append(&store, &batch).await));
        let sum = async |start, end| total(&store, 1, period(start, end)).await.sum;
        assert_eq!(sum(sooner(3_600_000_000), AT).await, decimal("1110"));
        assert_eq!(sum(sooner(3_600_000_001), sooner(3_600_000_000)).await, decimal("1"));
        assert_eq!(sum(AT, later(1)).await, decimal("10000"));
        assert_eq!(sum(AT, later(2)).await, decimal("110000"));
        assert_eq!(sum(later(1), later(2)).await, decimal("100000"));
        assert_eq!(sum(later(2), later(3)).await, Decimal::ZERO);
    }

    /// Wherever a period is cut, its parts add up to the whole.
    parts_add_up_to_the_whole: store => {
        let batch = events(7, 400);
        assert!(accepted(&append(&store, &batch).await));
        let whole = period(sooner(26 * 3_600_000_000), later(1));
        let expected = total(&store, 1, whole).await;
        assert_eq!(expected.events, 400);
        let random = SeededRandom::new(8);
        for _ in 0..20 {
            let mut cuts: BTreeSet<i64> = (0..5)
                .map(|_| sooner(i64::try_from(random.next_u64() % 93_600_000_000).unwrap_or(0)).micros())
                .collect();
            cuts.extend([whole.start().micros(), whole.end().micros()]);
            let mut sum = Total::default();
            for (start, end) in cuts.iter().zip(cuts.iter().skip(1)) {
                let at = |micros: &i64| stanchion_core::Timestamp::from_micros(*micros);
                let part = total(&store, 1, period(at(start), at(end))).await;
                sum = Total { events: sum.events + part.events, sum: sum.sum + part.sum };
            }
            assert_eq!(sum, expected);
        }
    }

    /// Sums are exact where binary fractions, and decimals of 28 digits, are not.
    sums_are_exact: store => {
        let tenths = (0..10).map(|number| event(1, format!("tenth-{number}"), "0.1"));
        let large = (0..1_000).map(|number| event(2, format!("large-{number}"), "1000000000000000"));
        let small = [event(2, "small", "0.00000000001")];
        let batch: Vec<UsageEvent> = tenths.chain(large).chain(small).collect();
        assert!(accepted(&append(&store, &batch).await));
        let now = period(sooner(1), later(1));
        assert_eq!(total(&store, 1, now).await.sum, Decimal::ONE);
        // 10^18 + 10^-11 has 30 digits and no decimal of 96 bits, so there is no exact answer to give.
        let refused = store.total(tenant(2), &meter("calls"), now, &Filter::default()).await;
        assert_eq!(refused.expect_err("too many digits").kind(), StoreErrorKind::Unsupported);
        let rest = [event(3, "large", "1000000000000000"), event(3, "small", "0.000000000001")];
        assert!(accepted(&append(&store, &rest).await));
        assert_eq!(total(&store, 3, now).await.sum, decimal("1000000000000000.000000000001"));
    }

    /// A filter passes the events of its subject that have all of its dimensions.
    filters_pick_events: store => {
        let alice = SubjectRef::user("alice").expect("a valid subject");
        let service = SubjectRef::service("alice").expect("a valid subject");
        let chat = Dimensions::from_iter([("route", "chat"), ("region", "eu")]);
        let batch = [
            event(1, "1", "1"),
            event(1, "2", "2").with_subject(alice.clone()),
            event(1, "3", "4").with_subject(service),
            event(1, "4", "8").with_dimensions(chat.clone()),
            event(1, "5", "16").with_subject(alice.clone()).with_dimensions(chat),
        ];
        assert!(accepted(&append(&store, &batch).await));
        let now = period(sooner(1), later(1));
        let by = |subject: Option<SubjectRef>, pairs: &[(&'static str, &'static str)]| {
            Filter { subject, dimensions: pairs.iter().copied().collect() }
        };
        for (filter, expected) in [
            (by(None, &[]), "31"),
            (by(Some(alice.clone()), &[]), "18"),
            (by(None, &[("route", "chat")]), "24"),
            (by(None, &[("route", "chat"), ("region", "us")]), "0"),
            (by(Some(alice), &[("region", "eu")]), "16"),
        ] {
            let total = store.total(tenant(1), &meter("calls"), now, &filter).await.expect("reads");
            assert_eq!(total.sum, decimal(expected), "{filter:?}");
            let listed = list_all(&store, 1, now, &filter, 2).await;
            assert_eq!(u64::try_from(listed.len()).ok(), Some(total.events));
        }
    }

    /// The meters used in a period are listed in order with their totals, and no others.
    totals_name_the_meters_used: store => {
        let on = |name, id: &'static str, time| UsageEvent { meter: meter(name), time, ..event(1, id, "2") };
        let batch = [on("b", "1", AT), on("a", "2", AT), on("b", "3", AT), on("c", "4", sooner(2)), event(2, "5", "1")];
        assert!(accepted(&append(&store, &batch).await));
        let one = Total { events: 1, sum: decimal("2") };
        let two = Total { events: 2, sum: decimal("4") };
        assert_eq!(totals(&store, 1, period(AT, later(1))).await, [("a".to_owned(), one), ("b".to_owned(), two)]);
        assert_eq!(totals(&store, 1, period(sooner(2), AT)).await, [("c".to_owned(), one)]);
        assert!(totals(&store, 3, period(AT, later(1))).await.is_empty());
        let unused = store.total(tenant(1), &meter("unused"), period(AT, later(1)), &Filter::default()).await;
        assert_eq!(unused.expect("reads"), Total::default());
    }

    /// One tenant's events are neither counted nor listed for another, nor are they its duplicates.
    tenants_are_apart: store => {
        let batch = [event(1, "a", "1"), event(2, "a", "2"), event(2, "b", "4")];
        assert!(accepted(&append(&store, &batch).await));
        let now = period(sooner(1), later(1));
        for (number, sum) in [(1, "1"), (2, "6"), (3, "0")] {
            assert_eq!(total(&store, number, now).await.sum, decimal(sum));
            let listed = list_all(&store, number, now, &Filter::default(), 10).await;
            assert!(listed.iter().all(|stored| stored.event.tenant == tenant(number)));
            assert_eq!(listed.iter().map(|stored| stored.event.value).sum::<Decimal>(), decimal(sum));
        }
    }

    /// Pages list every event of a period once, by time and then number, as it was appended.
    pages_list_every_event_once: store => {
        let mut batch = events(3, 100);
        // Many at the same instant, so that pages are cut there.
        batch.extend((0..50).map(|number| event(1, format!("tie-{number}"), "1")));
        assert!(accepted(&append(&store, &batch).await));
        let whole = period(sooner(26 * 3_600_000_000), later(1));
        for limit in [1, 7, 1_000] {
            let listed = list_all(&store, 1, whole, &Filter::default(), limit).await;
            assert!(listed.windows(2).all(|pair| matches!(pair, [one, next] if one.position() < next.position())));
            let mut listed: Vec<UsageEvent> = listed.into_iter().map(|stored| stored.event).collect();
            let mut expected = batch.clone();
            for all in [&mut listed, &mut expected] {
                all.sort_by(|one, other| one.id.cmp(&other.id));
            }
            assert_eq!(listed, expected);
        }
        let bad = PageRequest::first(10).after("not a key");
        let refused = store.events(tenant(1), &meter("calls"), whole, &Filter::default(), &bad).await;
        assert_eq!(refused.expect_err("refuses").kind(), StoreErrorKind::Corrupt);
    }

    /// What is listed tells when it came and has a number of its own.
    stored_events_tell_when_they_came: store => {
        assert!(accepted(&append(&store, &events(4, 10)).await));
        let whole = period(sooner(26 * 3_600_000_000), later(1));
        let listed = list_all(&store, 1, whole, &Filter::default(), 100).await;
        assert!(listed.iter().all(|stored| stored.received_at == AT));
        assert_eq!(listed.iter().map(|stored| stored.seq).collect::<BTreeSet<_>>().len(), 10);
    }

    /// An event at the far end of the window is counted, and never again once the window has moved on.
    the_window_is_kept_and_nothing_counts_twice_after_it: store => {
        let edge = AT.minus(store.window());
        let old = UsageEvent { time: edge, ..event(1, "old", "1") };
        assert!(accepted(&append(&store, std::slice::from_ref(&old)).await));
        assert_eq!(append(&store, std::slice::from_ref(&old)).await, [Duplicate]);
        let next_day = AT.plus(Duration::from_secs(24 * 60 * 60));
        let again = store.append(fixture::SYSTEM, std::slice::from_ref(&old), next_day).await.expect("appends");
        assert!(matches!(again.as_slice(), [Duplicate | TooLate]), "{again:?}");
        assert_eq!(total(&store, 1, period(edge, later(1))).await.events, 1);
    }

    /// However many append the same events at once, each is accepted by one of them and counted once.
    concurrent_appends_are_exact: store => {
        // All set out together each time, with the same events, every other one in the opposite order.
        let (mut tasks, start) = (JoinSet::new(), Arc::new(Barrier::new(8)));
        for task in 0..8_u32 {
            let (store, start) = (Arc::clone(&store), Arc::clone(&start));
            tasks.spawn(async move {
                let mut numbers = Vec::new();
                for batch in 0..100_u32 {
                    let mut batch: Vec<UsageEvent> =
                        (0..10).map(|number| event(1, format!("{batch}-{number}"), "0.1")).collect();
                    if task % 2 == 1 {
                        batch.reverse();
                    }
                    start.wait().await;
                    let outcomes = append(&store, &batch).await;
                    numbers.extend(outcomes.iter().filter_map(fixture::number));
                    assert!(outcomes.iter().all(|outcome| *outcome == Duplicate || fixture::number(outcome).is_some()));
                }
                numbers
            });
        }
        let numbers: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(numbers.len(), 1_000, "each event is accepted by exactly one append");
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 1_000, "numbers are unique");
        let total = total(&store, 1, period(sooner(1), later(1))).await;
        assert_eq!(total, Total { events: 1_000, sum: decimal("100") });
    }

    /// Random appends and questions give what a plain list of events gives.
    random_work_equals_the_model: store => {
        for seed in 0..4 {
            let random = SeededRandom::new(seed);
            // Tenants of its own for each seed, so that one store serves all.
            let tenants = [(); 2].map(|()| random.tenant_id(AT));
            model::run(&store, &random, tenants).await;
        }
    }
}
