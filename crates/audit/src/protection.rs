//! Values that only some may read, and that can be forgotten.
//!
//! A protected value is encrypted before its event is hashed, so the ledger never holds it in clear and verification never needs a
//! key. Destroying the keys of a data subject erases what was protected for it, and no chain changes.

mod aes;
mod cipher;
mod config;
mod derive;
mod engine;
mod erasure;
mod error;
mod exception;
mod keyring;
mod legal_holds;
mod mark;
mod memory;
mod opened;
mod path;
mod sealed;
mod search;
mod sequencing;
mod store;
mod subject;
mod withdrawn;

pub use aes::Aes256GcmCipher;
pub use cipher::{CipherKey, FieldCipher, NONCE_BYTES, NotOpened};
pub use config::ProtectConfig;
pub use engine::{Protection, ProtectionStats};
pub use erasure::{Erased, ErasureHolds, ErasureOutcome, Kept, RecordedErasure, Words, WordsLeft};
pub use error::ProtectionError;
pub use exception::{Basis, Exception};
pub use legal_holds::LegalHolds;
pub use mark::{Mark, Marked};
pub use memory::MemorySubjectKeyStore;
pub use opened::Opened;
pub use path::{FieldPath, InvalidField};
pub use sealed::{BlindIndex, SEALED, Sealed, is_reserved};
pub use store::{KeyName, KeyNode, KeyPlace, ProtectionChange, Rewrapped, StoredKey, SubjectKeyStore};
pub use subject::{DataSubject, SubjectKeyId};
pub use withdrawn::Withdrawn;
pub(crate) use withdrawn::found_by;
