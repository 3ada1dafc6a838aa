use std::collections::BTreeSet;
use std::fmt;

use stanchion_core::Text;

use crate::{AttributeName, Resource, ResourceSelector, Value};

/// What has to be true of a resource. Each part is true or false; what a resource does not say is equal to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expression {
    /// It is true of every resource.
    Always,
    /// It is true of none.
    Never,
    /// All of them are true.
    All(Vec<Expression>),
    /// One of them is true.
    Any(Vec<Expression>),
    /// It is not true.
    Not(Box<Expression>),
    /// The field has this value.
    Is(Field, Value),
    /// The field has one of these values.
    Among(Field, BTreeSet<Text>),
    /// The field has no value.
    Missing(Field),
    /// The resource, or something that it is nested in, is selected.
    Within(ResourceSelector),
}

/// Something that is said of a resource, by itself or by what it is nested in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Field {
    /// Whose it is, as `user:alice`.
    Owner,
    /// The team that it belongs to.
    Team,
    /// The department that it belongs to.
    Department,
    /// The organization that it belongs to.
    Organization,
    /// Another attribute.
    Attribute(AttributeName),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Team => "team",
            Self::Department => "department",
            Self::Organization => "organization",
            Self::Attribute(name) => name.as_str(),
        })
    }
}

impl Field {
    fn of(&self, resource: &Resource) -> Option<Value> {
        match self {
            Self::Owner => {
                let owner = resource.nearest(|one| one.owner.as_ref());
                owner.map(|owner| Text::from(owner.to_string()).into())
            }
            Self::Team => resource.nearest(|one| one.team.clone()).map(Value::Text),
            Self::Department => resource.nearest(|one| one.department.clone()).map(Value::Text),
            Self::Organization => resource.nearest(|one| one.organization.clone()).map(Value::Text),
            Self::Attribute(name) => resource.nearest(|one| one.attributes.get(name)).cloned(),
        }
    }
}

impl Expression {
    /// Tells whether it is true of a resource.
    #[must_use]
    pub fn is_true_of(&self, resource: &Resource) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::All(parts) => parts.iter().all(|part| part.is_true_of(resource)),
            Self::Any(parts) => parts.iter().any(|part| part.is_true_of(resource)),
            Self::Not(part) => !part.is_true_of(resource),
            Self::Is(field, value) => field.of(resource).as_ref() == Some(value),
            Self::Among(field, values) => {
                matches!(field.of(resource), Some(Value::Text(value)) if values.contains(&value))
            }
            Self::Missing(field) => field.of(resource).is_none(),
            Self::Within(selector) => selector.selects(resource),
        }
    }

    pub(super) fn among(field: Field, values: impl IntoIterator<Item = Text>) -> Self {
        let values: BTreeSet<Text> = values.into_iter().collect();
        if values.is_empty() { Self::Never } else { Self::Among(field, values) }
    }

    pub(super) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Always => {}
                Self::Never => return Self::Never,
                Self::All(inner) => all.extend(inner),
                part if all.contains(&part) => {}
                part => all.push(part),
            }
        }
        one_or(all, Self::Always, Self::All)
    }

    pub(super) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut any: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Never => {}
                Self::Always => return Self::Always,
                Self::Any(inner) => any.extend(inner),
                part if any.contains(&part) => {}
                part => any.push(part),
            }
        }
        one_or(any, Self::Never, Self::Any)
    }

    pub(super) fn negated(self) -> Self {
        match self {
            Self::Always => Self::Never,
            Self::Never => Self::Always,
            Self::Not(part) => *part,
            part => Self::Not(Box::new(part)),
        }
    }
}

fn one_or(
    mut parts: Vec<Expression>,
    none: Expression,
    many: fn(Vec<Expression>) -> Expression,
) -> Expression {
    match (parts.pop(), parts.is_empty()) {
        (None, _) => none,
        (Some(only), true) => only,
        (Some(last), false) => {
            parts.push(last);
            many(parts)
        }
    }
}
