//! What Stanchion sends out of its own stores: objects, into directories and S3-compatible buckets.
//!
//! Take it when archives of the audit ledger are to be kept apart from the database, out of reach of who administers it. Each domain is
//! a feature of its name; `audit` has the adapters of its port `ObjectStore`:
//!
//! * `FileObjectStore` keeps objects as files below a directory;
//! * `S3ObjectStore` keeps them in a bucket of any service that speaks S3 and takes conditional puts (`If-None-Match: *`).
//!
//! and of its port `Anchor`, which holds checkpoints out of our own reach:
//!
//! * `FileAnchor` appends them to a file;
//! * `ObjectAnchor` puts each into an object that is never overwritten;
//! * `WitnessAnchor` has them cosigned by a witness that speaks C2SP's tlog-witness.
//!
//! ```
//! # #[cfg(feature = "audit")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use stanchion_audit::{ObjectStore, PutOutcome};
//! use stanchion_outbound::FileObjectStore;
//!
//! # let directory = tempfile::tempdir()?;
//! let store = FileObjectStore::new(directory.path());
//! let name = "platform/security/1.zst".parse()?;
//! assert_eq!(store.put_new(&name, b"entries".to_vec(), None).await?, PutOutcome::Written);
//! assert_eq!(store.put_new(&name, b"others".to_vec(), None).await?, PutOutcome::Exists);
//! assert_eq!(store.get(&name).await?.as_deref(), Some(&b"entries"[..]));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "audit"))]
//! # fn main() {}
//! ```

#[cfg(feature = "audit")]
mod anchor;
#[cfg(feature = "audit")]
mod bucket;
mod config;
#[cfg(feature = "audit")]
mod files;
#[cfg(feature = "audit")]
mod lock;

#[cfg(feature = "audit")]
pub use anchor::{FileAnchor, ObjectAnchor, WitnessAnchor};
#[cfg(feature = "audit")]
pub use bucket::{InvalidBucket, S3ObjectStore};
pub use config::{BucketConfig, BucketCredentials, ObjectLock};
#[cfg(feature = "audit")]
pub use files::FileObjectStore;
