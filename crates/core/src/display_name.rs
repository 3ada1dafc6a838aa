use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{InvalidId, Text};

/// A name for people to read: 1 to 128 characters without control characters, not beginning or ending with a blank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DisplayName(Text);

impl DisplayName {
    /// The most characters of a name.
    pub const MAX_CHARS: usize = 128;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks the rule.
    pub fn new(text: impl Into<Text>) -> Result<Self, InvalidId> {
        let text = text.into();
        let name = text.as_str();
        let length = name.chars().take(Self::MAX_CHARS + 1).count();
        if (1..=Self::MAX_CHARS).contains(&length)
            && name.trim().len() == name.len()
            && !name.chars().any(char::is_control)
        {
            Ok(Self(text))
        } else {
            const RULE: &str = "use 1 to 128 characters, no control characters, no blank at either end";
            Err(InvalidId::new("display name", RULE, name))
        }
    }

    /// Borrows the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the shared text.
    #[must_use]
    pub const fn text(&self) -> &Text {
        &self.0
    }
}

crate::text_schema!(DisplayName, "1 to 128 characters, no control characters, no blank at either end");

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for DisplayName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for DisplayName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Text::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_that_a_person_can_tell_from_another() {
        for good in ["a", "Acme GmbH & Co. KG", "北京", &"ä".repeat(128)] {
            assert_eq!(good.parse::<DisplayName>().unwrap().as_str(), good);
        }
        for bad in ["", " ", " Acme", "Acme ", "Ac\nme", "Ac\u{7}me", "Acme\u{a0}", &"ä".repeat(129)] {
            assert!(bad.parse::<DisplayName>().is_err(), "{bad:?}");
        }
    }
}
