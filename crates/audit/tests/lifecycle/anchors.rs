//! What was published out of our reach.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stanchion_audit::{
    Anchor, AnchorError, AnchorReceipt, Break, BreakReason, ChainId, Checkpoint, CheckpointSigner, Digest,
    MemoryAnchor, Prover, Publication, PublishConfig, Stats, tree,
};
use stanchion_core::{Clock as _, Event, Scope, StoreError, StoreErrorKind, Text};

use crate::support::{NOON, Setup, actions, idle, keys, text};

/// An anchor that can be out of reach.
#[derive(Debug, Default)]
struct Remote {
    inner: MemoryAnchor,
    is_away: AtomicBool,
    published: AtomicU64,
}

impl Remote {
    fn there(&self) -> Result<(), StoreError> {
        let away = || StoreError::new(StoreErrorKind::Unavailable, "remote", "call");
        if self.is_away.load(Ordering::Relaxed) { Err(away()) } else { Ok(()) }
    }
}

#[async_trait]
impl Anchor for Remote {
    fn name(&self) -> &str {
        "remote"
    }

    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError> {
        self.there()?;
        let done = self.inner.publish(publication).await?;
        self.published.fetch_add(1, Ordering::Relaxed);
        Ok(done)
    }

    async fn latest(&self, origin: &str) -> Result<Option<Text>, StoreError> {
        self.there()?;
        self.inner.latest(origin).await
    }
}

const OWN: &str = "audit.example.com/platform/security";

/// Lets a publisher run beside a ledger for so long; then both end in good order.
async fn anchored<A: Anchor + 'static>(setup: &Setup, remote: &Arc<A>, seconds: u64) {
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
    let held = async || remote.inner.latest(OWN).await.unwrap().unwrap().to_string();
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

/// A witness, as C2SP has it: it tells no checkpoint, refuses what does not begin where it stands, and says where that is.
#[derive(Debug, Default)]
struct Witness(Mutex<(u64, Digest)>);

#[async_trait]
impl Anchor for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError> {
        let Publication { from, hashes, checkpoint, .. } = publication;
        let mut held = self.0.lock().unwrap();
        let (size, root) = *held;
        if *from != size {
            return Err(AnchorError::Elsewhere { size });
        }
        let to = (checkpoint.size, &checkpoint.root);
        if size > 0 && tree::verify_consistency((size, &root), to, hashes).is_err() {
            return Err(AnchorError::Conflict { size, why: "the log does not lead there" });
        }
        *held = (checkpoint.size, checkpoint.root);
        Ok(AnchorReceipt { note: checkpoint.note.clone() })
    }

    async fn latest(&self, _origin: &str) -> Result<Option<Text>, StoreError> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_witness_that_says_only_where_it_stands_is_given_the_proof_from_there() {
    let (setup, witness) = (Setup::new(), Arc::new(Witness::default()));
    let mut before = 0;
    for _ in 0..4 {
        anchored(&setup, &witness, 25).await;
        let size = witness.0.lock().unwrap().0;
        assert!(size > before, "{size} after {before}");
        before = size;
    }
    assert!(!actions(&setup.recorded(&[1]).await).contains(&"audit.anchor_conflict"));
}

/// Lets a publisher run through times at which the anchor is away or there, and returns what was counted, and how many failures were heard.
async fn phases(setup: &Setup, remote: &Arc<Remote>, phases: &[(bool, u64)]) -> (Stats, u64) {
    let heard = Arc::new(AtomicU64::new(0));
    let stats = setup
        .run(&[1], async |ledger, prover| {
            ledger.settle().await;
            let told = Arc::clone(&heard);
            let config = PublishConfig { interval_seconds: 10, alarm_seconds: 60 };
            let publisher = prover.publish_to(Arc::clone(remote) as _, config);
            let publisher = publisher.on_failure(move |_| {
                told.fetch_add(1, Ordering::Relaxed);
            });
            let stop = async {
                for (is_away, seconds) in phases {
                    remote.is_away.store(*is_away, Ordering::Relaxed);
                    let until = setup.clock.now().plus(Duration::from_secs(*seconds));
                    while setup.clock.now() < until {
                        setup.clock.advance(Duration::from_millis(500));
                        tokio::task::yield_now().await;
                    }
                }
            };
            publisher.run(stop).await;
            ledger.stats()
        })
        .await;
    (stats, heard.load(Ordering::Relaxed))
}

async fn count(setup: &Setup, action: &str) -> usize {
    actions(&setup.recorded(&[1]).await).iter().filter(|found| **found == action).count()
}

#[tokio::test]
async fn what_was_covered_last_is_published_before_the_end() {
    let (setup, remote) = (Setup::new(), Arc::new(Remote::default()));
    let (stats, heard) = phases(&setup, &remote, &[]).await;
    assert_eq!((stats.anchored, stats.anchor_failures, heard), (1, 0, 0));
    assert!(remote.inner.latest(OWN).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_published_is_counted_once_however_often_it_is_looked_at() {
    let (setup, remote) = (Setup::new(), Arc::new(Remote::default()));
    let (stats, _) = phases(&setup, &remote, &[(false, 100)]).await;
    assert_eq!(stats.anchored, remote.published.load(Ordering::Relaxed));
    assert!((1..5).contains(&stats.anchored), "{stats:?}");
}

#[tokio::test]
async fn each_absence_is_told_once_and_counts_from_its_own_beginning() {
    let (setup, remote) = (Setup::new(), Arc::new(Remote::default()));
    let (stats, heard) = phases(&setup, &remote, &[(true, 40), (false, 25), (true, 45)]).await;
    assert_eq!(count(&setup, "audit.anchor_late").await, 0, "neither was long");
    assert!(stats.anchor_failures >= 6 && heard == stats.anchor_failures, "{stats:?}, {heard}");
    assert!((30..60).contains(&stats.anchor_lag_seconds), "{stats:?}");
    let twice = [(true, 100), (false, 25), (true, 100), (false, 25)];
    let (stats, _) = phases(&setup, &remote, &twice).await;
    assert_eq!(count(&setup, "audit.anchor_late").await, 2, "both were, and each is told once");
    assert_eq!(stats.anchor_lag_seconds, 0);
}

fn chain() -> ChainId {
    "platform/security".parse().unwrap()
}

fn signed(key: u8, size: u64) -> Checkpoint {
    CheckpointSigner::new(&keys(&[key]), "audit.example.com").unwrap().sign(chain(), size, Digest::ZERO, NOON)
}

async fn holding(checkpoint: Checkpoint) -> Arc<Remote> {
    let remote = Arc::new(Remote::default());
    let publication = Publication { origin: OWN.to_owned(), from: 0, hashes: Vec::new(), checkpoint };
    remote.inner.publish(&publication).await.unwrap();
    remote
}

#[tokio::test]
async fn a_conflict_is_recorded_once_however_often_it_is_met() {
    let (setup, remote) = (Setup::new(), holding(signed(1, 10_000)).await);
    let (stats, heard) = phases(&setup, &remote, &[(false, 60)]).await;
    assert_eq!(count(&setup, "audit.anchor_conflict").await, 1);
    assert!(stats.anchor_conflicts >= 5 && stats.anchored == 0 && heard == 0, "{stats:?}");
}

#[tokio::test]
async fn what_an_anchor_holds_is_compared_by_size_root_and_signature() {
    let setup = Setup::new();
    setup.run(&[1], async |_, _| {}).await;
    let (_, prover) = idle(&setup, &[1]);
    let checkpoint = prover.checkpoint(chain()).await.unwrap().unwrap();
    let size = checkpoint.size;
    let verified = async |prover: &Prover, checkpoint| {
        let remote = holding(checkpoint).await;
        prover.verify_anchor(&*remote).await.unwrap()
    };
    let conflict = |seq| Err(Break { chain: chain(), seq, reason: BreakReason::AnchorConflict });
    assert_eq!(verified(&prover, checkpoint).await, Ok(()), "the same");
    assert_eq!(verified(&prover, signed(1, size)).await, conflict(size), "another root");
    assert_eq!(verified(&prover, signed(1, size - 1)).await, conflict(size - 1), "a smaller tree of others");
    assert_eq!(verified(&prover, signed(1, size + 7)).await, conflict(size + 1), "a greater one");
    assert_eq!(verified(&prover, signed(9, size)).await, conflict(0), "nobody of ours signed it");
}
