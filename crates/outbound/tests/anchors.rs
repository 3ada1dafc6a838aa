//! Anchors pass their suite, and a witness written from C2SP's tlog-witness is spoken to as it wants to be.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sha2::{Digest as _, Sha256};
use stanchion_audit::tree::verify_consistency;
use stanchion_audit::{
    Anchor, AnchorError, CheckpointSigner, Digest, MemoryObjectStore, ObjectName, ObjectStore, Publication,
    PutOutcome, WitnessKey,
};
use stanchion_core::{KeyRing, ManualClock, Secret, StoreError, StoreErrorKind, Timestamp};
use stanchion_outbound::{FileAnchor, ObjectAnchor, WitnessAnchor};
use tokio::net::TcpListener;

async fn file() -> Arc<dyn Anchor> {
    let path = tempfile::tempdir().unwrap().keep().join("anchors.jsonl");
    Arc::new(FileAnchor::new(path))
}

async fn objects() -> Arc<dyn Anchor> {
    let store = Arc::new(MemoryObjectStore::default());
    let clock = Arc::new(ManualClock::default());
    Arc::new(ObjectAnchor::new("objects", store, "anchors".parse().unwrap(), Some(7), clock))
}

stanchion_audit::anchor_conformance!(mod file_anchor, file());
stanchion_audit::anchor_conformance!(mod object_anchor, objects());

/// What a witness knows of a log.
type Known = Arc<Mutex<HashMap<String, (u64, Digest)>>>;

const NAME: &str = "witness.example.com/w1";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn key_id() -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(NAME);
    hasher.update([b'\n', 4]);
    hasher.update(key().verifying_key().as_bytes());
    hasher.finalize()[..4].try_into().unwrap()
}

fn witness_key() -> WitnessKey {
    let bytes = [&[4], key().verifying_key().as_bytes().as_slice()].concat();
    format!("{NAME}+{:08x}+{}", u32::from_be_bytes(key_id()), BASE64.encode(bytes)).parse().unwrap()
}

/// Answers as tlog-witness says: 200 with a cosignature, 409 with the size it stands at, 422 for a proof that does not hold.
fn answer(known: &Known, body: &str) -> (u16, String) {
    let (head, note) = body.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
    let digest = |line: &str| Digest::from_bytes(BASE64.decode(line).unwrap().try_into().unwrap());
    let proof: Vec<Digest> = lines.map(digest).collect();
    let text = &note[..note.find("\n\n").unwrap() + 1];
    let mut fields = text.lines();
    let origin = fields.next().unwrap().to_owned();
    let size: u64 = fields.next().unwrap().parse().unwrap();
    let root = digest(fields.next().unwrap());
    let mut known = known.lock().unwrap();
    let (at, at_root) = known.get(&origin).copied().unwrap_or((0, Digest::ZERO));
    if old > size {
        return (400, String::new());
    }
    if old != at || (old == size && at_root != root) {
        return (409, format!("{at}\n"));
    }
    if old > 0 && verify_consistency((at, &at_root), (size, &root), &proof).is_err() {
        return (422, String::new());
    }
    known.insert(origin, (size, root));
    let time = 1_772_366_400_u64;
    let signature = key().sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
    let bytes = [&key_id()[..], &time.to_be_bytes(), &signature.to_bytes()].concat();
    (200, format!("\u{2014} {NAME} {}\n", BASE64.encode(bytes)))
}

#[expect(clippy::disallowed_methods, reason = "a server that ends with the test's runtime")]
async fn serve(known: Known, alter: fn(String) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let known = Arc::clone(&known);
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let known = Arc::clone(&known);
                    async move {
                        assert_eq!(request.uri().path(), "/add-checkpoint");
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let (status, text) = answer(&known, std::str::from_utf8(&body).unwrap());
                        let response =
                            Response::builder().status(status).body(Full::new(Bytes::from(alter(text))));
                        Ok::<_, Infallible>(response.unwrap())
                    }
                });
                drop(
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    });
    address
}

fn anchor(address: SocketAddr, path: &Path) -> WitnessAnchor {
    WitnessAnchor::new(&format!("http://{address}/"), witness_key(), FileAnchor::new(path)).unwrap()
}

/// A log of leaves that are all alike but the last, so that proofs are easily made: the tree of `size` leaves.
fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::ZERO,
        [one] => *one,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node(&root(&leaves[..split]), &root(&leaves[split..]))
        }
    }
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left.bytes());
    hasher.update(right.bytes());
    Digest::from_bytes(hasher.finalize().into())
}

fn leaves(count: u8, seed: u8) -> Vec<Digest> {
    (0..count).map(|number| Digest::from_bytes([number ^ seed; 32])).collect()
}

fn publication(from: u64, leaves: &[Digest], hashes: Vec<Digest>) -> Publication {
    let keys = KeyRing::new([(1, Secret::new([7; 32]))]).unwrap();
    let signer = CheckpointSigner::new(&keys, "audit.example.com").unwrap();
    let chain = "platform/security".parse().unwrap();
    let size = u64::try_from(leaves.len()).unwrap();
    let checkpoint = signer.sign(chain, size, root(leaves), Timestamp::EPOCH);
    Publication { origin: signer.origin(&chain), from, hashes, checkpoint }
}

#[tokio::test]
async fn a_witness_signs_for_what_follows_and_its_signature_is_kept() {
    let known = Known::default();
    let address = serve(known, |text| text).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cosigned.jsonl");
    let anchor = anchor(address, &path);
    let all = leaves(4, 0);
    let receipt = anchor.publish(&publication(0, &all[..2], Vec::new())).await.unwrap();
    let (_, at) = witness_key().verify(receipt.note.as_str(), receipt.note.as_str()).unwrap();
    assert_eq!(at.micros(), 1_772_366_400_000_000);
    // It tells where it stands to whoever has forgotten.
    match anchor.publish(&publication(0, &all, Vec::new())).await {
        Err(AnchorError::Elsewhere { size: 2 }) => {}
        other => panic!("{other:?}"),
    }
    let hashes = vec![root(&all[2..])];
    let next = publication(2, &all, hashes);
    let receipt = anchor.publish(&next).await.unwrap();
    assert_eq!(anchor.latest(&next.origin).await.unwrap(), Some(receipt.note));
    assert_eq!(FileAnchor::notes(&path, &next.origin).unwrap().len(), 2);
}

#[tokio::test]
async fn a_log_that_is_another_one_than_a_witness_has_seen_is_a_conflict() {
    let known = Known::default();
    let address = serve(known, |text| text).await;
    let directory = tempfile::tempdir().unwrap();
    let anchor = anchor(address, &directory.path().join("cosigned.jsonl"));
    let (all, other) = (leaves(4, 0), leaves(8, 128));
    anchor.publish(&publication(0, &all, Vec::new())).await.unwrap();
    // It was cut off, or somebody else was first: whoever asks has to look again.
    match anchor.publish(&publication(0, &all[..2], Vec::new())).await {
        Err(AnchorError::Elsewhere { size: 4 }) => {}
        found => panic!("{found:?}"),
    }
    let conflicts = [
        // It has other entries, as many of them, or more.
        publication(4, &other[..4], Vec::new()),
        publication(4, &other, vec![root(&other[4..])]),
    ];
    for publication in conflicts {
        match anchor.publish(&publication).await {
            Err(AnchorError::Conflict { size: 4, .. }) => {}
            found => panic!("{found:?}"),
        }
    }
}

#[tokio::test]
async fn a_cosignature_that_is_not_the_witness_is_not_believed() {
    let address = serve(Known::default(), |text| text.replacen("example.com/w1", "example.com/w2", 1)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cosigned.jsonl");
    let anchor = anchor(address, &path);
    let first = publication(0, &leaves(2, 0), Vec::new());
    assert!(matches!(anchor.publish(&first).await, Err(AnchorError::Failed(_))));
    assert!(FileAnchor::notes(&path, &first.origin).unwrap().is_empty(), "nothing is kept");
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let anchor = FileAnchor::new(&path);
    let all = leaves(4, 0);
    let (first, second) = (publication(0, &all[..2], Vec::new()), publication(2, &all, Vec::new()));
    anchor.publish(&first).await.unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"origin\":\"aud")).unwrap();
    assert_eq!(anchor.latest(&first.origin).await.unwrap(), Some(first.checkpoint.note.clone()));
    anchor.publish(&second).await.unwrap();
    assert_eq!(anchor.latest(&first.origin).await.unwrap(), Some(second.checkpoint.note.clone()));
    assert_eq!(FileAnchor::notes(&path, &first.origin).unwrap().len(), 2);
}

#[tokio::test]
async fn the_last_of_a_log_is_found_however_much_others_have_written_since() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let anchor = FileAnchor::new(&path);
    assert_eq!(anchor.name(), format!("file {}", path.display()));
    let first = publication(0, &leaves(2, 0), Vec::new());
    assert_eq!(anchor.latest(&first.origin).await.unwrap(), None, "there is no file yet");
    anchor.publish(&publication(0, &leaves(1, 0), Vec::new())).await.unwrap();
    anchor.publish(&first).await.unwrap();
    let own = std::fs::read_to_string(&path).unwrap();
    assert!(own.starts_with('{') && !own.contains("\n\n"), "a line each, and no other: {own}");
    let other = own.replace(&first.origin, "another.example.com/platform/security");
    std::fs::write(&path, format!("{own}{}", other.repeat(1 + 70_000 / other.len()))).unwrap();
    assert_eq!(anchor.latest(&first.origin).await.unwrap(), Some(first.checkpoint.note.clone()));
    // And it still stands against what does not follow from it.
    let others = publication(0, &leaves(2, 9), Vec::new());
    assert!(matches!(anchor.publish(&others).await, Err(AnchorError::Conflict { size: 2, .. })));
    anchor.publish(&first).await.unwrap();
    assert_eq!(FileAnchor::notes(&path, &first.origin).unwrap().len(), 2, "again is once");
    assert!(FileAnchor::notes(&directory.path().join("absent"), &first.origin).unwrap().is_empty());
    let nowhere = FileAnchor::new(directory.path().join("absent").join("anchors.jsonl"));
    assert!(matches!(nowhere.publish(&first).await, Err(AnchorError::Failed(_))));
}

#[tokio::test]
async fn a_file_that_is_no_text_is_corrupt_and_not_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    std::fs::write(&path, b"\xff\xfe\n").unwrap();
    let error = FileAnchor::new(&path).latest("audit.example.com/platform/security").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    let error = FileAnchor::new(directory.path()).latest("x").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "a directory");
}

/// However many there are, the last is found: names are listed in pages, and the last page may be full.
#[tokio::test]
async fn the_last_of_many_objects_is_found() {
    for count in [999_u64, 1_000, 1_001, 2_000] {
        let store = Arc::new(Kept::default());
        for size in 1..=count {
            let name: ObjectName = format!("{FOLDER}/{size:020}").parse().unwrap();
            store.inner.put_new(&name, size.to_string().into_bytes(), None).await.unwrap();
        }
        let anchor = in_objects(&store, None);
        for _ in 0..2 {
            let latest = anchor.latest("audit.example.com/platform/security").await.unwrap();
            assert_eq!(latest, Some(count.to_string().into()));
        }
    }
}

/// Answers each connection with these bytes, whatever it is asked.
#[expect(clippy::disallowed_methods, reason = "a server that ends with the test's runtime")]
async fn answering(bytes: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut asked).await;
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, bytes.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn a_witness_that_sends_elsewhere_or_says_too_much_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cosigned.jsonl");
    let known = Known::default();
    let witness = serve(Arc::clone(&known), |text| text).await;
    let head = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{witness}/add-checkpoint\r\n");
    let elsewhere = answering(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n")).await;
    let first = publication(0, &leaves(2, 0), Vec::new());
    let found = anchor(elsewhere, &path).publish(&first).await;
    assert!(matches!(found, Err(AnchorError::Failed(_))), "{found:?}");
    assert!(known.lock().unwrap().is_empty(), "nobody else is told");
    // A refusal of where it was asked from, though it stands there, is no conflict: the size asked for is another one.
    let contrary =
        answering("HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\nconnection: close\r\n\r\n2\n".to_owned());
    let all = leaves(4, 0);
    let found = anchor(contrary.await, &path).publish(&publication(2, &all, vec![root(&all[2..])])).await;
    assert!(matches!(found, Err(AnchorError::Elsewhere { size: 2 })), "{found:?}");
    // Its cosignature stands at the end of more than is read.
    let wordy = serve(known, |text| "a line\n".repeat(20_000) + &text).await;
    let found = anchor(wordy, &path).publish(&first).await;
    assert!(matches!(found, Err(AnchorError::Failed(_))), "{found:?}");
}

/// Objects of which is known until when each is kept, and how many names were listed.
#[derive(Debug, Default)]
struct Kept {
    inner: MemoryObjectStore,
    until: Mutex<Vec<(String, Option<Timestamp>)>>,
    listed: Mutex<usize>,
}

#[async_trait]
impl ObjectStore for Kept {
    async fn put_new(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        keep_until: Option<Timestamp>,
    ) -> Result<PutOutcome, StoreError> {
        self.until.lock().unwrap().push((name.to_string(), keep_until));
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
        let names = self.inner.list(prefix, after, limit).await?;
        *self.listed.lock().unwrap() += names.len();
        Ok(names)
    }
}

fn in_objects(store: &Arc<Kept>, keep_days: Option<u32>) -> ObjectAnchor {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(5)));
    ObjectAnchor::new("bucket", Arc::clone(store) as _, "anchors".parse().unwrap(), keep_days, clock)
}

const FOLDER: &str = "anchors/audit=2eexample=2ecom=2fplatform=2fsecurity";

#[tokio::test]
async fn an_object_is_named_by_log_and_size_and_kept_for_its_days() {
    let store = Arc::new(Kept::default());
    let anchor = in_objects(&store, Some(7));
    assert_eq!(anchor.name(), "bucket");
    let first = publication(0, &leaves(2, 0), Vec::new());
    assert_eq!(anchor.latest(&first.origin).await.unwrap(), None);
    anchor.publish(&first).await.unwrap();
    let kept = Some(Timestamp::from_micros(5 + 7 * 86_400_000_000));
    let name = format!("{FOLDER}/00000000000000000002");
    assert_eq!(*store.until.lock().unwrap(), [(name.clone(), kept)]);
    in_objects(&store, None).publish(&first).await.unwrap();
    assert_eq!(store.until.lock().unwrap()[1], (name, None));
}

#[tokio::test]
async fn what_is_seen_once_is_not_listed_again_and_other_processes_are_seen() {
    let store = Arc::new(Kept::default());
    let (one, other) = (in_objects(&store, None), in_objects(&store, None));
    for size in 1..=20 {
        one.publish(&publication(0, &leaves(size, 0), Vec::new())).await.unwrap();
    }
    assert!(*store.listed.lock().unwrap() <= 20, "{:?}", store.listed);
    let greater = publication(0, &leaves(30, 0), Vec::new());
    other.publish(&greater).await.unwrap();
    assert_eq!(one.latest(&greater.origin).await.unwrap(), Some(greater.checkpoint.note.clone()));
    let late = one.publish(&publication(0, &leaves(21, 0), Vec::new())).await;
    assert!(matches!(late, Err(AnchorError::Elsewhere { size: 30 })), "{late:?}");
}

#[tokio::test]
async fn signatures_of_one_checkpoint_may_differ_and_what_is_signed_may_not() {
    let store = Arc::new(Kept::default());
    let anchor = in_objects(&store, None);
    let first = publication(0, &leaves(2, 0), Vec::new());
    anchor.publish(&first).await.unwrap();
    let mut again = first.clone();
    again.checkpoint.note = format!("{}\u{2014} other AAAA\n", first.checkpoint.note).into();
    anchor.publish(&again).await.unwrap();
    let others = anchor.publish(&publication(0, &leaves(2, 9), Vec::new())).await;
    assert!(matches!(others, Err(AnchorError::Conflict { size: 2, .. })), "{others:?}");
    // What is no size lies there by somebody else's hand: nothing may pass it by.
    let foreign: ObjectName = format!("{FOLDER}/x").parse().unwrap();
    store.inner.put_new(&foreign, vec![0xff], None).await.unwrap();
    let past = anchor.publish(&publication(0, &leaves(9, 0), Vec::new())).await;
    assert!(matches!(past, Err(AnchorError::Elsewhere { size: u64::MAX })), "{past:?}");
    let error = anchor.latest(&first.origin).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn what_a_witness_answers_otherwise_is_a_failure_that_can_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cosigned.jsonl");
    let known = Known::default();
    let all = leaves(4, 0);
    let seen = anchor(serve(Arc::clone(&known), |text| text).await, &path);
    assert_eq!(seen.name(), format!("witness {NAME}"));
    seen.publish(&publication(0, &all, Vec::new())).await.unwrap();
    // It has as many, and is asked from elsewhere: whoever asks has to look again before that is a conflict.
    let elsewhere = seen.publish(&publication(2, &leaves(4, 9), Vec::new())).await;
    assert!(matches!(elsewhere, Err(AnchorError::Elsewhere { size: 4 })), "{elsewhere:?}");
    let is_failure = |found: &Result<_, AnchorError>| matches!(found, Err(AnchorError::Failed(_)));
    let sizeless = anchor(serve(Arc::clone(&known), |_| "no size".to_owned()).await, &path);
    let found = sizeless.publish(&publication(0, &all[..2], Vec::new())).await;
    assert!(is_failure(&found), "{found:?}");
    // It refuses what goes backwards with a status of its own.
    let found = seen.publish(&publication(4, &all[..2], Vec::new())).await;
    assert!(is_failure(&found), "{found:?}");
    let silent = anchor(serve(Known::default(), |_| String::new()).await, &path);
    let found = silent.publish(&publication(0, &all, Vec::new())).await;
    assert!(is_failure(&found), "{found:?}");
    let nobody = anchor(SocketAddr::from(([127, 0, 0, 1], 1)), &path);
    let found = nobody.publish(&publication(0, &all, Vec::new())).await;
    assert!(is_failure(&found), "{found:?}");
    assert_eq!(FileAnchor::notes(&path, &publication(0, &all, Vec::new()).origin).unwrap().len(), 1);
}
