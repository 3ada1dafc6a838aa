//! When chains are covered, whatever stores and other processes do, and what the platform records of it.

use std::sync::atomic::Ordering;

use futures_util::future::join;
use stanchion_audit::tree::verify_consistency;
use stanchion_audit::{
    ChainId, CheckpointConfig, Checkpointer, Config, Draft, Ledger, Prover, RetentionClass,
};
use stanchion_core::{Clock as _, Detail, Scope};

use crate::support::{Setup, covered, keys, signer, standard, tenant, text};

#[test]
fn a_checkpointer_moves_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let setup = Setup::new();
    let (store, clock) = (setup.store.clone(), setup.clock.clone());
    let (ledger, sequencer) =
        Ledger::new(store, keys(1), clock.clone(), clock, setup.ids.clone(), Config::default());
    let (_, checkpointer): (Prover, Checkpointer) =
        ledger.checkpoints(setup.trees.clone(), signer(1), CheckpointConfig::default());
    is_send(&checkpointer.run());
    drop(sequencer);
}

#[tokio::test]
async fn closing_covers_what_was_committed() {
    let setup = Setup::new();
    let prover = setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 10).await;
            prover.clone()
        })
        .await;
    assert_eq!(covered(&prover, standard(tenant(1)), 10).await.size, 10);
}

#[tokio::test]
async fn entries_that_a_process_left_uncovered_are_covered_by_the_next() {
    let setup = Setup::new();
    let (clock, ids, store) = (setup.clock.clone(), setup.ids.clone(), setup.store.clone());
    let config = Config { linger_ms: 0, ..Config::default() };
    let (ledger, sequencer) = Ledger::new(store, keys(1), clock.clone(), clock, ids, config);
    let body = async {
        setup.append(&ledger, tenant(1), 5).await;
        ledger.close();
    };
    join(sequencer.run(), body).await.0.unwrap();
    setup.run(async |_, prover| covered(prover, standard(tenant(1)), 5).await).await;
}

#[tokio::test]
async fn a_reply_that_was_lost_forks_no_tree() {
    let setup = Setup::new();
    let chain = standard(tenant(1));
    setup
        .run(async |ledger, prover| {
            setup.altered.fails.store(true, Ordering::SeqCst);
            setup.append(ledger, tenant(1), 10).await;
            let first = covered(prover, chain, 10).await;
            setup.append(ledger, tenant(1), 10).await;
            let second = covered(prover, chain, 20).await;
            let proof = prover.prove_growth(chain, 10).await.unwrap().unwrap();
            let (from, to) = ((10, &first.root), (20, &second.root));
            assert_eq!(verify_consistency(from, to, &proof.hashes), Ok(()));
        })
        .await;
}

#[tokio::test]
async fn a_store_that_was_away_is_asked_again_long_before_anybody_looks_for_what_was_left() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(2), 1).await;
            covered(prover, standard(tenant(2)), 1).await;
            let began = setup.clock.now();
            setup.altered.refuses.store(true, Ordering::SeqCst);
            setup.append(ledger, tenant(1), 10).await;
            covered(prover, standard(tenant(1)), 10).await;
            assert!(!setup.altered.refuses.load(Ordering::SeqCst), "it was asked and refused");
            let took = setup.clock.now().since(began).as_secs();
            assert!(took < 10, "covered after {took} seconds");
        })
        .await;
}

#[tokio::test]
async fn two_checkpointers_of_one_store_make_one_tree() {
    let setup = Setup::new();
    let chain = standard(tenant(1));
    let (first, second) = join(
        setup.run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 300).await;
            covered(prover, chain, 600).await
        }),
        setup.run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 300).await;
            covered(prover, chain, 600).await
        }),
    )
    .await;
    assert_eq!((first.size, first.root), (second.size, second.root));
}

#[tokio::test]
async fn the_platform_records_the_checkpoints_of_tenants_and_that_there_were_none() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 5).await;
            setup.append(ledger, tenant(2), 7).await;
            let recorded = async |count| loop {
                let found = setup.records(ledger, Scope::Platform, "audit.checkpointed").await;
                if found.len() >= count {
                    return found;
                }
                tokio::task::yield_now().await;
            };
            let first = recorded(1).await.remove(0);
            let Some(Detail::List(checkpoints)) = first.details.get("checkpoints") else {
                panic!("{first:?}")
            };
            let told: Vec<(String, String)> = checkpoints
                .iter()
                .map(|checkpoint| match checkpoint {
                    Detail::Map(details) => (text(details, "chain"), text(details, "size")),
                    other => panic!("{other:?}"),
                })
                .collect();
            let chains = [tenant(1), tenant(2)].map(|scope| standard(scope).to_string());
            assert_eq!(told, [(chains[0].clone(), "5".to_owned()), (chains[1].clone(), "7".to_owned())]);

            let heartbeat = recorded(2).await.remove(0);
            assert_eq!(heartbeat.details.get("checkpoints"), Some(&Detail::List(Vec::new())));
            let waited = heartbeat.occurred_at.micros() - first.occurred_at.micros();
            assert!((300_000_000..302_000_000).contains(&waited), "{waited}");
            let platform = ChainId { scope: Scope::Platform, class: RetentionClass::Security };
            covered(prover, platform, 2).await;
        })
        .await;
}

#[tokio::test]
async fn whoever_was_not_first_covers_the_rest_within_the_round() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(2), 1).await;
            covered(prover, standard(tenant(2)), 1).await;
            setup.altered.moved.store(3, Ordering::SeqCst);
            let began = setup.clock.now();
            setup.append(ledger, tenant(1), 10).await;
            covered(prover, standard(tenant(1)), 10).await;
            assert_eq!(setup.altered.moved.load(Ordering::SeqCst), 0, "it was not first three times");
            let took = setup.clock.now().since(began).as_millis();
            assert!(took < 1_500, "covered after {took} ms, which is the next round's");
        })
        .await;
}

/// Fills the queue to the last place of the platform, as a flood does.
fn flood(setup: &Setup, ledger: &Ledger) {
    loop {
        let event = setup.event(Scope::Platform);
        if ledger.submit(Scope::Platform, Draft::Event(event)).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn checkpoints_that_found_no_room_are_recorded_when_there_is_some() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 5).await;
            covered(prover, standard(tenant(1)), 5).await;
            let began = setup.clock.now();
            // While the store stands still, nothing makes room; a checkpoint is told after ten seconds at the latest.
            setup.altered.stands.store(true, Ordering::SeqCst);
            while setup.clock.now().since(began).as_secs() < 20 {
                flood(&setup, ledger);
                tokio::task::yield_now().await;
            }
            setup.altered.stands.store(false, Ordering::SeqCst);
            let told = loop {
                let found = setup.records(ledger, Scope::Platform, "audit.checkpointed").await;
                if !found.is_empty() {
                    break found;
                }
                tokio::task::yield_now().await;
            };
            let Some(Detail::List(checkpoints)) = told[0].details.get("checkpoints") else {
                panic!("{told:?}")
            };
            let chains: Vec<String> = checkpoints
                .iter()
                .map(|checkpoint| match checkpoint {
                    Detail::Map(details) => text(details, "chain"),
                    other => panic!("{other:?}"),
                })
                .collect();
            let standard = [standard(Scope::Platform), standard(tenant(1))].map(|chain| chain.to_string());
            assert_eq!(chains, standard, "all but the one that tells it");
        })
        .await;
}
