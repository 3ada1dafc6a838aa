//! A tamper-evident audit ledger.
//!
//! Events become entries of hash chains, one chain for each scope and [retention class](RetentionClass). Each entry is signed, so
//! that somebody who can write to the database, but has no key, cannot alter, remove, reorder or add an entry unnoticed.
//!
//! Use it when somebody will ask later who did what, and must be able to trust the answer. A log is for operators; this is for
//! auditors, and for the tenant whose data it was.
//!
//! * [`Ledger`] takes events: [`submit`](Ledger::submit) accepts one without waiting, [`append`](Ledger::append) returns once it is
//!   durable. Both finish their work in [`Sequencer::run`], a future that you run; it commits many events at once.
//! * [`Ledger::query`] finds entries again, [`Ledger::verify`] recomputes every hash and signature from the stored bytes and reports
//!   the first break, and [`verify_chain`] does so without a ledger.
//! * [`Ledger::checkpoints`] has a [`Checkpointer`] grow a Merkle tree over each chain and sign for it, and gives a [`Prover`]: its
//!   proofs need no secret, so a tenant can check that an event is in the log and that the log only grew ([`verify_proof`],
//!   [`tree::verify_consistency`]).
//! * [`Prover::evolve`] replaces the signing key every now and then by one that follows from it, and destroys the one before.
//! * [`Ledger::projector`] keeps what queries look at up to date, in a store that keeps it apart from the chains.
//! * [`Actions`] are the kinds of events that are known, and how long each is kept.
//! * [`Prover::export`] writes entries with what proves them as one file, and [`bundle::verify_bundle`] checks it without us.
//! * [`Protection`] encrypts values before they are hashed, opens them for those who may, and erases them by destroying keys, which a
//!   [`SubjectKeyStore`] keeps; its cipher is a [`FieldCipher`].
//! * [`LedgerStore`] is the port to a database and [`TreeStore`] the one for trees, [`MemoryLedgerStore`] the adapter of both in memory,
//!   and the feature `conformance` the suites that every adapter passes.
//! * [`ObjectStore`] is the port to what is written once and kept apart from the database: files, or a bucket.
//! * `Keeper`, behind the feature `archive`, archives what checkpoints cover and drops what has served its time, unless a [`Hold`] stands.
//! * [`mod@format`] describes the bytes, for verification with other tools.
//!
//! ```
//! use std::sync::Arc;
//!
//! use stanchion_audit::{Config, Draft, Ledger, MemoryLedgerStore, Query};
//! use stanchion_core::{
//!     Actor, Category, Clock, Event, IdGen, KeyRing, ManualClock, PageRequest, Scope, Secret, SystemRandom,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), stanchion_audit::Error> {
//! let store = Arc::new(MemoryLedgerStore::new(100_000));
//! let keys = KeyRing::new([(1, Secret::new(*b"a secret of at least 32 bytes !!"))]).unwrap();
//! let clock = Arc::new(ManualClock::default());
//! let ids = Arc::new(SystemRandom::default());
//! let config = Config { linger_ms: 0, ..Config::default() };
//! let (ledger, sequencer) =
//!     Ledger::new(store, keys, clock.clone(), clock.clone(), ids.clone(), config);
//!
//! let work = async {
//!     let now = clock.now();
//!     let actor = Actor::System("deploy".into());
//!     let id = ids.event_id(now);
//!     let event = Event::new(id, now, Scope::Platform, actor, "config.put", Category::Administration);
//!     let receipt = ledger.append(Scope::Platform, Draft::Event(event)).await?;
//!     assert_eq!((receipt.chain.to_string().as_str(), receipt.seq), ("platform/security", 1));
//!
//!     let query = Query { action: Some("config.*".into()), ..Query::default() };
//!     let page = ledger.query(Scope::Platform, &query, &PageRequest::first(10)).await?;
//!     assert_eq!(page.items[0].event.id, id);
//!     assert!(ledger.verify(Scope::Platform).await?.is_intact());
//!     ledger.close();
//!     Ok(())
//! };
//! let (run, work) = tokio::join!(sequencer.run(), work);
//! run.and(work)
//! # }
//! ```
//!
//! Everything accepted is committed while the sequencer runs, however long the store is away. What was accepted with `submit` is lost
//! if the process ends first; what must not be lost is appended, or committed with the change it belongs to and relayed from an
//! outbox ([`Ledger`] is a [`Deliver`](stanchion_replica::Deliver)).

mod ack;
mod across;
mod actions;
mod anchor;
mod anchored;
#[cfg(feature = "archive")]
pub mod archive;
mod batch;
pub mod bundle;
mod canonical;
mod chain;
mod checkpoint;
mod checkpointer;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod digest;
mod draft;
mod engine;
mod entry;
mod error;
mod evolution;
mod evolve;
pub mod format;
mod hash;
mod hold;
#[cfg(feature = "archive")]
mod keeper;
mod lifecycle;
mod log_files;
mod memory;
mod moved;
mod note;
mod numbers;
mod objects;
mod producers;
mod projector;
mod protection;
mod prover;
mod publisher;
mod query;
mod retention;
mod rotation;
mod search;
mod sequencer;
mod store;
mod tail;
pub mod tree;
mod tree_store;
mod verify;
mod witness;

pub use ack::{Ack, Acknowledged};
pub use actions::{
    ActionSchema, ActionType, Actions, InvalidAction, Origin, SchemaCheck, UnknownActions, Violation,
    is_action,
};
pub use anchor::{Anchor, AnchorError, AnchorReceipt, Publication};
pub use anchored::{
    AnchorBreak, AnchorFault, AnchorVerdict, Anchors, Compared, NotPublished, Published, Recorded,
};
pub use batch::{AppendBatch, HeadMove, Sealer};
pub use canonical::{MAX_DEPTH, MAX_EVENT_BYTES, SCHEMA, canonical, parse};
pub use chain::{Chain, ChainId, Head, RetentionClass};
pub use checkpoint::{Checkpoint, CheckpointSigner, TreeHead};
pub use checkpointer::{CheckpointConfig, Checkpointer};
pub use config::Config;
pub use digest::{Digest, InvalidDigest};
pub use draft::Draft;
pub use engine::{Ledger, Refused, Reserved, Stats};
pub use entry::{Content, Entry, Projection, Receipt, Row, Seal};
pub use error::Error;
pub use evolution::{Epochs, Evolution, EvolveTrouble, EvolvedKey, Evolver, InvalidEvolvedKey};
pub use evolve::{evolved, evolved_ring, with_evolved};
pub use hash::{Signer, leaf_hash, link_hash};
pub use hold::{Hold, HoldStore, MemoryHoldStore};
#[cfg(feature = "archive")]
pub use keeper::{ChainRetention, Keeper, KeeperStats, RoundEnd};
pub use lifecycle::Process;
pub use log_files::{LogBreak, LogFault, LogProof, LogVerdict, log_files, verify_log, verify_log_with};
pub use memory::{MemoryAnchor, MemoryLedgerStore};
pub use note::{InvalidVerifierKey, NoteError, VerifierKey};
pub use objects::{MemoryObjectStore, ObjectName, ObjectStore, PutOutcome};
pub use producers::{GapCause, NumberGap, ProducerNumbers, ProducerRun, RunState, Runs};
pub use projector::Projector;
pub use protection::{
    Aes256GcmCipher, Basis, BlindIndex, CipherKey, DataSubject, Erased, ErasureHolds, ErasureOutcome,
    Exception, FieldCipher, FieldPath, InvalidField, Kept, KeyName, KeyNode, KeyPlace, LegalHolds, Mark,
    Marked, MemorySubjectKeyStore, NONCE_BYTES, NotOpened, Opened, ProtectConfig, Protection,
    ProtectionChange, ProtectionError, ProtectionStats, RecordedErasure, Rewrapped, SEALED, Sealed,
    StoredKey, SubjectKeyId, SubjectKeyStore, Withdrawn, Words, WordsLeft, is_reserved,
};
pub use prover::{
    ConsistencyProof, InclusionProof, PageEntry, Proven, ProvenPage, Prover, Unproven, verify_proof,
};
pub use publisher::{PublishConfig, Publisher};
pub use query::{EventType, Place, Query};
pub use retention::{Floor, InvalidRetention, RetentionConfig, Standard, TenantRetention, Term};
pub use rotation::verify_key_change;
pub use search::{Facet, Projected, SearchPage, SearchRow, term, words, words_of};
pub use sequencer::Sequencer;
pub use store::{AppendOutcome, CutOutcome, Fence, KnownRow, LedgerStore, Shard, Writers};
pub use tail::{Cursor, Tailed};
pub use tree_store::{GrowOutcome, Growth, TreeStore};
pub use verify::{Break, BreakReason, Verdict, Verification, verify_chain};
pub use witness::WitnessKey;
