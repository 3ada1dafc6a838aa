use stanchion_core::{Author, BoxFuture, Event, Scope, SubjectRef, Timestamp, Versioned};

use super::fields::{changes, denial_fields, on, value, with_reason};
use crate::rules;
use crate::survey::{Weighed, Whom};
use crate::write::Prepared;
use crate::{Denial, Engine, Error, Permission, RbacChange, RecordKey, ResourceSelector};

impl Engine {
    /// Denies a permission to a subject, a group among them, whatever it holds. The event is `denial.put`.
    ///
    /// # Errors
    /// [`Error::BeyondTenant`], [`Error::TooMany`], [`Error::LastAdministrator`]; [`Error::Store`] when the store fails.
    pub async fn deny(
        &self,
        author: &Author,
        scope: Scope,
        denial: Denial,
    ) -> Result<Versioned<Denial>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            let denial = &denial;
            Box::pin(async move {
                let mut ground = self.ground(scope, &[&denial.subject]).await?;
                rules::deny(scope, ground.census.of(&denial.subject), denial, &self.config.limits)?;
                let parts = vec![RbacChange::put(denial.clone())];
                let whom = Whom::These(vec![&denial.subject]);
                let weighed = Weighed { changes: &parts, whom, ..Weighed::default() };
                self.weigh(author, at, &mut ground, weighed).await?;
                let before = self.standing(scope, denial).await?;
                let event = self.denied(author, at, scope, value(before.as_ref()), denial);
                let expected = ground.state.revision;
                Ok(Prepared { expected, before, changes: parts, events: vec![event] })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(denial))
    }

    /// Lifts a denial that stands anywhere in the scope and returns it, `None` if there was none. The event is `denial.lift`.
    ///
    /// # Errors
    /// [`Error::SelfElevation`]; [`Error::Store`] when the store fails.
    pub async fn lift_denial(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        permission: &Permission,
    ) -> Result<Option<Versioned<Denial>>, Error> {
        self.lift_denial_on(author, scope, subject, permission, None).await
    }

    /// Lifts a denial that stands on these resources, or with `None` anywhere in the scope.
    ///
    /// # Errors
    /// As [`Engine::lift_denial`].
    pub async fn lift_denial_on(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        permission: &Permission,
        resource: Option<&ResourceSelector>,
    ) -> Result<Option<Versioned<Denial>>, Error> {
        let mut denial = Denial::new(subject.clone(), permission.clone());
        denial.resource = resource.cloned();
        let prepare = |at| -> BoxFuture<'_, _> {
            let denial = &denial;
            Box::pin(async move {
                let mut ground = self.ground(scope, &[subject]).await?;
                let expected = ground.state.revision;
                let Some(before) = self.standing(scope, denial).await? else {
                    return Ok(Prepared { expected, before: None, changes: Vec::new(), events: Vec::new() });
                };
                let parts = vec![RbacChange::Delete(key_of(denial))];
                let weighed =
                    Weighed { changes: &parts, whom: Whom::These(vec![subject]), ..Weighed::default() };
                self.weigh(author, at, &mut ground, weighed).await?;
                let event = self.lifted(author, at, scope, &before);
                Ok(Prepared { expected, before: Some(before), changes: parts, events: vec![event] })
            })
        };
        Ok(self.write(author, scope, prepare).await?.before)
    }

    /// The event of a denial.
    pub(crate) fn denied(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        before: Option<&Denial>,
        denial: &Denial,
    ) -> Event {
        let event = self
            .event(author, at, scope, "denial.put", None, Some(&denial.subject))
            .with_detail("permission", denial.permission.to_string());
        let mut event = with_reason(on(event, denial.resource.as_ref()), denial.reason.as_ref());
        event.changes = changes(before, Some(denial), denial_fields);
        event
    }

    /// The event of a denial that is lifted.
    pub(super) fn lifted(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        before: &Versioned<Denial>,
    ) -> Event {
        let denial = &before.value;
        let event = self
            .event(author, at, scope, "denial.lift", None, Some(&denial.subject))
            .with_detail("permission", denial.permission.to_string());
        let mut event = on(event, denial.resource.as_ref());
        event.changes = changes(Some(denial), None, denial_fields);
        event
    }

    pub(super) async fn standing(
        &self,
        scope: Scope,
        denial: &Denial,
    ) -> Result<Option<Versioned<Denial>>, Error> {
        let mut standing = self.store.subject(scope, &denial.subject).await?.denials.into_iter();
        Ok(standing.find(|other| {
            (&other.value.permission, &other.value.resource) == (&denial.permission, &denial.resource)
        }))
    }
}

pub(super) fn key_of(denial: &Denial) -> RecordKey {
    RecordKey::Denial {
        subject: denial.subject.clone(),
        permission: denial.permission.clone(),
        resource: denial.resource.clone(),
    }
}
