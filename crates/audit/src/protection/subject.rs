use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::{Actor, Event, InvalidId, SubjectRef, Text};
use uuid::Uuid;

/// Whom a protected value is about: a subject, `user:alice`, or `unknown` for somebody who could not be known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataSubject(Text);

impl DataSubject {
    /// Nobody that could be known: an anonymous caller, a part of Stanchion itself.
    pub const UNKNOWN: Self = Self(Text::Static("unknown"));

    /// Nobody: the owner of a scope's key for blind indexes, which outlives every erasure.
    pub(crate) const INDEX: Self = Self(Text::Static("index"));

    /// Returns whom the values of an event are about unless it is said otherwise: the actor, or whom a part of Stanchion acted as.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        match (&event.actor, &event.acted_as) {
            (Actor::Subject { subject, .. }, _) | (_, Some(subject)) => subject.into(),
            _ => Self::UNKNOWN,
        }
    }

    /// Takes what an adapter has stored, also the owner of the key for blind indexes.
    ///
    /// # Errors
    /// [`InvalidId`] for another text than [`DataSubject::as_str`] gave.
    pub fn from_stored(text: &str) -> Result<Self, InvalidId> {
        if text == Self::INDEX.as_str() { Ok(Self::INDEX) } else { text.parse() }
    }

    /// Borrows the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<&SubjectRef> for DataSubject {
    fn from(subject: &SubjectRef) -> Self {
        Self(subject.to_string().into())
    }
}

impl fmt::Display for DataSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for DataSubject {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == Self::UNKNOWN.as_str() {
            return Ok(Self::UNKNOWN);
        }
        text.parse::<SubjectRef>().map(|subject| Self::from(&subject))
    }
}

impl Serialize for DataSubject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DataSubject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The id of a data key. It says nothing of whom the key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectKeyId(Uuid);

impl SubjectKeyId {
    /// Takes a UUID that was made by an `IdGen` or read back from a store.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for SubjectKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}
