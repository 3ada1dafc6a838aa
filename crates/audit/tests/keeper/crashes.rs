use std::pin::pin;
use std::sync::atomic::Ordering;

use futures_util::future::{Either, select};
use stanchion_audit::archive::ArchiveVerdict;
use stanchion_audit::tree::verify_consistency;
use stanchion_audit::{ChainId, Keeper, RetentionClass, RetentionConfig, RoundEnd};
use stanchion_core::{Category, Event};

use crate::support::{DAY, World, keys, number, standard, tenant, text, verified};

/// Kills a keeper at one operation; tells whether it came to that. Then another one goes on, and all must be well.
async fn killed_at(operation: usize, is_after: bool) -> bool {
    let world = World::new();
    let (scope, chain) = (tenant(1), standard(tenant(1)));
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 600).await;
            world.clock.advance(400 * DAY);
            world.stores.fuse.is_after.store(is_after, Ordering::SeqCst);
            world.stores.fuse.set(operation);
            let first = world.keeper(prover, RetentionConfig::default());
            let was_killed = match select(pin!(first.once()), pin!(world.stores.fuse.blown())).await {
                Either::Left((end, _)) => {
                    assert_eq!(end, RoundEnd::Complete);
                    false
                }
                Either::Right(_) => true,
            };
            world.stores.fuse.set(0);
            let base = world.chain(chain).await.base.seq;
            let ArchiveVerdict::Intact(proof) = verified(&world.archive().await, None) else {
                panic!("at {operation}: {:?}", verified(&world.archive().await, None))
            };
            let archived = proof.chains.iter().find(|kept| kept.chain == chain).map_or(0, |kept| kept.last);
            assert!(base <= archived, "at {operation}: cut to {base}, archived to {archived}");

            let second = world.keeper(prover, RetentionConfig::default());
            for _ in 0..2 {
                assert_eq!(second.once().await, RoundEnd::Complete);
            }
            assert_eq!(world.chain(chain).await.base.seq, 512, "at {operation}");
            let verdict = verified(&world.archive().await, Some(&keys(1)));
            let ArchiveVerdict::Intact(proof) = verdict else { panic!("at {operation}: {verdict:?}") };
            assert_eq!((proof.chains[0].first, proof.chains[0].last), (1, 512), "at {operation}");
            assert!(proof.unclaimed.is_empty(), "at {operation}: {:?}", proof.unclaimed);

            let archived = world.records(ledger, scope, "audit.archived").await;
            assert_eq!(archived.len(), 1, "at {operation}");
            assert_eq!((number(&archived[0], "first"), number(&archived[0], "last")), (1, 512));
            let applied = world.records(ledger, scope, "audit.retention_applied").await;
            let phases: Vec<String> = applied.iter().map(|event| text(event, "phase")).collect();
            let (done, begun) = phases.split_last().unwrap();
            assert!(done == "done" && !begun.is_empty(), "at {operation}: {phases:?}");
            assert!(begun.iter().all(|phase| phase == "begun"), "at {operation}: {phases:?}");
            assert!(applied.iter().all(|event| number(event, "last") == 512));
            assert!(prover.verify(scope).await.unwrap().is_intact());
            was_killed
        })
        .await
}

#[tokio::test]
async fn whatever_a_keeper_is_killed_at_the_next_one_goes_on_and_nothing_is_lost() {
    for is_after in [false, true] {
        let mut operations = 0;
        while killed_at(operations + 1, is_after).await {
            operations += 1;
        }
        // One list of chains, lists of objects for each chain, an object, its manifest, two looks for holds, a cut and a reclaim.
        assert!(operations >= 7, "{operations} operations");
    }
}

#[tokio::test]
async fn two_keepers_at_once_archive_and_cut_once() {
    let world = World::new();
    let scope = tenant(1);
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 600).await;
            world.clock.advance(400 * DAY);
            let keepers = [0, 1, 2].map(|_| world.keeper(prover, RetentionConfig::default()));
            let rounds = keepers.iter().map(stanchion_audit::Keeper::once);
            let ends = futures_util::future::join_all(rounds).await;
            assert_eq!(ends, [RoundEnd::Complete; 3]);
            let cuts: u64 = keepers.iter().map(|keeper| keeper.stats().cuts).sum();
            assert_eq!(cuts, 1);
            let applied = world.records(ledger, scope, "audit.retention_applied").await;
            let done = applied.iter().filter(|event| text(event, "phase") == "done").count();
            assert_eq!(done, 1, "who came second did not cut");
            assert_eq!(world.records(ledger, scope, "audit.archived").await.len(), 1);
            assert!(matches!(verified(&world.archive().await, None), ArchiveVerdict::Intact(_)));
        })
        .await;
}

/// Kills a keeper at one operation of the second cut of two chains that are cut to the same numbers; tells whether it came to that.
async fn killed_at_the_second_cut(operation: usize) -> bool {
    const STANDARD: RetentionClass = RetentionClass::Standard;
    const READ: RetentionClass = RetentionClass::DataAccess;
    let world = World::new();
    let scope = tenant(1);
    let read = ChainId { scope, class: READ };
    let config = RetentionConfig { data_access_days: 366, ..RetentionConfig::default() };
    world
        .run(async |ledger, prover| {
            let keeper = || {
                Keeper::new(prover.clone(), world.stores.clone(), None, config.clone())
                    .on_failure(|chain, error| panic!("{chain:?}: {error}"))
            };
            let mut was_killed = false;
            for round in 0..2 {
                world.record(ledger, scope, 256, Category::DataAccess).await;
                world.append(ledger, prover, scope, 256).await;
                world.covered(prover, read).await;
                world.clock.advance(400 * DAY);
                if round == 1 {
                    world.stores.fuse.is_after.store(true, Ordering::SeqCst);
                    world.stores.fuse.set(operation);
                    let first = keeper();
                    was_killed = matches!(
                        select(pin!(first.once()), pin!(world.stores.fuse.blown())).await,
                        Either::Right(_)
                    );
                    world.stores.fuse.set(0);
                }
                assert_eq!(keeper().once().await, RoundEnd::Complete);
            }
            let applied = world.records(ledger, scope, "audit.retention_applied").await;
            for (class, last) in [(STANDARD, 256), (STANDARD, 512), (READ, 256), (READ, 512)] {
                let of_this =
                    |event: &&Event| text(event, "class") == class.as_str() && number(event, "last") == last;
                let cut: Vec<_> = applied.iter().filter(of_this).collect();
                let (done, begun) = cut.split_last().unwrap();
                let phases: Vec<String> = cut.iter().map(|event| text(event, "phase")).collect();
                assert!(!begun.is_empty() && text(done, "phase") == "done", "{class} {last}: {phases:?}");
                for event in begun {
                    assert_eq!(text(event, "phase"), "begun", "{class} {last}: {phases:?}");
                    for name in ["first", "kept_days", "online_days"] {
                        assert_eq!(number(event, name), number(done, name), "{name} of {class}");
                    }
                    assert_eq!(text(event, "root"), text(done, "root"));
                }
                assert_eq!((number(done, "first"), number(done, "kept_days")), (last - 255, 366));
                let chain = ChainId { scope, class };
                if let Ok(growth) = prover.prove_growth(chain, last).await {
                    let growth = growth.unwrap();
                    let to = (growth.checkpoint.size, &growth.checkpoint.root);
                    verify_consistency((last, &text(done, "root").parse().unwrap()), to, &growth.hashes)
                        .unwrap();
                }
            }
            was_killed
        })
        .await
}

#[tokio::test]
async fn a_cut_that_was_begun_is_told_to_have_ended_once_and_as_it_was_begun() {
    let mut operations = 0;
    while killed_at_the_second_cut(operations + 1).await {
        operations += 1;
    }
    // A list of chains, for each of two chains two looks for holds and a cut, and a reclaim.
    assert_eq!(operations, 8);
}
