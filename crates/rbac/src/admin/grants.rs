use stanchion_core::{Author, BoxFuture, Event, Scope, Severity, SubjectRef, Timestamp, Versioned};

use super::denials::key_of;
use super::fields::{changes, grant_fields, on, value, with_reason, with_time};
use crate::rules::{self, Given};
use crate::survey::{Weighed, Whom};
use crate::write::Prepared;
use crate::{Engine, Error, Grant, Permission, RbacChange, RecordKey, ResourceSelector};

/// What becomes of a denial that takes away what is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OverDenial {
    /// The denial stays, and the grant is refused.
    #[default]
    Refuse,
    /// The denial is lifted, in one change with the grant.
    Lift,
}

impl Engine {
    /// Grants a permission to a subject, a group among them, besides its roles. Whoever has it on the same resources already has it on
    /// the new terms. A grant for an emergency needs a reason, and ends soon, at the latest after `emergency.max_minutes`; where
    /// `emergency.second_approver` is on it waits for [`Engine::approve_grant`]. The event is `grant.put`, of high severity in an
    /// emergency, and `denial.lift` for each denial that is lifted.
    ///
    /// # Errors
    /// [`Error::DenialStands`], [`Error::BeyondTenant`], [`Error::NeverValid`], [`Error::TooMany`], [`Error::ReasonMissing`],
    /// [`Error::TooLong`], [`Error::SelfElevation`], [`Error::LastAdministrator`]; [`Error::Store`] when the store fails.
    pub async fn grant(
        &self,
        author: &Author,
        scope: Scope,
        grant: Grant,
        over: OverDenial,
    ) -> Result<Versioned<Grant>, Error> {
        let mut grant = rules::in_emergency(grant, self.clock.now(), &self.config.emergency)?;
        grant.granted_by = Some(author.actor.clone());
        let prepare = |at| -> BoxFuture<'_, _> {
            let grant = &grant;
            Box::pin(async move {
                let mut ground = self.ground(scope, &[&grant.subject]).await?;
                let lifted = rules::grant(scope, &ground.census, grant, over, at, &self.config.limits)?;
                let mut parts: Vec<RbacChange> =
                    lifted.iter().map(|denial| RbacChange::Delete(key_of(denial))).collect();
                parts.push(RbacChange::put(grant.clone()));
                let weighed = Weighed {
                    changes: &parts,
                    whom: Whom::These(vec![&grant.subject]),
                    given: vec![Given::Permission(grant.permission.clone(), grant.resource.clone())],
                    ..Weighed::default()
                };
                self.weigh(author, at, &mut ground, weighed).await?;
                let mut events = Vec::new();
                for denial in &lifted {
                    let standing = self.standing(scope, denial).await?;
                    events.extend(standing.map(|standing| self.lifted(author, at, scope, &standing)));
                }
                let before =
                    self.granted(scope, &grant.subject, &grant.permission, grant.resource.as_ref()).await?;
                events.push(self.told(author, at, scope, "grant.put", value(before.as_ref()), grant));
                let expected = ground.state.revision;
                Ok(Prepared { expected, before, changes: parts, events })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(grant))
    }

    /// Takes a permission from a subject that it has besides its roles, on these resources or with `None` anywhere in the scope, and
    /// returns it, `None` if it has not. The event is `grant.revoke`.
    ///
    /// # Errors
    /// [`Error::LastAdministrator`]; [`Error::Store`] when the store fails.
    pub async fn revoke_grant(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        permission: &Permission,
        resource: Option<&ResourceSelector>,
    ) -> Result<Option<Versioned<Grant>>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let mut ground = self.ground(scope, &[subject]).await?;
                let expected = ground.state.revision;
                let Some(before) = self.granted(scope, subject, permission, resource).await? else {
                    return Ok(Prepared { expected, before: None, changes: Vec::new(), events: Vec::new() });
                };
                let key = RecordKey::Grant {
                    subject: subject.clone(),
                    permission: permission.clone(),
                    resource: resource.cloned(),
                };
                let parts = vec![RbacChange::Delete(key)];
                let weighed =
                    Weighed { changes: &parts, whom: Whom::These(vec![subject]), ..Weighed::default() };
                self.weigh(author, at, &mut ground, weighed).await?;
                let mut event = self.told(author, at, scope, "grant.revoke", None, &before.value);
                event.changes = changes(Some(&before.value), None, grant_fields);
                Ok(Prepared { expected, before: Some(before), changes: parts, events: vec![event] })
            })
        };
        Ok(self.write(author, scope, prepare).await?.before)
    }

    /// Approves a grant that waits for a second person: somebody who neither granted it nor would have it. It counts from then on. The
    /// event is `grant.approved`, of high severity.
    ///
    /// # Errors
    /// [`Error::NothingToApprove`], [`Error::UnfitApprover`], [`Error::NeverValid`] when it has expired; [`Error::Store`] when the
    /// store fails.
    pub async fn approve_grant(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        permission: &Permission,
        resource: Option<&ResourceSelector>,
    ) -> Result<Versioned<Grant>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let mut subjects = vec![subject];
                subjects.extend(rules::subject_of(&author.actor));
                let ground = self.ground(scope, &subjects).await?;
                let before = self.granted(scope, subject, permission, resource).await?;
                let before = before.filter(|before| before.value.awaits_approval()).ok_or_else(|| {
                    Error::NothingToApprove { subject: subject.clone(), permission: permission.clone() }
                })?;
                let grant = rules::approve(&ground.census, &before.value, author, at)?;
                let event = self.told(author, at, scope, "grant.approved", Some(&before.value), &grant);
                Ok(Prepared {
                    expected: ground.state.revision,
                    before: Some(before.map(|_| grant.clone())),
                    changes: vec![RbacChange::put(grant)],
                    events: vec![event],
                })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        let approved = written.before.as_ref().map(|before| before.value.clone());
        approved.map(|approved| written.now(approved)).ok_or_else(|| Error::NothingToApprove {
            subject: subject.clone(),
            permission: permission.clone(),
        })
    }

    /// The event of a grant.
    pub(crate) fn told(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        action: &'static str,
        before: Option<&Grant>,
        grant: &Grant,
    ) -> Event {
        let event = self
            .event(author, at, scope, action, None, Some(&grant.subject))
            .with_detail("permission", grant.permission.to_string());
        let event = on(event, grant.resource.as_ref());
        let event = with_time(event, "not_before", grant.not_before);
        let event = with_time(event, "expires_at", grant.expires_at);
        let mut event = with_reason(event, grant.reason.as_ref());
        event.changes = changes(before, Some(grant), grant_fields);
        if grant.emergency.is_some() {
            event.severity = Severity::High;
        }
        event
    }

    async fn granted(
        &self,
        scope: Scope,
        subject: &SubjectRef,
        permission: &Permission,
        resource: Option<&ResourceSelector>,
    ) -> Result<Option<Versioned<Grant>>, Error> {
        let mut granted = self.store.subject(scope, subject).await?.grants.into_iter();
        Ok(granted
            .find(|grant| grant.value.permission == *permission && grant.value.resource.as_ref() == resource))
    }
}
