use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use stanchion_core::{Detail, Details, Text};

use super::{NONCE_BYTES, SubjectKeyId};

/// What a protected value says it is, in `sealed`.
pub const SEALED: &str = "stanchion.sealed/v1";
/// What every version of it begins with. Nobody else may write a value that begins so.
const FAMILY: &str = "stanchion.sealed/";

/// What a protected value is found by: a keyed hash of it, as one word.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BlindIndex(Text);

impl BlindIndex {
    pub(crate) fn from_mac(mac: &[u8; 32]) -> Self {
        let digits: String = mac.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("ix{digits}").into())
    }

    /// Tells whether a word has the form of one.
    #[must_use]
    pub fn is_one(word: &str) -> bool {
        let digits = word.strip_prefix("ix").filter(|digits| digits.len() == 32);
        digits.is_some_and(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    }

    /// Borrows the word: `ix` and 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A protected value as the canonical event holds it; [`format`](crate::format) describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The name of the cipher.
    pub cipher: Text,
    /// The key that its own key is derived from.
    pub key: SubjectKeyId,
    /// The nonce.
    pub nonce: [u8; NONCE_BYTES],
    /// The ciphertext with its tag.
    pub ciphertext: Vec<u8>,
    /// What it is found by, if it can be searched for.
    pub index: Option<BlindIndex>,
}

impl Sealed {
    /// Writes it as a value of an event.
    #[must_use]
    pub fn to_detail(&self) -> Detail {
        let mut details: Details = [
            ("cipher", Detail::Text(self.cipher.clone())),
            ("ciphertext", BASE64.encode(&self.ciphertext).into()),
        ]
        .into_iter()
        .collect();
        if let Some(index) = &self.index {
            details.push("index", index.0.clone());
        }
        details.push("key", self.key.to_string());
        details.push("nonce", BASE64.encode(self.nonce));
        details.push("sealed", SEALED);
        Detail::Map(details)
    }

    /// Reads it from a value of an event; `None` for any other value.
    #[must_use]
    pub fn from_detail(detail: &Detail) -> Option<Self> {
        let Detail::Map(details) = detail else { return None };
        let text = |name: &str| match details.get(name) {
            Some(Detail::Text(text)) => Some(text),
            _ => None,
        };
        if text("sealed")?.as_str() != SEALED {
            return None;
        }
        let bytes = |name: &str| BASE64.decode(text(name)?.as_str()).ok();
        Some(Self {
            cipher: text("cipher")?.clone(),
            key: SubjectKeyId::from_uuid(text("key")?.as_str().parse().ok()?),
            nonce: bytes("nonce")?.try_into().ok()?,
            ciphertext: bytes("ciphertext")?,
            index: text("index").cloned().map(BlindIndex),
        })
    }
}

/// Tells whether a value claims to be protected, in whichever version and whether it can be opened or not.
#[must_use]
pub fn is_reserved(detail: &Detail) -> bool {
    let Detail::Map(details) = detail else { return false };
    matches!(details.get("sealed"), Some(Detail::Text(text)) if text.as_str().starts_with(FAMILY))
}

/// A protected value that is not there to be read, and why: `erased`, `unreadable`, or `withheld` before it was ever recorded.
pub(crate) fn absent(why: &'static str) -> Detail {
    Detail::Map([("absent", Detail::from(why)), ("sealed", SEALED.into())].into_iter().collect())
}
