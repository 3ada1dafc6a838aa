//! Who is calling: API keys.
//!
//! The [`Engine`] issues keys, rotates their secrets with a grace for the old one, revokes them, and tells with every request who
//! presents one. A key looks like `stn_live_8tRb…_3Qc0QU`: see [`PresentedKey`] for its form, which scanners can search for. Of the key
//! only a keyed hash is stored. A text that has not the form of a key is rejected without a look at the store; a key that was presented
//! before is answered from memory, and checked anew each time against its expiry, the grace of its former secret, its revocation and the
//! networks it is bound to. A revoked key is rejected from the next request on by the engine that revoked it, and by the others as soon as
//! they have [followed](stanchion_replica::Follower) the change.
//!
//! Why a credential was rejected is told to the audit record, never to the caller. Records live behind [`KeyStore`]; [`MemoryKeyStore`]
//! comes with the crate.
//!
//! ```
//! use std::sync::Arc;
//!
//! use stanchion_core::{Author, KeyRing, Scope, Secret, SubjectRef, SystemClock, SystemRandom};
//! use stanchion_identity::{Config, Engine, MemoryKeyStore, NewKey, RejectionReason};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = Arc::new(MemoryKeyStore::new(None));
//! let peppers = KeyRing::new([(1, Secret::new([7; 32]))]).expect("one version of 32 bytes");
//! let random = Arc::new(SystemRandom::default());
//! let keys = Engine::new(store, peppers, Arc::new(SystemClock), random, Config::default());
//!
//! let operator = Author::system("example");
//! let new = NewKey {
//!     scope: Scope::Platform,
//!     subject: SubjectRef::service("reports")?,
//!     name: "nightly reports".parse()?,
//!     environment: None,
//!     expires_at: None,
//!     cidrs: vec!["192.0.2.0/24".parse()?],
//! };
//! let (key, plain) = keys.issue(&operator, new).await?;
//!
//! let ip = Some("192.0.2.7".parse()?);
//! let outcome = keys.authenticate(plain.expose(), ip).await?;
//! assert_eq!(outcome.principal().map(|who| who.subject.to_string()), Some("service:reports".into()));
//!
//! keys.revoke(&operator, Scope::Platform, key.value.id).await?;
//! let outcome = keys.authenticate(plain.expose(), ip).await?;
//! assert_eq!(outcome.rejection().map(|rejection| rejection.reason), Some(RejectionReason::Revoked));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod api_key;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod engine;
mod error;
mod format;
mod hash;
mod known;
mod memory;
mod outcome;
mod store;

pub use api_key::{ApiKey, Former, Generation, KeyStatus, NewKey};
pub use config::Config;
pub use engine::Engine;
pub use error::Error;
pub use format::{Environment, PlainKey, PresentedKey};
pub use hash::KeyHash;
pub use memory::MemoryKeyStore;
pub use outcome::{Outcome, Rejection, RejectionReason};
pub use store::{KeyChange, KeyStore};
