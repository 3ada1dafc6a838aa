use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use stanchion_core::{ResourceRef, Scope, StoreError, SubjectRef, Text};

use crate::{AttributeName, Resource, Value};

/// What is known of a subject besides its roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SubjectProfile {
    /// Whether it may do anything at all.
    #[serde(default = "active")]
    pub active: bool,
    /// The organization that it belongs to, within the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Text>,
    /// The teams that it belongs to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<Text>,
    /// The departments that it belongs to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub departments: BTreeSet<Text>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<AttributeName, Value>,
}

const fn active() -> bool {
    true
}

impl Default for SubjectProfile {
    fn default() -> Self {
        Self {
            active: true,
            organization: None,
            teams: BTreeSet::new(),
            departments: BTreeSet::new(),
            attributes: BTreeMap::new(),
        }
    }
}

/// Where subjects are known: users, services and groups are kept elsewhere, and this is what is asked of there.
///
/// 1. `Ok(None)` says that there is no such subject in the scope. Then nothing is permitted to it.
/// 2. A subject that was switched off is found, and not active.
/// 3. What `try_find` answers, `find` would answer too; `None` says that it has to be looked up.
#[async_trait]
pub trait SubjectDirectory: fmt::Debug + Send + Sync {
    /// Finds a subject.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when it cannot be looked up, `Corrupt` when what is there cannot be read.
    async fn find(
        &self,
        scope: Scope,
        subject: &SubjectRef,
    ) -> Result<Option<Arc<SubjectProfile>>, StoreError>;

    /// Finds it at once, from memory.
    fn try_find(&self, scope: Scope, subject: &SubjectRef) -> Option<Option<Arc<SubjectProfile>>> {
        let _ = (scope, subject);
        None
    }
}

/// Where the attributes of resources are known, for callers that name a resource without them.
#[async_trait]
pub trait ResourceAttributes: fmt::Debug + Send + Sync {
    /// Loads what is known of a resource, its parents included; `Ok(None)` if there is no such resource in the scope.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when it cannot be looked up, `Corrupt` when what is there cannot be read.
    async fn load(&self, scope: Scope, resource: &ResourceRef) -> Result<Option<Resource>, StoreError>;
}

/// Subjects in memory.
#[derive(Debug, Default)]
pub struct MemorySubjectDirectory {
    subjects: RwLock<HashMap<(Scope, SubjectRef), Arc<SubjectProfile>>>,
}

impl MemorySubjectDirectory {
    /// Writes what is known of a subject, in place of what was.
    pub fn put(&self, scope: Scope, subject: SubjectRef, profile: SubjectProfile) {
        self.subjects
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((scope, subject), Arc::new(profile));
    }

    /// Removes a subject.
    pub fn delete(&self, scope: Scope, subject: &SubjectRef) {
        self.subjects.write().unwrap_or_else(PoisonError::into_inner).remove(&(scope, subject.clone()));
    }

    fn read(&self, scope: Scope, subject: &SubjectRef) -> Option<Arc<SubjectProfile>> {
        let subjects = self.subjects.read().unwrap_or_else(PoisonError::into_inner);
        subjects.get(&(scope, subject.clone())).cloned()
    }
}

#[async_trait]
impl SubjectDirectory for MemorySubjectDirectory {
    async fn find(
        &self,
        scope: Scope,
        subject: &SubjectRef,
    ) -> Result<Option<Arc<SubjectProfile>>, StoreError> {
        Ok(self.read(scope, subject))
    }

    fn try_find(&self, scope: Scope, subject: &SubjectRef) -> Option<Option<Arc<SubjectProfile>>> {
        Some(self.read(scope, subject))
    }
}
