//! What is charged by an estimate, given back, or cleared.

use super::*;
use crate::{Algorithm, RequestOutcome};

async fn left(setup: &Setup, request: &Request<'_>) -> u64 {
    remaining(&setup.engine.peek(Stage::Inner, request).await.unwrap())[0].1
}

#[tokio::test]
async fn a_reservation_ends_as_what_the_request_has_really_cost_once() {
    for is_remote in [false, true] {
        let setup = setup(Config::default(), is_remote);
        setup.put(tenant(1).into(), rule("tokens", Dimension::User, 100)).await;
        let alice = alice();
        let estimate = Request { cost: 60, ..by(&alice) };
        let reserve =
            async || setup.engine.reserve(Stage::Inner, &estimate, Duration::from_secs(10)).await.unwrap();
        let (decision, reservation) = reserve().await;
        assert!(decision.is_admitted());
        assert_eq!(left(&setup, &by(&alice)).await, 40);
        let (refused, none) = reserve().await;
        assert!(!refused.is_admitted() && none.is_none());

        let reservation = reservation.unwrap();
        assert!(setup.engine.commit(&reservation, 25).await.unwrap());
        assert_eq!(left(&setup, &by(&alice)).await, 75);
        assert!(!setup.engine.commit(&reservation, 0).await.unwrap(), "once");
        assert!(!setup.engine.release(&reservation).await.unwrap(), "and neither way");
        assert_eq!(left(&setup, &by(&alice)).await, 75);

        let (_, reservation) = reserve().await;
        assert!(setup.engine.commit(&reservation.unwrap(), 95).await.unwrap());
        assert_eq!(left(&setup, &by(&alice)).await, 0, "more than there was: it is owed");
    }
}

#[tokio::test]
async fn a_reservation_that_nobody_settles_has_cost_the_estimate() {
    let setup = memory();
    setup.put(tenant(1).into(), rule("tokens", Dimension::User, 100)).await;
    let alice = alice();
    let estimate = Request { cost: 60, ..by(&alice) };
    let reserve = setup.engine.reserve(Stage::Inner, &estimate, Duration::from_secs(10));
    let reservation = reserve.await.unwrap().1.unwrap();
    assert_eq!(reservation.expires_at(), at("2026-03-01T12:00:10Z"));
    setup.clock.advance(Duration::from_secs(10));
    assert!(!setup.engine.release(&reservation).await.unwrap());
    assert_eq!(left(&setup, &by(&alice)).await, 40);
}

#[tokio::test]
async fn a_refund_gives_back_what_was_not_used() {
    let setup = memory();
    setup.put(tenant(1).into(), rule("calls", Dimension::User, 10)).await;
    let alice = alice();
    assert!(setup.decide(&by(&alice)).await.receipt.is_none(), "nobody asked for one");
    let decision = setup.decide(&Request { cost: 5, refundable: true, ..by(&alice) }).await;
    let receipt = decision.receipt.unwrap();
    assert!(setup.engine.settle(&receipt, Settle::Refund(3)).await.unwrap());
    assert_eq!(left(&setup, &by(&alice)).await, 7);
    setup.clock.advance(Duration::from_secs(60));
    setup.decide(&by(&alice)).await;
    setup.engine.settle(&receipt, Settle::Refund(3)).await.unwrap();
    assert_eq!(left(&setup, &by(&alice)).await, 9, "what that window had is over with it");
}

#[tokio::test]
async fn a_lease_is_given_back_when_its_work_has_ended() {
    let setup = memory();
    let two = Rule { algorithm: Algorithm::Concurrency, ..rule("at-once", Dimension::User, 2) };
    setup.put(tenant(1).into(), two).await;
    setup.put(tenant(1).into(), rule("calls", Dimension::User, 10)).await;
    let alice = alice();
    let mut first = setup.decide(&by(&alice)).await;
    assert!(setup.decide(&by(&alice)).await.is_admitted());
    assert_eq!(refusal(&setup.decide(&by(&alice)).await), Some(("at-once", Reason::Exceeded, Some(60))));
    let receipt = *first.receipt.take().unwrap();
    assert!(receipt.has_lease());
    setup.engine.settle_soon(receipt.clone(), Settle::Finish);
    setup.engine.settle_soon(receipt, Settle::Finish);
    let third = setup.decide(&by(&alice)).await;
    assert!(third.is_admitted());
    assert_eq!(remaining(&third), [("at-once", 0), ("calls", 7)], "calls stay counted");
    setup.clock.advance(Duration::from_secs(60));
    assert!(setup.decide(&by(&alice)).await.is_admitted(), "leases that nobody gives back end by themselves");
}

#[tokio::test]
async fn over_a_network_leases_are_given_back_by_whoever_runs_the_errands() {
    let setup = setup(Config::default(), true);
    let one = Rule { algorithm: Algorithm::Concurrency, ..rule("at-once", Dimension::User, 1) };
    setup.put(tenant(1).into(), one).await;
    let alice = alice();
    let receipt = setup.decide(&by(&alice)).await.receipt.unwrap();
    setup.engine.settle_soon(*receipt, Settle::Finish);
    assert!(!setup.decide(&by(&alice)).await.is_admitted());
    run_errands(&setup.engine, &setup.clock).await;
    assert!(setup.decide(&by(&alice)).await.is_admitted());
    assert_eq!(setup.engine.stats().failed_errands, 0);
}

#[tokio::test]
async fn a_success_clears_the_counters_that_say_so_and_a_failure_none() {
    let setup = memory();
    setup.put(tenant(1).into(), Rule { reset_on_success: true, ..rule("log-in", Dimension::User, 3) }).await;
    setup.put(tenant(1).into(), rule("calls", Dimension::User, 10)).await;
    let alice = alice();
    for _ in 0..3 {
        setup.decide(&by(&alice)).await;
    }
    let look = async || setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap();
    let record = async |outcome| setup.engine.record_outcome(Stage::Inner, &by(&alice), outcome).await;
    record(RequestOutcome::Failure).await.unwrap();
    assert_eq!(remaining(&look().await), [("calls", 7), ("log-in", 0)]);
    record(RequestOutcome::Success).await.unwrap();
    assert_eq!(remaining(&look().await), [("calls", 7), ("log-in", 3)]);
    let receipt = setup.decide(&by(&alice)).await.receipt.unwrap();
    setup.engine.record_outcome_soon(*receipt, RequestOutcome::Success);
    run_errands(&setup.engine, &setup.clock).await;
    assert_eq!(remaining(&look().await)[1], ("log-in", 3));
}

#[tokio::test]
async fn a_reservation_lasts_a_day_at_most() {
    let setup = memory();
    setup.put(tenant(1).into(), rule("tokens", Dimension::User, 100)).await;
    let alice = alice();
    let two_days = Duration::from_secs(2 * 86_400);
    let reservation = setup.engine.reserve(Stage::Inner, &by(&alice), two_days).await.unwrap().1.unwrap();
    assert_eq!(reservation.expires_at(), at("2026-03-02T12:00:00Z"));
}

#[tokio::test]
async fn the_end_of_a_request_gives_its_lease_back_and_clears_only_after_a_success() {
    let setup = memory();
    let ladder = vec![crate::Rung { violations: 3, action: crate::Action::Block }];
    let log_in = Rule {
        reset_on_success: true,
        action: crate::Action::Captcha,
        ladder,
        ..rule("log-in", Dimension::User, 2)
    };
    setup.put(tenant(1).into(), log_in).await;
    let at_once = Rule { algorithm: Algorithm::Concurrency, ..rule("at-once", Dimension::User, 1) };
    setup.put(tenant(1).into(), at_once).await;
    let alice = alice();
    let look = async || setup.engine.peek(Stage::Inner, &by(&alice)).await.unwrap();
    let receipt = setup.decide(&by(&alice)).await.receipt.unwrap();
    assert_eq!(remaining(&look().await), [("at-once", 0), ("log-in", 1)]);
    setup.engine.record_outcome_soon(*receipt, RequestOutcome::Failure);
    assert_eq!(remaining(&look().await), [("at-once", 1), ("log-in", 1)], "the lease is back at once");

    let receipt = setup.decide(&by(&alice)).await.receipt.unwrap();
    setup.engine.settle_soon((*receipt).clone(), Settle::Finish);
    for _ in 0..2 {
        let refused = setup.decide(&by(&alice)).await;
        assert!(matches!(refused.verdict, Verdict::Refused { action: crate::Action::Captcha, .. }));
    }
    setup.engine.record_outcome_soon(*receipt, RequestOutcome::Success);
    run_errands(&setup.engine, &setup.clock).await;
    for _ in 0..2 {
        let receipt = setup.decide(&by(&alice)).await.receipt.unwrap();
        setup.engine.settle_soon(*receipt, Settle::Finish);
    }
    let refused = setup.decide(&by(&alice)).await;
    assert!(
        matches!(refused.verdict, Verdict::Refused { action: crate::Action::Captcha, .. }),
        "its violations are forgotten too: {:?}",
        refused.verdict
    );
}

#[tokio::test]
async fn a_failure_that_is_told_soon_clears_nothing() {
    let setup = memory();
    setup.put(tenant(1).into(), Rule { reset_on_success: true, ..rule("log-in", Dimension::User, 3) }).await;
    let alice = alice();
    let receipt = setup.decide(&by(&alice)).await.receipt.unwrap();
    setup.engine.record_outcome_soon(*receipt, RequestOutcome::Failure);
    run_errands(&setup.engine, &setup.clock).await;
    assert_eq!(left(&setup, &by(&alice)).await, 2);
}

#[tokio::test]
async fn what_this_replica_counted_alone_is_given_back_to_it_alone() {
    let setup = setup(Config::default(), true);
    let at_once = Rule {
        algorithm: Algorithm::Concurrency,
        on_backend_failure: OnBackendFailure::LocalShare,
        ..rule("at-once", Dimension::User, 1)
    };
    setup.put(tenant(1).into(), at_once).await;
    let alice = alice();
    *setup.remote.mood.lock().unwrap() = Mood::Down;
    let receipt = setup.decide(&by(&alice)).await.receipt.unwrap();
    assert!(!setup.decide(&by(&alice)).await.is_admitted());
    setup.engine.settle_soon(*receipt, Settle::Finish);
    assert!(setup.decide(&by(&alice)).await.is_admitted(), "at once, for it is memory");
}
