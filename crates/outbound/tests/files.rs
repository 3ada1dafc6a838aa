//! Files pass the suite of the port, and survive what happens to files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::Arc;

use stanchion_audit::{ObjectName, ObjectStore, PutOutcome};
use stanchion_core::StoreErrorKind;
use stanchion_outbound::FileObjectStore;

async fn files() -> Arc<dyn ObjectStore> {
    // Kept for as long as the test runs: the process removes nothing.
    let directory = tempfile::tempdir().unwrap().keep();
    Arc::new(FileObjectStore::new(directory.join("objects")))
}

stanchion_audit::object_store_conformance!(mod file_object_store, files());

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_no_object_and_stands_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileObjectStore::new(directory.path());
    fs::create_dir_all(directory.path().join("a")).unwrap();
    let process = std::process::id();
    for number in 0..100 {
        fs::write(directory.path().join(format!("a/.1.zst.{process}.{number}")), b"half").unwrap();
    }
    assert_eq!(store.list(&name("a"), None, 10).await.unwrap(), []);
    assert_eq!(store.get(&name("a/1.zst")).await.unwrap(), None);
    assert_eq!(store.put_new(&name("a/1.zst"), b"whole".to_vec(), None).await.unwrap(), PutOutcome::Written);
    assert_eq!(store.get(&name("a/1.zst")).await.unwrap().as_deref(), Some(&b"whole"[..]));
    assert_eq!(store.list(&name("a"), None, 10).await.unwrap(), [name("a/1.zst")]);
}

#[tokio::test]
async fn an_object_is_a_read_only_file_of_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileObjectStore::new(directory.path());
    store.put_new(&name("a/b/1.zst"), b"bytes".to_vec(), None).await.unwrap();
    let path = directory.path().join("a/b/1.zst");
    assert_eq!(fs::read(&path).unwrap(), b"bytes");
    assert!(fs::metadata(&path).unwrap().permissions().readonly());
    let left = fs::read_dir(directory.path().join("a/b")).unwrap().count();
    assert_eq!(left, 1, "nothing stays beside it");
    assert_eq!(store.get(&name("a/b")).await.unwrap(), None, "a directory is no object");
}

#[tokio::test]
async fn a_directory_that_cannot_be_is_an_error_and_no_absence() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let store = FileObjectStore::new(&file);
    let error = store.put_new(&name("a/1"), Vec::new(), None).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout, "what failed may be written all the same");
}
