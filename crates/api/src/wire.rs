//! How values look in documents where the domains' own form is not it.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stanchion_core::Revision;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// The schema of a text, with a format if it has one.
pub(crate) fn text(format: Option<&str>) -> RefOr<Schema> {
    let format = format.map(|format| SchemaFormat::Custom(format.to_owned()));
    ObjectBuilder::new().schema_type(Type::String).format(format).into()
}

/// A whole number of 64 bits: text on the wire, since JSON readers round what is beyond 2^53. Numbers are read too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Integer(pub(crate) u64);

impl From<Revision> for Integer {
    fn from(revision: Revision) -> Self {
        Self(revision.number())
    }
}

impl Serialize for Integer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Integer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of at most 64 bits, such as \"1000\"")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Integer, E> {
                Ok(Integer(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Integer, E> {
                let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse().ok().filter(|_| is_plain);
                number.map(Integer).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Whole)
    }
}

impl PartialSchema for Integer {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[0-9]+$"))
            .description(Some("A whole number of 64 bits."))
            .into()
    }
}

impl ToSchema for Integer {}

/// A decimal number: text on the wire. Whole numbers are read too; fractions are not, since a reader may have rounded them before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exact(pub(crate) Decimal);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Exact;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number as text, such as \"0.25\"")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Exact, E> {
                Ok(Exact(number.into()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Exact, E> {
                Ok(Exact(number.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Exact, E> {
                let number = Decimal::from_str_exact(text);
                number.map(Exact).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl PartialSchema for Exact {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^-?[0-9]+(\\.[0-9]+)?$"))
            .description(Some("A decimal number."))
            .into()
    }
}

impl ToSchema for Exact {
    fn name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_exact_or_refused() {
        assert_eq!(
            serde_json::to_string(&serde_json::from_str::<Exact>("\"0.10\"").unwrap()).unwrap(),
            "\"0.10\""
        );
        assert_eq!(serde_json::from_str::<Exact>("-2").unwrap(), Exact(Decimal::from(-2)));
        for bad in ["0.1", "\"1e400\"", "\"x\"", "null"] {
            assert!(serde_json::from_str::<Exact>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_is_written_as_text_and_read_as_either() {
        assert_eq!(serde_json::to_string(&Integer(u64::MAX)).unwrap(), "\"18446744073709551615\"");
        for text in ["7", "\"7\"", "\"007\""] {
            assert_eq!(serde_json::from_str::<Integer>(text).unwrap(), Integer(7));
        }
        for bad in ["-7", "7.0", "\"+7\"", "\"\"", "\"18446744073709551616\"", "true"] {
            assert!(serde_json::from_str::<Integer>(bad).is_err(), "{bad}");
        }
    }
}
