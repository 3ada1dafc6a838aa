//! That one key takes another's place.

use stanchion_audit::{BreakReason, Draft, LedgerStore as _, Verdict, verify_chain, verify_key_change};
use stanchion_core::{IdGen as _, KeyRing, Scope, Secret};

use crate::support::{NOON, Setup, actions, idle, text};

#[tokio::test]
async fn a_new_key_is_recorded_and_vouched_for_by_the_one_before() {
    let setup = Setup::new();
    setup.run(&[1], async |_, _| {}).await;
    let (_, prover) = idle(&setup, &[1]);
    let before = prover.verifiers(&prover.checkpoints(Scope::Platform).await.unwrap()[0].chain);
    setup.run(&[1, 2], async |_, _| {}).await;
    setup.run(&[1, 2], async |_, _| {}).await;
    let events = setup.recorded(&[1, 2]).await;
    let run = ["audit.started", "audit.stopped"];
    let rotated = ["audit.started", "audit.key_rotated", "audit.key_rotated", "audit.stopped"];
    assert_eq!(actions(&events), [&run[..], &rotated, &run].concat());
    let (signing, checkpoint) = (&events[3], &events[4]);
    assert_eq!([text(signing, "key"), text(signing, "from"), text(signing, "to")], ["signing", "1", "2"]);
    // Who knew the old public key learns the new one from it, and nobody else's.
    let new = verify_key_change(checkpoint, &before).unwrap();
    let (ledger, prover) = idle(&setup, &[2]);
    assert_eq!(prover.verifiers(&"platform/security".parse().unwrap()), [new]);
    assert!(
        ledger.verify(Scope::Platform).await.unwrap().first_break().is_some(),
        "the key of epoch 1 is gone"
    );
    let (ledger, stranger) = idle(&setup, &[1, 2, 3]);
    let stranger = stranger.verifiers(&"platform/security".parse().unwrap());
    assert!(verify_key_change(checkpoint, &stranger[..1]).is_err());
    assert!(ledger.verify(Scope::Platform).await.unwrap().is_intact());
}

#[tokio::test]
async fn a_key_that_the_one_before_did_not_vouch_for_is_found() {
    let setup = Setup::new();
    setup.run(&[1], async |_, _| {}).await;
    // Somebody who has the new key alone forges what the old one would have said.
    setup.run(&[1, 2], async |_, _| {}).await;
    let chain = setup.store.chains(Scope::Platform).await.unwrap()[0];
    let rows = setup.store.read(chain.id, 1, 100).await.unwrap();
    let other = KeyRing::new([(1, Secret::new([1; 32])), (2, Secret::new([2; 32]))]).unwrap();
    assert!(matches!(verify_chain(&chain, &rows, &other), Verdict::Intact { .. }));
    let forged = Setup::new();
    forged.run(&[1], async |_, _| {}).await;
    forged
        .run(&[1], async |ledger, _| {
            let mut event = setup.recorded(&[1, 2]).await[3].clone();
            event.id = setup.ids.event_id(NOON);
            let details = event.details.iter().filter(|(name, _)| name.as_str() != "vouched");
            event.details = details.map(|(name, value)| (name.clone(), value.clone())).collect();
            let event = event.with_detail("vouched", "00".repeat(32));
            ledger.append(Scope::Platform, Draft::Event(event)).await.unwrap();
        })
        .await;
    let (ledger, _) = idle(&forged, &[1, 2]);
    let found = ledger.verify(Scope::Platform).await.unwrap().first_break().unwrap();
    assert_eq!((found.seq, found.reason), (4, BreakReason::RotationWrong));
}
