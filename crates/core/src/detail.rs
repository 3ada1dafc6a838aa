use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::Text;

/// Why a number is refused: JSON readers do not agree on it, and signed bytes must mean the same to all of them.
const NO_INTEGER: &str = "a number here is whole and within ±(2^53 − 1): give this one as text";

/// A value inside an event's details. There are no floats: their text is not the same everywhere, and signed bytes must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Detail {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number. Beyond ±(2^53 − 1) it is written as text, since JSON readers round it.
    Integer(i64),
    /// Text.
    Text(Text),
    /// A list.
    List(Vec<Detail>),
    /// Named values.
    Map(Details),
}

impl From<bool> for Detail {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Detail {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Detail {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u16> for Detail {
    fn from(value: u16) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u64> for Detail {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or_else(|_| Self::Text(value.to_string().into()), Self::Integer)
    }
}

impl From<&'static str> for Detail {
    fn from(value: &'static str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Detail {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<Text> for Detail {
    fn from(value: Text) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<Detail>> for Detail {
    fn from(value: Vec<Detail>) -> Self {
        Self::List(value)
    }
}

impl From<Details> for Detail {
    fn from(value: Details) -> Self {
        Self::Map(value)
    }
}

/// Named values, each name once, in the order they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details(Vec<(Text, Detail)>);

impl Details {
    /// Sets a value, replacing an earlier one of the same name.
    pub fn push(&mut self, name: impl Into<Text>, value: impl Into<Detail>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Finds a value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Detail> {
        self.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    }

    /// Goes through the values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Detail)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Tells whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }
}

impl<N: Into<Text>, V: Into<Detail>> FromIterator<(N, V)> for Details {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(values: I) -> Self {
        let mut details = Self::default();
        for (name, value) in values {
            details.push(name, value);
        }
        details
    }
}

impl Serialize for Details {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Details;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with each name once")
            }

            fn visit_map<M: de::MapAccess<'de>>(self, mut map: M) -> Result<Details, M::Error> {
                let mut details = Details::default();
                while let Some(name) = map.next_key::<Text>()? {
                    if details.get(name.as_str()).is_some() {
                        return Err(de::Error::custom(format_args!("the name `{name}` stands twice")));
                    }
                    details.0.push((name, map.next_value()?));
                }
                Ok(details)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl<'de> Deserialize<'de> for Detail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Detail;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null, a boolean, a whole number, text, a list or an object")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Detail, E> {
                Ok(Detail::Null)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Detail, E> {
                Ok(Detail::Bool(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Detail, E> {
                Ok(Detail::Integer(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Detail, E> {
                i64::try_from(value).map(Detail::Integer).map_err(|_| E::custom(NO_INTEGER))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Detail, E> {
                Err(E::custom(NO_INTEGER))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Detail, E> {
                Ok(Detail::from(value.to_owned()))
            }

            fn visit_string<E: de::Error>(self, value: String) -> Result<Detail, E> {
                Ok(Detail::from(value))
            }

            fn visit_seq<S: de::SeqAccess<'de>>(self, mut items: S) -> Result<Detail, S::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Detail::List(list))
            }

            fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<Detail, M::Error> {
                Details::deserialize(de::value::MapAccessDeserializer::new(map)).map(Detail::Map)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_refuse_a_name_twice_and_a_fraction() {
        assert!(
            serde_json::from_str::<Details>(r#"{"a":1,"a":2}"#)
                .unwrap_err()
                .to_string()
                .contains("`a` stands twice")
        );
        assert!(serde_json::from_str::<Details>(r#"{"a":1.5}"#).is_err());
        let nested: Details = serde_json::from_str(r#"{"a":{"b":[true,null,"x"]}}"#).unwrap();
        assert_eq!(serde_json::to_string(&nested).unwrap(), r#"{"a":{"b":[true,null,"x"]}}"#);
    }

    #[test]
    fn a_number_no_json_reader_could_keep_becomes_text() {
        assert_eq!(Detail::from(u64::MAX), Detail::Text("18446744073709551615".into()));
    }
}
