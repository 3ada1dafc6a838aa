use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::{Category, InvalidId, Scope, Timestamp};

use crate::Digest;

/// How long a record is kept. Each class has its own chain, so that what has served its time can be dropped from the front of one
/// chain without a hole in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionClass {
    /// Who proved to be whom, who was given which power, attacks and defences.
    Security,
    /// Who read or changed protected data.
    DataAccess,
    /// Everything else.
    Standard,
}

impl RetentionClass {
    /// Every class, in order.
    pub const ALL: [Self; 3] = [Self::Security, Self::DataAccess, Self::Standard];

    /// Returns the class of a category's records.
    ///
    /// | category | class |
    /// |---|---|
    /// | security, authentication, administration | security |
    /// | data access | data access |
    /// | access, billing, system | standard |
    #[must_use]
    pub const fn of(category: Category) -> Self {
        match category {
            Category::Security | Category::Authentication | Category::Administration => Self::Security,
            Category::DataAccess => Self::DataAccess,
            Category::Access | Category::Billing | Category::System => Self::Standard,
        }
    }

    /// Returns the name that chains, columns and labels use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::DataAccess => "data_access",
            Self::Standard => "standard",
        }
    }

    /// Finds the class of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

impl fmt::Display for RetentionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One chain of entries: a scope's records of one retention class. Its text is `<scope>/<class>`, as in `platform/security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId {
    /// Whose records.
    pub scope: Scope,
    /// Of which class.
    pub class: RetentionClass,
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.class)
    }
}

impl FromStr for ChainId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "expected SCOPE/CLASS such as platform/security";
        let invalid = || InvalidId::new("chain", RULE, text);
        let (scope, class) = text.split_once('/').ok_or_else(invalid)?;
        let scope = scope.parse().map_err(|_| invalid())?;
        Ok(Self { scope, class: RetentionClass::from_name(class).ok_or_else(invalid)? })
    }
}

impl Serialize for ChainId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// How far a chain goes: its last entry, or the one before a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the entry; the first has 1, an empty chain stands at 0.
    pub seq: u64,
    /// Its link, [`Digest::ZERO`] for an empty chain.
    pub link: Digest,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

impl Head {
    /// The head of a chain without entries.
    pub const EMPTY: Self = Self { seq: 0, link: Digest::ZERO, recorded_at: Timestamp::MIN };

    /// Tells whether a chain that stood at `self` cannot have grown into one that stands at `later`: entries were taken from its end
    /// or replaced.
    #[must_use]
    pub fn is_lost_in(&self, later: &Self) -> bool {
        later.seq < self.seq || (later.seq == self.seq && later.link != self.link)
    }
}

/// What a store holds of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Which chain.
    pub id: ChainId,
    /// The head the chain had before the oldest entry that is kept; [`Head::EMPTY`] while nothing was dropped.
    pub base: Head,
    /// The newest entry.
    pub head: Head,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_read_back_as_written() {
        for text in ["platform/security", "0192f0c1-2345-7abc-8def-0123456789ab/data_access"] {
            assert_eq!(text.parse::<ChainId>().unwrap().to_string(), text);
        }
        for bad in ["platform", "platform/", "platform/default", "acme/security", "/security"] {
            assert!(bad.parse::<ChainId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_category_has_a_class_that_outlives_its_disputes() {
        let class = |category| RetentionClass::of(category).as_str();
        let table: Vec<_> =
            Category::ALL.iter().map(|category| (category.as_str(), class(*category))).collect();
        assert_eq!(
            table,
            [
                ("access", "standard"),
                ("authentication", "security"),
                ("administration", "security"),
                ("security", "security"),
                ("data_access", "data_access"),
                ("billing", "standard"),
                ("system", "standard"),
            ]
        );
    }

    #[test]
    fn a_head_is_lost_when_the_chain_is_shorter_or_another() {
        let head = |seq, byte| Head { seq, link: Digest::from_bytes([byte; 32]), ..Head::EMPTY };
        assert!(head(2, 1).is_lost_in(&head(1, 1)));
        assert!(head(2, 1).is_lost_in(&head(2, 2)));
        assert!(!head(2, 1).is_lost_in(&head(2, 1)));
        assert!(!head(2, 1).is_lost_in(&head(3, 2)));
        assert!(!Head::EMPTY.is_lost_in(&Head::EMPTY));
    }
}
