use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stanchion_core::Text;

/// What an event can be told apart by besides its meter and subject: `route = chat`, `region = eu`. Clones share it.
///
/// Each name stands once, and the order in which names are given does not matter.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dimensions(Option<Arc<[(Text, Text)]>>);

impl Dimensions {
    /// The most names of an event.
    pub const MAX: usize = 16;

    /// Goes through names and values in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &Text)> {
        self.0.as_deref().unwrap_or_default().iter().map(|(name, value)| (name, value))
    }

    /// Finds a value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Text> {
        self.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    }

    /// Tells whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Tells whether every name of `other` is here with the same value.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(name, value)| self.get(name.as_str()) == Some(value))
    }

    /// Tells whether there are at most 16 names of 1 to 64 bytes with values of 0 to 256, all without control characters.
    pub(crate) fn are_within_bounds(&self) -> bool {
        let is_good = |(name, value): (&Text, &Text)| {
            is_plain(name.as_str(), 1, 64) && is_plain(value.as_str(), 0, 256)
        };
        self.iter().len() <= Self::MAX && self.iter().all(is_good)
    }
}

/// Takes names and values in any order; of a name that comes twice the later value stands.
impl<N: Into<Text>, V: Into<Text>> FromIterator<(N, V)> for Dimensions {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut sorted: Vec<(Text, Text)> = Vec::new();
        for (name, value) in pairs {
            let (name, value) = (name.into(), value.into());
            match sorted.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(place) => sorted.splice(place..=place, [(name, value)]).for_each(drop),
                Err(place) => sorted.insert(place, (name, value)),
            }
        }
        Self((!sorted.is_empty()).then(|| sorted.into()))
    }
}

/// Tells whether a text has so many bytes and no control characters: stores cannot keep all of those, and logs must not print them.
pub(crate) fn is_plain(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && !text.bytes().any(|byte| byte < 0x20 || byte == 0x7f)
}

impl fmt::Debug for Dimensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Dimensions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> serde::de::Visitor<'de> for Pairs {
            type Value = Dimensions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of at most 16 texts, each name once")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Dimensions, M::Error> {
                let mut pairs: Vec<(Text, Text)> = Vec::new();
                while let Some(pair) = map.next_entry::<Text, Text>()? {
                    pairs.push(pair);
                    if pairs.len() > Dimensions::MAX {
                        return Err(M::Error::custom("more than 16 dimensions"));
                    }
                }
                let given = pairs.len();
                let dimensions = Dimensions::from_iter(pairs);
                if dimensions.iter().len() == given {
                    Ok(dimensions)
                } else {
                    Err(M::Error::custom("a dimension's name stands twice"))
                }
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_a_name_stands_once() {
        let one = Dimensions::from_iter([("route", "chat"), ("region", "eu")]);
        assert_eq!(one, Dimensions::from_iter([("region", "us"), ("route", "chat"), ("region", "eu")]));
        assert_eq!(one.get("region").map(Text::as_str), Some("eu"));
        assert_eq!(one.iter().len(), 2);
        assert!(one.contains(&Dimensions::from_iter([("region", "eu")])));
        assert!(!one.contains(&Dimensions::from_iter([("region", "us")])));
        assert!(!Dimensions::default().contains(&one));
        assert!(Dimensions::from_iter([("", ""); 0]).is_empty());
    }

    #[test]
    fn bounds_are_kept() {
        let many = |count| (0..count).map(|number| (format!("name-{number}"), "")).collect::<Dimensions>();
        assert!(many(16).are_within_bounds());
        assert!(!many(17).are_within_bounds());
        for (name, value) in
            [("", "x".into()), ("a", "x\0".into()), ("a\n", String::new()), ("a", "x".repeat(257))]
        {
            assert!(!Dimensions::from_iter([(name, value)]).are_within_bounds());
        }
    }

    #[test]
    fn json_reads_back_and_a_name_twice_is_refused() {
        let dimensions: Dimensions = serde_json::from_str(r#"{"route":"chat","region":"eu"}"#).unwrap();
        assert_eq!(serde_json::to_string(&dimensions).unwrap(), r#"{"region":"eu","route":"chat"}"#);
        assert!(serde_json::from_str::<Dimensions>(r#"{"a":"1","a":"2"}"#).is_err());
    }
}
