//! Rounds, and what is told of them.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use stanchion_audit::{Hold, HoldStore as _, Keeper, ObjectStore, RetentionClass, RetentionConfig, RoundEnd};
use stanchion_core::Category;
use uuid::Uuid;

use crate::support::{DAY, NOON, World, standard, tenant};

#[tokio::test]
async fn rounds_come_by_themselves_until_the_ledger_has_ended() {
    let world = World::new();
    let run = world
        .run(async |ledger, prover| {
            world.append(ledger, prover, tenant(1), 1).await;
            let config = RetentionConfig { interval_seconds: 1, ..RetentionConfig::default() };
            let keeper = world.keeper(prover, config);
            let began = stanchion_core::Clock::now(&*world.clock);
            let rounds = async {
                while keeper.stats().rounds < 3 {
                    tokio::task::yield_now().await;
                }
            };
            let Either::Right(((), run)) = select(Box::pin(keeper.clone().run()), pin!(rounds)).await else {
                panic!("it ended before the ledger")
            };
            let took = stanchion_core::Clock::now(&*world.clock).since(began);
            assert!((2..4).contains(&took.as_secs()), "{took:?}");
            // Not awaited here: it ends with the ledger only.
            Some(run)
        })
        .await;
    run.unwrap().await;
}

#[tokio::test]
async fn a_ledger_that_takes_no_records_ends_the_rounds() {
    let world = World::new();
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, tenant(1), 300).await;
            world.clock.advance(400 * DAY);
            ledger.close();
            let keeper = world.keeper(prover, RetentionConfig::default());
            assert_eq!(keeper.once().await, RoundEnd::Closed);
            assert_eq!((keeper.stats().rounds, world.chain(standard(tenant(1))).await.base.seq), (0, 0));
        })
        .await;
}

#[tokio::test]
async fn what_is_told_of_a_chain_is_how_it_is_kept() {
    let world = World::new();
    let scope = tenant(1);
    let hold = |number: u128, class| Hold {
        id: Uuid::from_u128(number),
        scope,
        class,
        reason: "Smith v. Acme".into(),
        placed_by: "user:counsel".into(),
        placed_at: NOON,
        until: None,
        lifted_by: None,
        lifted_at: None,
    };
    world
        .run(async |ledger, prover| {
            world.record(ledger, scope, 3, Category::Security).await;
            world.append(ledger, prover, scope, 2).await;
            world.stores.holds.put(&hold(1, Some(RetentionClass::Security))).await.unwrap();
            world.stores.holds.put(&Hold { lifted_at: Some(NOON), ..hold(2, None) }).await.unwrap();
            let kept = async |enabled, has_archive: bool| {
                let config = RetentionConfig { enabled, online_days: Some(92), ..RetentionConfig::default() };
                let objects = has_archive.then(|| Arc::clone(&world.stores) as Arc<dyn ObjectStore>);
                let keeper = Keeper::new(prover.clone(), world.stores.clone(), objects, config);
                keeper.kept(scope).await.unwrap()
            };
            let [security, standard] = kept(true, true).await.try_into().unwrap();
            assert_eq!((security.base, security.head, standard.head), (0, 3, 2));
            assert_eq!((standard.term.kept_days, standard.term.online_days), (366, 92));
            assert_eq!((security.term.kept_days, security.archived), (2_557, Some(0)));
            let oldest = standard.oldest_at.unwrap();
            assert_eq!(standard.oldest_until, Some(oldest.plus(366 * DAY)));
            let ids = |holds: &[Hold]| holds.iter().map(|hold| hold.id.as_u128()).collect::<Vec<_>>();
            assert_eq!((ids(&security.holds), ids(&standard.holds)), (vec![1], vec![]));
            let [security, standard] = kept(false, false).await.try_into().unwrap();
            assert_eq!((security.oldest_until, standard.oldest_until), (None, None));
            assert_eq!((standard.term.online_days, standard.archived), (366, None));
        })
        .await;
}
