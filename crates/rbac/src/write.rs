use stanchion_core::{
    Author, BoxFuture, Change, Event, IdGen, ResourceRef, Revision, Scope, StoreError, StoreErrorKind,
    SubjectRef, Timestamp, Versioned,
};

use crate::{Engine, Error, RbacChange, RecordKey, RoleId};

/// What one try of a write has found.
pub(crate) struct Prepared<T> {
    /// The revision that it was found at.
    pub(crate) expected: Revision,
    /// What stands there now.
    pub(crate) before: Option<Versioned<T>>,
    /// The writes and their events; none, if there is nothing to do.
    pub(crate) changes: Vec<RbacChange>,
    pub(crate) events: Vec<Event>,
}

/// What a write has done.
pub(crate) struct Written<T> {
    /// What stood there until then.
    pub(crate) before: Option<Versioned<T>>,
    revision: Revision,
    at: Timestamp,
}

impl<T> Written<T> {
    /// The record that stands there now.
    pub(crate) fn now(self, value: T) -> Versioned<T> {
        match self.before {
            Some(before) => before.replaced(value, self.revision, self.at),
            None => Versioned::created(value, self.revision, self.at),
        }
    }
}

impl Engine {
    /// Prepares and commits a write, from the start again when the scope has moved on between the two.
    pub(crate) async fn write<'a, T>(
        &self,
        author: &Author,
        scope: Scope,
        prepare: impl Fn(Timestamp) -> BoxFuture<'a, Result<Prepared<T>, Error>>,
    ) -> Result<Written<T>, Error> {
        let mut attempt = 1;
        loop {
            let at = self.clock.now();
            let written = match prepare(at).await {
                Ok(Prepared { expected, before, changes, .. }) if changes.is_empty() => {
                    return Ok(Written { before, revision: expected, at });
                }
                Ok(Prepared { expected, before, changes, events }) => {
                    let change = Change { expected, changes, at, actor: author.actor.clone(), events };
                    let written = self.commit(scope, change).await;
                    written.map(|revision| Written { before, revision, at }).map_err(Error::from)
                }
                Err(error) => Err(error),
            };
            match written {
                Err(Error::Store(error))
                    if error.kind() == StoreErrorKind::Conflict && attempt < self.config.write_attempts =>
                {
                    attempt += 1;
                }
                written => return written,
            }
        }
    }

    pub(crate) async fn commit(
        &self,
        scope: Scope,
        change: Change<RbacChange>,
    ) -> Result<Revision, StoreError> {
        // Whatever the outcome, and also when the caller goes away: the change may have been written.
        let _outdated = Outdated { engine: self, scope, parts: change.changes.clone() };
        self.store.apply(scope, change).await
    }

    /// Starts the event of a write to a role, to what a subject holds, or both.
    pub(crate) fn event(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        action: &'static str,
        role: Option<&RoleId>,
        subject: Option<&SubjectRef>,
    ) -> Event {
        let mut event = author.event(&*self.ids as &dyn IdGen, at, scope, action);
        let role = role.map(|role| ResourceRef::new("role", role.shared()));
        let subject = subject.map(|subject| ResourceRef::new(subject.kind().as_str(), subject.id().clone()));
        event.targets.extend(role.into_iter().chain(subject).flatten());
        event
    }
}

/// Lets go of what a change touches, when it is dropped.
struct Outdated<'a> {
    engine: &'a Engine,
    scope: Scope,
    parts: Vec<RbacChange>,
}

impl Drop for Outdated<'_> {
    fn drop(&mut self) {
        for part in &self.parts {
            let key = match part {
                RbacChange::Put(record) => record.key(),
                RbacChange::Delete(key) => key.clone(),
            };
            match key {
                RecordKey::Role(_) | RecordKey::Separation(_) => self.engine.forget_roles(self.scope),
                RecordKey::Assignment { subject, .. }
                | RecordKey::Grant { subject, .. }
                | RecordKey::Denial { subject, .. }
                | RecordKey::Membership { member: subject, .. } => {
                    self.engine.forget_subject(self.scope, &subject);
                }
                RecordKey::Session(id) => self.engine.forget_session(self.scope, id),
            }
        }
    }
}
