use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use crate::{InvalidId, Text};

/// Which of its maker's events an event is: the numbers that a producer gives in one run to the events of one scope are dense, from 1.
/// So an event that was made and is not there is missed. Its text is `<producer>/<boot>/<number>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProducerNumber {
    producer: Text,
    boot: Uuid,
    number: u64,
}

impl ProducerNumber {
    /// The greatest number, which every JSON reader keeps exactly.
    pub const MAX: u64 = (1 << 53) - 1;

    const RULE: &str = "expected PRODUCER/BOOT/NUMBER: a name of 1 to 64 of a-z, 0-9, `.`, `_`, `-`; a UUID in lower case; 1 to 2^53 - 1";

    /// Numbers an event; `None` when the producer's name is none or the number is out of its range.
    #[must_use]
    pub fn new(producer: Text, boot: Uuid, number: u64) -> Option<Self> {
        let is_valid = Self::is_producer(producer.as_str()) && (1..=Self::MAX).contains(&number);
        is_valid.then_some(Self { producer, boot, number })
    }

    /// Tells whether a text can name a producer: 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`.
    #[must_use]
    pub fn is_producer(text: &str) -> bool {
        let is_letter = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        (1..=64).contains(&text.len()) && text.bytes().all(is_letter)
    }

    /// Returns the producer.
    #[must_use]
    pub const fn producer(&self) -> &Text {
        &self.producer
    }

    /// Returns which run of the producer.
    #[must_use]
    pub const fn boot(&self) -> Uuid {
        self.boot
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for ProducerNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.producer, self.boot, self.number)
    }
}

impl FromStr for ProducerNumber {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parsed = (|| {
            let mut parts = text.splitn(3, '/');
            let (producer, boot, number) = (parts.next()?, parts.next()?, parts.next()?);
            let number = Self::new(producer.to_owned().into(), boot.parse().ok()?, number.parse().ok()?)?;
            // One number has one text.
            (number.to_string() == text).then_some(number)
        })();
        parsed.ok_or_else(|| InvalidId::new("producer number", Self::RULE, text))
    }
}

impl Serialize for ProducerNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProducerNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_text() {
        let good = "gateway-1.eu/0192f0c1-2345-7abc-8def-0123456789ab/7";
        assert_eq!(good.parse::<ProducerNumber>().unwrap().to_string(), good);
        let boot = "0192f0c1-2345-7abc-8def-0123456789ab";
        for bad in [
            String::new(),
            format!("/{boot}/1"),
            format!("A/{boot}/1"),
            format!("a/{boot}/0"),
            format!("a/{boot}/01"),
            format!("a/{boot}/9007199254740992"),
            format!("a/{}/1", boot.to_uppercase()),
            format!("a/{boot}/1/2"),
            format!("a/{boot}"),
        ] {
            assert!(bad.parse::<ProducerNumber>().is_err(), "{bad}");
        }
    }
}
