use std::sync::Arc;

use stanchion_audit::{
    Hold, HoldStore as _, Keeper, RetentionClass, RetentionConfig, RoundEnd, verify_proof,
};
use stanchion_core::Clock as _;
use stanchion_core::PageRequest;
use uuid::Uuid;

use crate::support::{DAY, NOON, World, number, standard, tenant, verifiers};

fn hold(number: u8, class: Option<RetentionClass>) -> Hold {
    Hold {
        id: Uuid::from_bytes([number; 16]),
        scope: tenant(1),
        class,
        reason: "Smith v. Acme".into(),
        placed_by: "user:counsel".into(),
        placed_at: NOON,
        until: None,
        lifted_by: None,
        lifted_at: None,
    }
}

#[tokio::test]
async fn what_remains_verifies_and_old_proofs_stay_good() {
    let world = World::new();
    let (scope, chain) = (tenant(1), standard(tenant(1)));
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 600).await;
            let first =
                ledger.query(scope, &stanchion_audit::Query::default(), &PageRequest::first(1_000)).await;
            let first = first.unwrap().items.into_iter().find(|entry| entry.chain == chain && entry.seq == 1);
            let old = prover.prove(scope, first.unwrap().event.id).await.unwrap().unwrap();

            world.clock.advance(365 * DAY);
            world.append(ledger, prover, scope, 300).await;
            let keeper = world.keeper(prover, RetentionConfig::default());
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            assert_eq!(world.chain(chain).await.base.seq, 0, "a day too early");
            world.clock.advance(2 * DAY);
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            let kept = world.chain(chain).await;
            assert_eq!((kept.base.seq, kept.head.seq), (512, 900), "whole tiles only");
            assert!(prover.verify(scope).await.unwrap().is_intact());
            assert!(ledger.verify(scope).await.unwrap().is_intact());

            // The tree goes on, and leads from the old one.
            world.append(ledger, prover, scope, 10).await;
            let growth = prover.prove_growth(chain, old.checkpoint.size).await.unwrap().unwrap();
            let (from, to) = (&old.checkpoint, &growth.checkpoint);
            stanchion_audit::tree::verify_consistency(
                (from.size, &from.root),
                (to.size, &to.root),
                &growth.hashes,
            )
            .unwrap();
            assert_eq!(verify_proof(&old.to_text(), &verifiers()).unwrap().seq, 1);
            let cut = world.records(ledger, scope, "audit.retention_applied").await;
            assert_eq!((cut.len(), number(&cut[0], "first"), number(&cut[0], "last")), (2, 1, 512));
            assert_eq!((number(&cut[0], "kept_days"), keeper.stats().cut), (366, 512));
        })
        .await;
    // A process that starts anew finds its way into a tree whose beginning is gone.
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 5).await;
            assert!(prover.verify(scope).await.unwrap().is_intact());
            assert_eq!(ledger.stats().broken_chains, 0);
        })
        .await;
}

#[tokio::test]
async fn a_chain_on_hold_is_never_cut_and_is_once_that_is_lifted_or_over() {
    for (hold, ends_by_itself) in [
        (hold(1, None), false),
        (hold(2, Some(RetentionClass::Standard)), false),
        (Hold { until: Some(NOON.plus(500 * DAY)), ..hold(3, None) }, true),
    ] {
        let world = World::new();
        let (scope, chain) = (tenant(1), standard(tenant(1)));
        world
            .run(async |ledger, prover| {
                world.append(ledger, prover, scope, 300).await;
                world.stores.holds.put(&hold).await.unwrap();
                world.clock.advance(400 * DAY);
                let keeper = world.keeper(prover, RetentionConfig::default());
                assert_eq!(keeper.once().await, RoundEnd::Complete);
                assert_eq!((world.chain(chain).await.base.seq, keeper.stats().held), (0, 1));
                let begun = world.records(ledger, scope, "audit.retention_applied").await;
                assert!(begun.is_empty(), "what is held is not begun: {begun:?}");
                let kept = keeper.kept(scope).await.unwrap();
                let kept = kept.iter().find(|kept| kept.chain == chain).unwrap();
                assert_eq!((kept.holds.len(), kept.archived), (1, Some(256)), "archived all the same");
                if ends_by_itself {
                    world.clock.advance(101 * DAY);
                } else {
                    let now = world.clock.now();
                    world.stores.holds.lift(scope, hold.id, &"user:judge".into(), now).await.unwrap();
                }
                assert_eq!(keeper.once().await, RoundEnd::Complete);
                assert_eq!((world.chain(chain).await.base.seq, keeper.stats().held), (256, 0));
            })
            .await;
    }
}

#[tokio::test]
async fn a_hold_of_another_class_or_scope_holds_nothing_here() {
    let world = World::new();
    let (scope, chain) = (tenant(1), standard(tenant(1)));
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 300).await;
            world.stores.holds.put(&hold(1, Some(RetentionClass::Security))).await.unwrap();
            world.stores.holds.put(&Hold { scope: tenant(2), ..hold(2, None) }).await.unwrap();
            world.clock.advance(400 * DAY);
            assert_eq!(world.keeper(prover, RetentionConfig::default()).once().await, RoundEnd::Complete);
            assert_eq!(world.chain(chain).await.base.seq, 256);
        })
        .await;
}

#[tokio::test]
async fn without_an_archive_entries_go_when_their_time_is_over_and_with_it_they_may_leave_earlier() {
    for (has_archive, days, base) in [(false, 100, 0), (false, 400, 256), (true, 100, 256), (true, 80, 0)] {
        let world = World::new();
        let (scope, chain) = (tenant(1), standard(tenant(1)));
        world
            .run(async |ledger, prover| {
                world.append(ledger, prover, scope, 300).await;
                world.clock.advance(days * DAY);
                let config = RetentionConfig { online_days: Some(92), ..RetentionConfig::default() };
                let objects = has_archive.then(|| Arc::clone(&world.stores) as _);
                let keeper = Keeper::new(prover.clone(), world.stores.clone(), objects, config);
                assert_eq!(keeper.once().await, RoundEnd::Complete);
                assert_eq!(world.chain(chain).await.base.seq, base, "after {days} days");
            })
            .await;
    }
}

#[tokio::test]
async fn a_keeper_that_is_not_to_cut_archives_only() {
    let world = World::new();
    let (scope, chain) = (tenant(1), standard(tenant(1)));
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 300).await;
            world.clock.advance(4_000 * DAY);
            let config = RetentionConfig { enabled: false, ..RetentionConfig::default() };
            let keeper = world.keeper(prover, config);
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            assert_eq!((world.chain(chain).await.base.seq, keeper.stats().archived), (0, 256));
        })
        .await;
}
