//! What does not hold is never signed over, and is told.

use stanchion_core::Severity;

use crate::support::{Alteration, Setup, covered, standard, tenant, text};

#[tokio::test]
async fn an_entry_that_was_altered_before_it_was_covered_is_not_signed_for() {
    for alteration in [Alteration::Leaf(7), Alteration::Leaf(1)] {
        let setup = Setup::new();
        setup.altered.set(alteration);
        setup
            .run(async |ledger, prover| {
                setup.append(ledger, tenant(1), 10).await;
                let found = loop {
                    let found = setup.records(ledger, tenant(1), "audit.chain_broken").await;
                    if !found.is_empty() {
                        break found;
                    }
                    tokio::task::yield_now().await;
                };
                assert_eq!((found.len(), found[0].severity), (1, Severity::Critical));
                assert_eq!(text(&found[0].details, "reason"), "it is not linked to the entry before it");
                let Alteration::Leaf(seq) = alteration else { panic!() };
                assert_eq!(text(&found[0].details, "seq"), seq.to_string());
                let checkpoints = prover.checkpoints(tenant(1)).await.unwrap();
                assert!(checkpoints.iter().all(|found| found.chain != standard(tenant(1))));
            })
            .await;
    }
}

#[tokio::test]
async fn what_was_signed_for_and_is_gone_or_altered_is_noticed_at_the_next_start() {
    for (alteration, reason) in [
        (Alteration::Cut(290), "it is missing"),
        (Alteration::Leaf(280), "the tree up to it is not the one that was signed for"),
        (Alteration::Tiles, "the tree up to it is not the one that was signed for"),
        (Alteration::Checkpoint, "its checkpoint is not what was signed"),
    ] {
        let setup = Setup::new();
        let chain = standard(tenant(1));
        setup
            .run(async |ledger, prover| {
                setup.append(ledger, tenant(1), 300).await;
                covered(prover, chain, 300).await;
            })
            .await;
        setup
            .run(async |ledger, prover| {
                setup.append(ledger, tenant(1), 1).await;
                setup.altered.set(alteration);
                let found = loop {
                    let found = setup.records(ledger, tenant(1), "audit.chain_broken").await;
                    if !found.is_empty() {
                        break found;
                    }
                    tokio::task::yield_now().await;
                };
                assert_eq!(text(&found[0].details, "reason"), reason, "{alteration:?}");
                assert_eq!(prover.checkpoints(tenant(1)).await.unwrap()[0].size, 300, "{alteration:?}");
            })
            .await;
    }
}

#[tokio::test]
async fn a_broken_chain_is_told_once_however_often_something_is_added_to_it() {
    let setup = Setup::new();
    setup.altered.set(Alteration::Leaf(7));
    setup
        .run(async |ledger, prover| {
            for _ in 0..3 {
                setup.append(ledger, tenant(1), 10).await;
                // A chain that comes after it in a round, so that this is over.
                setup.append(ledger, tenant(2), 1).await;
                let size = ledger.get(tenant(2), setup.append(ledger, tenant(2), 1).await[0]).await;
                covered(prover, standard(tenant(2)), size.unwrap().unwrap().seq).await;
            }
            let found = setup.records(ledger, tenant(1), "audit.chain_broken").await;
            assert_eq!((found.len(), ledger.stats().broken_chains), (1, 1));
        })
        .await;
}
