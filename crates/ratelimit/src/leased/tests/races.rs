use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::*;

/// Runs calls of several replicas on four threads, and tells how many were admitted.
async fn race(replicas: &[Arc<LeasedCounterStore>], charge: Charge<'static>, calls: usize) -> usize {
    let mut tasks = JoinSet::new();
    for number in 0..calls {
        let replica = Arc::clone(&replicas[number % replicas.len()]);
        tasks.spawn(async move { admits(&replica, charge).await });
    }
    tasks.join_all().await.into_iter().filter(|admitted| *admitted).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_replica_admits_exactly_the_limit() {
    for limit in [window(1_000, 86_400), bucket(1_000, 1, 86_400)] {
        for chunk in [1, 8, 100] {
            let world = World::new();
            let replicas = [Arc::new(world.replica())];
            assert_eq!(
                race(&replicas, charge(limit, 1, lease(chunk, 60_000)), 1_200).await,
                1_000,
                "{chunk}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_replicas_admit_the_limit_but_for_what_they_hold() {
    for round in 0..20 {
        let world = World::new();
        let limit = window(1_000, 86_400);
        let charge = charge(limit, 1, lease(16, 60_000));
        let replicas = [(); 3].map(|()| Arc::new(world.replica()));
        let admitted = race(&replicas, charge, 1_200).await;
        assert!((1_000 - 3 * 16..=1_000).contains(&admitted), "round {round}: {admitted}");
        for replica in &replicas {
            replica.flush().await.unwrap();
        }
        assert_eq!(
            world.left(limit).await,
            1_000 - u64::try_from(admitted).unwrap(),
            "every unit is somewhere"
        );
        // Those three may remember that they were refused.
        assert_eq!(race(&[Arc::new(world.replica())], charge, 100).await, 1_000 - admitted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_counters_of_a_call_are_charged_together() {
    for round in 0..10 {
        let world = World::new();
        let replica = Arc::new(world.replica());
        let (high, low) = (window(1_000, 86_400), window(700, 86_400));
        let (high, low) = (charge(high, 1, lease(10, 60_000)), charge(low, 1, lease(7, 60_000)));
        let mut tasks = JoinSet::new();
        for number in 0..1_000 {
            let replica = Arc::clone(&replica);
            tasks.spawn(async move {
                let mut charges = [Charge { key: b"high", ..high }, Charge { key: b"low", ..low }];
                if number % 2 == 0 {
                    charges.reverse();
                }
                ask(&replica, &charges).await.is_admitted()
            });
        }
        let admitted = tasks.join_all().await.into_iter().filter(|admitted| *admitted).count();
        assert_eq!(admitted, 700, "round {round}");
        let look = [Charge { key: b"high", cost: 0, ..high }, Charge { key: b"low", cost: 0, ..low }];
        let look = replica.peek(Slot::Edge, &Call::new(&look, None)).await.unwrap();
        assert_eq!((look.standings()[0].remaining, look.standings()[1].remaining), (300, 0));
        assert_eq!(replica.stats().lost, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_refusal_takes_is_taken_once() {
    for round in 0..10 {
        let world = World::new();
        let replica = Arc::new(world.replica());
        let lease = lease(5, 60_000);
        let insistent = Charge { charge_denied: true, ..charge(window(10_000, 86_400), 1, lease) };
        let scarce = charge(window(100, 86_400), 1, lease);
        let mut tasks = JoinSet::new();
        for _ in 0..400 {
            let replica = Arc::clone(&replica);
            tasks.spawn(async move {
                ask(&replica, &[insistent, Charge { key: b"scarce", ..scarce }]).await.is_admitted()
            });
        }
        let admitted = tasks.join_all().await.into_iter().filter(|admitted| *admitted).count();
        assert!((1..=100).contains(&admitted), "{admitted}");
        replica.flush().await.unwrap();
        assert_eq!(world.left(insistent.limit).await, 10_000 - 400, "round {round}");
    }
}

#[tokio::test]
async fn those_who_wait_for_a_chunk_ask_once_for_all_of_them() {
    let world = World::new();
    let (replica, charge) = (world.replica(), charge(window(10_000, 60), 1, lease(200, 60_000)));
    let outcomes = join_all((0..200).map(|_| admits(&replica, charge))).await;
    assert!(outcomes.into_iter().all(|admitted| admitted));
    assert_eq!(world.shared.calls(), 1);
}

#[tokio::test]
async fn who_has_waited_in_vain_asks_for_no_more_than_it_needs() {
    let world = World::new();
    let (replica, charge) = (world.replica(), charge(window(10_000, 60), 1, lease(10, 60_000)));
    let outcomes = join_all((0..100).map(|_| admits(&replica, charge))).await;
    assert!(outcomes.into_iter().all(|admitted| admitted));
    let used = 10_000 - world.left(charge.limit).await;
    assert!((100..=110).contains(&used), "one chunk at a time: {used}");
}
