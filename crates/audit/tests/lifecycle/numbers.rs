//! The numbers of what a process makes, and what those that are missing tell.

use std::time::Duration;

use stanchion_audit::{
    Draft, GapCause, Ledger, LedgerStore as _, NumberGap, ProducerNumbers, RunState, Runs,
};
use stanchion_core::{Actor, Category, Event, Scope, Timestamp};

use crate::support::{NOON, Setup, idle, tenant};

/// What the events of a scope say of who made them, oldest first.
async fn numbered(setup: &Setup, ledger: &Ledger, scope: Scope) -> Vec<(String, Option<u64>)> {
    let mut found = Vec::new();
    for chain in setup.store.chains(scope).await.unwrap() {
        for row in setup.store.read(chain.id, 1, 1_000).await.unwrap() {
            let event = stanchion_audit::parse(&row.content.canonical).unwrap();
            found.push((event.action.to_string(), event.producer.map(|number| number.number())));
        }
    }
    assert!(ledger.verify(scope).await.unwrap().is_intact());
    found
}

#[tokio::test]
async fn what_a_process_makes_is_numbered_and_what_may_be_offered_again_is_not() {
    let setup = Setup::new();
    setup
        .run(&[1], async |ledger, prover| {
            ledger.submit(tenant(1), Draft::Event(setup.event(tenant(1)))).unwrap();
            ledger.reserve(tenant(1)).unwrap().submit(Draft::Event(setup.event(tenant(1))));
            let late = setup.event(tenant(1));
            ledger.reserve(tenant(1)).unwrap().append(Draft::Late(Box::new(move || late))).await.unwrap();
            // Offered again, it is the same event.
            let event = setup.event(tenant(1));
            for _ in 0..2 {
                let place = ledger.reserve(tenant(1)).unwrap();
                place.append(Draft::Event(event.clone())).await.unwrap();
            }
            let numbers: Vec<_> =
                numbered(&setup, ledger, tenant(1)).await.into_iter().map(|(_, number)| number).collect();
            assert_eq!(numbers, [Some(1), Some(2), Some(3), None]);
            let [run] = prover.producers(tenant(1)).await.unwrap().try_into().unwrap();
            assert_eq!((run.events, run.last, run.state, run.gaps), (3, 3, RunState::Running, Vec::new()));
        })
        .await;
    let (ledger, prover) = idle(&setup, &[1]);
    let own = numbered(&setup, &ledger, Scope::Platform).await;
    let expected = [("audit.started", 1), ("audit.checkpointed", 2), ("audit.stopped", 3)];
    assert_eq!(own, expected.map(|(action, number)| (action.to_owned(), Some(number))));
    let [run] = prover.producers(tenant(1)).await.unwrap().try_into().unwrap();
    assert_eq!(run.state, RunState::Stopped);
}

#[tokio::test]
async fn what_was_refused_is_declared_and_what_was_kept_back_shows() {
    let setup = Setup::new();
    setup
        .run(&[1], async |ledger, prover| {
            let place = ledger.reserve(tenant(1)).unwrap();
            // No canonical form.
            let bad = setup.event(tenant(1)).with_detail("n", i64::MAX);
            assert!(ledger.submit(tenant(1), Draft::Event(bad)).is_err());
            place.append(late(&setup)).await.unwrap();
            // Made in the name of one scope, and recorded in another's.
            let place = ledger.reserve(tenant(1)).unwrap();
            let other = setup.event(tenant(2));
            place.append(Draft::Late(Box::new(move || other))).await.unwrap();
            ledger.reserve(tenant(1)).unwrap().append(late(&setup)).await.unwrap();
            setup.clock.advance(Duration::from_secs(61));
            ledger.reserve(tenant(1)).unwrap().append(late(&setup)).await.unwrap();
            let [run] = prover.producers(tenant(1)).await.unwrap().try_into().unwrap();
            let gap = |number| NumberGap { first: number, last: number, cause: GapCause::Refused };
            assert_eq!(run.gaps, [gap(1), gap(4)], "{run:?}");
            assert!(!run.is_suspect());
        })
        .await;
}

fn late(setup: &Setup) -> Draft {
    let event = setup.event(tenant(1));
    Draft::Late(Box::new(move || event))
}

/// Numbers as somebody reads them from the ledger: each with the seconds at which it was recorded.
fn gathered(entries: &[(u64, i64)]) -> ProducerNumbers {
    let mut numbers = ProducerNumbers::default();
    for (number, seconds) in entries {
        numbers.add(&made(*number), at(*seconds));
    }
    numbers
}

fn made(number: u64) -> Event {
    let id = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
    let mut event = Event::new(id, NOON, tenant(1), Actor::Anonymous, "a.b", Category::Access);
    event.producer = Some(format!("p/0192f0c1-2345-7abc-8def-000000000009/{number}").parse().unwrap());
    event
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOON.micros() + seconds * 1_000_000)
}

fn runs(is_stopped: bool) -> Runs {
    let mut runs = Runs::default();
    let actions: &[&str] = if is_stopped { &["audit.started", "audit.stopped"] } else { &["audit.started"] };
    for action in actions {
        let mut event = made(1).with_detail("boot", "0192f0c1-2345-7abc-8def-000000000009");
        event.action = (*action).to_owned().into();
        runs.add(&event, NOON);
    }
    runs
}

#[test]
fn a_gap_is_explained_as_far_as_that_can_be_told() {
    let gaps = |numbers: ProducerNumbers, is_stopped, now| {
        let [run] = numbers.report(&runs(is_stopped), at(now)).try_into().unwrap();
        run.gaps.iter().map(|gap| (gap.first, gap.last, gap.cause)).collect::<Vec<_>>()
    };
    let some = || gathered(&[(3, 10), (1, 0), (2, 5), (7, 20), (6, 19)]);
    assert_eq!(gaps(some(), false, 30), [(4, 5, GapCause::InFlight)]);
    assert_eq!(gaps(some(), true, 100), [(4, 5, GapCause::Suppressed)], "a run that ended well lost nothing");
    assert_eq!(gaps(some(), false, 100), [(4, 5, GapCause::Suppressed)], "it still runs, and has gone on");
    assert_eq!(gaps(some(), false, 10_000), [(4, 5, GapCause::Crashed)]);
    let far = gathered(&[(1, 0), (3, 1), (29_998, 49), (30_000, 50)]);
    let far: Vec<_> = gaps(far, false, 10_000).iter().map(|gap| gap.2).collect();
    assert_eq!(
        far,
        [GapCause::Suppressed, GapCause::Suppressed, GapCause::Crashed],
        "a crash takes the last ones only"
    );
    let mut aged = some();
    aged.dropped_until(at(12));
    assert_eq!(gaps(aged, true, 100), [(4, 5, GapCause::Dropped)]);
    let mut told = some();
    let mut refused = made(8).with_detail("ranges", "4,9-11");
    refused.action = "audit.events_refused".into();
    told.add(&refused, at(21));
    assert_eq!(gaps(told, true, 100), [(4, 4, GapCause::Refused), (5, 5, GapCause::Suppressed)]);
    // Who reports events cannot fill the gaps of another, nor explain them.
    let mut filled = some();
    filled.add(&Event { reported: true, ..made(4) }, at(30));
    filled.add(&Event { reported: true, ..refused }, at(30));
    let all = filled.report(&runs(true), at(100));
    assert_eq!(all.len(), 2);
    assert!(all[0].is_suspect() && all[1].reported);
}

type Gap = (u64, u64, GapCause);

/// The state and the gaps of the only run, at a second.
fn reported(numbers: ProducerNumbers, runs: &Runs, now: i64) -> (RunState, u64, Vec<Gap>) {
    let [run] = numbers.report(runs, at(now)).try_into().unwrap();
    (run.state, run.events, run.gaps.iter().map(|gap| (gap.first, gap.last, gap.cause)).collect())
}

#[test]
fn a_number_that_is_read_again_or_out_of_order_is_counted_once() {
    let numbers = gathered(&[(2, 1), (1, 0), (2, 9), (3, 2), (1, 9), (5, 4), (4, 3), (5, 9)]);
    assert_eq!(reported(numbers, &runs(true), 1_000), (RunState::Stopped, 5, vec![]));
}

#[test]
fn a_run_is_over_a_quarter_of_an_hour_after_its_last_word() {
    let state = |runs: &Runs, now| reported(gathered(&[(1, 0)]), runs, now).0;
    let mut one = runs(false);
    assert_eq!(state(&one, 899), RunState::Running);
    assert_eq!(state(&one, 900), RunState::Crashed);
    // Anything that it records is a word of it; what is read later may be older.
    one.add(&made(2), at(600));
    one.add(&made(3), at(300));
    assert_eq!((state(&one, 1_499), state(&one, 1_500)), (RunState::Running, RunState::Crashed));
    let mut stopped = runs(true);
    stopped.add(&made(4), at(2));
    assert_eq!(state(&stopped, 9_000), RunState::Stopped, "what came after the end takes it back not");
    let mut unheard = Runs::default();
    unheard.add(&made(1), at(0));
    assert_eq!(state(&unheard, 1), RunState::Unknown, "it never said that it began");
}

#[test]
fn a_later_number_explains_a_gap_for_less_than_a_minute() {
    let cause = |now| reported(gathered(&[(1, 0), (3, 10)]), &runs(true), now).2;
    assert_eq!(cause(69), [(2, 2, GapCause::InFlight)]);
    assert_eq!(cause(70), [(2, 2, GapCause::Suppressed)]);
}

#[test]
fn what_was_dropped_explains_a_gap_that_begins_before_it_and_no_later_one() {
    let some = || gathered(&[(1, 10), (3, 20), (5, 30)]);
    let mut aged = some();
    aged.dropped_until(at(10));
    aged.dropped_until(at(5));
    let expected = [(2, 2, GapCause::Dropped), (4, 4, GapCause::Suppressed)];
    assert_eq!(reported(aged, &runs(true), 1_000).2, expected);
    let mut before = some();
    before.dropped_until(at(9));
    assert_eq!(reported(before, &runs(true), 1_000).2[0], (2, 2, GapCause::Suppressed));
}

#[test]
fn who_said_nothing_of_its_end_may_have_crashed() {
    let unknown = reported(gathered(&[(1, 0), (3, 1)]), &Runs::default(), 1_000);
    assert_eq!(unknown, (RunState::Unknown, 2, vec![(2, 2, GapCause::Crashed)]));
}

#[test]
fn declared_numbers_explain_so_much_of_a_gap_as_they_name() {
    let told = |ranges: &'static str| {
        let mut numbers = gathered(&[(1, 0), (10, 1)]);
        let mut refused = made(11).with_detail("ranges", ranges);
        refused.action = "audit.events_refused".into();
        numbers.add(&refused, at(2));
        reported(numbers, &runs(true), 1_000).2
    };
    let (refused, suppressed) = (GapCause::Refused, GapCause::Suppressed);
    assert_eq!(told("2-9"), [(2, 9, refused)]);
    assert_eq!(told("1-20"), [(2, 9, refused)], "of the gap alone");
    assert_eq!(told("3-5,4-7"), [(2, 2, suppressed), (3, 5, refused), (6, 7, refused), (8, 9, suppressed)]);
    assert_eq!(told("2,9"), [(2, 2, refused), (3, 8, suppressed), (9, 9, refused)]);
    assert_eq!(told("7-3,x,4-,12-14"), [(2, 9, suppressed)], "no ranges of it");
}

#[test]
fn who_reports_explains_nothing_in_the_name_of_another() {
    let mut numbers = gathered(&[(1, 0), (3, 1)]);
    let mut refused = made(2).with_detail("ranges", "2");
    refused.action = "audit.events_refused".into();
    numbers.add(&Event { reported: true, ..refused }, at(2));
    let [own, other] = numbers.report(&runs(true), at(1_000)).try_into().unwrap();
    assert_eq!(own.gaps, [NumberGap { first: 2, last: 2, cause: GapCause::Suppressed }]);
    assert_eq!((other.reported, other.state), (true, RunState::Unknown));
}
