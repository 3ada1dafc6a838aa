use std::collections::BTreeSet;

use stanchion_core::{PageRequest, Revision, Scope, SubjectRef};

use crate::view::Place;
use crate::{
    CheckRequest, Decision, Engine, Error, Permission, RbacStoreExt, RecordFilter, Resource,
    ResourceSelector, RoleId,
};

/// A permission that a subject has now, as it is written in a role or granted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct EffectivePermission {
    /// What; wildcards and how far it reaches count. Not wider than the ceilings on the way.
    pub permission: Permission,
    /// The role that is held and brings it; none where it is granted by itself.
    pub role: Option<RoleId>,
    /// On which resources; all in the scope, if none is named.
    pub resource: Option<ResourceSelector>,
    /// Whether something else has to hold on the resource: a constraint.
    pub constrained: bool,
    /// What roles on the way leave out of it.
    pub without: Vec<Permission>,
}

/// All that a subject may do now, as far as that can be told without naming a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EffectivePermissions {
    /// What it has, in order.
    pub permitted: Vec<EffectivePermission>,
    /// What it is denied, whatever it has, with the resources; in order.
    pub denied: Vec<(Permission, Option<ResourceSelector>)>,
    /// Every change of the scope up to this revision was taken into account.
    pub revision: Revision,
}

impl Engine {
    /// Decides many requests, each as [`Engine::check`] does, in their order.
    ///
    /// # Errors
    /// As [`Engine::check`]: one that cannot be decided leaves all undecided.
    pub async fn check_batch(&self, requests: &[CheckRequest<'_>]) -> Result<Vec<Decision>, Error> {
        let mut decisions = Vec::with_capacity(requests.len());
        for run in requests.chunk_by(|a, b| (a.scope, a.subject) == (b.scope, b.subject)) {
            // One look at what the subject holds for all of them.
            let held = run.first().filter(|_| run.len() > 1).and_then(|first| self.held_plainly(first));
            for request in run {
                let at_once = held.as_ref().and_then(|held| held.decide_at_once(request));
                decisions.push(match at_once {
                    Some(decision) => {
                        self.record(request, &decision);
                        decision
                    }
                    None => self.check(request).await?,
                });
            }
        }
        Ok(decisions)
    }

    /// Lists what a subject has and is denied now, roles and groups resolved.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn effective_permissions(
        &self,
        scope: Scope,
        subject: &SubjectRef,
    ) -> Result<EffectivePermissions, Error> {
        let everything = Permission::everything();
        let (gathered, refused) = self.gather(&CheckRequest::new(scope, subject, &everything)).await?;
        let having = gathered.having();
        let (now, view) = (self.clock.now(), &*having.own.view);
        let mut found = EffectivePermissions { revision: having.revision(), ..Default::default() };
        let mut permitted = BTreeSet::new();
        for (_, held) in having.all().filter(|(span, _)| span.contains(now)) {
            for (place, terms) in held.roles().filter(|(_, terms)| terms.span.contains(now)) {
                let Some(role) = view.role(place) else { continue };
                for (permission, constrained, without) in view.written(place, None) {
                    let (role, resource) = (Some(role.id.clone()), terms.resource.clone());
                    permitted.insert(EffectivePermission {
                        permission,
                        role,
                        resource,
                        constrained,
                        without,
                    });
                }
            }
            let grants = held.permissions().iter();
            for grant in grants.filter(|grant| grant.terms.span.contains(now) && !grant.awaits_approval) {
                permitted.insert(EffectivePermission {
                    permission: grant.permission.clone(),
                    role: None,
                    resource: grant.terms.resource.clone(),
                    constrained: !grant.constraints.is_empty(),
                    without: Vec::new(),
                });
            }
            found
                .denied
                .extend(held.denials().iter().map(|one| (one.permission.clone(), one.resource.clone())));
        }
        if refused.is_none() {
            found.permitted = permitted.into_iter().collect();
        }
        found.denied.sort_unstable();
        found.denied.dedup();
        Ok(found)
    }

    /// Picks of some permissions, those of a registry, the ones that the subject has, on a resource or everywhere in the scope.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn what_can(
        &self,
        scope: Scope,
        subject: &SubjectRef,
        among: &[Permission],
        resource: Option<&Resource>,
    ) -> Result<Vec<(Permission, Decision)>, Error> {
        let mut allowed = Vec::new();
        for permission in among {
            let request = CheckRequest { resource, ..CheckRequest::new(scope, subject, permission) };
            let decision = self.answer(&request).await?;
            if decision.allowed {
                allowed.push((permission.clone(), decision));
            }
        }
        Ok(allowed)
    }

    /// Tells whether a subject holds a role now and everywhere in the scope: itself, by a group, or by a role that includes it.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn has_role(&self, scope: Scope, subject: &SubjectRef, role: &RoleId) -> Result<bool, Error> {
        let everything = Permission::everything();
        let (gathered, refused) = self.gather(&CheckRequest::new(scope, subject, &everything)).await?;
        let (having, now) = (gathered.having(), self.clock.now());
        let sought = having.own.view.place(role);
        let mut held = having
            .all()
            .flat_map(|(span, held)| held.roles().map(move |(place, terms)| (span, place, terms)));
        let holds = held.any(|(span, place, terms)| {
            terms.resource.is_none()
                && span.and(terms.span).contains(now)
                && having.own.view.active_below(place).contains(&sought)
        });
        Ok(refused.is_none() && sought != Place::NOWHERE && holds)
    }

    /// Tells whether a subject is an administrator: whether it has every one of some permissions, those that a registry calls
    /// administrative, everywhere in the scope. No role is one by its name. Of no permissions nobody is.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn is_admin(
        &self,
        scope: Scope,
        subject: &SubjectRef,
        administrative: &[Permission],
    ) -> Result<bool, Error> {
        for permission in administrative {
            if !self.answer(&CheckRequest::new(scope, subject, permission)).await?.allowed {
                return Ok(false);
            }
        }
        Ok(!administrative.is_empty())
    }

    /// Takes in every record of a kind, page by page.
    pub(crate) async fn each<T: crate::IsRecord + Send>(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        mut take: impl FnMut(T),
    ) -> Result<(), Error> {
        let mut page = PageRequest::first(PAGE);
        loop {
            let records = self.store.list_of::<T>(scope, filter, &page).await?;
            records.items.into_iter().for_each(|record| take(record.value));
            let Some(next) = records.next else { return Ok(()) };
            page = PageRequest::first(PAGE).after(next);
        }
    }
}

const PAGE: usize = 1_000;
