//! Those who wait for a checkpoint, where it does not come at once.

use std::sync::atomic::Ordering;

use stanchion_audit::{Ack, Acknowledged, Draft, Error};
use stanchion_core::Clock as _;

use crate::support::{Alteration, Setup, covered, standard, tenant};

#[tokio::test]
async fn whoever_waits_while_others_are_first_gets_the_checkpoint_of_the_next_round() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 1).await;
            covered(prover, standard(tenant(1)), 1).await;
            // So often is it tried at once, so that nobody is covered by what was asked.
            setup.altered.moved.store(4, Ordering::SeqCst);
            let place = ledger.reserve(tenant(1)).unwrap();
            let began = setup.clock.now();
            let append = prover.append(place, Draft::Event(setup.event(tenant(1))), Ack::Checkpointed);
            let Acknowledged::Checkpointed(receipt, proof) = append.await.unwrap() else {
                panic!("not covered")
            };
            assert_eq!((receipt.seq, proof.checkpoint.size), (2, 2));
            assert_eq!(setup.altered.moved.load(Ordering::SeqCst), 0, "it was tried");
            let took = setup.clock.now().since(began).as_millis();
            assert!((20..2_500).contains(&took), "{took} ms: neither at once nor by the look at all chains");
        })
        .await;
}

#[tokio::test]
async fn whoever_waits_while_the_store_is_away_gets_the_checkpoint_when_it_is_back() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 1).await;
            covered(prover, standard(tenant(1)), 1).await;
            setup.altered.refuses.store(true, Ordering::SeqCst);
            let place = ledger.reserve(tenant(1)).unwrap();
            let append = prover.append(place, Draft::Event(setup.event(tenant(1))), Ack::Checkpointed);
            let Acknowledged::Checkpointed(receipt, proof) = append.await.unwrap() else {
                panic!("not covered")
            };
            assert_eq!((receipt.seq, proof.checkpoint.size), (2, 2));
            assert!(!setup.altered.refuses.load(Ordering::SeqCst), "it was asked and refused");
        })
        .await;
}

#[tokio::test]
async fn whoever_waits_for_a_broken_chain_is_told_at_once_that_nothing_will_come() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 1).await;
            covered(prover, standard(tenant(1)), 1).await;
            setup.altered.set(Alteration::Leaf(2));
            let append = async || {
                let place = ledger.reserve(tenant(1)).unwrap();
                let began = setup.clock.now();
                let event = Draft::Event(setup.event(tenant(1)));
                let found = prover.append(place, event, Ack::Checkpointed).await;
                assert!(matches!(found, Err(Error::Uncovered { .. })), "{found:?}");
                setup.clock.now().since(began).as_millis()
            };
            for time in ["the first time", "and again"] {
                let took = append().await;
                assert!(took < 2_500, "{time}: {took} ms");
            }
        })
        .await;
}

#[tokio::test]
async fn many_who_wait_for_one_chain_cost_one_checkpoint() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 1).await;
            covered(prover, standard(tenant(1)), 1).await;
            let before = ledger.stats().checkpoints;
            let append = async || {
                let place = ledger.reserve(tenant(1)).unwrap();
                prover.append(place, Draft::Event(setup.event(tenant(1))), Ack::Checkpointed).await.unwrap()
            };
            let all = futures_util::future::join_all((0..50).map(|_| append())).await;
            assert!(all.iter().all(|one| matches!(one, Acknowledged::Checkpointed(..))));
            let made = ledger.stats().checkpoints - before;
            assert!(made <= 5, "{made} checkpoints");
        })
        .await;
}
