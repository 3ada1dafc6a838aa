use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

/// Bytes that are never printed and are wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Shows the bytes to the code that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The version of a secret in a [`KeyRing`].
pub type KeyVersion = u32;

/// A secret in all its versions: peppers, MAC epochs, page-token keys. The newest makes, all of them verify.
#[derive(Clone, Debug)]
pub struct KeyRing {
    current: (KeyVersion, Secret),
    older: BTreeMap<KeyVersion, Secret>,
}

impl KeyRing {
    /// The least number of bytes a secret may have: 256 bits.
    pub const MIN_BYTES: usize = 32;

    /// Takes versions of a secret; the highest is the current one. `None` without any version of at least
    /// [`KeyRing::MIN_BYTES`] bytes, or when one is shorter.
    #[must_use]
    pub fn new(versions: impl IntoIterator<Item = (KeyVersion, Secret)>) -> Option<Self> {
        let mut older: BTreeMap<KeyVersion, Secret> = versions.into_iter().collect();
        if older.values().any(|secret| secret.expose().len() < Self::MIN_BYTES) {
            return None;
        }
        let current = older.pop_last()?;
        Some(Self { current, older })
    }

    /// Returns the version that new values are made with.
    #[must_use]
    pub const fn current(&self) -> (KeyVersion, &Secret) {
        (self.current.0, &self.current.1)
    }

    /// Finds a version.
    #[must_use]
    pub fn get(&self, version: KeyVersion) -> Option<&Secret> {
        if version == self.current.0 { Some(&self.current.1) } else { self.older.get(&version) }
    }

    /// Goes through all versions, newest first.
    pub fn iter(&self) -> impl Iterator<Item = (KeyVersion, &Secret)> {
        let older = self.older.iter().rev().map(|(version, secret)| (*version, secret));
        std::iter::once(self.current()).chain(older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new(*b"hunter2")), "Secret(redacted)");
    }

    #[test]
    fn the_highest_version_is_current_and_short_secrets_are_refused() {
        let ring = KeyRing::new([(2, Secret::new([2; 32])), (1, Secret::new([1; 32]))]).unwrap();
        assert_eq!(ring.current().0, 2);
        assert_eq!(ring.iter().map(|(version, _)| version).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(ring.get(1).unwrap().expose(), [1; 32]);
        assert!(KeyRing::new([(1, Secret::new([1; 31]))]).is_none());
        assert!(KeyRing::new([]).is_none());
    }
}
