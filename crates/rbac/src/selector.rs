use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::{InvalidId, Text};

use crate::{Resource, ResourceType};

/// Which resources a record is about: `document/42` for one and all that is nested in it, `document/*` for those of a type and all that is
/// nested in them. An id is 1 to 128 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceSelector(Arc<Selected>);

/// Behind a pointer: it stands in records of which there are a great many, and which nearly all have none.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Selected {
    kind: ResourceType,
    /// None for all of the type.
    id: Option<Text>,
}

const ALL: &str = "*";

impl ResourceSelector {
    /// Selects one resource.
    ///
    /// # Errors
    /// [`InvalidId`] when the id is none, or is `*`.
    pub fn one(kind: ResourceType, id: impl Into<Text>) -> Result<Self, InvalidId> {
        let id = id.into();
        let legible = id.as_str().bytes().all(|byte| byte.is_ascii_graphic());
        if legible && (1..=128).contains(&id.as_str().len()) && id.as_str() != ALL {
            Ok(Self(Arc::new(Selected { kind, id: Some(id) })))
        } else {
            Err(InvalidId::new(
                "resource selector",
                "an id is 1 to 128 visible ASCII characters",
                id.as_str(),
            ))
        }
    }

    /// Selects every resource of a type.
    #[must_use]
    pub fn every(kind: ResourceType) -> Self {
        Self(Arc::new(Selected { kind, id: None }))
    }

    /// Returns the type.
    #[must_use]
    pub fn kind(&self) -> &ResourceType {
        &self.0.kind
    }

    /// Returns the id, none when it selects every resource of its type.
    #[must_use]
    pub fn id(&self) -> Option<&Text> {
        self.0.id.as_ref()
    }

    /// Tells whether the resource, or something that it is nested in, is selected.
    #[must_use]
    pub fn selects(&self, resource: &Resource) -> bool {
        let Selected { kind, id } = &*self.0;
        let is_it = |resource: &Resource| {
            resource.kind == *kind && id.as_ref().is_none_or(|id| resource.id.as_ref() == Some(id))
        };
        resource.lineage().any(is_it)
    }
}

stanchion_core::text_schema!(ResourceSelector, "`TYPE/ID` or `TYPE/*`");

impl fmt::Display for ResourceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.kind, self.id().map_or(ALL, Text::as_str))
    }
}

impl fmt::Debug for ResourceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ResourceSelector {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (kind, id) = text
            .split_once('/')
            .ok_or_else(|| InvalidId::new("resource selector", "write TYPE/ID or TYPE/*", text))?;
        let kind = kind.parse()?;
        if id == ALL { Ok(Self::every(kind)) } else { Self::one(kind, id.to_owned()) }
    }
}

impl Serialize for ResourceSelector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> ResourceType {
        text.parse().unwrap()
    }

    #[test]
    fn it_selects_what_is_nested_too() {
        let document = Resource::new(kind("document"), "42").inside(Resource::new(kind("folder"), "7"));
        for (selector, selects) in [
            ("document/42", true),
            ("document/*", true),
            ("folder/7", true),
            ("folder/*", true),
            // One of the seeds takes what begins with an owner's id for the owner's: u1 would own what u10 has.
            ("document/4", false),
            ("folder/42", false),
            ("invoice/*", false),
        ] {
            let selector: ResourceSelector = selector.parse().unwrap();
            assert_eq!(selector.selects(&document), selects, "{selector}");
        }
        let any = Resource::of_type(kind("document"));
        assert!("document/*".parse::<ResourceSelector>().unwrap().selects(&any));
        assert!(!"document/42".parse::<ResourceSelector>().unwrap().selects(&any));
    }

    #[test]
    fn what_is_no_selector_says_why() {
        for bad in ["", "document", "document/", "/42", "*/42", "Document/42", "document/a b", "document/ü"]
        {
            assert!(bad.parse::<ResourceSelector>().is_err(), "{bad:?}");
        }
        assert_eq!("document/a/b".parse::<ResourceSelector>().unwrap().to_string(), "document/a/b");
    }
}
