use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_calendar::{Date, Days, Hours, Schedule, Zone};
use stanchion_core::InvalidId;

use crate::permission::{is_segment, segment_covers};
use crate::{AttributeName, Value};

/// A condition that has to hold where a role or grant is to count.
///
/// Those of one role must all hold. They bind what the role permits by itself and what it includes; they never bind what another role
/// permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Constraint {
    /// The types of resources that it is about; all, if there is none. What it is not about it does not bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourcePattern>,
    /// What has to be so.
    #[serde(flatten)]
    pub rule: Rule,
}

/// What a [`Constraint`] asks for. Where it asks for what is missing, it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "rule", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// The resource belongs to the subject.
    OwnerOnly,
    /// The resource belongs to the subject's organization.
    OrganizationOnly,
    /// An attribute of the resource has a value.
    Equals(Equality),
    /// It is one of these hours.
    Time(Schedule),
}

/// What an attribute of the resource has to equal: a `value`, or the attribute of the `subject` with a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Equality {
    /// The attribute of the resource.
    pub attribute: AttributeName,
    /// What it has to equal.
    #[serde(flatten)]
    pub to: Operand,
}

/// The other side of an [`Equality`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operand {
    /// This value.
    Value(Value),
    /// What the subject has under this name.
    Subject(AttributeName),
}

impl Constraint {
    /// Asks for something wherever a role or grant is used.
    #[must_use]
    pub const fn new(rule: Rule) -> Self {
        Self { resource: None, rule }
    }

    /// Asks for it on resources of some types only.
    #[must_use]
    pub fn on(mut self, resource: ResourcePattern) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Tells whether it is about a type of resource.
    #[must_use]
    pub fn binds(&self, resource: &str) -> bool {
        self.resource.as_ref().is_none_or(|pattern| pattern.covers(resource))
    }
}

impl Rule {
    /// Returns the name that records and texts use.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::OwnerOnly => "owner_only",
            Self::OrganizationOnly => "organization_only",
            Self::Equals(_) => "equals",
            Self::Time(_) => "time",
        }
    }
}

/// A [`Constraint`] as it is written: what a rule does not know must not be passed over, or a misspelt condition would bind nobody.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    resource: Option<ResourcePattern>,
    rule: RuleName,
    attribute: Option<AttributeName>,
    value: Option<Value>,
    subject: Option<AttributeName>,
    hours: Option<Hours>,
    days: Option<Days>,
    from: Option<Date>,
    until: Option<Date>,
    zone: Option<Zone>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RuleName {
    OwnerOnly,
    OrganizationOnly,
    Equals,
    Time,
}

impl<'de> Deserialize<'de> for Constraint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { resource, rule, attribute, value, subject, hours, days, from, until, zone } =
            Written::deserialize(deserializer)?;
        let equality = attribute.is_some() || value.is_some() || subject.is_some();
        let time = hours.is_some() || days.is_some() || from.is_some() || until.is_some() || zone.is_some();
        if equality && rule != RuleName::Equals {
            return Err(D::Error::custom("only `equals` has `attribute`, `value` and `subject`"));
        }
        if time && rule != RuleName::Time {
            return Err(D::Error::custom("only `time` has `hours`, `days`, `from`, `until` and `zone`"));
        }
        let rule = match rule {
            RuleName::OwnerOnly => Rule::OwnerOnly,
            RuleName::OrganizationOnly => Rule::OrganizationOnly,
            RuleName::Equals => {
                let attribute = attribute.ok_or_else(|| D::Error::missing_field("attribute"))?;
                let to = match (value, subject) {
                    (Some(value), None) => Operand::Value(value),
                    (None, Some(name)) => Operand::Subject(name),
                    _ => return Err(D::Error::custom("write either `value` or `subject`")),
                };
                Rule::Equals(Equality { attribute, to })
            }
            RuleName::Time => {
                let (hours, days) = (hours.unwrap_or(Hours::WHOLE_DAY), days.unwrap_or(Days::EVERY));
                let schedule = Schedule::new(hours, days, from, until, zone.unwrap_or_default());
                Rule::Time(schedule.map_err(D::Error::custom)?)
            }
        };
        Ok(Self { resource, rule })
    }
}

/// Types of resources, by name: `invoice`, `invoices.*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePattern(Box<str>);

impl ResourcePattern {
    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// [`InvalidId`] when it could not stand before the colon of a permission.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "use 1 to 64 of a-z, 0-9, `_`, `-`, `.`; `*` may stand alone or at its end";
        if is_segment(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new("resource pattern", RULE, text))
        }
    }

    /// Borrows the text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether a type is among those it means.
    #[must_use]
    pub fn covers(&self, resource: &str) -> bool {
        segment_covers(&self.0, resource)
    }
}

stanchion_core::text_schema!(ResourcePattern, "a type of resource; `*` may stand alone or at its end");

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ResourcePattern {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl Serialize for ResourcePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ResourcePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_read_back() {
        for json in [
            r#"{"rule":"owner_only"}"#,
            r#"{"resource":"invoices.*","rule":"organization_only"}"#,
            r#"{"rule":"equals","attribute":"region","value":"eu"}"#,
            r#"{"resource":"document","rule":"equals","attribute":"clearance","subject":"clearance"}"#,
            r#"{"rule":"time","hours":"09:00-17:00","days":["mon","fri"],"until":"2027-01-01","zone":"Europe/Berlin"}"#,
        ] {
            let constraint: Constraint = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&constraint).unwrap(), json);
        }
        for bad in [
            r#"{"rule":"owner"}"#,
            r#"{"resource":"invoice"}"#,
            r#"{"rule":"equals","attribute":"region"}"#,
            r#"{"rule":"equals","value":"eu"}"#,
            r#"{"rule":"equals","attribute":"region","value":"eu","subject":"region"}"#,
            r#"{"rule":"equals","attribute":"region","value":"eu","values":["us"]}"#,
            r#"{"rule":"owner_only","resources":"invoice"}"#,
            r#"{"rule":"owner_only","attribute":"region"}"#,
            r#"{"rule":"owner_only","hours":"09:00-17:00"}"#,
            r#"{"rule":"time","hours":"09:00-17:00","timezone":"Europe/Berlin"}"#,
        ] {
            assert!(serde_json::from_str::<Constraint>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_constraint_binds_what_it_is_about() {
        let on_invoices = Constraint::new(Rule::OwnerOnly).on("invoice*".parse().unwrap());
        assert!(on_invoices.binds("invoices.paid") && !on_invoices.binds("document"));
        assert!(Constraint::new(Rule::OwnerOnly).binds("document"));
    }
}
