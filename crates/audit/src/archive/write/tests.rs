use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stanchion_core::{
    Actor, Category, Event, IdGen as _, KeyRing, ManualClock, Scope, Secret, SeededRandom, SystemScope,
    Timestamp,
};

use super::*;
use crate::tree::Edge;
use crate::{
    CheckpointConfig, CheckpointSigner, Config, Content, Digest, Growth, Ledger, LedgerStore as _,
    MemoryLedgerStore, MemoryObjectStore, RetentionClass, Sealer, Shard, Signer, TreeStore as _, Writers,
};

const SYSTEM: SystemScope = SystemScope::new("test");
const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
const CHAIN: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };
const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn ring(byte: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([byte; 32]))]).unwrap()
}

/// Objects, of which is known until when each is kept; and somebody who may come first with a manifest.
#[derive(Debug, Default)]
struct Objects {
    inner: MemoryObjectStore,
    kept: Mutex<Vec<Option<Timestamp>>>,
    first: Mutex<Option<Vec<u8>>>,
}

#[async_trait]
impl ObjectStore for Objects {
    async fn put_new(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        keep_until: Option<Timestamp>,
    ) -> Result<PutOutcome, StoreError> {
        let first = self.first.lock().unwrap().take_if(|_| name.as_str().ends_with(".json"));
        if let Some(first) = first {
            self.inner.put_new(name, first, None).await?;
        }
        self.kept.lock().unwrap().push(keep_until);
        self.inner.put_new(name, bytes, keep_until).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(name).await
    }

    async fn list(
        &self,
        prefix: &ObjectName,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectName>, StoreError> {
        self.inner.list(prefix, after, limit).await
    }
}

/// A ledger of five entries, a second apart, signed with a key and covered by a checkpoint.
struct World {
    prover: Prover,
    checkpoint: Checkpoint,
    objects: Objects,
}

impl World {
    async fn new() -> Self {
        Self::signed(7, None).await
    }

    async fn signed(key: u8, root: Option<Digest>) -> Self {
        let store = Arc::new(MemoryLedgerStore::new(1_000));
        let clock = Arc::new(ManualClock::at(NOON));
        let ids = Arc::new(SeededRandom::new(7));
        let (ledger, _) =
            Ledger::new(store.clone(), ring(7), clock.clone(), clock, ids.clone(), Config::default());
        let signer = CheckpointSigner::new(&ring(9), "audit.example.com").unwrap();
        let (prover, _) = ledger.checkpoints(store.clone(), signer.clone(), CheckpointConfig::default());
        let mut sealer = Sealer::new(Arc::new(Signer::new(&ring(key))));
        let (mut edge, mut tiles) = (Edge::default(), Vec::new());
        for second in 0..5 {
            let now = NOON.plus(Duration::from_secs(second));
            let event =
                Event::new(ids.event_id(now), now, CHAIN.scope, Actor::Anonymous, "a.b", Category::Access);
            let content = Arc::new(Content::new(event).unwrap().1);
            edge.push(content.leaf, &mut tiles);
            sealer.set_head(CHAIN, store.heads(SYSTEM, &[CHAIN]).await.unwrap()[0]);
            let fence = store.open(SYSTEM, Shard::ONLY, Writers::Shared).await.unwrap();
            let batch = sealer.seal(fence, now, [(CHAIN, &content)]);
            store.append(SYSTEM, &batch).await.unwrap();
        }
        tiles.extend(edge.partial());
        let checkpoint = signer.sign(CHAIN, 5, root.unwrap_or_else(|| edge.root()), NOON);
        store.grow(SYSTEM, &Growth { from: None, tiles, checkpoint: checkpoint.clone() }).await.unwrap();
        Self { prover, checkpoint, objects: Objects::default() }
    }

    async fn write(&self, last: u64) -> Result<Archived, Error> {
        let range = Range { chain: CHAIN, start: Head::EMPTY, last };
        write(&self.prover, &self.objects, range, &self.checkpoint, |at| at.plus(YEAR)).await
    }

    async fn names(&self) -> Vec<String> {
        let names = self.objects.list(&folder(CHAIN).unwrap(), None, 10_000).await.unwrap();
        names.iter().map(|name| name.as_str().rsplit('/').next().unwrap().to_owned()).collect()
    }

    async fn put(&self, file: &str, bytes: Vec<u8>) {
        let name = folder(CHAIN).unwrap().join(file).unwrap();
        self.objects.inner.put_new(&name, bytes, None).await.unwrap();
    }
}

fn written(archived: Result<Archived, Error>) -> ArchiveManifest {
    match archived {
        Ok(Archived::Written(manifest)) => *manifest,
        other => panic!("{other:?}"),
    }
}

fn is_refused(archived: &Result<Archived, Error>) -> bool {
    matches!(archived, Err(Error::Store(error)) if error.kind() == StoreErrorKind::Corrupt)
}

#[tokio::test]
async fn an_object_and_its_manifest_are_kept_as_long_as_the_newest_entry_is_to_be() {
    let world = World::new().await;
    let manifest = written(world.write(5).await);
    let until = NOON.plus(Duration::from_secs(4)).plus(YEAR);
    assert_eq!(*world.objects.kept.lock().unwrap(), [Some(until); 2]);
    assert_eq!(world.names().await, [manifest.object, manifest_file(1)]);
}

#[tokio::test]
async fn what_would_not_verify_is_not_written() {
    let other_root = World::signed(7, Some(Digest::ZERO)).await;
    let Ok(Archived::Broken(found)) = other_root.write(5).await else { panic!("was written") };
    assert_eq!((found.seq, found.reason), (5, BreakReason::TreeWrong));
    let other_key = World::signed(8, None).await;
    let Ok(Archived::Broken(found)) = other_key.write(5).await else { panic!("was written") };
    assert_eq!((found.seq, found.reason), (1, BreakReason::MacWrong));
    for world in [other_root, other_key] {
        assert_eq!(world.names().await, [""; 0]);
    }
}

#[tokio::test]
async fn an_object_that_is_there_has_to_hold_the_same_entries() {
    let world = World::new().await;
    let manifest = written(world.write(5).await);
    let content = {
        let name = folder(CHAIN).unwrap().join(&manifest.object).unwrap();
        let stored = world.objects.get(&name).await.unwrap().unwrap();
        zstd::bulk::decompress(&stored, 1_000_000).unwrap()
    };
    // Compressed otherwise, they are the same.
    let again = World::new().await;
    let stored = zstd::bulk::compress(&content, 19).unwrap();
    again.put(&manifest.object, stored.clone()).await;
    assert_eq!(written(again.write(5).await).stored, Sum::of(&stored));
    let mut others = content.clone();
    let last = others.len() - 5;
    others[last] ^= 1;
    for others in [others, b"short".to_vec()] {
        let other = World::new().await;
        other.put(&manifest.object, zstd::bulk::compress(&others, 3).unwrap()).await;
        assert!(is_refused(&other.write(5).await));
        assert_eq!(other.names().await, std::slice::from_ref(&manifest.object), "no manifest speaks of it");
    }
}

#[tokio::test]
async fn a_manifest_that_somebody_else_wrote_meanwhile_stands_if_it_says_the_same() {
    let (whole, shorter) =
        (written(World::new().await.write(5).await), written(World::new().await.write(3).await));
    let before = async |manifest: &ArchiveManifest| {
        let world = World::new().await;
        *world.objects.first.lock().unwrap() = Some(manifest.to_bytes());
        world.write(5).await
    };
    let at = NOON.plus(YEAR);
    let later = ArchiveManifest { archived_at: at, ..whole.clone() };
    assert_eq!(written(before(&later).await), later);
    assert_eq!(written(before(&shorter).await), shorter, "up to where it goes");
    let base = ChainBase { seq: 0, link: Digest::from_bytes([1; 32]), recorded_at: NOON, tree: Vec::new() };
    for other in [
        ArchiveManifest { base: Some(base), ..whole.clone() },
        ArchiveManifest { first_link: Digest::ZERO, ..whole.clone() },
        ArchiveManifest { last_link: Digest::ZERO, ..whole.clone() },
    ] {
        assert!(is_refused(&before(&other).await), "{other:?}");
    }
}

#[tokio::test]
async fn the_last_manifest_is_found_however_many_objects_there_are() {
    let world = World::new().await;
    let find = async |base: u64| latest(&world.objects, CHAIN, &Head { seq: base, ..Head::EMPTY }).await;
    assert_eq!(find(0).await.unwrap(), None);
    let manifest = written(World::new().await.write(5).await);
    world.put(&manifest_file(1), manifest.to_bytes()).await;
    assert_eq!(find(0).await.unwrap(), Some(manifest.clone()));
    assert_eq!(find(256).await.unwrap(), Some(manifest.clone()), "an object may go beyond the base");
    // Leftovers of crashes fill the last page.
    for seq in 2..1_003 {
        world.put(&object_file(seq, seq), Vec::new()).await;
    }
    assert_eq!(find(0).await.unwrap(), Some(manifest.clone()));
    let other = ChainId { class: RetentionClass::Security, ..CHAIN };
    world.put(&manifest_file(9_000), ArchiveManifest { chain: other, ..manifest }.to_bytes()).await;
    assert!(find(0).await.is_err(), "one of another chain");
}
