use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// The text is not an id of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidId {
    what: &'static str,
    rule: &'static str,
    given: String,
}

impl InvalidId {
    /// Describes a refused id: `what` it should have been, the `rule` it breaks, and what was `given`.
    #[must_use]
    pub fn new(what: &'static str, rule: &'static str, given: &str) -> Self {
        let given = given.chars().take(80).collect();
        Self { what, rule, given }
    }
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a {}: {}", self.given, self.what, self.rule)
    }
}

impl std::error::Error for InvalidId {}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
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

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| InvalidId::new($what, "expected a UUID such as 0192f0c1-2345-7abc-8def-0123456789ab", text))
            }
        }
    };
}

uuid_id!(
    /// A tenant: the customer whose data and limits are kept apart from every other's.
    TenantId, "tenant id"
);
uuid_id!(
    /// An API key, in whatever generation of its secret.
    KeyId, "key id"
);
uuid_id!(
    /// One request. Always made here, never taken from a client.
    RequestId, "request id"
);
uuid_id!(
    /// A session: what a subject does from logging in to logging out.
    SessionId, "session id"
);
uuid_id!(
    /// One event: an audit record, an alert or a usage event.
    EventId, "event id"
);

/// A short name that people choose: 1 to 64 of `a-z 0-9 _ - .`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Arc<str>);

impl Slug {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is not a slug; it names the rule.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        Self::checked("name", text)
    }

    /// Checks and takes a name, calling it `what` in the error.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is not a slug.
    pub fn checked(what: &'static str, text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "use 1 to 64 of a-z, 0-9, `_`, `-`, `.`, beginning with a letter or digit";
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
        if starts_well && text.len() <= 64 && text.chars().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new(what, RULE, text))
        }
    }

    /// Borrows the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the shared text, without copying it.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

crate::text_schema!(Slug, "1 to 64 of `a-z 0-9 _ - .`, beginning with a letter or digit");

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl std::borrow::Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl Serialize for Slug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(D::Error::custom)
    }
}

/// Declares a typed name over [`Slug`], for example `slug_id!(/** A role. */ RoleId, "role id");`.
#[macro_export]
macro_rules! slug_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($crate::Slug);

        impl $name {
            /// Checks and takes a name: 1 to 64 of `a-z 0-9 _ - .`, beginning with a letter or digit.
            ///
            /// # Errors
            /// [`InvalidId`](stanchion_core::InvalidId) when the text breaks that rule.
            pub fn new(text: &str) -> ::core::result::Result<Self, $crate::InvalidId> {
                $crate::Slug::checked($what, text).map(Self)
            }

            /// Borrows the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// Returns the shared text, without copying it.
            #[must_use]
            pub fn shared(&self) -> ::std::sync::Arc<str> {
                self.0.shared()
            }
        }

        $crate::text_schema!($name, "1 to 64 of `a-z 0-9 _ - .`, beginning with a letter or digit");

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::InvalidId;

            fn from_str(text: &str) -> ::core::result::Result<Self, $crate::InvalidId> {
                Self::new(text)
            }
        }

        impl ::std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.0.as_str()
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str> as ::serde::Deserialize<'de>>::deserialize(deserializer)?;
                Self::new(&text).map_err(::serde::de::Error::custom)
            }
        }
    };
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_refuses_what_a_person_would_stumble_over() {
        for bad in ["", "Admin", "a b", "-a", ".a", "ä", "a/b", &"x".repeat(65)] {
            assert!(Slug::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "0", "ai.generation", "read-only_2", &"x".repeat(64)] {
            assert_eq!(Slug::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_refused_id_says_what_was_expected() {
        let error = "acme".parse::<TenantId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`acme` is not a tenant id: expected a UUID such as 0192f0c1-2345-7abc-8def-0123456789ab"
        );
    }

    #[test]
    fn ids_read_back_from_json() {
        let id: TenantId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"0192f0c1-2345-7abc-8def-0123456789ab\"");
        assert_eq!(serde_json::from_str::<TenantId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<Slug>("\"No\"").is_err());
    }
}
