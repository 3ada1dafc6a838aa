use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use stanchion_core::{KeyRing, KeyVersion, Secret};

use crate::PresentedKey;

/// What is stored of a key: HMAC-SHA256 (RFC 2104) of the whole key under one version of the pepper.
///
/// A key has 178 random bits, so a fast hash is enough; the pepper makes a stolen table useless for checking keys found elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash {
    pepper: KeyVersion,
    digest: [u8; 32],
}

impl KeyHash {
    /// Takes what a store has kept: the version of the pepper and the 32 bytes.
    #[must_use]
    pub const fn from_parts(pepper: KeyVersion, digest: [u8; 32]) -> Self {
        Self { pepper, digest }
    }

    /// Returns the version of the pepper.
    #[must_use]
    pub const fn pepper(&self) -> KeyVersion {
        self.pepper
    }

    /// Borrows the 32 bytes.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash(pepper {}, redacted)", self.pepper)
    }
}

/// Hashes keys under every version of the pepper. The keyed states are made once, which saves half of each hash.
pub(crate) struct Peppers {
    newest: Pepper,
    /// Newest first.
    older: Vec<Pepper>,
}

struct Pepper {
    version: KeyVersion,
    keyed: Hmac<Sha256>,
}

impl Peppers {
    pub(crate) fn new(ring: &KeyRing) -> Self {
        let newest = Pepper::new(ring.current());
        Self { newest, older: ring.iter().skip(1).map(Pepper::new).collect() }
    }

    /// Hashes under the newest version, with which new keys are stored.
    pub(crate) fn newest(&self, key: &PresentedKey<'_>) -> KeyHash {
        self.newest.hash(key)
    }

    /// Hashes under every version but the newest, newest first.
    pub(crate) fn older(&self, key: &PresentedKey<'_>) -> impl Iterator<Item = KeyHash> {
        self.older.iter().map(|pepper| pepper.hash(key))
    }
}

impl Pepper {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 section 2)")]
    fn new((version, secret): (KeyVersion, &Secret)) -> Self {
        let keyed = Hmac::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
        Self { version, keyed }
    }

    fn hash(&self, key: &PresentedKey<'_>) -> KeyHash {
        let mut mac = self.keyed.clone();
        mac.update(key.as_bytes());
        KeyHash { pepper: self.version, digest: mac.finalize().into_bytes().into() }
    }
}

impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peppers(newest {}, {} older)", self.newest.version, self.older.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::{Environment, PlainKey};
    use stanchion_core::SeededRandom;

    #[test]
    fn the_hash_is_hmac_sha256_of_the_whole_key() {
        // By Python's hmac module: hmac.new(bytes(range(32)), key, "sha256").
        let key = PresentedKey::parse("stn_live_0123456789ABCDEFGHIJKLMNOPQRST_3Qc0QU").unwrap();
        let pepper: Vec<u8> = (0..32).collect();
        let peppers = Peppers::new(&KeyRing::new([(7, Secret::new(pepper))]).unwrap());
        let hash = peppers.newest(&key);
        let hex: String = hash.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (hash.pepper(), hex.as_str()),
            (7, "3b8d2ca68290ada4dc80e467f4e5fc9134aa13f7df9d02526df71006d0c371a2")
        );
    }

    #[test]
    fn versions_are_tried_newest_first_and_differ() {
        let ring = [1, 3, 2].map(|version: u8| (u32::from(version), Secret::new([version; 32])));
        let peppers = Peppers::new(&KeyRing::new(ring).unwrap());
        let key = PlainKey::generate(&Environment::default(), &SeededRandom::new(1));
        let key = key.presented();
        let hashes: Vec<KeyHash> = std::iter::once(peppers.newest(&key)).chain(peppers.older(&key)).collect();
        assert_eq!(hashes.iter().map(KeyHash::pepper).collect::<Vec<_>>(), [3, 2, 1]);
        assert!(hashes[0].digest() != hashes[1].digest() && hashes[1].digest() != hashes[2].digest());
    }

    #[test]
    fn neither_hashes_nor_peppers_are_printed() {
        assert_eq!(format!("{:?}", KeyHash::from_parts(2, [7; 32])), "KeyHash(pepper 2, redacted)");
        let peppers = Peppers::new(&KeyRing::new([(2, Secret::new([7; 32]))]).unwrap());
        assert_eq!(format!("{peppers:?}"), "Peppers(newest 2, 0 older)");
    }
}
