use std::fmt;

use zeroize::Zeroizing;

/// How many bytes a nonce has.
pub const NONCE_BYTES: usize = 12;

/// A key for one field of one event's subject. Never printed, and wiped when dropped.
pub struct CipherKey(Zeroizing<[u8; 32]>);

impl CipherKey {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Shows the bytes to the cipher.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CipherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CipherKey(redacted)")
    }
}

/// A ciphertext does not open: it was altered, or belongs elsewhere or to another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext does not open")]
pub struct NotOpened;

/// An authenticated cipher for protected values and for the keys they are protected with.
///
/// 1. What `seal` made opens with the same key, nonce and additional data, and with nothing else.
/// 2. Nothing of what is sealed reaches an error or a log.
/// 3. The caller gives each nonce to one plaintext and one additional data only, for each key.
pub trait FieldCipher: fmt::Debug + Send + Sync {
    /// Returns the name that protected values give, such as `A256GCM`. It stands for the algorithm and never changes its meaning.
    fn name(&self) -> &'static str;

    /// Encrypts; the tag is a part of the ciphertext. `None` when it is too long for the cipher.
    fn seal(
        &self,
        key: &CipherKey,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        clear: &[u8],
    ) -> Option<Vec<u8>>;

    /// Decrypts.
    ///
    /// # Errors
    /// [`NotOpened`] when anything differs from what was sealed.
    fn open(
        &self,
        key: &CipherKey,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotOpened>;
}
