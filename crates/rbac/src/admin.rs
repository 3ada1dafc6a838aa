use stanchion_core::{
    Author, BoxFuture, Detail, Details, Event, FieldChange, Page, PageRequest, Revision, Scope, SubjectRef,
    SystemScope, Timestamp, Versioned,
};

use crate::rules::{self, State};
use crate::write::Prepared;
use crate::{
    Assignment, Denial, Engine, Error, IsRecord, Note, Permission, RbacChange, RbacStoreExt, RecordFilter,
    RecordKey, RecordKind, Role, RoleId,
};

/// How many users of a role are named, per kind, to whoever wants to delete it.
const NAMED: usize = 5;

/// Administration. Every write checks its rules at the revision it is committed against, is tried again when the scope has moved on
/// meanwhile, and is committed together with its event.
impl Engine {
    /// Writes a role, in place of the one with its id if there is one. With `expected` it must still be at that revision, zero for
    /// "there is none". The event is `role.put`.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::SystemRole`], [`Error::ReservedRole`], [`Error::TooMany`], [`Error::BeyondTenant`],
    /// [`Error::UnknownInclude`], [`Error::Cycle`], [`Error::TooDeep`]; [`Error::Store`] when the store fails.
    pub async fn put_role(
        &self,
        author: &Author,
        scope: Scope,
        role: Role,
        expected: Option<Revision>,
    ) -> Result<Versioned<Role>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            let role = &role;
            Box::pin(async move {
                let own = self.store.load(scope).await?;
                let platform = match scope {
                    Scope::Platform => None,
                    Scope::Tenant(_) => Some(self.store.load(Scope::Platform).await?),
                };
                let mut state = State::new(scope, own, platform);
                rules::put_role(&state, role, author, expected, &self.config.limits)?;
                let before = state.roles.remove(&role.id);
                let mut event = self
                    .event(author, at, scope, "role.put", Some(&role.id), None)
                    .with_detail("active", role.active)
                    .with_detail("permissions", texts(role.permissions.iter()))
                    .with_detail("includes", texts(role.includes.iter()));
                event.changes = changes(before.as_ref(), Some(role), role_fields);
                Ok(Prepared {
                    expected: state.revision,
                    before,
                    change: Some((RbacChange::put(role.clone()), event)),
                })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(role))
    }

    /// Deletes a role and returns what it was, `None` if there was none. With `expected` it must still be at that revision. A role
    /// that is held or included is not deleted. The event is `role.delete`.
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
                let holders = self.store.list_of(scope, &filter, &PageRequest::first(NAMED)).await?.items;
                let tenants = match scope {
                    Scope::Platform => {
                        let system = SystemScope::new("find tenants that use a role of the platform");
                        self.store.tenants_using(system, id, NAMED).await?
                    }
                    Scope::Tenant(_) => Vec::new(),
                };
                rules::delete_role(&state, id, author, expected, &holders, &tenants)?;
                let before = state.roles.remove(id);
                let change = before.as_ref().map(|before| {
                    let mut event = self.event(author, at, scope, "role.delete", Some(id), None);
                    event.changes = changes(Some(before), None, role_fields);
                    (RbacChange::Delete(RecordKey::Role(id.clone())), event)
                });
                Ok(Prepared { expected: state.revision, before, change })
            })
        };
        Ok(self.write(author, scope, prepare).await?.before)
    }

    /// Gives a role of this scope or of the platform to a subject. Whoever holds it already holds it on the new terms. The event is
    /// `assignment.put`.
    ///
    /// # Errors
    /// [`Error::UnknownRole`], [`Error::UnfitSubject`], [`Error::NeverValid`], [`Error::TooMany`]; [`Error::Store`] when the store
    /// fails.
    pub async fn assign(
        &self,
        author: &Author,
        scope: Scope,
        mut assignment: Assignment,
    ) -> Result<Versioned<Assignment>, Error> {
        assignment.granted_by = Some(author.actor.clone());
        let (subject, role) = (&assignment.subject, &assignment.role);
        let prepare = |at| -> BoxFuture<'_, _> {
            let assignment = &assignment;
            Box::pin(async move {
                let records = self.store.subject(scope, subject).await?;
                let known = match (self.store.get_role(scope, role).await?, scope) {
                    (None, Scope::Tenant(_)) => self.store.get_role(Scope::Platform, role).await?,
                    (own, _) => own,
                };
                let known = known.as_ref().map(|known| &known.value);
                rules::assign(&records, known, assignment, at, &self.config.limits)?;
                let event = self.event(author, at, scope, "assignment.put", Some(role), Some(subject));
                let event = with_time(event, "not_before", assignment.not_before);
                let event = with_time(event, "expires_at", assignment.expires_at);
                let mut event = with_reason(event, assignment.reason.as_ref());
                let before = records.assignments.into_iter().find(|held| held.value.role == *role);
                event.changes = changes(before.as_ref(), Some(assignment), assignment_fields);
                Ok(Prepared {
                    expected: records.revision,
                    before,
                    change: Some((RbacChange::put(assignment.clone()), event)),
                })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(assignment))
    }

    /// Takes a role from a subject and returns how it was held, `None` if it was not. The event is `assignment.revoke`.
    ///
    /// # Errors
    /// [`Error::Store`] when the store fails.
    pub async fn revoke(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        role: &RoleId,
    ) -> Result<Option<Versioned<Assignment>>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let records = self.store.subject(scope, subject).await?;
                let before = records.assignments.into_iter().find(|held| held.value.role == *role);
                let revoke = || {
                    RbacChange::Delete(RecordKey::Assignment {
                        subject: subject.clone(),
                        role: role.clone(),
                        resource: None,
                    })
                };
                let change = before.as_ref().map(|before| {
                    let mut event =
                        self.event(author, at, scope, "assignment.revoke", Some(role), Some(subject));
                    event.changes = changes(Some(before), None, assignment_fields);
                    (revoke(), event)
                });
                Ok(Prepared { expected: records.revision, before, change })
            })
        };
        Ok(self.write(author, scope, prepare).await?.before)
    }

    /// Denies a permission to a subject, whatever roles it holds. The event is `denial.put`.
    ///
    /// # Errors
    /// [`Error::BeyondTenant`], [`Error::UnfitSubject`], [`Error::TooMany`]; [`Error::Store`] when the store fails.
    pub async fn deny(
        &self,
        author: &Author,
        scope: Scope,
        denial: Denial,
    ) -> Result<Versioned<Denial>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            let denial = &denial;
            Box::pin(async move {
                let records = self.store.subject(scope, &denial.subject).await?;
                rules::deny(scope, &records, denial, &self.config.limits)?;
                let event = self
                    .event(author, at, scope, "denial.put", None, Some(&denial.subject))
                    .with_detail("permission", denial.permission.to_string());
                let mut event = with_reason(event, denial.reason.as_ref());
                let mut standing = records.denials.into_iter();
                let before = standing.find(|standing| standing.value.permission == denial.permission);
                event.changes = changes(before.as_ref(), Some(denial), denial_fields);
                Ok(Prepared {
                    expected: records.revision,
                    before,
                    change: Some((RbacChange::put(denial.clone()), event)),
                })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(denial))
    }

    /// Lifts a denial and returns it, `None` if there was none. The event is `denial.lift`.
    ///
    /// # Errors
    /// [`Error::Store`] when the store fails.
    pub async fn lift_denial(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        permission: &Permission,
    ) -> Result<Option<Versioned<Denial>>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let records = self.store.subject(scope, subject).await?;
                let mut standing = records.denials.into_iter();
                let before = standing.find(|standing| standing.value.permission == *permission);
                let event = || {
                    let mut event = self.event(author, at, scope, "denial.lift", None, Some(subject));
                    event.changes = changes(before.as_ref(), None, denial_fields);
                    event.with_detail("permission", permission.to_string())
                };
                let (subject, permission) = (subject.clone(), permission.clone());
                let lift = before.as_ref().map(|_| {
                    (RbacChange::Delete(RecordKey::Denial { subject, permission, resource: None }), event())
                });
                Ok(Prepared { expected: records.revision, before, change: lift })
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

    /// Lists records of one kind, in the order of their keys, whatever kind the filter names.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn list<T: IsRecord + Send>(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<T>>, Error> {
        Ok(self.store.list_of(scope, filter, page).await?)
    }
}

/// Compares a record before and after a write.
fn changes<T>(
    before: Option<&Versioned<T>>,
    after: Option<&T>,
    fields: fn(&T) -> Details,
) -> Vec<FieldChange> {
    let before = before.map(|before| fields(&before.value)).unwrap_or_default();
    FieldChange::between(&before, &after.map(fields).unwrap_or_default())
}

fn role_fields(role: &Role) -> Details {
    let mut fields = Details::default();
    fields.push("name", role.name.text().clone());
    if let Some(description) = &role.description {
        fields.push("description", description.text().clone());
    }
    fields.push("permissions", texts(role.permissions.iter()));
    fields.push("includes", texts(role.includes.iter()));
    fields.push("active", role.active);
    fields
}

fn assignment_fields(assignment: &Assignment) -> Details {
    let times = [("not_before", assignment.not_before), ("expires_at", assignment.expires_at)];
    let times = times.into_iter().filter_map(|(name, time)| Some((name, Detail::from(time?.to_string()))));
    let reason = assignment.reason.as_ref().map(|reason| ("reason", Detail::from(reason.text().clone())));
    times.chain(reason).collect()
}

fn denial_fields(denial: &Denial) -> Details {
    let reason = denial.reason.as_ref().map(|reason| ("reason", Detail::from(reason.text().clone())));
    std::iter::once(("permission", Detail::from(denial.permission.to_string()))).chain(reason).collect()
}

fn texts<T: ToString>(all: impl Iterator<Item = T>) -> Detail {
    Detail::List(all.map(|one| Detail::from(one.to_string())).collect())
}

fn with_time(event: Event, name: &'static str, time: Option<Timestamp>) -> Event {
    match time {
        Some(time) => event.with_detail(name, time.to_string()),
        None => event,
    }
}

fn with_reason(event: Event, reason: Option<&Note>) -> Event {
    match reason {
        Some(reason) => event.with_detail("reason", reason.text().clone()),
        None => event,
    }
}
