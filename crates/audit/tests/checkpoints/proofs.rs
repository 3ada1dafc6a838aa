//! What is proven to whom, and with what.

use stanchion_audit::tree::{TileId, verify_consistency};
use stanchion_audit::{Error, NoteError, TreeHead, Unproven, verify_proof};

use crate::support::{Setup, covered, signer, standard, tenant};

#[tokio::test]
async fn an_entry_is_proven_with_nothing_but_a_public_key() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            let ids = setup.append(ledger, tenant(1), 600).await;
            let chain = standard(tenant(1));
            covered(prover, chain, 600).await;
            let key = prover.verifiers(&chain)[0].to_string().parse().unwrap();
            for place in [0, 255, 256, 599] {
                let proof = prover.prove(tenant(1), ids[place]).await.unwrap().unwrap();
                let proven = verify_proof(&proof.to_text(), std::slice::from_ref(&key)).unwrap();
                assert_eq!(usize::try_from(proven.seq).unwrap(), place + 1);
                assert_eq!(proven.canonical, proof.canonical);
                assert_eq!(stanchion_audit::parse(&proven.canonical).unwrap().id, ids[place]);
                assert_eq!(proven.tree.origin, format!("audit.example.com/{chain}"));

                let (event, hash) = (
                    proof.to_text().replacen("extra e", "extra f", 1),
                    proof.to_text().replace("index ", "index 1"),
                );
                for altered in [event, hash] {
                    assert!(matches!(
                        verify_proof(&altered, std::slice::from_ref(&key)),
                        Err(Unproven::Inclusion(_))
                    ));
                }
                let stranger = signer(2).verifiers(&chain);
                let unknown = Err(Unproven::Checkpoint(NoteError::UnknownKey));
                assert_eq!(verify_proof(&proof.to_text(), &stranger), unknown);
            }
            assert_eq!(prover.prove(tenant(2), ids[0]).await.unwrap(), None, "another tenant's");
        })
        .await;
}

#[tokio::test]
async fn what_is_not_covered_yet_is_told_so_and_covered_within_the_interval() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            let chain = standard(tenant(1));
            setup.append(ledger, tenant(1), 1).await;
            let before = covered(prover, chain, 1).await;
            let id = setup.append(ledger, tenant(1), 1).await[0];
            let proof = prover.prove(tenant(1), id).await;
            assert!(matches!(proof, Err(Error::NotCovered { seq: 2, size: 1, .. })), "{proof:?}");
            let after = covered(prover, chain, 2).await;
            assert!(after.signed_at.micros() - before.signed_at.micros() <= 1_100_000);
            assert!(prover.prove(tenant(1), id).await.unwrap().is_some());
        })
        .await;
}

#[tokio::test]
async fn a_log_is_proven_to_have_only_grown_also_over_restarts() {
    let setup = Setup::new();
    let chain = standard(tenant(1));
    let mut known: Vec<TreeHead> = Vec::new();
    for count in [1, 254, 1, 1, 300, 700] {
        let head = setup
            .run(async |ledger, prover| {
                setup.append(ledger, tenant(1), count).await;
                let size = known.last().map_or(0, |head| head.size) + u64::try_from(count).unwrap();
                let checkpoint = covered(prover, chain, size).await;
                for earlier in &known {
                    let proof = prover.prove_growth(chain, earlier.size).await.unwrap().unwrap();
                    let (from, to) = ((earlier.size, &earlier.root), (checkpoint.size, &checkpoint.root));
                    assert_eq!(verify_consistency(from, to, &proof.hashes), Ok(()));
                }
                assert!(matches!(prover.prove_growth(chain, size + 1).await, Err(Error::NoProof { .. })));
                TreeHead::open(checkpoint.note.as_str(), &prover.verifiers(&chain)).unwrap()
            })
            .await;
        known.push(head);
    }
}

#[tokio::test]
async fn tiles_are_those_of_the_checkpoint() {
    let setup = Setup::new();
    setup
        .run(async |ledger, prover| {
            setup.append(ledger, tenant(1), 700).await;
            let chain = standard(tenant(1));
            covered(prover, chain, 700).await;
            let tile = async |level, index, width| {
                let tile = prover.tile(chain, TileId { level, index }, width).await.unwrap();
                tile.map(|tile| tile.hashes.len())
            };
            assert_eq!(tile(0, 0, 256).await, Some(256));
            assert_eq!(tile(0, 2, 188).await, Some(188));
            assert_eq!(tile(0, 2, 100).await, Some(100), "an earlier checkpoint's");
            assert_eq!(tile(1, 0, 2).await, Some(2));
            for (level, index, width) in
                [(0, 2, 189), (0, 2, 256), (0, 3, 1), (1, 0, 3), (2, 0, 1), (0, 0, 0)]
            {
                assert_eq!(tile(level, index, width).await, None, "{level}/{index}.p/{width}");
            }
        })
        .await;
}
