use stanchion_core::{Author, BoxFuture, Event, Scope, SubjectRef, Timestamp, Versioned};

use super::fields::{assignment_fields, changes, on, value, with_reason, with_time};
use crate::graph::Graph;
use crate::rules::{self, Given};
use crate::survey::{Weighed, Whom};
use crate::write::Prepared;
use crate::{Assignment, Engine, Error, RbacChange, RecordKey, ResourceSelector, RoleId};

impl Engine {
    /// Gives a role of this scope or of the platform to a subject, a group among them. Whoever holds it on the same resources already
    /// holds it on the new terms. The event is `assignment.put`.
    ///
    /// # Errors
    /// [`Error::UnknownRole`], [`Error::NeverValid`], [`Error::TooMany`], [`Error::MissingPrerequisite`], [`Error::TooManyHolders`],
    /// [`Error::Separated`], [`Error::SelfElevation`], [`Error::LastAdministrator`]; [`Error::Store`] when the store fails.
    pub async fn assign(
        &self,
        author: &Author,
        scope: Scope,
        mut assignment: Assignment,
    ) -> Result<Versioned<Assignment>, Error> {
        assignment.granted_by = Some(author.actor.clone());
        let Assignment { subject, role, resource, .. } = &assignment;
        let prepare = |at| -> BoxFuture<'_, _> {
            let assignment = &assignment;
            Box::pin(async move {
                let mut ground = self.ground(scope, &[subject]).await?;
                let known = ground.census.of(subject);
                rules::assign(&ground.state, known, assignment, at, &self.config.limits)?;
                let parts = vec![RbacChange::put(assignment.clone())];
                let weighed = Weighed {
                    changes: &parts,
                    whom: Whom::These(vec![subject]),
                    roles: Graph::of(&ground.state).closure(role),
                    given: vec![Given::Role(role.clone(), resource.clone())],
                };
                self.weigh(author, at, &mut ground, weighed).await?;
                let before = self.held(scope, subject, role, resource.as_ref()).await?;
                let event = self.assigned(author, at, scope, value(before.as_ref()), assignment);
                Ok(Prepared { expected: ground.state.revision, before, changes: parts, events: vec![event] })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(assignment))
    }

    /// Takes a role from a subject, as it holds it anywhere in the scope, and returns how it was held, `None` if it was not. The event
    /// is `assignment.revoke`.
    ///
    /// # Errors
    /// [`Error::LastAdministrator`]; [`Error::Store`] when the store fails.
    pub async fn revoke(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        role: &RoleId,
    ) -> Result<Option<Versioned<Assignment>>, Error> {
        self.revoke_on(author, scope, subject, role, None).await
    }

    /// Takes a role from a subject, as it holds it on these resources, or with `None` anywhere in the scope.
    ///
    /// # Errors
    /// As [`Engine::revoke`].
    pub async fn revoke_on(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        role: &RoleId,
        resource: Option<&ResourceSelector>,
    ) -> Result<Option<Versioned<Assignment>>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let mut ground = self.ground(scope, &[subject]).await?;
                let expected = ground.state.revision;
                let Some(before) = self.held(scope, subject, role, resource).await? else {
                    return Ok(Prepared { expected, before: None, changes: Vec::new(), events: Vec::new() });
                };
                let key = RecordKey::Assignment {
                    subject: subject.clone(),
                    role: role.clone(),
                    resource: resource.cloned(),
                };
                let parts = vec![RbacChange::Delete(key)];
                let weighed =
                    Weighed { changes: &parts, whom: Whom::These(vec![subject]), ..Weighed::default() };
                self.weigh(author, at, &mut ground, weighed).await?;
                let event = self.event(author, at, scope, "assignment.revoke", Some(role), Some(subject));
                let mut event = on(event, resource);
                event.changes = changes(Some(&before.value), None, assignment_fields);
                Ok(Prepared { expected, before: Some(before), changes: parts, events: vec![event] })
            })
        };
        Ok(self.write(author, scope, prepare).await?.before)
    }

    /// The event of an assignment.
    pub(crate) fn assigned(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        before: Option<&Assignment>,
        assignment: &Assignment,
    ) -> Event {
        let Assignment { subject, role, resource, .. } = assignment;
        let event = self.event(author, at, scope, "assignment.put", Some(role), Some(subject));
        let event = on(event, resource.as_ref());
        let event = with_time(event, "not_before", assignment.not_before);
        let event = with_time(event, "expires_at", assignment.expires_at);
        let mut event = with_reason(event, assignment.reason.as_ref());
        event.changes = changes(before, Some(assignment), assignment_fields);
        event
    }

    async fn held(
        &self,
        scope: Scope,
        subject: &SubjectRef,
        role: &RoleId,
        resource: Option<&ResourceSelector>,
    ) -> Result<Option<Versioned<Assignment>>, Error> {
        let mut held = self.store.subject(scope, subject).await?.assignments.into_iter();
        Ok(held.find(|held| held.value.role == *role && held.value.resource.as_ref() == resource))
    }
}
