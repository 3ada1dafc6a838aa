use stanchion_core::{Author, BoxFuture, Event, Scope, SubjectRef, Timestamp, Versioned};

use super::fields::{changes, membership_fields, value, with_time};
use crate::graph::Graph;
use crate::rules::{self, Given, When};
use crate::survey::{Weighed, Whom};
use crate::write::Prepared;
use crate::{Engine, Error, Membership, RbacChange, RecordKey};

impl Engine {
    /// Puts a user or service into a group; whoever belongs to it already does so on the new terms. The event is `membership.put`.
    ///
    /// # Errors
    /// [`Error::UnfitSubject`], [`Error::NeverValid`], [`Error::TooMany`], [`Error::MissingPrerequisite`], [`Error::TooManyHolders`],
    /// [`Error::Separated`], [`Error::SelfElevation`], [`Error::LastAdministrator`]; [`Error::Store`] when the store fails.
    pub async fn add_member(
        &self,
        author: &Author,
        scope: Scope,
        membership: Membership,
    ) -> Result<Versioned<Membership>, Error> {
        let Membership { group, member, .. } = &membership;
        let prepare = |at| -> BoxFuture<'_, _> {
            let membership = &membership;
            Box::pin(async move {
                let mut ground = self.ground(scope, &[member, group]).await?;
                rules::add_member(&ground.census, membership, at, &self.config.limits)?;
                let parts = vec![RbacChange::put(membership.clone())];
                let graph = Graph::of(&ground.state);
                let held = ground.census.roles(group, When::From(at));
                let weighed = Weighed {
                    changes: &parts,
                    whom: Whom::These(vec![member]),
                    roles: held.iter().flat_map(|role| graph.closure(role)).collect(),
                    given: vec![Given::Group(group.clone())],
                };
                self.weigh(author, at, &mut ground, weighed).await?;
                let before = self.membership(scope, group, member).await?;
                let event = self.joined(author, at, scope, value(before.as_ref()), membership);
                let expected = ground.state.revision;
                Ok(Prepared { expected, before, changes: parts, events: vec![event] })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(membership))
    }

    /// Takes a member out of a group and returns how it belonged to it, `None` if it did not. The event is `membership.delete`.
    ///
    /// # Errors
    /// [`Error::LastAdministrator`], and [`Error::SelfElevation`] where the author would leave what is denied to the group;
    /// [`Error::Store`] when the store fails.
    pub async fn remove_member(
        &self,
        author: &Author,
        scope: Scope,
        group: &SubjectRef,
        member: &SubjectRef,
    ) -> Result<Option<Versioned<Membership>>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let mut ground = self.ground(scope, &[member]).await?;
                let expected = ground.state.revision;
                let Some(before) = self.membership(scope, group, member).await? else {
                    return Ok(Prepared { expected, before: None, changes: Vec::new(), events: Vec::new() });
                };
                let key = RecordKey::Membership { group: group.clone(), member: member.clone() };
                let parts = vec![RbacChange::Delete(key)];
                let weighed =
                    Weighed { changes: &parts, whom: Whom::These(vec![member]), ..Weighed::default() };
                self.weigh(author, at, &mut ground, weighed).await?;
                let mut event = self.of_member(author, at, scope, "membership.delete", &before.value);
                event.changes = changes(Some(&before.value), None, membership_fields);
                Ok(Prepared { expected, before: Some(before), changes: parts, events: vec![event] })
            })
        };
        Ok(self.write(author, scope, prepare).await?.before)
    }

    /// The event of a membership.
    pub(crate) fn joined(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        before: Option<&Membership>,
        membership: &Membership,
    ) -> Event {
        let mut event = self.of_member(author, at, scope, "membership.put", membership);
        event.changes = changes(before, Some(membership), membership_fields);
        event
    }

    fn of_member(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        action: &'static str,
        membership: &Membership,
    ) -> Event {
        let event = self
            .event(author, at, scope, action, None, Some(&membership.member))
            .with_detail("group", membership.group.to_string());
        let event = with_time(event, "not_before", membership.not_before);
        with_time(event, "expires_at", membership.expires_at)
    }

    async fn membership(
        &self,
        scope: Scope,
        group: &SubjectRef,
        member: &SubjectRef,
    ) -> Result<Option<Versioned<Membership>>, Error> {
        let mut groups = self.store.subject(scope, member).await?.memberships.into_iter();
        Ok(groups.find(|membership| membership.value.group == *group))
    }
}
