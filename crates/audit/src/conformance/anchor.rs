//! The suite of [`Anchor`]: `anchor_conformance!(mod memory_anchor, factory());`, where the factory is an expression
//! that returns a future of an `Arc<dyn Anchor>` that holds nothing.

use std::sync::Arc;

use stanchion_core::{KeyRing, Secret, Timestamp};

use crate::{Anchor, AnchorError, Checkpoint, CheckpointSigner, Digest, Publication, TreeHead};

fn signer() -> CheckpointSigner {
    let keys = KeyRing::new([(1, Secret::new([7; 32]))]).expect("32 bytes are a key");
    CheckpointSigner::new(&keys, "Audit.Example.com").expect("a name")
}

fn publication(log: &str, from: u64, size: u64, root: u8) -> Publication {
    let chain = log.parse().expect("a chain");
    let at = Timestamp::from_micros(1_772_366_400_000_000);
    let checkpoint: Checkpoint = signer().sign(chain, size, Digest::from_bytes([root; 32]), at);
    Publication { origin: signer().origin(&chain), from, hashes: Vec::new(), checkpoint }
}

async fn latest(anchor: &dyn Anchor, of: &Publication) -> Option<(u64, Digest)> {
    let note = anchor.latest(&of.origin).await.expect("answers")?;
    let keys = signer().verifiers(&of.checkpoint.chain);
    let head = TreeHead::open(note.as_str(), &keys).expect("the note that was published");
    Some((head.size, head.root))
}

const LOG: &str = "platform/security";

/// What was published is the latest, and until then there is nothing.
pub async fn what_is_published_is_the_latest(anchor: Arc<dyn Anchor>) {
    let (first, second) = (publication(LOG, 0, 9, 1), publication(LOG, 9, 1_000, 2));
    assert_eq!(latest(&*anchor, &first).await, None);
    for publication in [first, second] {
        anchor.publish(&publication).await.expect("publishes");
        let Checkpoint { size, root, .. } = publication.checkpoint;
        assert_eq!(latest(&*anchor, &publication).await, Some((size, root)));
    }
}

/// The same again changes nothing.
pub async fn the_same_again_succeeds(anchor: Arc<dyn Anchor>) {
    let first = publication(LOG, 0, 9, 1);
    for _ in 0..2 {
        anchor.publish(&first).await.expect("publishes");
    }
    assert_eq!(latest(&*anchor, &first).await, Some((9, Digest::from_bytes([1; 32]))));
}

/// A log never shrinks, and never becomes another.
pub async fn what_is_held_is_not_taken_back(anchor: Arc<dyn Anchor>) {
    let first = publication(LOG, 0, 9, 1);
    anchor.publish(&first).await.expect("publishes");
    match anchor.publish(&publication(LOG, 0, 8, 3)).await {
        Err(AnchorError::Elsewhere { size: 9 }) => {}
        found => panic!("{found:?}"),
    }
    match anchor.publish(&publication(LOG, 9, 9, 3)).await {
        Err(AnchorError::Conflict { size: 9, .. }) => {}
        found => panic!("{found:?}"),
    }
    assert_eq!(latest(&*anchor, &first).await, Some((9, Digest::from_bytes([1; 32]))));
}

/// Logs do not disturb one another.
pub async fn logs_are_kept_apart(anchor: Arc<dyn Anchor>) {
    let (one, other) = (publication(LOG, 0, 9, 1), publication("platform/standard", 0, 4, 2));
    anchor.publish(&one).await.expect("publishes");
    assert_eq!(latest(&*anchor, &other).await, None);
    anchor.publish(&other).await.expect("publishes");
    assert_eq!(latest(&*anchor, &one).await, Some((9, Digest::from_bytes([1; 32]))));
    assert_eq!(latest(&*anchor, &other).await, Some((4, Digest::from_bytes([2; 32]))));
}

/// Runs the suite of `Anchor`.
#[macro_export]
macro_rules! anchor_conformance {
    (mod $name:ident, $factory:expr) => {
        mod $name {
            use super::*;
            $crate::anchor_conformance!(@cases $factory,
                what_is_published_is_the_latest the_same_again_succeeds what_is_held_is_not_taken_back
                logs_are_kept_apart);
        }
    };
    (@cases $factory:expr, $($case:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $case() {
            $crate::conformance::anchor::$case($factory.await).await;
        })+
    };
}
