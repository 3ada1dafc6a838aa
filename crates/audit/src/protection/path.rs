use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::{Detail, Details, Event, FieldChange, Recorded, Text};

const MAX_BYTES: usize = 256;

/// A field of an event whose value can be protected: `details.email`, `details.customer.email`, `changes.email` (before and after),
/// `source.ip` or `source.user_agent`.
///
/// The two of the source are typed in an event, so their protected values stand in the details instead, as `source_ip` and
/// `source_user_agent`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Text);

/// A text that names no field of an event that can be protected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no field: use details.NAME, details.NAME.NAME, changes.FIELD, source.ip or source.user_agent"
)]
pub struct InvalidField {
    given: String,
}

/// Where a value stands in an event: the field, and for changes which side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At<'a> {
    pub(crate) field: &'a str,
    pub(crate) side: &'static str,
}

impl<'a> At<'a> {
    const fn detail(field: &'a str) -> Self {
        Self { field, side: "" }
    }
}

impl FieldPath {
    /// Borrows the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the field in which the protected value stands.
    #[must_use]
    pub fn stored(&self) -> &str {
        match self.as_str() {
            "source.ip" => "details.source_ip",
            "source.user_agent" => "details.source_user_agent",
            other => other,
        }
    }

    /// Tells whether an event has a value there, protected or not.
    pub(crate) fn is_in(&self, event: &Event) -> bool {
        match self.as_str().split_once('.') {
            Some(("details", rest)) => find(&event.details, rest).is_some(),
            Some(("changes", field)) => event.changes.iter().any(|change| {
                change.field.as_str() == field
                    && [&change.before, &change.after].into_iter().any(Option::is_some)
            }),
            Some((_, "ip")) => event.source.ip.is_some(),
            _ => event.source.user_agent.is_some(),
        }
    }

    /// Has `seal` make each value that stands there into another one. Returns how many there were.
    pub(crate) fn replace<E>(
        &self,
        event: &mut Event,
        seal: &mut dyn FnMut(At<'_>, &Detail) -> Result<Detail, E>,
    ) -> Result<usize, E> {
        let stored = self.stored();
        match self.as_str().split_once('.') {
            Some(("details", rest)) => {
                let mut count = 0;
                let details = in_details(&event.details, rest, &mut |value| {
                    count += 1;
                    seal(At::detail(stored), value)
                })?;
                if count > 0 {
                    event.details = details;
                }
                Ok(count)
            }
            Some(("changes", field)) => {
                let mut count = 0;
                for change in event.changes.iter_mut().filter(|change| change.field.as_str() == field) {
                    let FieldChange { before, after, .. } = change;
                    for (recorded, side) in [(before, "before"), (after, "after")] {
                        let Some(Recorded::Value(value)) = recorded else { continue };
                        *value = seal(At { field: stored, side }, value)?;
                        count += 1;
                    }
                }
                Ok(count)
            }
            Some((_, "ip")) => {
                let Some(ip) = event.source.ip else { return Ok(0) };
                let sealed = seal(At::detail(stored), &Detail::from(ip.to_string()))?;
                event.source.ip = None;
                event.details.push("source_ip", sealed);
                Ok(1)
            }
            _ => {
                let Some(agent) = event.source.user_agent.clone() else { return Ok(0) };
                let sealed = seal(At::detail(stored), &Detail::Text(agent))?;
                event.source.user_agent = None;
                event.details.push("source_user_agent", sealed);
                Ok(1)
            }
        }
    }
}

/// Goes through every value of an event that `is_one` picks, wherever it stands, and has `open` make it into another one.
pub(crate) fn each(
    event: &mut Event,
    is_one: &dyn Fn(&Detail) -> bool,
    open: &mut dyn FnMut(At<'_>, &Detail) -> Detail,
) {
    if event.details.iter().any(|(_, value)| holds(value, is_one)) {
        event.details = walk(&event.details, "details", is_one, open);
    }
    for change in &mut event.changes {
        let FieldChange { field, before, after } = change;
        let field = format!("changes.{field}");
        for (recorded, side) in [(before, "before"), (after, "after")] {
            let Some(Recorded::Value(value)) = recorded else { continue };
            if is_one(value) {
                *value = open(At { field: &field, side }, value);
            }
        }
    }
}

fn holds(value: &Detail, is_one: &dyn Fn(&Detail) -> bool) -> bool {
    match value {
        value if is_one(value) => true,
        Detail::Map(details) => details.iter().any(|(_, value)| holds(value, is_one)),
        _ => false,
    }
}

fn walk(
    details: &Details,
    within: &str,
    is_one: &dyn Fn(&Detail) -> bool,
    open: &mut dyn FnMut(At<'_>, &Detail) -> Detail,
) -> Details {
    let step = |(name, value): (&Text, &Detail)| {
        let field = format!("{within}.{name}");
        let value = match value {
            value if is_one(value) => open(At::detail(&field), value),
            Detail::Map(inner) => Detail::Map(walk(inner, &field, is_one, open)),
            other => other.clone(),
        };
        (name.clone(), value)
    };
    details.iter().map(step).collect()
}

fn find<'d>(details: &'d Details, rest: &str) -> Option<&'d Detail> {
    details.get(rest).or_else(|| {
        details.iter().find_map(|(name, value)| match (below(rest, name.as_str()), value) {
            (Some(rest), Detail::Map(inner)) => find(inner, rest),
            _ => None,
        })
    })
}

fn in_details<E>(
    details: &Details,
    rest: &str,
    change: &mut dyn FnMut(&Detail) -> Result<Detail, E>,
) -> Result<Details, E> {
    let mut made = Details::default();
    for (name, value) in details.iter() {
        let value = match (below(rest, name.as_str()), value) {
            _ if name.as_str() == rest => change(value)?,
            (Some(rest), Detail::Map(inner)) => Detail::Map(in_details(inner, rest, change)?),
            _ => value.clone(),
        };
        made.push(name.clone(), value);
    }
    Ok(made)
}

/// What of a path is left below a name.
fn below<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    path.strip_prefix(name)?.strip_prefix('.')
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for FieldPath {
    type Err = InvalidField;

    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let is_field = match text.split_once('.') {
            Some(("details" | "changes", rest)) => {
                !rest.is_empty() && text.len() <= MAX_BYTES && !text.chars().any(char::is_control)
            }
            Some(("source", rest)) => matches!(rest, "ip" | "user_agent"),
            _ => false,
        };
        if is_field {
            Ok(Self(text.to_owned().into()))
        } else {
            Err(InvalidField { given: text.chars().take(80).collect() })
        }
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for FieldPath {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FieldPath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_one_of_the_details_the_changes_or_the_source() {
        for good in
            ["details.email", "details.a.b", "details.a b", "changes.email", "source.ip", "source.user_agent"]
        {
            assert_eq!(good.parse::<FieldPath>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "details",
            "details.",
            "actor",
            "actor.subject",
            "source.port",
            "changes.",
            "details.a\n",
            "email",
        ] {
            assert!(bad.parse::<FieldPath>().is_err(), "{bad}");
        }
        assert!(format!("details.{}", "x".repeat(249)).parse::<FieldPath>().is_err());
    }
}
