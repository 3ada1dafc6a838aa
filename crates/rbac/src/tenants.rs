//! What a change of a platform's role would do in the tenants that use it.

use std::collections::BTreeSet;

use stanchion_core::{Scope, SystemScope, TenantId, Timestamp, Versioned};

use crate::graph::Graph;
use crate::rules::{self, Effective, State, Together};
use crate::survey::Ground;
use crate::{Duty, Engine, Error, Role, RoleId};

impl Engine {
    /// Asks the rules in the tenants that use a role of the platform, or one that includes it, about the role as it is to be. Returns
    /// whether those were all tenants. Tenants are looked at as they are now: one that changes in the same moment may slip through.
    ///
    /// # Errors
    /// [`Error::InTenant`] names the first tenant that the change does not suit.
    pub(crate) async fn tenants_bear(
        &self,
        platform: &State,
        role: &Role,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let before = platform.roles.get(&role.id).map(|before| &before.value);
        // What is new nobody uses, and what neither is held by way of it nor permits less is no matter.
        let Some(before) = before.filter(|before| matters(before, role)) else { return Ok(true) };
        let (tenants, are_all) = self.tenants_to_check(platform, &before.id).await?;
        for tenant in tenants {
            match self.tenant_bears(platform, Scope::Tenant(tenant), role, now).await {
                Ok(()) => {}
                Err(Error::Store(error)) => return Err(error.into()),
                Err(error) => return Err(Error::InTenant { tenant, why: Box::new(error) }),
            }
        }
        Ok(are_all)
    }

    /// The tenants that use a role of the platform, or one that includes it, as many as are to be checked, and whether those are all.
    pub(crate) async fn tenants_to_check(
        &self,
        platform: &State,
        role: &RoleId,
    ) -> Result<(Vec<TenantId>, bool), Error> {
        let limit = self.config.limits.checked_tenants;
        let mut tenants: BTreeSet<TenantId> = BTreeSet::new();
        for role in &rules::seniors(platform, role) {
            let system = SystemScope::new("find tenants that use a role of the platform");
            tenants.extend(self.store.tenants_using(system, role, limit.saturating_add(1)).await?);
        }
        let are_all = tenants.len() <= limit;
        Ok((tenants.into_iter().take(limit).collect(), are_all))
    }

    async fn tenant_bears(
        &self,
        platform: &State,
        scope: Scope,
        role: &Role,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut before = State::new(scope, self.store.load(scope).await?, None);
        before.platform.clone_from(&platform.roles);
        if before.roles.contains_key(&role.id) {
            return Ok(());
        }
        let mut after = before.clone();
        let written = Versioned::created(role.clone(), platform.revision, now);
        after.platform.insert(role.id.clone(), written);
        if !self.may_matter_in(&before, role) {
            return Ok(());
        }
        let mut ground = Ground::new(before);
        self.survey(&mut ground).await?;
        let before = Together { state: &ground.state, census: &ground.census };
        let after = Together { state: &after, census: &ground.census };
        let people = ground.census.people().cloned().collect();
        let mut roles = Graph::of(after.state).closure(&role.id);
        roles.append(&mut rules::seniors(after.state, &role.id));
        rules::prerequisites(before, after, &people, now)?;
        rules::keep_apart(before, after, &people, &roles, now)?;
        rules::held_by_few(before, after, &roles, None, now)?;
        if self.config.guards.last_administrator {
            rules::last_administrator(before, after, now, &self.config.guards)?;
        }
        Ok(())
    }

    /// Tells whether a rule may have to know who holds what in a tenant.
    fn may_matter_in(&self, state: &State, role: &Role) -> bool {
        let is_static = |separation: &Versioned<crate::Separation>| separation.value.duty == Duty::Static;
        let is_bound = |role: &Role| role.max_holders.is_some() || !role.requires.is_empty();
        let of_others = || state.roles.values().chain(state.platform.values()).map(|role| &role.value);
        let administrates = || {
            let names = self.config.guards.administrative.clone();
            !Effective::new(state, names, BTreeSet::new()).of_role(&role.id, None).is_empty()
        };
        state.separations.values().any(is_static)
            || is_bound(role)
            || of_others().any(is_bound)
            || (self.config.guards.last_administrator && administrates())
    }
}

/// Tells whether roles differ in what may matter to those who hold them.
pub(crate) fn matters(before: &Role, after: &Role) -> bool {
    let part = |role: &Role| -> (_, BTreeSet<RoleId>, BTreeSet<RoleId>, _) {
        let bounds = (role.ceiling, role.max_holders, role.active);
        (
            (role.permissions.clone(), role.excludes.clone()),
            role.includes.clone(),
            role.requires.clone(),
            bounds,
        )
    };
    part(before) != part(after) || before.constraints != after.constraints
}
