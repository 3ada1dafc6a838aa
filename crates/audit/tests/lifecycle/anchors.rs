//! What was published out of our reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stanchion_audit::{
    Anchor, AnchorError, AnchorReceipt, BreakReason, MemoryAnchor, Publication, PublishConfig,
};
use stanchion_core::{Clock as _, Event, Scope, StoreError, StoreErrorKind, Text};

use crate::support::{Setup, actions, idle, text};

/// An anchor that can be out of reach.
#[derive(Debug, Default)]
struct Remote {
    inner: MemoryAnchor,
    is_away: AtomicBool,
}

#[async_trait]
impl Anchor for Remote {
    fn name(&self) -> &str {
        "remote"
    }

    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "remote", "publish").into());
        }
        self.inner.publish(publication).await
    }

    async fn latest(&self, origin: &str) -> Result<Option<Text>, StoreError> {
        self.inner.latest(origin).await
    }
}

const OWN: &str = "audit.example.com/platform/security";

/// Lets a publisher run beside a ledger for so long; then both end in good order.
async fn anchored(setup: &Setup, remote: &Arc<Remote>, seconds: u64) {
    setup
        .run(&[1], async |ledger, prover| {
            let config = PublishConfig { interval_seconds: 10, alarm_seconds: 60 };
            let publisher = prover.publish_to(Arc::clone(remote) as _, config);
            let until = setup.clock.now().plus(Duration::from_secs(seconds));
            let stop = async {
                while setup.clock.now() < until {
                    setup.clock.advance(Duration::from_millis(500));
                    ledger.settle().await;
                    tokio::task::yield_now().await;
                }
            };
            publisher.run(stop).await;
        })
        .await;
}

#[tokio::test]
async fn checkpoints_reach_an_anchor_and_its_absence_is_told_once() {
    let setup = Setup::new();
    let remote = Arc::new(Remote::default());
    anchored(&setup, &remote, 25).await;
    let held = async || remote.latest(OWN).await.unwrap().unwrap().to_string();
    let first = held().await;
    remote.is_away.store(true, Ordering::Relaxed);
    anchored(&setup, &remote, 200).await;
    assert_eq!(held().await, first);
    let late =
        |events: &[Event]| actions(events).iter().filter(|action| **action == "audit.anchor_late").count();
    assert_eq!(late(&setup.recorded(&[1]).await), 1);
    remote.is_away.store(false, Ordering::Relaxed);
    anchored(&setup, &remote, 25).await;
    assert_ne!(held().await, first);
    assert_eq!(late(&setup.recorded(&[1]).await), 1);
    let (_, prover) = idle(&setup, &[1]);
    assert_eq!(prover.verify_anchor(&*remote).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_log_that_was_cut_off_or_replaced_with_all_beside_it_is_told_from_what_was_anchored() {
    let setup = Setup::new();
    let remote = Arc::new(Remote::default());
    for _ in 0..3 {
        anchored(&setup, &remote, 25).await;
    }
    // Whoever owns the database and the keys begins another, which is intact in itself.
    let forged = Setup::new();
    anchored(&forged, &remote, 25).await;
    let (ledger, prover) = idle(&forged, &[1]);
    assert!(ledger.verify(Scope::Platform).await.unwrap().is_intact());
    let found = prover.verify_anchor(&*remote).await.unwrap().unwrap_err();
    assert_eq!(found.reason, BreakReason::AnchorConflict);
    for _ in 0..10 {
        anchored(&forged, &remote, 25).await;
    }
    let found = prover.verify_anchor(&*remote).await.unwrap().unwrap_err();
    assert_eq!(found.reason, BreakReason::AnchorConflict);
    let events = forged.recorded(&[1]).await;
    let told = events.iter().filter(|event| event.action.as_str() == "audit.anchor_conflict");
    let told: Vec<String> = told.map(|event| text(event, "why")).collect();
    assert!(
        told.contains(&"the log has fewer".to_owned()) && told.contains(&"the log has others".to_owned()),
        "{told:?}"
    );
}
