use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{InvalidId, KeyId, Scope, TenantId, Text};

/// What kind of subject may hold a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// A person.
    User,
    /// A program that acts for itself.
    Service,
    /// A set of subjects.
    Group,
}

impl SubjectKind {
    /// Returns the name that texts and stores use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Group => "group",
        }
    }
}

/// A subject within a scope, written `user:alice`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectRef {
    kind: SubjectKind,
    id: Text,
}

impl SubjectRef {
    /// Names a subject. The id is 1 to 128 visible ASCII characters.
    ///
    /// # Errors
    /// [`InvalidId`] when the id breaks that rule.
    pub fn new(kind: SubjectKind, id: impl Into<Text>) -> Result<Self, InvalidId> {
        let id = id.into();
        check("subject", id.as_str())?;
        Ok(Self { kind, id })
    }

    /// Names a user.
    ///
    /// # Errors
    /// As [`SubjectRef::new`].
    pub fn user(id: impl Into<Text>) -> Result<Self, InvalidId> {
        Self::new(SubjectKind::User, id)
    }

    /// Names a service.
    ///
    /// # Errors
    /// As [`SubjectRef::new`].
    pub fn service(id: impl Into<Text>) -> Result<Self, InvalidId> {
        Self::new(SubjectKind::Service, id)
    }

    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> SubjectKind {
        self.kind
    }

    /// Returns the id within its kind.
    #[must_use]
    pub const fn id(&self) -> &Text {
        &self.id
    }
}

impl fmt::Display for SubjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.id)
    }
}

impl FromStr for SubjectRef {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("subject", "expected user:ID, service:ID or group:ID", text);
        let (kind, id) = text.split_once(':').ok_or_else(invalid)?;
        let kind = match kind {
            "user" => SubjectKind::User,
            "service" => SubjectKind::Service,
            "group" => SubjectKind::Group,
            _ => return Err(invalid()),
        };
        Self::new(kind, id.to_owned())
    }
}

/// A resource, written `document/42`: its type and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceRef {
    kind: Text,
    id: Text,
}

impl ResourceRef {
    /// Names a resource. Type and id are 1 to 128 visible ASCII characters, the type without `/`.
    ///
    /// # Errors
    /// [`InvalidId`] when one of them breaks that rule.
    pub fn new(kind: impl Into<Text>, id: impl Into<Text>) -> Result<Self, InvalidId> {
        let (kind, id) = (kind.into(), id.into());
        check("resource type", kind.as_str())?;
        check("resource id", id.as_str())?;
        if kind.as_str().contains('/') {
            return Err(InvalidId::new("resource type", "leave out `/`", kind.as_str()));
        }
        Ok(Self { kind, id })
    }

    /// Returns the type.
    #[must_use]
    pub const fn kind(&self) -> &Text {
        &self.kind
    }

    /// Returns the id within its type.
    #[must_use]
    pub const fn id(&self) -> &Text {
        &self.id
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl FromStr for ResourceRef {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (kind, id) =
            text.split_once('/').ok_or_else(|| InvalidId::new("resource", "expected TYPE/ID", text))?;
        Self::new(kind.to_owned(), id.to_owned())
    }
}

fn check(what: &'static str, text: &str) -> Result<(), InvalidId> {
    if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(InvalidId::new(what, "use 1 to 128 visible ASCII characters", text))
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_as_text!(SubjectRef);
serde_as_text!(ResourceRef);

/// How a principal proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthenticationMethod {
    /// A long random key, presented with each request.
    ApiKey,
}

impl AuthenticationMethod {
    /// Returns the name that records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
        }
    }
}

/// The proof behind a principal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authentication {
    /// How it was proven.
    pub method: AuthenticationMethod,
    /// The key that was presented, when it was one.
    pub key: Option<KeyId>,
}

/// Who is calling, and in whose name: the outcome of authentication.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The scope the credential is bound to. A request can confirm it, never choose it.
    pub scope: Scope,
    /// The subject that acts.
    pub subject: SubjectRef,
    /// The proof.
    pub authentication: Authentication,
}

impl Principal {
    /// Returns the tenant the credential is bound to, `None` for a platform principal.
    #[must_use]
    pub const fn tenant(&self) -> Option<TenantId> {
        self.scope.tenant()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_and_resources_read_back_as_written() {
        let subject: SubjectRef = "service:etl:nightly".parse().unwrap();
        assert_eq!((subject.kind(), subject.id().as_str()), (SubjectKind::Service, "etl:nightly"));
        assert_eq!(subject.to_string(), "service:etl:nightly");
        let resource: ResourceRef = "document/a/b".parse().unwrap();
        assert_eq!((resource.kind().as_str(), resource.id().as_str()), ("document", "a/b"));
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        for bad in ["alice", "user:", "admin:alice", "user:a b", "user:ä"] {
            assert!(bad.parse::<SubjectRef>().is_err(), "{bad}");
        }
        for bad in ["document", "/1", "a/"] {
            assert!(bad.parse::<ResourceRef>().is_err(), "{bad}");
        }
    }
}
