use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use stanchion_core::{InvalidId, StoreError, Timestamp};

mod memory;

pub use memory::MemoryObjectStore;

/// Where objects are kept that are written once and then only read: archives of entries, and checkpoints that are to be out of our own
/// reach.
///
/// 1. **New.** [`put_new`](Self::put_new) writes an object whole, under a name that has none, or nothing. Of those who put one name at
///    once exactly one writes it. No object is ever overwritten.
/// 2. **Whole.** Nobody ever reads a part of an object that is being written, also not after a crash.
/// 3. **Durable.** After `Written` or `Exists` the object survives a crash, and is read and listed.
/// 4. **Bytes** are returned as they were written.
/// 5. **Order.** Names are listed in the order of their bytes.
/// 6. **Retention.** A store that can keep an object from being deleted until an instant does; others take no notice of it.
/// 7. **Unknown ends.** After `Timeout`, and only then, an object may have been written, or may still be. `Unavailable` means it was
///    not and will not be. Either way the same put can be tried again: who finds that the name `Exists` compares the bytes.
#[async_trait]
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// Writes an object, unless its name has one.
    ///
    /// # Errors
    /// `Unavailable` when nothing was written, `Timeout` when that is not known.
    async fn put_new(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        keep_until: Option<Timestamp>,
    ) -> Result<PutOutcome, StoreError>;

    /// Returns an object; `None` when the name has none.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn get(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns at most `limit` names below `prefix`, in order, beginning after `after`. What lies below `a/b` begins with `a/b/`.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn list(
        &self,
        prefix: &ObjectName,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectName>, StoreError>;
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is durable.
    Written,
    /// Nothing was written: the name has an object.
    Exists,
}

/// The name of an object: parts of lower-case letters, digits, `-`, `_`, `=` and `.`, with `/` between them. No part is empty or
/// begins with a dot, so that every name is a path too. It has 1 to 512 bytes, a part at most 200.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it lies below `prefix`.
    #[must_use]
    pub fn is_below(&self, prefix: &Self) -> bool {
        self.0.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Returns the name of a part below this one.
    ///
    /// # Errors
    /// [`InvalidId`] when that is no name.
    pub fn join(&self, rest: &str) -> Result<Self, InvalidId> {
        format!("{self}/{rest}").parse()
    }
}

impl FromStr for ObjectName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "expected parts of a-z, 0-9, `-`, `_`, `=` and `.` with `/` between them, none beginning with a dot";
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_=.".contains(&byte);
        let is_part = |part: &str| {
            (1..=200).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(is_letter)
        };
        if text.len() <= 512 && text.split('/').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new("object name", RULE, text))
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_path_that_leads_nowhere_else() {
        for good in ["a", "a/b", "platform/security/000001.zst", "chain=1/x_y-z.json"] {
            assert_eq!(good.parse::<ObjectName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(201);
        for bad in
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.b", "A", "a b", "a\\b", "ä", "a\0", &long]
        {
            assert!(bad.parse::<ObjectName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_lies_below_a_name_has_whole_parts_of_it() {
        let name = |text: &str| text.parse::<ObjectName>().unwrap();
        assert!(name("a/b").is_below(&name("a")));
        assert!(!name("ab").is_below(&name("a")));
        assert!(!name("a").is_below(&name("a")));
        assert_eq!(name("a").join("b/c"), Ok(name("a/b/c")));
        assert!(name("a").join("../c").is_err());
    }
}
