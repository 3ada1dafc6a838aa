//! What certainty somebody waits for.

use std::time::Duration;

use futures_util::future::join;
use stanchion_audit::{
    Ack, Acknowledged, CheckpointConfig, CheckpointSigner, Config, Draft, Error, Ledger, verify_proof,
};
use stanchion_core::Clock as _;

use crate::support::{Setup, keys, passing_time, tenant};

#[tokio::test]
async fn each_level_tells_as_much_as_is_certain() {
    let setup = Setup::new();
    setup
        .run(&[1], async |ledger, prover| {
            let append = async |ack| {
                let event = setup.event(tenant(1));
                prover.append(ledger.reserve(tenant(1)).unwrap(), Draft::Event(event), ack).await.unwrap()
            };
            assert!(append(Ack::Accepted).await.receipt().is_none());
            let Acknowledged::Durable(receipt) = append(Ack::Durable).await else { panic!("not durable") };
            assert_eq!(receipt.seq, 2);
            let started = setup.clock.now();
            let Acknowledged::Checkpointed(receipt, proof) = append(Ack::Checkpointed).await else {
                panic!("not covered")
            };
            assert_eq!(receipt.seq, 3);
            let proven = verify_proof(&proof.to_text(), &prover.verifiers(&receipt.chain)).unwrap();
            assert_eq!((proven.seq, proven.tree.size), (3, 3));
            assert!(setup.clock.now() < started.plus(Duration::from_secs(5)), "it waited for no round");
        })
        .await;
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_checkpoint_that_does_not_come() {
    let setup = Setup::new();
    let (clock, ids, store) = (setup.clock.clone(), setup.ids.clone(), setup.store.clone());
    let config = Config { linger_ms: 0, ..Config::default() };
    let (ledger, sequencer) = Ledger::new(store.clone(), keys(&[1]), clock.clone(), clock, ids, config);
    let signer = CheckpointSigner::new(&keys(&[1]), "audit.example.com").unwrap();
    let (prover, checkpointer) = ledger.checkpoints(store, signer, CheckpointConfig::default());
    let body = async {
        let place = ledger.reserve(tenant(1)).unwrap();
        let late = prover.append(place, Draft::Event(setup.event(tenant(1))), Ack::Checkpointed).await;
        assert!(matches!(late, Err(Error::Uncovered { seq: 1, .. })), "{late:?}");
        drop(checkpointer);
        let place = ledger.reserve(tenant(1)).unwrap();
        let began = setup.clock.now();
        let none = prover.append(place, Draft::Event(setup.event(tenant(1))), Ack::Checkpointed).await;
        assert!(matches!(none, Err(Error::Uncovered { seq: 2, .. })), "{none:?}");
        assert!(setup.clock.now().since(began) < Duration::from_secs(1), "nobody is there to be waited for");
        ledger.settle().await;
        ledger.close();
    };
    let ((), run) = passing_time(&setup.clock, join(body, sequencer.run())).await;
    run.unwrap();
}
