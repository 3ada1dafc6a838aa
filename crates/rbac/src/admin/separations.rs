use stanchion_core::{
    Author, BoxFuture, Event, PageRequest, ResourceRef, Scope, SubjectRef, Timestamp, Versioned,
};

use super::fields::{changes, separation_fields, value};
use crate::rules::{self, State};
use crate::survey::Weighed;
use crate::write::Prepared;
use crate::{
    Duty, Engine, Error, RbacChange, RbacStoreExt, RecordFilter, RecordKey, RecordKind, Separation,
    SeparationId, Session,
};

impl Engine {
    /// Keeps roles apart, in place of the separation with its id if there is one. Refused while somebody has more of the roles together
    /// than is to be allowed: the error names who. The event is `separation.put`.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::UnknownRole`], [`Error::TooMany`], [`Error::Separated`]; [`Error::Store`] when the store fails.
    pub async fn put_separation(
        &self,
        author: &Author,
        scope: Scope,
        separation: Separation,
    ) -> Result<Versioned<Separation>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            let separation = &separation;
            Box::pin(async move {
                let mut ground = self.ground(scope, &[]).await?;
                rules::put_separation(&ground.state, separation, &self.config.limits)?;
                let before = ground.state.separations.get(&separation.id).cloned();
                let parts = vec![RbacChange::put(separation.clone())];
                match separation.duty {
                    Duty::Static => {
                        let roles = ground.state.roles.keys().cloned().collect();
                        let weighed = Weighed { changes: &parts, roles, ..Weighed::default() };
                        self.weigh(author, at, &mut ground, weighed).await?;
                    }
                    Duty::Dynamic => self.sessions_stay_apart(&ground.state, separation, at).await?,
                }
                let event = self.separated(author, at, scope, value(before.as_ref()), separation);
                let expected = ground.state.revision;
                Ok(Prepared { expected, before, changes: parts, events: vec![event] })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(separation))
    }

    /// The event of a separation.
    pub(crate) fn separated(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        before: Option<&Separation>,
        separation: &Separation,
    ) -> Event {
        let mut event = self.event(author, at, scope, "separation.put", None, None);
        event.targets.extend(ResourceRef::new("separation", separation.id.shared()));
        event.changes = changes(before, Some(separation), separation_fields);
        event
    }

    pub(crate) async fn sessions_stay_apart(
        &self,
        state: &State,
        separation: &Separation,
        now: Timestamp,
    ) -> Result<(), Error> {
        let filter = RecordFilter::all(RecordKind::Session);
        let mut page = PageRequest::first(PageRequest::MAX_LIMIT);
        let mut by: Vec<(SubjectRef, String)> = Vec::new();
        loop {
            let found = self.store.list_of::<Session>(state.scope, &filter, &page).await?;
            for session in found.items.into_iter().map(|session| session.value) {
                let mut have = rules::active_roles(state, &session);
                have.retain(|role| separation.roles.contains(role));
                if session.expires_at > now
                    && have.len() > usize::try_from(separation.at_most).unwrap_or(usize::MAX)
                {
                    let roles = have.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    by.push((session.subject, roles));
                }
            }
            match found.next {
                Some(next) => page = PageRequest::first(PageRequest::MAX_LIMIT).after(next),
                None => break,
            }
        }
        if by.is_empty() {
            return Ok(());
        }
        let by = rules::some(by, |(subject, roles)| format!("a session of {subject} has {roles} active"));
        Err(Error::Separated { separation: separation.id.clone(), at_most: separation.at_most, by })
    }

    /// Lets roles be had together again and returns what kept them apart, `None` if nothing did. The event is `separation.delete`.
    ///
    /// # Errors
    /// [`Error::Store`] when the store fails.
    pub async fn delete_separation(
        &self,
        author: &Author,
        scope: Scope,
        id: &SeparationId,
    ) -> Result<Option<Versioned<Separation>>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let mut state = State::new(scope, self.store.load(scope).await?, None);
                let before = state.separations.remove(id);
                let event = before.as_ref().map(|before| {
                    let mut event = self.event(author, at, scope, "separation.delete", None, None);
                    event.targets.extend(ResourceRef::new("separation", id.shared()));
                    event.changes = changes(Some(&before.value), None, separation_fields);
                    event
                });
                let delete = before.as_ref().map(|_| RbacChange::Delete(RecordKey::Separation(id.clone())));
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

    /// Finds a separation of this scope.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn separation(
        &self,
        scope: Scope,
        id: &SeparationId,
    ) -> Result<Option<Versioned<Separation>>, Error> {
        let mut all = self.store.load(scope).await?.separations.into_iter();
        Ok(all.find(|separation| separation.value.id == *id))
    }
}
