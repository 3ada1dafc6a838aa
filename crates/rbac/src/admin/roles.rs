use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{
    Author, BoxFuture, Event, PageRequest, Revision, Scope, SystemScope, Timestamp, Versioned,
};

use super::fields::{changes, role_fields, texts, value};
use crate::graph::Graph;
use crate::rules::{self, Given, State};
use crate::survey::{Weighed, Whom};
use crate::tenants::matters;
use crate::write::Prepared;
use crate::{
    Duty, Engine, Error, RbacChange, RbacStoreExt, RecordFilter, RecordKey, RecordKind, Role, RoleId,
};

/// A role as it was written, and what is odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenRole {
    /// The role.
    pub role: Versioned<Role>,
    /// What whoever wrote it may want to look at.
    pub warnings: Vec<Warning>,
}

/// What is odd about a scope's roles, and no error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Other roles permit, include, leave out and ask for the same. One of them may be enough.
    SameAsOthers {
        /// The others, some of them.
        others: Vec<RoleId>,
    },
    /// The scope has many roles, and few that differ from all others: groups, resources named in assignments, or constraints may do
    /// what the copies are for.
    ManyAlike {
        /// How many roles there are.
        roles: usize,
        /// How many are left when those that permit the same count once.
        distinct: usize,
    },
    /// More tenants use the role of the platform than were looked at: in others separations, numbers of holders or the last
    /// administrator may have been passed over.
    TenantsNotChecked {
        /// How many were looked at.
        checked: usize,
    },
}

impl Engine {
    /// Writes a role, in place of the one with its id if there is one. With `expected` it must still be at that revision, zero for
    /// "there is none". The event is `role.put`.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::SystemRole`], [`Error::ReservedRole`], [`Error::TooMany`], [`Error::Invalid`],
    /// [`Error::BeyondTenant`], [`Error::UnknownInclude`], [`Error::UnfitRequirement`], [`Error::Cycle`], [`Error::TooDeep`],
    /// [`Error::Separated`], [`Error::TooManyHolders`], [`Error::SelfElevation`], [`Error::LastAdministrator`]; of a role of the platform
    /// [`Error::InTenant`] when it would not do in a tenant that uses it; [`Error::Store`] when the store fails.
    pub async fn put_role(
        &self,
        author: &Author,
        scope: Scope,
        role: Role,
        expected: Option<Revision>,
    ) -> Result<WrittenRole, Error> {
        let prepare =
            |at| -> BoxFuture<'_, _> { Box::pin(self.prepare_role(author, scope, at, &role, expected)) };
        let written = self.write(author, scope, prepare).await?;
        let mut warnings = Vec::new();
        // The role is written; that nothing can be said of it is no reason to call that a failure.
        if let Ok(own) = self.store.load(scope).await {
            let state = State::new(scope, own, None);
            warnings = self::warnings(&state, &role);
            let before = written.before.as_ref().map(|before| &before.value);
            if scope == Scope::Platform
                && before.is_some_and(|before| matters(before, &role))
                && let Ok((tenants, false)) = self.tenants_to_check(&state, &role.id).await
            {
                warnings.push(Warning::TenantsNotChecked { checked: tenants.len() });
            }
        }
        Ok(WrittenRole { role: written.now(role), warnings })
    }

    async fn prepare_role(
        &self,
        author: &Author,
        scope: Scope,
        at: Timestamp,
        role: &Role,
        expected: Option<Revision>,
    ) -> Result<Prepared<Role>, Error> {
        let mut ground = self.ground(scope, &[]).await?;
        rules::put_role(&ground.state, role, author, expected, &self.config.limits)?;
        let before = ground.state.roles.get(&role.id).cloned();
        let parts = vec![RbacChange::put(role.clone())];
        if self.may_matter(&ground.state, author, value(before.as_ref()), role) {
            let mut roles = Graph::with(&ground.state, role).closure(&role.id);
            roles.append(&mut rules::seniors(&ground.state, &role.id));
            roles.insert(role.id.clone());
            let given = vec![Given::Role(role.id.clone(), None)];
            let given = if before.as_ref().is_some_and(|before| is_within(&before.value, role)) {
                Vec::new()
            } else {
                given
            };
            self.weigh(
                author,
                at,
                &mut ground,
                Weighed { changes: &parts, whom: Whom::Everybody, roles, given },
            )
            .await?;
        }
        let mut event = self.defined(author, at, scope, value(before.as_ref()), role);
        if scope == Scope::Platform && !self.tenants_bear(&ground.state, role, at).await? {
            event = event.with_detail(
                "checked_tenants",
                u64::try_from(self.config.limits.checked_tenants).unwrap_or(u64::MAX),
            );
        }
        Ok(Prepared { expected: ground.state.revision, before, changes: parts, events: vec![event] })
    }

    /// The event of a role.
    pub(crate) fn defined(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        before: Option<&Role>,
        role: &Role,
    ) -> Event {
        let mut event = self
            .event(author, at, scope, "role.put", Some(&role.id), None)
            .with_detail("active", role.active)
            .with_detail("permissions", texts(role.permissions.iter()))
            .with_detail("includes", texts(role.includes.iter()));
        event.changes = changes(before, Some(role), role_fields);
        event
    }

    /// Tells whether a rule may have to know who holds what; most roles are of no interest to any.
    pub(crate) fn may_matter(
        &self,
        state: &State,
        author: &Author,
        before: Option<&Role>,
        role: &Role,
    ) -> bool {
        let is_static = |separation: &Versioned<crate::Separation>| separation.value.duty == Duty::Static;
        let of_others = || state.roles.values().chain(state.platform.values()).map(|role| &role.value);
        let is_bound = |role: &Role| role.max_holders.is_some() || !role.requires.is_empty();
        let administrates = |before: &Role| {
            let mut effective =
                rules::Effective::new(state, self.config.guards.administrative.clone(), BTreeSet::new());
            !effective.of_role(&before.id, None).is_empty()
        };
        state.separations.values().any(is_static)
            || is_bound(role)
            || of_others().any(is_bound)
            || (self.config.guards.last_administrator && before.is_some_and(administrates))
            || (self.config.guards.self_elevation && rules::subject_of(&author.actor).is_some())
    }

    /// Deletes a role and returns what it was, `None` if there was none. With `expected` it must still be at that revision. A role
    /// that is held, included, required or kept apart is not deleted. The event is `role.delete`.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::SystemRole`], [`Error::RoleInUse`]; [`Error::Store`] when the store fails.
    pub async fn delete_role(
        &self,
        author: &Author,
        scope: Scope,
        id: &RoleId,
        expected: Option<Revision>,
    ) -> Result<Option<Versioned<Role>>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let mut state = State::new(scope, self.store.load(scope).await?, None);
                let filter = RecordFilter::all(RecordKind::Assignment).of_role(id.clone());
                let page = PageRequest::first(rules::NAMED);
                let holders = self.store.list_of(scope, &filter, &page).await?.items;
                let tenants = match scope {
                    Scope::Platform => {
                        let system = SystemScope::new("find tenants that use a role of the platform");
                        self.store.tenants_using(system, id, rules::NAMED).await?
                    }
                    Scope::Tenant(_) => Vec::new(),
                };
                rules::delete_role(&state, id, author, expected, &holders, &tenants)?;
                let before = state.roles.remove(id);
                let event = before.as_ref().map(|before| {
                    let mut event = self.event(author, at, scope, "role.delete", Some(id), None);
                    event.changes = changes(Some(&before.value), None, role_fields);
                    event
                });
                let delete = before.as_ref().map(|_| RbacChange::Delete(RecordKey::Role(id.clone())));
                Ok(Prepared {
                    expected: state.revision,
                    before,
                    changes: delete.into_iter().collect(),
                    events: event.into_iter().collect(),
                })
            })
        };
        Ok(self.write(author, scope, prepare).await?.before)
    }

    /// Finds a role of this scope.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, Error> {
        Ok(self.store.get_role(scope, id).await?)
    }
}

/// Tells whether a role, as it is to be, can convey nothing that it did not convey.
pub(crate) fn is_within(before: &Role, after: &Role) -> bool {
    after.permissions.is_subset(&before.permissions)
        && after.includes.is_subset(&before.includes)
        && after.excludes.is_superset(&before.excludes)
        && (before.active || !after.active)
        && after
            .ceiling
            .map_or(before.ceiling.is_none(), |ceiling| before.ceiling.is_none_or(|was| ceiling <= was))
        && before.constraints.iter().all(|constraint| after.constraints.contains(constraint))
}

fn warnings(state: &State, role: &Role) -> Vec<Warning> {
    /// From how many roles on alike ones are spoken of.
    const MANY: usize = 20;
    let kind = |role: &Role| {
        let Role { permissions, includes, excludes, ceiling, constraints, requires, active, .. } =
            role.clone();
        (permissions, includes, excludes, ceiling, constraints, requires, active)
    };
    // By what they print as: constraints have no order, and nobody sees this one.
    let printed = |role: &Role| format!("{:?}", kind(role));
    let mut kinds: BTreeMap<String, Vec<&RoleId>> = BTreeMap::new();
    for (id, other) in &state.roles {
        kinds.entry(printed(&other.value)).or_default().push(id);
    }
    let alike = kinds.get(&printed(role)).map(Vec::as_slice).unwrap_or_default();
    let others: Vec<RoleId> =
        alike.iter().filter(|id| ***id != role.id).take(rules::NAMED).map(|id| (*id).clone()).collect();
    let conveys = !role.permissions.is_empty() || !role.includes.is_empty();
    let same = (conveys && !others.is_empty()).then_some(Warning::SameAsOthers { others });
    let (roles, distinct) = (state.roles.len(), kinds.len());
    let many = (roles >= MANY && distinct * 2 <= roles).then_some(Warning::ManyAlike { roles, distinct });
    same.into_iter().chain(many).collect()
}
