//! The adapter against a server of S3 that is not ours: `s3s-fs`, which checks signatures, over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its server runs beside it"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use stanchion_audit::{Anchor, ObjectName, ObjectStore, PutOutcome};
use stanchion_core::{ManualClock, Secret, StoreErrorKind, Timestamp};
use stanchion_outbound::{
    BucketConfig, BucketCredentials, InvalidBucket, ObjectAnchor, ObjectLock, S3ObjectStore,
};
use tokio::net::TcpListener;

const BUCKET: &str = "archive";

/// The headers of every put that came in.
type Puts = Arc<Mutex<Vec<BTreeMap<String, String>>>>;

/// A server with an empty bucket. What it checks before a put and the put are not one step there, so puts wait for each other.
async fn server(overwrites: bool) -> (SocketAddr, Puts) {
    let directory = tempfile::tempdir().unwrap().keep();
    std::fs::create_dir(directory.join(BUCKET)).unwrap();
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory).unwrap());
    builder.set_auth(SimpleAuth::from_single("access", "secret"));
    let service: S3Service = builder.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (puts, one) = (Puts::default(), Arc::new(tokio::sync::Mutex::new(())));
    let seen = Arc::clone(&puts);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (service, seen, one) = (service.clone(), Arc::clone(&seen), Arc::clone(&one));
            tokio::spawn(async move {
                let answer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                    let (service, seen, one) = (service.clone(), Arc::clone(&seen), Arc::clone(&one));
                    async move {
                        let mut _turn = None;
                        if request.method() == Method::PUT {
                            _turn = Some(one.lock_owned().await);
                            let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
                            let headers = request.headers().iter();
                            let headers = headers.map(|(name, value)| (name.to_string(), text(value)));
                            seen.lock().unwrap().push(headers.collect());
                            if overwrites {
                                request.headers_mut().remove("if-none-match");
                            }
                        }
                        service.call(request.map(s3s::Body::from)).await
                    }
                });
                let _ =
                    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
    (address, puts)
}

fn config(address: SocketAddr) -> BucketConfig {
    BucketConfig {
        bucket: BUCKET.to_owned(),
        endpoint: Some(format!("http://{address}")),
        timeout_ms: 20_000,
        ..BucketConfig::default()
    }
}

fn credentials(secret: &str) -> BucketCredentials {
    BucketCredentials {
        access_key: Secret::new(*b"access"),
        secret_key: Secret::new(secret.as_bytes()),
        session_token: None,
    }
}

async fn bucket() -> Arc<dyn ObjectStore> {
    let (address, _) = server(false).await;
    Arc::new(S3ObjectStore::new(config(address), &credentials("secret")).unwrap())
}

/// As above, where every object of the suite that is kept until an instant is locked.
async fn locked_bucket() -> Arc<dyn ObjectStore> {
    let (address, _) = server(false).await;
    let config = BucketConfig { object_lock: Some(ObjectLock::Compliance), ..config(address) };
    Arc::new(S3ObjectStore::new(config, &credentials("secret")).unwrap())
}

stanchion_audit::object_store_conformance!(mod s3_object_store, bucket());
stanchion_audit::object_store_conformance!(mod locked_s3_object_store, locked_bucket());

async fn anchor() -> Arc<dyn Anchor> {
    let clock = Arc::new(ManualClock::default());
    Arc::new(ObjectAnchor::new("bucket", bucket().await, "checkpoints".parse().unwrap(), None, clock))
}

stanchion_audit::anchor_conformance!(mod s3_anchor, anchor());

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

#[tokio::test]
async fn class_and_lock_are_asked_for_and_signed() {
    let (address, puts) = server(false).await;
    let config = BucketConfig {
        storage_class: Some("STANDARD".to_owned()),
        object_lock: Some(ObjectLock::Governance),
        ..config(address)
    };
    let store = S3ObjectStore::new(config, &credentials("secret")).unwrap();
    // 2033-05-18T03:33:20.5Z
    let until = Timestamp::from_micros(2_000_000_000_500_000);
    let put = store.put_new(&name("a/1"), b"bytes".to_vec(), Some(until)).await;
    assert_eq!(put.unwrap(), PutOutcome::Written);
    store.put_new(&name("a/2"), b"bytes".to_vec(), None).await.unwrap();
    let puts = puts.lock().unwrap();
    let header = |put: usize, name: &str| puts[put].get(name).map(String::as_str);
    assert_eq!(header(0, "if-none-match"), Some("*"));
    assert_eq!(header(0, "x-amz-storage-class"), Some("STANDARD"));
    assert_eq!(header(0, "x-amz-object-lock-mode"), Some("GOVERNANCE"));
    assert_eq!(header(0, "x-amz-object-lock-retain-until-date"), Some("2033-05-18T03:33:21Z"));
    assert!(header(0, "x-amz-checksum-sha256").is_some(), "a lock needs one");
    let signed = header(0, "authorization").unwrap();
    assert!(signed.contains("x-amz-object-lock-mode;x-amz-object-lock-retain-until-date"), "{signed}");
    assert_eq!((header(1, "x-amz-object-lock-mode"), header(1, "if-none-match")), (None, Some("*")));
}

#[tokio::test]
async fn a_service_that_overwrites_is_found_out() {
    for (overwrites, is_fit) in [(false, true), (true, false)] {
        let (address, _) = server(overwrites).await;
        let store = S3ObjectStore::new(config(address), &credentials("secret")).unwrap();
        let checked = store.check(&name("probe")).await;
        assert_eq!(checked.is_ok(), is_fit, "{checked:?}");
        if is_fit {
            assert!(store.check(&name("probe")).await.is_ok(), "also when it was checked before");
        }
    }
}

#[tokio::test]
async fn who_has_the_wrong_key_or_no_server_is_told_and_nothing_is_written() {
    let (address, _) = server(false).await;
    let wrong = S3ObjectStore::new(config(address), &credentials("wrong")).unwrap();
    let refused = wrong.put_new(&name("a/1"), b"bytes".to_vec(), None).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{refused:?}");
    assert!(wrong.get(&name("a/1")).await.is_err() && wrong.list(&name("a"), None, 1).await.is_err());
    let right = S3ObjectStore::new(config(address), &credentials("secret")).unwrap();
    assert_eq!(right.get(&name("a/1")).await.unwrap(), None);

    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nobody = BucketConfig { timeout_ms: 200, ..config(listener.local_addr().unwrap()) };
    let nobody = S3ObjectStore::new(nobody, &credentials("secret")).unwrap();
    let late = nobody.put_new(&name("a/1"), b"bytes".to_vec(), None).await.unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Timeout, "a silent server may have written");
    assert!(nobody.get(&name("a/1")).await.is_err());
}

#[test]
fn a_setting_out_of_its_range_is_named() {
    let good = BucketConfig { bucket: BUCKET.to_owned(), ..BucketConfig::default() };
    let bad = [
        (BucketConfig { bucket: String::new(), ..good.clone() }, "bucket"),
        (BucketConfig { region: String::new(), ..good.clone() }, "region"),
        (BucketConfig { endpoint: Some("ftp://x".to_owned()), ..good.clone() }, "endpoint"),
        (BucketConfig { timeout_ms: 0, ..good.clone() }, "timeout_ms"),
        (BucketConfig { connect_timeout_ms: 600_001, ..good.clone() }, "connect_timeout_ms"),
    ];
    for (config, named) in bad {
        let refused = S3ObjectStore::new(config, &credentials("secret")).unwrap_err();
        assert!(matches!(refused, InvalidBucket::Setting { setting, .. } if setting == named), "{refused}");
    }
    assert!(S3ObjectStore::new(good, &credentials("secret")).is_ok());
}
