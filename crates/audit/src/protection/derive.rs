//! Every derivation of keys, nonces and words, each with a label of its own.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use stanchion_core::Scope;
use zeroize::Zeroizing;

use super::{BlindIndex, CipherKey, KeyNode, NONCE_BYTES, SubjectKeyId};
use crate::RetentionClass;

pub(super) type Key = Zeroizing<[u8; 32]>;

/// HMAC-SHA256 over a label and parts, each after its length, so that no two lists of parts give the same bytes.
fn mac(key: &[u8], label: &str, parts: &[&[u8]]) -> Key {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(label.as_bytes());
    for part in parts {
        mac.update(&length(part));
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// The key that a scope's data keys are wrapped with.
pub(super) fn wrapping(secret: &[u8], scope: Scope) -> CipherKey {
    CipherKey::new(*mac(secret, "stanchion-subject-key-wrap-v1", &[scope.to_string().as_bytes()]))
}

/// The key of one class below a data key.
pub(super) fn class(root: &[u8; 32], class: RetentionClass) -> Key {
    mac(root, "stanchion-class-key-v1", &[class.as_str().as_bytes()])
}

/// The key of one field below the key of a class.
pub(super) fn field(class: &[u8; 32], field: &str) -> Key {
    mac(class, "stanchion-field-key-v1", &[field.as_bytes()])
}

/// The key of one field, from whichever node of the tree is above it or is it. `None` when it is elsewhere.
pub(super) fn below(node: &KeyNode, key: &[u8; 32], of: RetentionClass, name: &str) -> Option<Key> {
    match node {
        KeyNode::Root => Some(field(&class(key, of), name)),
        KeyNode::Class(node) if *node == of => Some(field(key, name)),
        KeyNode::Field(node, node_field) if *node == of && node_field.as_str() == name => {
            Some(Zeroizing::new(*key))
        }
        _ => None,
    }
}

/// The cipher's key of one field.
pub(super) fn sealing(field: &[u8; 32]) -> CipherKey {
    CipherKey::new(*mac(field, "stanchion-seal-key-v1", &[]))
}

/// A nonce that only the same value in the same place has again.
pub(super) fn nonce(field: &[u8; 32], additional: &[u8], clear: &[u8]) -> [u8; NONCE_BYTES] {
    let whole = mac(field, "stanchion-nonce-v1", &[additional, clear]);
    let mut nonce = [0; NONCE_BYTES];
    for (byte, from) in nonce.iter_mut().zip(whole.iter()) {
        *byte = *from;
    }
    nonce
}

/// The word that a value is found by.
pub(super) fn index(key: &[u8; 32], field: &str, value: &str) -> BlindIndex {
    BlindIndex::from_mac(&mac(key, "stanchion-blind-index-v1", &[field.as_bytes(), value.as_bytes()]))
}

/// What a ciphertext is bound to. Moved anywhere else it does not open.
pub(super) struct Bound<'a> {
    pub(super) scope: Scope,
    pub(super) class: RetentionClass,
    pub(super) event: stanchion_core::EventId,
    pub(super) field: &'a str,
    pub(super) side: &'static str,
    pub(super) key: SubjectKeyId,
    pub(super) cipher: &'a str,
}

impl Bound<'_> {
    pub(super) fn additional(&self) -> Vec<u8> {
        let (scope, event, key) = (self.scope.to_string(), self.event.uuid(), self.key.uuid());
        written(
            "stanchion-field-v1",
            &[
                scope.as_bytes(),
                self.class.as_str().as_bytes(),
                event.as_bytes(),
                self.field.as_bytes(),
                self.side.as_bytes(),
                key.as_bytes(),
                self.cipher.as_bytes(),
            ],
        )
    }
}

/// A label and parts, each after its length.
pub(super) fn written(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = label.as_bytes().to_vec();
    for part in parts {
        out.extend_from_slice(&length(part));
        out.extend_from_slice(part);
    }
    out
}
