use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A way to tell clients of their rate limits. `Retry-After` is the same in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dialect {
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`, of the tightest limit. The reset is an instant, in Unix seconds.
    LegacyUnix,
    /// The same fields; the reset is a number of seconds from now.
    LegacyDelta,
    /// `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10 and -11: what is left is `r`, the seconds to
    /// wait for more are `t`.
    Draft10,
    /// The same fields as pull request 166 to that draft has them: what is available is `a`, its window `w`, and the cost of the
    /// request `c`.
    Pull166,
}

impl Dialect {
    /// Returns the name that configurations use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LegacyUnix => "legacy_unix",
            Self::LegacyDelta => "legacy_delta",
            Self::Draft10 => "draft10",
            Self::Pull166 => "pull166",
        }
    }

    const fn is_legacy(self) -> bool {
        matches!(self, Self::LegacyUnix | Self::LegacyDelta)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The dialects that responses are written in: of those that write the same fields, one at most.
///
/// By default [`Dialect::LegacyUnix`] and [`Dialect::Draft10`]. In a configuration it is a list of names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dialects {
    legacy: Option<Dialect>,
    standard: Option<Dialect>,
}

/// Two of the dialects write the same fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidDialects(Dialect, Dialect);

impl fmt::Display for InvalidDialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` and `{}` write the same fields: leave one out", self.0, self.1)
    }
}

impl std::error::Error for InvalidDialects {}

impl Dialects {
    /// No fields but `Retry-After`.
    pub const NONE: Self = Self { legacy: None, standard: None };

    /// Takes dialects; their order does not matter.
    ///
    /// # Errors
    /// [`InvalidDialects`] when two of them write the same fields.
    pub fn new(dialects: impl IntoIterator<Item = Dialect>) -> Result<Self, InvalidDialects> {
        let mut all = Self::NONE;
        for dialect in dialects {
            let place = if dialect.is_legacy() { &mut all.legacy } else { &mut all.standard };
            if let Some(first) = place.replace(dialect) {
                return Err(InvalidDialects(first, dialect));
            }
        }
        Ok(all)
    }

    /// Goes through them.
    pub fn iter(self) -> impl Iterator<Item = Dialect> {
        self.legacy.into_iter().chain(self.standard)
    }

    /// The one that writes `X-RateLimit-*`.
    pub(super) const fn legacy(self) -> Option<Dialect> {
        self.legacy
    }

    /// The one that writes `RateLimit` and `RateLimit-Policy`.
    pub(super) const fn standard(self) -> Option<Dialect> {
        self.standard
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Self { legacy: Some(Dialect::LegacyUnix), standard: Some(Dialect::Draft10) }
    }
}

impl From<Dialect> for Dialects {
    fn from(dialect: Dialect) -> Self {
        if dialect.is_legacy() {
            Self { legacy: Some(dialect), ..Self::NONE }
        } else {
            Self { standard: Some(dialect), ..Self::NONE }
        }
    }
}

impl fmt::Debug for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Dialects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Dialects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<Dialect>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Dialects {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Dialects".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        std::collections::BTreeSet::<Dialect>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_its_dialects() {
        let dialects: Dialects = serde_json::from_str(r#"["pull166", "legacy_delta"]"#).unwrap();
        assert_eq!(dialects, Dialects::new([Dialect::LegacyDelta, Dialect::Pull166]).unwrap());
        assert_eq!(serde_json::to_string(&dialects).unwrap(), r#"["legacy_delta","pull166"]"#);
        assert_eq!(serde_json::to_string(&Dialects::default()).unwrap(), r#"["legacy_unix","draft10"]"#);
        assert_eq!(serde_json::from_str::<Dialects>("[]").unwrap(), Dialects::NONE);
    }

    #[test]
    fn no_field_is_written_twice() {
        for (twice, what) in [
            (r#"["draft10", "pull166"]"#, "`draft10` and `pull166` write the same fields: leave one out"),
            (r#"["legacy_unix", "draft10", "legacy_unix"]"#, "`legacy_unix` and `legacy_unix` write"),
        ] {
            let error = serde_json::from_str::<Dialects>(twice).unwrap_err().to_string();
            assert!(error.starts_with(what), "{error}");
        }
        assert!(serde_json::from_str::<Dialects>(r#"["draft9"]"#).is_err());
    }
}
