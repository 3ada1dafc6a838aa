use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, Slug, Text, slug_id};

use crate::{Constraint, Note, Permission, PermissionScope};

slug_id!(
    /// A role, by the name it is assigned and included under.
    RoleId,
    "role id"
);

/// What somebody may do, under a name that can be assigned.
///
/// A role of the platform may be assigned, and included by roles, in every tenant. A role of a tenant is known in that tenant alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Role {
    /// What it is assigned and included under; it never changes.
    pub id: RoleId,
    /// What people read.
    pub name: DisplayName,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// What it permits by itself.
    #[serde(default)]
    pub permissions: BTreeSet<Permission>,
    /// The roles whose permissions it has as well, with all that those include: the senior role includes the junior one.
    #[serde(default)]
    pub includes: BTreeSet<RoleId>,
    /// What it does not permit although a role that it includes does. What it permits by itself, it permits all the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excludes: BTreeSet<Permission>,
    /// How far it reaches at most, by whatever it includes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<PermissionScope>,
    /// What has to hold for it to count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// The roles that whoever is to hold it has to hold already.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: BTreeSet<RoleId>,
    /// How many subjects may hold it, by whatever role of this scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_holders: Option<u32>,
    /// What else is to be kept with it; it decides nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<Slug, Text>,
    /// Whether it conveys anything. An inactive role gives nothing of its own, and nothing of what it includes.
    #[serde(default = "active")]
    pub active: bool,
    /// Whether only Stanchion itself may change it.
    #[serde(default)]
    pub system: bool,
}

const fn active() -> bool {
    true
}

impl Role {
    /// Starts an active role that permits nothing and includes nothing.
    #[must_use]
    pub const fn new(id: RoleId, name: DisplayName) -> Self {
        Self {
            id,
            name,
            description: None,
            permissions: BTreeSet::new(),
            includes: BTreeSet::new(),
            excludes: BTreeSet::new(),
            ceiling: None,
            constraints: Vec::new(),
            requires: BTreeSet::new(),
            max_holders: None,
            metadata: BTreeMap::new(),
            active: true,
            system: false,
        }
    }

    /// Adds permissions.
    #[must_use]
    pub fn with_permissions(mut self, permissions: impl IntoIterator<Item = Permission>) -> Self {
        self.permissions.extend(permissions);
        self
    }

    /// Adds roles that it includes.
    #[must_use]
    pub fn with_includes(mut self, roles: impl IntoIterator<Item = RoleId>) -> Self {
        self.includes.extend(roles);
        self
    }

    /// Leaves out some of what it would have by the roles that it includes.
    #[must_use]
    pub fn with_excludes(mut self, permissions: impl IntoIterator<Item = Permission>) -> Self {
        self.excludes.extend(permissions);
        self
    }

    /// Bounds how far it reaches.
    #[must_use]
    pub const fn reaching(mut self, ceiling: PermissionScope) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    /// Asks for roles that whoever is to hold it has to hold already.
    #[must_use]
    pub fn requiring(mut self, roles: impl IntoIterator<Item = RoleId>) -> Self {
        self.requires.extend(roles);
        self
    }

    /// Bounds how many may hold it.
    #[must_use]
    pub const fn held_by_at_most(mut self, holders: u32) -> Self {
        self.max_holders = Some(holders);
        self
    }

    /// Lets it count only where something holds.
    #[must_use]
    pub fn constrained(mut self, constraint: Constraint) -> Self {
        self.constraints.push(constraint);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_back_and_refuses_what_it_does_not_know() {
        let json = r#"{"id":"editor","name":"Editor","permissions":["document:*","document:read:personal"]}"#;
        let role: Role = serde_json::from_str(json).unwrap();
        assert!(role.active && !role.system);
        let written = serde_json::to_string(&role).unwrap();
        assert!(written.contains(r#""permissions":["document:*","document:read:own"]"#), "{written}");
        assert_eq!(serde_json::from_str::<Role>(&written).unwrap(), role);
        assert!(serde_json::from_str::<Role>(r#"{"id":"e","name":"E","inherits_from":["viewer"]}"#).is_err());
        assert!(serde_json::from_str::<Role>(r#"{"id":"e","name":"E","permissions":["document"]}"#).is_err());
    }
}
