use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stanchion_core::{SubjectRef, Text, slug_id};

slug_id!(
    /// A type of resource: what stands before the colon of a permission.
    ResourceType,
    "resource type"
);
slug_id!(
    /// The name of an attribute of a resource or subject.
    AttributeName,
    "attribute name"
);

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Text; upper and lower case differ.
    Text(Text),
    /// Several values, in an order that counts.
    List(Vec<Value>),
}

/// What a check is about, as far as whoever asks knows it.
///
/// What it does not say of itself, its parent says for it: a document in a folder belongs to the folder's owner unless it has one of
/// its own. What nobody says is missing, which never helps whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Resource {
    /// Its type, that of the permission that is looked for.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Its id within its type; none for the type as a whole, as when one is to be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Text>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub owner: Option<SubjectRef>,
    /// The team that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Text>,
    /// The department that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<Text>,
    /// The organization that it belongs to, within the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Text>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<AttributeName, Value>,
    /// What it is nested in. At most [`Resource::MAX_DEPTH`] are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Resource>>,
}

impl Resource {
    /// The most resources, itself counted, that one may be nested in.
    pub const MAX_DEPTH: usize = 16;

    /// Names a type of resource and nothing of it.
    #[must_use]
    pub const fn of_type(kind: ResourceType) -> Self {
        Self {
            kind,
            id: None,
            owner: None,
            team: None,
            department: None,
            organization: None,
            attributes: BTreeMap::new(),
            parent: None,
        }
    }

    /// Names one resource.
    #[must_use]
    pub fn new(kind: ResourceType, id: impl Into<Text>) -> Self {
        Self { id: Some(id.into()), ..Self::of_type(kind) }
    }

    /// Says whose it is.
    #[must_use]
    pub fn owned_by(mut self, owner: SubjectRef) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Says which team it belongs to.
    #[must_use]
    pub fn of_team(mut self, team: impl Into<Text>) -> Self {
        self.team = Some(team.into());
        self
    }

    /// Says which department it belongs to.
    #[must_use]
    pub fn of_department(mut self, department: impl Into<Text>) -> Self {
        self.department = Some(department.into());
        self
    }

    /// Says which organization it belongs to.
    #[must_use]
    pub fn of_organization(mut self, organization: impl Into<Text>) -> Self {
        self.organization = Some(organization.into());
        self
    }

    /// Says something else of it.
    #[must_use]
    pub fn with_attribute(mut self, name: AttributeName, value: Value) -> Self {
        self.attributes.insert(name, value);
        self
    }

    /// Says what it is nested in.
    #[must_use]
    pub fn inside(mut self, parent: Self) -> Self {
        self.parent = Some(Box::new(parent));
        self
    }

    /// Takes over what it does not say itself from what else is known of it.
    pub(crate) fn completed_by(self, known: Self) -> Self {
        if self.kind != known.kind || self.id != known.id {
            return self;
        }
        let mut attributes = known.attributes;
        attributes.extend(self.attributes);
        Self {
            owner: self.owner.or(known.owner),
            team: self.team.or(known.team),
            department: self.department.or(known.department),
            organization: self.organization.or(known.organization),
            attributes,
            parent: self.parent.or(known.parent),
            kind: self.kind,
            id: self.id,
        }
    }

    /// Itself, and what it is nested in, from the inside out.
    pub fn lineage(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |resource| resource.parent.as_deref()).take(Self::MAX_DEPTH)
    }

    /// Finds what the nearest in its lineage says.
    pub(crate) fn nearest<'a, T>(&'a self, what: impl Fn(&'a Self) -> Option<T>) -> Option<T> {
        self.lineage().find_map(what)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<Text> for Value {
    fn from(value: Text) -> Self {
        Self::Text(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Text(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> ResourceType {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_resource_does_not_say_its_lineage_says() {
        let folder = Resource::new(kind("folder"), "7").of_team("blue").of_department("sales");
        let document = Resource::new(kind("document"), "42").of_team("red").inside(folder);
        assert_eq!(document.nearest(|resource| resource.team.as_ref()).unwrap().as_str(), "red");
        assert_eq!(document.nearest(|resource| resource.department.as_ref()).unwrap().as_str(), "sales");
        assert_eq!(document.nearest(|resource| resource.owner.as_ref()), None);
    }

    #[test]
    fn a_lineage_ends() {
        let nested = (0..40).fold(Resource::new(kind("folder"), "0"), |inner, number| {
            inner.inside(Resource::new(kind("folder"), number.to_string()))
        });
        assert!(nested.lineage().count() <= Resource::MAX_DEPTH);
    }

    #[test]
    fn a_resource_reads_back() {
        let json = r#"{"type":"document","id":"42","owner":"user:alice","attributes":{"region":"eu","level":3,"public":false}}"#;
        let resource: Resource = serde_json::from_str(json).unwrap();
        assert_eq!(resource.attributes.get("level"), Some(&Value::Integer(3)));
        assert_eq!(
            serde_json::from_str::<Resource>(&serde_json::to_string(&resource).unwrap()).unwrap(),
            resource
        );
        assert!(serde_json::from_str::<Resource>(r#"{"type":"document","proprietor":"user:a"}"#).is_err());
        assert!(serde_json::from_str::<Resource>(r#"{"type":"document:read"}"#).is_err());
    }
}
