use std::collections::BTreeSet;
use std::time::Duration;

use stanchion_core::{
    Author, BoxFuture, Event, IdGen, PageRequest, ResourceRef, Scope, SessionId, Severity, SubjectKind,
    SubjectRef, Timestamp, Versioned,
};

use super::fields::texts;
use crate::rules;
use crate::write::Prepared;
use crate::{Engine, Error, RbacChange, RbacStoreExt, RecordFilter, RecordKey, RecordKind, RoleId, Session};

impl Engine {
    /// Starts a session of a user or service, in which some of the roles are active that it holds. It ends when `lasting` is over, at
    /// the latest after `sessions.max_minutes`. What sessions of the subject have expired is removed with it. The event is
    /// `session.created`.
    ///
    /// # Errors
    /// [`Error::UnfitSubject`], [`Error::TooLong`], [`Error::TooMany`], [`Error::UnknownRole`], [`Error::RoleNotHeld`],
    /// [`Error::Separated`]; [`Error::Store`] when the store fails.
    pub async fn create_session(
        &self,
        author: &Author,
        scope: Scope,
        subject: &SubjectRef,
        roles: BTreeSet<RoleId>,
        lasting: Option<Duration>,
    ) -> Result<Versioned<Session>, Error> {
        if subject.kind() == SubjectKind::Group {
            let what = "has no sessions; its members have";
            return Err(Error::UnfitSubject { kind: subject.kind(), what });
        }
        let max_minutes = self.config.sessions.max_minutes;
        let longest = Duration::from_secs(60 * u64::from(max_minutes));
        let lasting = lasting.unwrap_or(longest);
        if lasting > longest {
            return Err(Error::TooLong { what: "a session", max_minutes });
        }
        let now = self.clock.now();
        let id = (&*self.ids as &dyn IdGen).session_id(now);
        let session = Session::new(id, subject.clone(), now.plus(lasting)).with_active(roles);
        let prepare = |at| -> BoxFuture<'_, _> {
            let session = &session;
            Box::pin(async move {
                let ground = self.ground(scope, &[subject]).await?;
                let (mut parts, mut events) = self.expired(author, at, scope, subject).await?;
                rules::put_session(&ground.state, &ground.census, session, &session.active, at)?;
                parts.push(RbacChange::put(session.clone()));
                events.push(self.of_session(author, at, scope, "session.created", session));
                let expected = ground.state.revision;
                Ok(Prepared { expected, before: None, changes: parts, events })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        Ok(written.now(session))
    }

    /// Ends a session and returns it, `None` if there was none. The event is `session.ended`.
    ///
    /// # Errors
    /// [`Error::Store`] when the store fails.
    pub async fn delete_session(
        &self,
        author: &Author,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Versioned<Session>>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let expected = self.store.load(scope).await?.revision;
                let before = self.store.get_session(scope, id).await?;
                let ended = before.as_ref();
                let event =
                    ended.map(|ended| self.of_session(author, at, scope, "session.ended", &ended.value));
                let delete = ended.map(|_| RbacChange::Delete(RecordKey::Session(id)));
                Ok(Prepared {
                    expected,
                    before,
                    changes: delete.into_iter().collect(),
                    events: event.into_iter().collect(),
                })
            })
        };
        Ok(self.write(author, scope, prepare).await?.before)
    }

    /// Lets a role that the subject holds, or that one of those includes, be active in a session. The event is `session.changed`.
    ///
    /// # Errors
    /// [`Error::UnknownSession`], [`Error::UnknownRole`], [`Error::RoleNotHeld`], [`Error::Separated`]; [`Error::Store`] when the
    /// store fails.
    pub async fn activate_role(
        &self,
        author: &Author,
        scope: Scope,
        id: SessionId,
        role: &RoleId,
    ) -> Result<Versioned<Session>, Error> {
        let newly = BTreeSet::from([role.clone()]);
        let change = |session: Session| session.with_active([role.clone()]);
        self.change_session(author, scope, id, &newly, &change).await
    }

    /// Lets a role not be active in a session any more. The event is `session.changed`.
    ///
    /// # Errors
    /// [`Error::UnknownSession`]; [`Error::Store`] when the store fails.
    pub async fn drop_role(
        &self,
        author: &Author,
        scope: Scope,
        id: SessionId,
        role: &RoleId,
    ) -> Result<Versioned<Session>, Error> {
        let change = |mut session: Session| {
            session.active.remove(role);
            session
        };
        self.change_session(author, scope, id, &BTreeSet::new(), &change).await
    }

    async fn change_session(
        &self,
        author: &Author,
        scope: Scope,
        id: SessionId,
        newly: &BTreeSet<RoleId>,
        change: &(dyn Fn(Session) -> Session + Sync),
    ) -> Result<Versioned<Session>, Error> {
        let prepare = |at| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let state = self.state(scope).await?;
                let before = self.store.get_session(scope, id).await?;
                let before = before.filter(|before| before.value.expires_at > at);
                let before = before.ok_or(Error::UnknownSession(id))?;
                let session = change(before.value.clone());
                if session == before.value {
                    let (changes, events) = (Vec::new(), Vec::new());
                    return Ok(Prepared { expected: state.revision, before: Some(before), changes, events });
                }
                // Whatever is dropped can be: only what is added has to be held.
                if !newly.is_empty() {
                    let ground = self.ground(scope, &[&session.subject]).await?;
                    rules::put_session(&state, &ground.census, &session, newly, at)?;
                }
                let event = self.of_session(author, at, scope, "session.changed", &session);
                let changes = vec![RbacChange::put(session)];
                Ok(Prepared { expected: state.revision, before: Some(before), changes, events: vec![event] })
            })
        };
        let written = self.write(author, scope, prepare).await?;
        let before = written.before.as_ref().map(|before| before.value.clone());
        let session = change(before.clone().ok_or(Error::UnknownSession(id))?);
        if Some(&session) == before.as_ref() {
            return written.before.ok_or(Error::UnknownSession(id));
        }
        Ok(written.now(session))
    }

    /// Finds a session that has not ended.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn session(&self, scope: Scope, id: SessionId) -> Result<Option<Versioned<Session>>, Error> {
        let session = self.store.get_session(scope, id).await?;
        let now = self.clock.now();
        Ok(session.filter(|session| session.value.expires_at > now))
    }

    /// Lists the sessions of a subject that have not ended, in the order in which they were created.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn sessions_of(
        &self,
        scope: Scope,
        subject: &SubjectRef,
    ) -> Result<Vec<Versioned<Session>>, Error> {
        let now = self.clock.now();
        let mut sessions = self.all_sessions(scope, subject).await?;
        sessions.retain(|session| session.value.expires_at > now);
        Ok(sessions)
    }

    pub(crate) async fn all_sessions(
        &self,
        scope: Scope,
        subject: &SubjectRef,
    ) -> Result<Vec<Versioned<Session>>, Error> {
        let filter = RecordFilter::all(RecordKind::Session).of_subject(subject.clone());
        let page = PageRequest::first(PageRequest::MAX_LIMIT);
        Ok(self.store.list_of::<Session>(scope, &filter, &page).await?.items)
    }

    /// The removal of sessions that have expired, and whether there is room for one more after it.
    async fn expired(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        subject: &SubjectRef,
    ) -> Result<(Vec<RbacChange>, Vec<Event>), Error> {
        let sessions = self.all_sessions(scope, subject).await?;
        let (expired, standing): (Vec<_>, Vec<_>) =
            sessions.into_iter().map(|session| session.value).partition(|session| session.expires_at <= at);
        let limit = self.config.limits.sessions;
        if standing.len() >= limit {
            return Err(Error::TooMany { what: "sessions of a subject", limit });
        }
        let ended = |session: &Session| self.of_session(author, at, scope, "session.ended", session);
        let events = expired.iter().map(ended).collect();
        Ok((
            expired.iter().map(|session| RbacChange::Delete(RecordKey::Session(session.id))).collect(),
            events,
        ))
    }

    pub(crate) fn of_session(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        action: &'static str,
        session: &Session,
    ) -> Event {
        let event = self.event(author, at, scope, action, None, Some(&session.subject));
        let mut event = event
            .with_detail("active", texts(session.active.iter()))
            .with_detail("expires_at", session.expires_at.to_string());
        event.targets.extend(ResourceRef::new("session", session.id.to_string()));
        event.severity = Severity::Notice;
        event
    }
}
