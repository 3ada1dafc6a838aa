use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stanchion_core::{InvalidId, Text};
use stanchion_rbac::{Resource, ResourceType};

/// Which resource a request is about, by the parameters of its route's path: `document/{id}`, or `folder/{folder}/document/{id}` for one
/// that is nested in another. Without an id at the end, `folder/{folder}/document`, it is the type as a whole, as when one is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceTemplate(Vec<Part>);

/// One resource, the outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    kind: ResourceType,
    id: Option<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Id {
    /// The same for every request.
    Fixed(String),
    /// What stands at a parameter of the path.
    Parameter(String),
}

const RULE: &str =
    "write TYPE/{PARAMETER}, TYPE/ID, or several of them with slashes between, the outermost first";

impl ResourceTemplate {
    /// Returns the type of the resource itself.
    pub(crate) fn kind(&self) -> Option<&ResourceType> {
        self.0.last().map(|part| &part.kind)
    }

    /// Goes through the parameters that it takes ids from.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match &part.id {
            Some(Id::Parameter(name)) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Names the resource of a path that fits the pattern.
    pub(crate) fn of(&self, pattern: &str, path: &str) -> Option<Resource> {
        self.0.iter().fold(None, |outer, part| {
            let id = match &part.id {
                Some(Id::Fixed(id)) => Some(Cow::Borrowed(id.as_str())),
                Some(Id::Parameter(name)) => value(pattern, path, name).map(decoded),
                None => None,
            };
            let kind = part.kind.clone();
            let resource = match id {
                Some(id) => Resource::new(kind, Text::from(id.into_owned())),
                None => Resource::of_type(kind),
            };
            Some(match outer {
                Some(outer) => resource.inside(outer),
                None => resource,
            })
        })
    }
}

/// Returns the name of the parameter that a segment of a route's path stands for, `{id}`.
pub(crate) fn parameter(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    ((1..=32).contains(&name.len()) && name.bytes().all(is_name)).then_some(name)
}

/// Tells whether a path fits a pattern with parameters: each stands for one segment, which is not empty.
pub(crate) fn fits(pattern: &str, path: &str, and_below: bool) -> bool {
    let pattern = if and_below { pattern.trim_end_matches('/') } else { pattern };
    let mut given = path.split('/');
    let all = pattern.split('/').all(|segment| match given.next() {
        Some(value) if parameter(segment).is_some() => !value.is_empty(),
        Some(value) => value == segment,
        None => false,
    });
    all && (and_below || given.next().is_none())
}

fn value<'a>(pattern: &str, path: &'a str, name: &str) -> Option<&'a str> {
    let mut both = pattern.split('/').zip(path.split('/'));
    both.find(|(segment, _)| parameter(segment) == Some(name)).map(|(_, value)| value)
}

/// What the service behind reads, so that no encoding of an id is taken for another id. Bytes that are no text stay encoded.
fn decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    // A normal path has two digits after each percent sign.
    let mut parts = segment.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let value = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (Some(value), Some(rest)) = (value, part.get(2..)) else { return Cow::Borrowed(segment) };
        bytes.push(value);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

impl FromStr for ResourceTemplate {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = |rule| InvalidId::new("resource", rule, text);
        let mut parts = Vec::new();
        let mut segments = text.split('/');
        while let Some(kind) = segments.next() {
            let kind = kind.parse().map_err(|_| invalid(RULE))?;
            let id = match segments.next() {
                None => None,
                Some(segment) if segment.starts_with('{') => {
                    let name = parameter(segment).ok_or_else(|| {
                        invalid("a parameter is 1 to 32 of a-z, 0-9 and `_` in braces, as in the path")
                    })?;
                    Some(Id::Parameter(name.to_owned()))
                }
                Some(segment) => {
                    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"{}*%".contains(&byte);
                    if segment.is_empty() || segment.len() > 128 || !segment.bytes().all(is_plain) {
                        return Err(invalid(RULE));
                    }
                    Some(Id::Fixed(segment.to_owned()))
                }
            };
            parts.push(Part { kind, id });
        }
        if parts.len() > Resource::MAX_DEPTH {
            return Err(invalid("at most 16 resources are nested in one another"));
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for ResourceTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Part { kind, id }) in self.0.iter().enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            write!(f, "{slash}{kind}")?;
            match id {
                Some(Id::Fixed(id)) => write!(f, "/{id}")?,
                Some(Id::Parameter(name)) => write!(f, "/{{{name}}}")?,
                None => {}
            }
        }
        Ok(())
    }
}

impl Serialize for ResourceTemplate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceTemplate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

stanchion_core::text_schema!(ResourceTemplate, "`TYPE/{PARAMETER}`, several for nested ones");

#[cfg(test)]
mod tests {
    use super::*;

    fn id(resource: &Resource) -> Option<&str> {
        resource.id.as_ref().map(Text::as_str)
    }

    fn template(text: &str) -> ResourceTemplate {
        text.parse().unwrap()
    }

    #[test]
    fn a_resource_is_named_by_the_parameters_of_the_path() {
        let nested = template("folder/{folder}/document/{id}");
        let resource = nested.of("/f/{folder}/d/{id}", "/f/7/d/42/pages").unwrap();
        assert_eq!((resource.kind.as_str(), id(&resource)), ("document", Some("42")));
        let folder = resource.parent.unwrap();
        assert_eq!((folder.kind.as_str(), id(&folder)), ("folder", Some("7")));
        let whole = template("folder/{folder}/document").of("/f/{folder}/d", "/f/7/d").unwrap();
        assert_eq!((id(&whole), id(whole.parent.as_deref().unwrap())), (None, Some("7")));
        let fixed = template("vault/main").of("/vault", "/vault").unwrap();
        assert_eq!(id(&fixed), Some("main"));
        for text in ["folder/{folder}/document/{id}", "vault/main", "document"] {
            assert_eq!(template(text).to_string(), text);
        }
    }

    #[test]
    fn an_encoded_id_is_the_id_that_the_service_reads() {
        for (written, read) in [
            ("a%3Ab", "a:b"),
            ("a%20b", "a b"),
            ("%C3%A4", "ä"),
            ("100%25", "100%"),
            ("%FF", "%FF"),
            ("plain", "plain"),
        ] {
            assert_eq!(decoded(written), read, "{written}");
        }
    }

    #[test]
    fn a_parameter_stands_for_one_whole_segment() {
        for (path, below, alone) in [
            ("/d/42", true, true),
            ("/d/42/pages", true, false),
            ("/d/42/", true, false),
            ("/d/", false, false),
            ("/d", false, false),
            ("/e/42", false, false),
        ] {
            assert_eq!((fits("/d/{id}", path, true), fits("/d/{id}", path, false)), (below, alone), "{path}");
        }
        assert!(fits("/d/{id}/pages", "/d/42/pages/1", true) && !fits("/d/{id}/pages", "/d/42/page", true));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for wrong in
            ["", "/", "document/", "Document/{id}", "document/{Id}", "document/{}", "document/*", "a/b/"]
        {
            assert!(wrong.parse::<ResourceTemplate>().is_err(), "{wrong}");
        }
        assert!(["a/b"; 17].join("/").parse::<ResourceTemplate>().is_err());
    }
}
