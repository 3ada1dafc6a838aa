//! Where units go that are not used here.

use super::*;

#[tokio::test]
async fn unused_units_come_back_when_their_time_is_over() {
    for limit in [window(100, 3_600), bucket(100, 1, 86_400)] {
        let world = World::new();
        let (replica, other) = (world.replica(), world.replica());
        let charge = charge(limit, 1, lease(60, 1_000));
        assert!(admits(&replica, charge).await);
        assert_eq!(admitted(&other, charge, 100).await, 40, "the others are here");
        world.at(999);
        replica.sweep().await.unwrap();
        assert_eq!(world.left(limit).await, 0);
        world.at(1_000);
        replica.sweep().await.unwrap();
        assert_eq!(world.left(limit).await, 59);
        assert_eq!((replica.stats().returned, replica.stats().accounts), (59, 0));
        assert_eq!(admitted(&other, charge, 100).await, 59);
    }
}

#[tokio::test]
async fn who_finds_units_that_have_expired_gives_them_back_before_it_asks() {
    let world = World::new();
    let (replica, charge) = (world.replica(), charge(window(100, 3_600), 1, lease(100, 1_000)));
    assert!(admits(&replica, charge).await);
    world.at(1_000);
    assert!(admits(&replica, charge).await);
    assert_eq!(replica.stats().returned, 99);
    assert_eq!(admitted(&replica, charge, 200).await, 98);
}

#[tokio::test]
async fn a_refusal_is_forgotten_when_units_go_back() {
    let world = World::new();
    let (replica, other, limit) = (world.replica(), world.replica(), window(10, 3_600));
    let of = |cost| charge(limit, cost, lease(6, 1_000));
    assert!(admits(&replica, of(1)).await && admits(&other, of(4)).await, "five are here and none is there");
    world.at(500);
    assert!(!admits(&replica, of(6)).await);
    world.at(1_000);
    replica.sweep().await.unwrap();
    assert!(admits(&replica, of(5)).await, "they are there now");
}

#[tokio::test]
async fn flushing_gives_back_everything() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    assert!(admits(&replica, charge(limit, 7, lease(50, 1_000))).await);
    replica.flush().await.unwrap();
    assert_eq!(world.left(limit).await, 93);
    replica.flush().await.unwrap();
    assert_eq!((world.left(limit).await, replica.stats().returned), (93, 43));
}

#[tokio::test]
async fn whoever_runs_it_gets_units_back_that_nobody_asks_for() {
    let world = World::new();
    let (replica, limit) = (Arc::new(world.replica()), window(100, 60));
    assert!(admits(&replica, charge(limit, 7, lease(50, 400))).await);
    let (running, timer) = (Arc::clone(&replica), world.clock.clone());
    let troubles = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&troubles);
    #[expect(clippy::disallowed_methods, reason = "a test owns its tasks")]
    let task = tokio::spawn(async move {
        let hear = |_: &StoreError| {
            heard.fetch_add(1, Ordering::SeqCst);
        };
        running.run(&*timer, hear).await;
    });
    let tick = async || {
        while world.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        world.clock.advance(INTERVAL);
        while world.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tick().await;
    assert_eq!(world.left(limit).await, 93);
    assert!(admits(&replica, charge(limit, 1, lease(50, 400))).await);
    world.shared.down.store(true, Ordering::SeqCst);
    tick().await;
    assert_eq!((troubles.load(Ordering::SeqCst), replica.stats().lost), (1, 49));
    task.abort();
}

#[tokio::test]
async fn what_a_dead_replica_held_is_gone_until_the_window_ends() {
    let world = World::new();
    let (dead, other) = (world.replica(), world.replica());
    let charge = charge(window(100, 60), 1, lease(30, 1_000));
    assert!(admits(&dead, charge).await);
    drop(dead);
    assert_eq!(admitted(&other, charge, 200).await, 70);
    world.at(59_999);
    assert_eq!(admitted(&other, charge, 200).await, 0);
    world.at(60_000);
    assert_eq!(admitted(&other, charge, 200).await, 100);
}

#[tokio::test]
async fn units_end_with_their_window_whatever_the_clock_here_says() {
    for limit in [
        window(10, 60),
        Limit::sliding_window(10, Frame::Every(NonZeroU64::new(60_000_000).unwrap())).unwrap(),
    ] {
        let world = World::new();
        world.at(59_000);
        // The clock here is a minute and a half behind the store's: by it no window ends for another half minute.
        let clock = Arc::new(ManualClock::at(NOON.minus(Duration::from_secs(31))));
        let replica = LeasedCounterStore::new(world.shared.clone(), 64, clock.clone());
        let charge = charge(limit, 1, lease(10, 60_000));
        let first = ask(&replica, &[charge]).await;
        assert_eq!(first.at(), later(59_000));
        clock.advance(Duration::from_micros(999_999));
        let last = replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).unwrap().unwrap();
        assert_eq!(last.at(), later(60_000).minus(Duration::from_micros(1)), "the store's time");
        clock.advance(Duration::from_micros(1));
        assert!(replica.try_decide(Slot::Edge, &Call::new(&[charge], None)).is_none());
    }
}

#[tokio::test]
async fn units_of_a_level_end_when_it_has_drained() {
    let world = World::new();
    // Ten a second: a chunk of five is back after half a second.
    let (replica, limit) = (world.replica(), bucket(10, 10, 1));
    assert!(admits(&replica, charge(limit, 1, lease(5, 60_000))).await);
    world.at(499);
    assert!(
        replica.try_decide(Slot::Edge, &Call::new(&[charge(limit, 1, lease(5, 60_000))], None)).is_some()
    );
    world.at(500);
    assert!(
        replica.try_decide(Slot::Edge, &Call::new(&[charge(limit, 1, lease(5, 60_000))], None)).is_none()
    );
}

#[tokio::test]
async fn nothing_that_was_taken_or_refused_holds_under_another_limit() {
    let world = World::new();
    let (replica, lease) = (world.replica(), lease(50, 60_000));
    let (wide, narrow) = (window(100, 3_600), window(20, 3_600));
    assert!(admits(&replica, charge(wide, 1, lease)).await);
    // Lowered to twenty: the 49 that were here went back, and nineteen are left.
    assert_eq!(admitted(&replica, charge(narrow, 1, lease), 100).await, 19);
    world.shared.calls();
    assert!(!admits(&replica, charge(narrow, 1, lease)).await);
    assert_eq!(world.shared.calls(), 0, "the refusal is remembered");
    world.shared.down.store(true, Ordering::SeqCst);
    assert!(replica.decide(Slot::Edge, &Call::new(&[charge(wide, 1, lease)], None)).await.is_err());
    world.shared.down.store(false, Ordering::SeqCst);
    assert_eq!(admitted(&replica, charge(wide, 1, lease), 100).await, 80, "but not under a raised limit");
}

#[tokio::test]
async fn what_a_call_holds_of_a_lot_that_is_gone_goes_back_to_the_shared_store() {
    let world = World::new();
    let (replica, limit) = (world.replica(), window(100, 60));
    let here = charge(limit, 1, lease(10, 60_000));
    let used_up = Charge::new(b"used up", window(1, 60), 1);
    assert!(ask(&replica, &[here, used_up]).await.is_admitted());
    let charges = [here, used_up];
    let call = Call::new(&charges, None);
    let both = futures_util::future::join(replica.decide(Slot::Edge, &call), replica.flush());
    let (outcome, flushed) = both.await;
    assert!(!outcome.unwrap().is_admitted() && flushed.is_ok());
    assert_eq!((world.left(limit).await, replica.stats().lost), (99, 0));
}
