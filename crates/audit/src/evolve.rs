//! Signing keys that lead forward only.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use stanchion_core::{KeyRing, KeyVersion, Secret};

const INFO: &[u8] = b"evolve";

/// Makes the key of the next epoch from that of one: HKDF-SHA256 (RFC 5869) without salt, with `evolve` as info, 32 bytes long. From the
/// next key the one before cannot be computed. So if each epoch's key is destroyed when the next is taken into use, whoever captures a
/// key forges nothing that was signed before it; the first one, kept where no server is, verifies everything ([`evolved_ring`]).
#[must_use]
pub fn evolved(key: &Secret) -> Secret {
    let extracted = hmac(&[0; 32], &[key.expose()]);
    Secret::new(hmac(&extracted, &[INFO, &[1]]))
}

/// The most epochs that follow from one key.
pub(crate) const MOST: u32 = 65_536;

/// Returns a ring with the keys of all epochs that follow from those of another: from each up to the next, and from the highest as many as there
/// can be, 65,536 in all. With the first key, or all of them, that of any entry is there.
#[must_use]
pub fn with_evolved(first: &KeyRing) -> KeyRing {
    let mut roots: Vec<(KeyVersion, &Secret)> = first.iter().collect();
    roots.reverse();
    let ends = roots.iter().skip(1).map(|(version, _)| version.saturating_sub(1));
    let ends = ends.chain([KeyVersion::MAX]);
    let evolved = roots.iter().zip(ends).filter_map(|((version, key), end)| {
        evolved_ring(*version, key, end.min(version.saturating_add(MOST - 1)))
    });
    let rings: Vec<KeyRing> = evolved.collect();
    let all = rings.iter().flat_map(KeyRing::iter).map(|(version, key)| (version, key.clone()));
    KeyRing::new(all).unwrap_or_else(|| first.clone())
}

/// Returns the keys of all epochs from `first`, whose key is at hand, to `last`; `None` when `last` comes before `first`, there would be
/// more than 65,536, or the key is too short for a ring.
#[must_use]
pub fn evolved_ring(first: KeyVersion, key: &Secret, last: KeyVersion) -> Option<KeyRing> {
    let count = last.checked_sub(first).filter(|more| *more < MOST)?;
    let mut keys = vec![(first, key.clone())];
    for epoch in (first..=last).skip(1).take(usize::try_from(count).ok()?) {
        let next = evolved(&keys.last()?.1);
        keys.push((epoch, next));
    }
    KeyRing::new(keys)
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::{Digest, Signer};

    fn ring(keys: &[(KeyVersion, &Secret)]) -> Signer {
        Signer::new(&KeyRing::new(keys.iter().map(|(epoch, key)| (*epoch, (*key).clone()))).unwrap())
    }

    #[test]
    fn the_next_key_is_that_of_rfc_5869() {
        // As `openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:0707… -kdfopt info:evolve HKDF` has it.
        let next = evolved(&Secret::new([7; 32]));
        let hex: String = next.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "dfa7f761cff1efaad6eb1e10d2084e183a84eb2975c24af52adf98c832457e3a");
    }

    #[test]
    fn the_first_key_verifies_every_epoch_and_a_captured_one_forges_nothing_before_it() {
        let first = Secret::new([7; 32]);
        let chain = "platform/security".parse().unwrap();
        let all = Signer::new(&evolved_ring(1, &first, 5).unwrap());
        let captured = (1..4).fold(first.clone(), |key, _| evolved(&key));
        let server = ring(&[(4, &captured)]);
        let link = Digest::from_bytes([1; 32]);
        assert_eq!(server.mac(4, &chain, 9, &link), all.mac(4, &chain, 9, &link));
        assert_eq!(ring(&[(5, &evolved(&captured))]).mac(5, &chain, 9, &link), all.mac(5, &chain, 9, &link));
        // What the captured key, and all that it leads to, would sign as an earlier epoch is not what was signed then.
        let mut key = captured;
        for _ in 0..100 {
            for epoch in 1..4 {
                assert_ne!(
                    ring(&[(epoch, &key)]).mac(epoch, &chain, 9, &link),
                    all.mac(epoch, &chain, 9, &link)
                );
            }
            key = evolved(&key);
        }
    }

    #[test]
    fn a_ring_has_every_epoch_once_and_a_bound() {
        let first = Secret::new([7; 32]);
        let epochs: Vec<_> = evolved_ring(3, &first, 6).unwrap().iter().map(|(epoch, _)| epoch).collect();
        assert_eq!(epochs, [6, 5, 4, 3]);
        assert_eq!(evolved_ring(3, &first, 3).unwrap().iter().count(), 1);
        assert!(evolved_ring(3, &first, 2).is_none());
        assert!(evolved_ring(1, &first, 65_537).is_none());
        assert!(evolved_ring(1, &Secret::new([7; 31]), 2).is_none());
    }

    #[test]
    fn with_the_first_keys_those_of_every_epoch_are_there() {
        let (first, second) = (Secret::new([7; 32]), Secret::new([8; 32]));
        let ring = with_evolved(&KeyRing::new([(1, first.clone()), (4, second.clone())]).unwrap());
        let key = |epoch| ring.get(epoch).map(|key| key.expose().to_vec());
        assert_eq!(key(3), Some(evolved(&evolved(&first)).expose().to_vec()));
        assert_eq!(key(4), Some(second.expose().to_vec()));
        assert_eq!(key(6), Some(evolved(&evolved(&second)).expose().to_vec()));
        assert_eq!(ring.iter().count(), 65_536 + 3);
    }
}
