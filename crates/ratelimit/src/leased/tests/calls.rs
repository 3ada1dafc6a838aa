//! Calls of several charges, and what is corrected, held, looked at or given up.

use super::*;

#[tokio::test]
async fn a_call_takes_all_that_it_needs_or_nothing() {
    let world = World::new();
    let (replica, wide, narrow) = (world.replica(), window(100, 60), window(3, 60));
    let leased = Charge { key: b"leased", ..charge(wide, 1, lease(10, 1_000)) };
    let exact = Charge::new(b"exact", narrow, 1);
    for remaining in [2, 1, 0] {
        let outcome = ask(&replica, &[leased, exact]).await;
        assert_eq!((outcome.is_admitted(), outcome.standings()[1].remaining), (true, remaining));
    }
    for _ in 0..20 {
        let refused = ask(&replica, &[leased, exact]).await;
        let standings = refused.standings();
        assert_eq!((refused.is_admitted(), standings[0].fits, standings[1].fits), (false, true, false));
        assert_eq!(standings[0].remaining, 97, "nothing was taken");
    }
    // Two leased counters of which the second is used up: the first is left alone, and nobody is asked.
    let other = Charge { key: b"other", ..charge(narrow, 1, lease(10, 1_000)) };
    while ask(&replica, &[leased, other]).await.is_admitted() {}
    world.shared.calls();
    let refused = ask(&replica, &[leased, other]).await;
    let standings = refused.standings();
    assert_eq!((standings[0].fits, standings[0].remaining), (true, 94));
    assert_eq!((standings[1].fits, standings[1].remaining), (false, 0));
    assert_eq!(world.shared.calls(), 0);
    assert_eq!(admitted(&replica, leased, 200).await, 94);
}

#[tokio::test]
async fn a_chunk_that_does_not_fit_leaves_no_trace() {
    let world = World::new();
    let replica = world.replica();
    let insistent = Charge { charge_denied: true, ..Charge::new(b"insistent", window(100, 60), 1) };
    let scarce = Charge { key: b"scarce", ..charge(window(5, 60), 1, lease(10, 1_000)) };
    for expected in 1..=5 {
        let outcome = ask(&replica, &[insistent, scarce]).await;
        assert_eq!((outcome.is_admitted(), outcome.standings()[0].remaining), (true, 100 - expected));
    }
    for expected in 6..=8 {
        let outcome = ask(&replica, &[insistent, scarce]).await;
        assert_eq!(
            (outcome.is_admitted(), outcome.standings()[0].remaining),
            (false, 100 - expected),
            "once each"
        );
    }
}

#[tokio::test]
async fn a_refusal_takes_what_asks_for_it_also_of_what_is_here() {
    let world = World::new();
    let replica = world.replica();
    let insistent = Charge { key: b"a", charge_denied: true, ..charge(window(100, 60), 1, lease(10, 1_000)) };
    let scarce = Charge { key: b"b", ..charge(window(1, 60), 1, lease(10, 1_000)) };
    assert!(ask(&replica, &[insistent, scarce]).await.is_admitted());
    for expected in (70..=98).rev() {
        let outcome = ask(&replica, &[insistent, scarce]).await;
        assert_eq!((outcome.is_admitted(), outcome.standings()[0].remaining), (false, expected));
    }
}

#[tokio::test]
async fn what_only_watches_refuses_nothing_and_is_counted_exactly() {
    let world = World::new();
    let replica = world.replica();
    let watched =
        Charge { key: b"watched", mode: Mode::Observe, ..charge(window(25, 60), 1, lease(10, 1_000)) };
    let enforced = Charge { key: b"enforced", ..charge(window(100, 60), 1, lease(10, 1_000)) };
    for number in 1..=100 {
        let outcome = ask(&replica, &[watched, enforced]).await;
        assert!(outcome.is_admitted());
        assert_eq!(outcome.standings()[0].fits, number <= 25, "{number}");
    }
    assert!(world.shared.calls() < 40);
    assert!(!ask(&replica, &[watched, enforced]).await.is_admitted());
}

#[tokio::test]
async fn a_correction_goes_to_what_is_here_first() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let of = |cost| charge(limit, cost, lease(10, 1_000));
    assert!(admits(&replica, of(8)).await);
    give_back(&replica, limit, 5, NOON).await;
    assert_eq!((world.left(limit).await, world.shared.settled.load(Ordering::SeqCst)), (90, 0));
    assert!(replica.try_decide(Slot::Edge, &Call::new(&[of(7)], None)).is_some());
    // The chunk takes back no more than it was: ten; the rest goes to the shared store.
    give_back(&replica, limit, 12, NOON).await;
    assert_eq!(world.left(limit).await, 92);
    let call = Settled { id: CallId::default(), at: NOON, hold: false };
    let more = [Settlement { key: b"k", limit, adjustment: Adjustment::Add(15) }];
    assert!(replica.settle(Slot::Edge, call, &more, None).await.unwrap());
    assert_eq!(world.left(limit).await, 87, "ten were here");
    // What was charged to the window before has gone with it.
    world.at(60_000);
    assert!(admits(&replica, of(8)).await);
    give_back(&replica, limit, 5, NOON).await;
    assert_eq!(world.left(limit).await, 90);
    assert!(replica.try_decide(Slot::Edge, &Call::new(&[of(3)], None)).is_none());
}

#[tokio::test]
async fn a_hold_is_settled_once_and_takes_from_what_is_here() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let charges = [charge(limit, 8, lease(50, 1_000))];
    let hold = |number| Call {
        id: CallId::new(number),
        hold: Some(Duration::from_secs(5)),
        ..Call::new(&charges, None)
    };
    assert!(put(&replica, &hold(1)).await.is_admitted() && put(&replica, &hold(2)).await.is_admitted());
    assert_eq!(world.left(limit).await, 50, "the second took nothing there");
    let settle = async |number| {
        let call = Settled { id: CallId::new(number), at: NOON, hold: true };
        let correction = Settlement { key: b"k", limit, adjustment: Adjustment::Return(6) };
        assert!(replica.try_settle(Slot::Edge, call, &[correction], None).is_none());
        replica.settle(Slot::Edge, call, &[correction], None).await.unwrap()
    };
    assert!(settle(1).await && !settle(1).await && settle(2).await && !settle(3).await);
    assert_eq!(world.left(limit).await, 50);
    assert_eq!(admitted(&replica, charge(limit, 1, lease(50, 1_000)), 200).await, 100 - 4);
}

#[tokio::test]
async fn a_look_tells_what_is_here_and_there() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    assert!(admits(&replica, charge(limit, 1, lease(10, 1_000))).await);
    for (cost, fits) in [(0, true), (5, true), (99, true), (100, false), (101, false)] {
        let charges = [charge(limit, cost, lease(10, 1_000))];
        let look = replica.peek(Slot::Edge, &Call::new(&charges, None)).await.unwrap();
        assert_eq!((look.is_admitted(), look.standings()[0].remaining), (fits, 99), "{cost}");
    }
}

#[tokio::test]
async fn a_failure_puts_back_what_the_call_held() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let here = charge(limit, 1, lease(10, 60_000));
    assert!(admits(&replica, here).await);
    world.shared.down.store(true, Ordering::SeqCst);
    let charges = [here, Charge::new(b"exact", limit, 1)];
    for _ in 0..20 {
        assert!(replica.decide(Slot::Edge, &Call::new(&charges, None)).await.is_err());
    }
    assert!(
        replica.decide(Slot::Edge, &Call::new(&[charge(limit, 20, lease(10, 60_000))], None)).await.is_err()
    );
    let local =
        (0..20).filter(|_| replica.try_decide(Slot::Edge, &Call::new(&[here], None)).is_some()).count();
    assert_eq!(local, 9, "what is here goes on without the store");
    world.shared.down.store(false, Ordering::SeqCst);
    assert_eq!(admitted(&replica, here, 200).await, 90);
}

#[tokio::test]
async fn a_call_that_is_given_up_puts_back_what_it_held_and_holds_up_nobody() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let here = charge(limit, 1, lease(10, 60_000));
    assert!(admits(&replica, here).await);
    world.shared.mute.store(true, Ordering::SeqCst);
    let charges = [here, Charge { key: b"other", ..here }];
    {
        let call = Call::new(&charges, None);
        let mut given_up = replica.decide(Slot::Edge, &call);
        for _ in 0..5 {
            assert!(futures_util::poll!(&mut given_up).is_pending());
        }
    }
    world.shared.mute.store(false, Ordering::SeqCst);
    let local =
        (0..20).filter(|_| replica.try_decide(Slot::Edge, &Call::new(&[here], None)).is_some()).count();
    assert_eq!(local, 9);
    let outcome = ask(&replica, &charges).await;
    assert!(outcome.is_admitted(), "the account is free to be stocked again");
    assert_eq!(outcome.standings()[1].remaining, 100 - 10 - 1, "the chunk that got lost stays charged");
}
