//! Cosignatures of witnesses, as C2SP's tlog-cosignature has them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use stanchion_core::{Text, Timestamp};

use crate::note::{BASE64, DASH, InvalidVerifierKey, NoteError, is_key_name};

/// The type byte of Ed25519 cosignatures.
const COSIGNATURE: u8 = 4;

/// What verifies the cosignatures of a witness: `<name>+<id>+<key>`, with a key of type 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: Text,
    id: [u8; 4],
    key: VerifyingKey,
}

impl WitnessKey {
    /// Returns the name that the witness signs under.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Finds this witness's cosignature among lines of signatures, and returns the line and when it was made. The time is signed.
    ///
    /// # Errors
    /// [`NoteError::UnknownKey`] when there is none, [`NoteError::WrongSignature`] when it is not over the note's text.
    pub fn verify<'a>(&self, note: &str, lines: &'a str) -> Result<(&'a str, Timestamp), NoteError> {
        let (text, _) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        for line in lines.lines() {
            let Some((name, encoded)) = line.strip_prefix(DASH).and_then(|line| line.split_once(' ')) else {
                continue;
            };
            let Ok(bytes) = BASE64.decode(encoded) else { continue };
            let Some((id, rest)) = bytes.split_first_chunk::<4>() else { continue };
            if name != self.name() || *id != self.id {
                continue;
            }
            let (time, signature) = rest.split_first_chunk::<8>().ok_or(NoteError::WrongSignature)?;
            let seconds = u64::from_be_bytes(*time);
            let signature = Signature::from_slice(signature).map_err(|_| NoteError::WrongSignature)?;
            let signed = format!("cosignature/v1\ntime {seconds}\n{text}\n");
            self.key.verify_strict(signed.as_bytes(), &signature).map_err(|_| NoteError::WrongSignature)?;
            let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            return Ok((line, Timestamp::from_micros(micros)));
        }
        Err(NoteError::UnknownKey)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[COSIGNATURE], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), BASE64.encode(key))
    }
}

impl FromStr for WitnessKey {
    type Err = InvalidVerifierKey;

    fn from_str(text: &str) -> Result<Self, InvalidVerifierKey> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidVerifierKey);
        };
        let bytes = BASE64.decode(key).map_err(|_| InvalidVerifierKey)?;
        let Some((&COSIGNATURE, key)) = bytes.split_first() else { return Err(InvalidVerifierKey) };
        let key: &[u8; 32] = key.try_into().map_err(|_| InvalidVerifierKey)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| InvalidVerifierKey)?;
        let mut hasher = Sha256::new();
        hasher.update(name);
        hasher.update([b'\n', COSIGNATURE]);
        hasher.update(key.as_bytes());
        let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
        let found = Self { name: name.to_owned().into(), id: [a, b, c, d], key };
        let is_name = is_key_name(name) && format!("{:08x}", u32::from_be_bytes(found.id)) == id;
        if is_name { Ok(found) } else { Err(InvalidVerifierKey) }
    }
}

#[cfg(test)]
mod tests;
