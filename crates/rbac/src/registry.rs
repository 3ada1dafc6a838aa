use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, Slug};

use crate::permission::segment_covers;
use crate::{Note, Permission, ResourceType};

/// What there is to permit: types of resources, and what may be done to each. It is data, a JSON file as a rule.
///
/// Checks do not need one. It tells mistakes in roles from permissions that nothing asks for yet, and which permissions make an
/// administrator.
///
/// ```
/// use stanchion_rbac::{Permission, Registry};
///
/// let registry = Registry::stanchion();
/// assert!(registry.contains(&"role:read".parse()?));
/// assert!(registry.contains(&"audit:*".parse()?), "it covers something that is known");
///
/// let unknown = registry.check(&"role:raed".parse()?).unwrap_err();
/// assert_eq!(unknown.to_string(), "`role:raed`: `role` has no action `raed`; did you mean `read`?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Entries", into = "Entries")]
pub struct Registry {
    resources: BTreeMap<ResourceType, KnownResource>,
}

/// A type of resource that a [`Registry`] knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KnownResource {
    /// What permissions call it.
    pub id: ResourceType,
    /// What people read.
    pub name: DisplayName,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// What may be done to it, at least one thing, in the order of the file.
    pub actions: Vec<KnownAction>,
}

/// Something that may be done to a [`KnownResource`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KnownAction {
    /// What permissions call it.
    pub id: Slug,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// Whether whoever may do this, and all else that is so marked, is an administrator.
    #[serde(default, skip_serializing_if = "is_false")]
    pub administrative: bool,
}

/// The registry says something twice, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRegistry {
    /// A type of resource is listed twice.
    #[error("resource `{0}` is listed twice")]
    DuplicateResource(ResourceType),
    /// An action is listed twice.
    #[error("action `{action}` of resource `{resource}` is listed twice")]
    DuplicateAction {
        /// Of what.
        resource: ResourceType,
        /// Which.
        action: Slug,
    },
    /// Nothing may be done to it.
    #[error("resource `{0}` has no action")]
    NoAction(ResourceType),
}

/// A permission that covers nothing a [`Registry`] knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPermission {
    /// The permission.
    pub permission: Permission,
    /// Whether it is already the resource that is not known, or the action only.
    pub part: UnknownPart,
    /// What may have been meant by that part.
    pub nearest: Option<String>,
}

/// Which part of a permission is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownPart {
    /// The resource.
    Resource,
    /// The action, on any resource that is meant.
    Action,
}

impl fmt::Display for UnknownPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (resource, action) = (self.permission.resource(), self.permission.action());
        write!(f, "`{}`: ", self.permission)?;
        match self.part {
            UnknownPart::Resource => write!(f, "there is no resource `{resource}`")?,
            UnknownPart::Action => write!(f, "`{resource}` has no action `{action}`")?,
        }
        self.nearest.iter().try_for_each(|nearest| write!(f, "; did you mean `{nearest}`?"))
    }
}

impl std::error::Error for UnknownPermission {}

impl Registry {
    /// Takes types of resources.
    ///
    /// # Errors
    /// [`InvalidRegistry`] when one of them, or an action of one, is there twice, or one has no action.
    pub fn new(resources: impl IntoIterator<Item = KnownResource>) -> Result<Self, InvalidRegistry> {
        let mut known = BTreeMap::new();
        for resource in resources {
            if resource.actions.is_empty() {
                return Err(InvalidRegistry::NoAction(resource.id));
            }
            if let Some(action) = resource.twice() {
                return Err(InvalidRegistry::DuplicateAction { resource: resource.id, action });
            }
            match known.entry(resource.id.clone()) {
                Entry::Occupied(_) => return Err(InvalidRegistry::DuplicateResource(resource.id)),
                Entry::Vacant(free) => free.insert(resource),
            };
        }
        Ok(Self { resources: known })
    }

    /// Returns the permissions that Stanchion's own API asks for.
    #[must_use]
    pub fn stanchion() -> Self {
        #[expect(clippy::expect_used, reason = "a file of this crate; a test reads it")]
        serde_json::from_str(include_str!("../registry/stanchion.json")).expect("the registry is well-formed")
    }

    /// Joins two registries. Where both know something, this one's words stay; what either takes for administrative is.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for (id, resource) in other.resources {
            match self.resources.entry(id) {
                Entry::Vacant(free) => {
                    free.insert(resource);
                }
                Entry::Occupied(mut known) => known.get_mut().merge(resource),
            }
        }
        self
    }

    /// Goes through the types of resources, by name.
    pub fn resources(&self) -> impl Iterator<Item = &KnownResource> {
        self.resources.values()
    }

    /// Finds a type of resource.
    #[must_use]
    pub fn resource(&self, id: &str) -> Option<&KnownResource> {
        self.resources.get(id)
    }

    /// Goes through what may be done to a type of resource; nothing, if it is not known.
    pub fn actions(&self, resource: &str) -> impl Iterator<Item = &KnownAction> {
        self.resource(resource).into_iter().flat_map(|resource| &resource.actions)
    }

    /// Goes through every permission there is, without scopes and wildcards.
    pub fn permissions(&self) -> impl Iterator<Item = Permission> {
        self.resources()
            .flat_map(|resource| resource.actions.iter().filter_map(|action| resource.permission(action)))
    }

    /// Goes through the permissions that make whoever has all of them an administrator.
    pub fn administrative(&self) -> impl Iterator<Item = Permission> {
        self.resources().flat_map(|resource| {
            let actions = resource.actions.iter().filter(|action| action.administrative);
            actions.filter_map(|action| resource.permission(action))
        })
    }

    /// Tells whether a permission covers something that is known, however far it reaches.
    #[must_use]
    pub fn contains(&self, permission: &Permission) -> bool {
        self.matching(permission).any(|resource| resource.has(permission))
    }

    /// As [`Registry::contains`], saying what is wrong.
    ///
    /// # Errors
    /// [`UnknownPermission`] when nothing that is known is covered.
    pub fn check(&self, permission: &Permission) -> Result<(), UnknownPermission> {
        if self.contains(permission) {
            return Ok(());
        }
        let actions: Vec<&str> = self
            .matching(permission)
            .flat_map(|resource| resource.actions.iter().map(|action| action.id.as_str()))
            .collect();
        let (part, nearest) = if actions.is_empty() {
            let resources = self.resources.keys().map(ResourceType::as_str);
            (UnknownPart::Resource, nearest(permission.resource(), resources))
        } else {
            (UnknownPart::Action, nearest(permission.action(), actions.into_iter()))
        };
        Err(UnknownPermission { permission: permission.clone(), part, nearest })
    }

    /// Finds which of some permissions, a role's for example, cover nothing that is known.
    #[must_use]
    pub fn unknown<'a>(
        &self,
        permissions: impl IntoIterator<Item = &'a Permission>,
    ) -> Vec<UnknownPermission> {
        permissions.into_iter().filter_map(|permission| self.check(permission).err()).collect()
    }

    fn matching(&self, permission: &Permission) -> impl Iterator<Item = &KnownResource> {
        self.resources().filter(|resource| segment_covers(permission.resource(), resource.id.as_str()))
    }
}

impl KnownResource {
    fn has(&self, permission: &Permission) -> bool {
        self.actions.iter().any(|action| segment_covers(permission.action(), action.id.as_str()))
    }

    /// Both parts are names, so this is a permission.
    fn permission(&self, action: &KnownAction) -> Option<Permission> {
        format!("{}:{}", self.id, action.id).parse().ok()
    }

    /// Finds an action that is there twice.
    fn twice(&self) -> Option<Slug> {
        let mut seen = std::collections::BTreeSet::new();
        self.actions.iter().find(|action| !seen.insert(&action.id)).map(|action| action.id.clone())
    }

    fn merge(&mut self, other: Self) {
        for action in other.actions {
            match self.actions.iter_mut().find(|known| known.id == action.id) {
                Some(known) => known.administrative |= action.administrative,
                None => self.actions.push(action),
            }
        }
    }
}

/// Finds what was meant (Jaro-Winkler likeness of at least 0.8).
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let given = given.trim_end_matches('*');
    let alike = known.map(|name| (strsim::jaro_winkler(given, name), name));
    let best = alike.filter(|(alike, _)| *alike >= 0.8).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(_, name)| name.to_owned())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// As it is written in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    resources: Vec<KnownResource>,
}

impl TryFrom<Entries> for Registry {
    type Error = InvalidRegistry;

    fn try_from(entries: Entries) -> Result<Self, InvalidRegistry> {
        Self::new(entries.resources)
    }
}

impl From<Registry> for Entries {
    fn from(registry: Registry) -> Self {
        Self { resources: registry.resources.into_values().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(json: &str) -> Result<Registry, serde_json::Error> {
        serde_json::from_str(json)
    }

    fn documents() -> Registry {
        registry(
            r#"{"resources":[
                {"id":"document","name":"Documents","actions":[{"id":"read"},{"id":"write"}]},
                {"id":"invoices.paid","name":"Paid invoices","actions":[{"id":"read"}]}
            ]}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_wildcard_is_known_when_it_covers_something_known() {
        let registry = documents();
        for known in
            ["document:read", "document:read:own", "document:*", "*:read", "*", "invoices.*:re*", "doc*:*"]
        {
            assert!(registry.contains(&known.parse().unwrap()), "{known}");
            assert!(registry.check(&known.parse().unwrap()).is_ok(), "{known}");
        }
        for unknown in ["document:delete", "invoice:read", "invoices.*:write", "report*:*", "*:approve"] {
            assert!(!registry.contains(&unknown.parse().unwrap()), "{unknown}");
        }
    }

    #[test]
    fn what_is_not_known_is_named_with_what_may_have_been_meant() {
        let registry = documents();
        for (given, message) in [
            ("document:raed", "`document:raed`: `document` has no action `raed`; did you mean `read`?"),
            (
                "documnet:read:own",
                "`documnet:read:own`: there is no resource `documnet`; did you mean `document`?",
            ),
            ("*:wrote", "`*:wrote`: `*` has no action `wrote`; did you mean `write`?"),
            ("zebra:read", "`zebra:read`: there is no resource `zebra`"),
            ("document:approve", "`document:approve`: `document` has no action `approve`"),
        ] {
            assert_eq!(registry.check(&given.parse().unwrap()).unwrap_err().to_string(), message);
        }
        let role = ["document:read", "documents:read"].map(|text| text.parse().unwrap());
        assert_eq!(registry.unknown(&role).len(), 1);
    }

    #[test]
    fn what_is_listed_twice_is_refused_saying_where() {
        for (json, message) in [
            (
                r#"{"resources":[{"id":"a","name":"A","actions":[{"id":"read"},{"id":"write"},{"id":"read"}]}]}"#,
                "action `read` of resource `a` is listed twice",
            ),
            (
                r#"{"resources":[{"id":"a","name":"A","actions":[{"id":"x"}]},{"id":"a","name":"B","actions":[{"id":"y"}]}]}"#,
                "resource `a` is listed twice",
            ),
            (r#"{"resources":[{"id":"a","name":"A","actions":[]}]}"#, "resource `a` has no action"),
            (
                r#"{"resources":[{"id":"a","name":"A","actions":[{"id":"x"}],"scopes":[]}]}"#,
                "unknown field `scopes`",
            ),
            (r#"{"resources":[{"id":"a*","name":"A","actions":[{"id":"x"}]}]}"#, "is not a resource type"),
        ] {
            let error = registry(json).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn registries_join() {
        let more = r#"{"resources":[
            {"id":"document","name":"Files","actions":[{"id":"write","administrative":true},{"id":"share"}]},
            {"id":"report","name":"Reports","actions":[{"id":"read"}]}
        ]}"#;
        let joined = documents().merge(registry(more).unwrap());
        let permissions: Vec<String> = joined.permissions().map(|one| one.to_string()).collect();
        let all = ["document:read", "document:write", "document:share", "invoices.paid:read", "report:read"];
        assert_eq!(permissions, all);
        assert_eq!(joined.resource("document").unwrap().name.as_str(), "Documents");
        assert_eq!(
            joined.administrative().map(|one| one.to_string()).collect::<Vec<_>>(),
            ["document:write"]
        );
        assert_eq!(joined.actions("document").count(), 3);
        assert_eq!(joined.actions("nothing").count(), 0);
        let written = serde_json::to_string(&joined).unwrap();
        assert_eq!(registry(&written).unwrap(), joined);
    }

    #[test]
    fn the_servers_own_registry_reads_and_its_administrators_manage_access() {
        let administrative: Vec<_> =
            Registry::stanchion().administrative().map(|one| one.to_string()).collect();
        assert_eq!(administrative, ["access:import", "assignment:write", "role:write"]);
    }
}
