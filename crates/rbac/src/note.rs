use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use stanchion_core::{InvalidId, Text};

/// Why something is so, in somebody's own words: 1 to 1,000 characters, without control characters other than line breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Note(Text);

impl Note {
    /// The most characters of a note.
    pub const MAX_CHARS: usize = 1_000;

    /// Checks and takes a note.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks the rule.
    pub fn new(text: impl Into<Text>) -> Result<Self, InvalidId> {
        const RULE: &str = "use 1 to 1000 characters, no control characters but line breaks";
        let text = text.into();
        let length = text.as_str().chars().take(Self::MAX_CHARS + 1).count();
        let legible = |letter: char| !letter.is_control() || letter == '\n';
        if (1..=Self::MAX_CHARS).contains(&length) && text.as_str().chars().all(legible) {
            Ok(Self(text))
        } else {
            Err(InvalidId::new("note", RULE, text.as_str()))
        }
    }

    /// Borrows the text.
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

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Note {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Note {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Text::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_legible_and_bounded() {
        assert_eq!("on call\nuntil Monday".parse::<Note>().unwrap().as_str(), "on call\nuntil Monday");
        assert!("ä".repeat(1_000).parse::<Note>().is_ok());
        for bad in ["", "bell\u{7}", "red\u{1b}[31m", &"ä".repeat(1_001)] {
            assert!(bad.parse::<Note>().is_err(), "{bad:?}");
        }
    }
}
