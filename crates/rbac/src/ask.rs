use std::cell::Cell;
use std::sync::Arc;

use stanchion_core::{ResourceRef, Revision, StoreError, StoreErrorKind, Timestamp};

use crate::check::{Having, Verdict};
use crate::facts::Facts;
use crate::holdings::{Holdings, Span};
use crate::statistics::Counters;
use crate::subject_key::BorrowedKey;
use crate::{CheckRequest, Decision, Engine, Error, Reason, Resource, Session, SubjectProfile};

/// What was read to answer a request.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) own: Holdings,
    pub(crate) groups: Vec<(Span, Holdings)>,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) profile: Option<Arc<SubjectProfile>>,
}

/// A first look at what a subject holds.
enum First {
    Decided(Decision),
    Held(Holdings),
}

impl Gathered {
    pub(crate) fn having(&self) -> Having<'_> {
        Having { own: &self.own, groups: &self.groups, session: self.session.as_deref() }
    }

    pub(crate) fn facts<'a>(
        &'a self,
        request: &CheckRequest<'a>,
        resource: Option<&'a Resource>,
        now: Timestamp,
        loadable: bool,
    ) -> Facts<'a> {
        let profile = self.profile.as_deref().or(request.profile);
        let loadable = loadable && resource.is_some_and(|resource| resource.id.is_some());
        let CheckRequest { scope, subject, permission: wanted, .. } = *request;
        Facts { scope, subject, wanted, resource, profile, now, loadable, missed: Cell::new(false) }
    }
}

impl Engine {
    /// Decides at once from what is in memory; `None` when something has to be read first, which [`Engine::check`] does.
    ///
    /// In this order: what is not exact is denied, and so is everything to a subject that is unknown or switched off, and in a session
    /// that is over; an explicit denial wins; a role or permission that counts now grants it; all else is denied.
    #[must_use]
    pub fn try_check(&self, request: &CheckRequest<'_>) -> Option<Decision> {
        let began = self.begin();
        let decision = self.answer_at_once(request)?;
        self.end(request, &decision, began);
        Some(decision)
    }

    /// Takes the time, if this is one of the checks whose time is taken.
    fn begin(&self) -> Option<Timestamp> {
        Counters::begins().then(|| self.clock.now())
    }

    fn end(&self, request: &CheckRequest<'_>, decision: &Decision, began: Option<Timestamp>) {
        self.record(request, decision);
        if let Some(began) = began {
            self.took(began);
        }
    }

    #[inline]
    fn answer_at_once(&self, request: &CheckRequest<'_>) -> Option<Decision> {
        let decision = self.decide_at_once(request)?;
        let recent = request.at_least.is_none_or(|revision| revision <= decision.revision);
        let told = recent || decision.reason == Reason::PermissionNotExact;
        told.then_some(decision)
    }

    #[inline]
    fn decide_at_once(&self, request: &CheckRequest<'_>) -> Option<Decision> {
        if !request.permission.is_exact() {
            return Some(Decision::denied(Reason::PermissionNotExact, Revision::ZERO));
        }
        // Exact enough for what is kept for a while; most subjects hold nothing that begins or ends.
        let roughly = self.clock.roughly();
        let profile = match &self.directory {
            Some(directory) => Some(directory.try_find(request.scope, request.subject)?),
            None => None,
        };
        let session = match request.session {
            Some(session) => Some(self.sessions.get(&(request.scope, session), roughly)?),
            None => None,
        };
        // A resource of the platform's may be a tenant's, for which a role has to reach further.
        let plain = session.is_none() && (request.resource.is_none() || request.scope.tenant().is_some());
        let refused = refusal(request, profile.as_ref(), session.as_ref(), || self.clock.now());
        let key = BorrowedKey::new(request.scope, request.subject);
        let look = |holdings: &Holdings| {
            if !self.is_current(request.scope, &holdings.view) {
                return None;
            }
            if let Some(reason) = refused {
                return Some(First::Decided(Decision::denied(reason, holdings.known_until())));
            }
            let decided = if plain && holdings.is_plain() {
                holdings.decide_plainly(request.permission, profile.is_some())
            } else {
                None
            };
            Some(decided.map_or_else(|| First::Held(holdings.clone()), First::Decided))
        };
        let own = match self.subjects.with(&key, roughly, look)?? {
            First::Decided(decision) => return Some(decision),
            First::Held(own) => own,
        };
        let now = self.clock.now();
        // Only now: no part of the cache is looked at while another is held.
        let mut groups = Vec::new();
        for (group, span) in own.groups().iter().filter(|(_, span)| now < span.until) {
            let key = BorrowedKey::new(request.scope, group);
            let held = self.subjects.get(&key, roughly)?;
            if !Arc::ptr_eq(&held.view, &own.view) {
                return None;
            }
            groups.push((*span, held));
        }
        let gathered = Gathered { own, groups, session: session.flatten(), profile: profile.flatten() };
        let facts = gathered.facts(request, request.resource, now, self.attributes.is_some());
        match gathered.having().decide(&facts, self.directory.is_some()) {
            Verdict::Decided(decision) => Some(decision),
            Verdict::Pending => None,
        }
    }

    /// What is in memory of a subject that holds roles for good and everywhere, and nothing else.
    pub(crate) fn held_plainly(&self, request: &CheckRequest<'_>) -> Option<Holdings> {
        let key = BorrowedKey::new(request.scope, request.subject);
        let look = |held: &Holdings| {
            (held.is_plain() && self.is_current(request.scope, &held.view)).then(|| held.clone())
        };
        let is_anybody = self.directory.is_none();
        is_anybody.then(|| self.subjects.with(&key, self.clock.roughly(), look)).flatten().flatten()
    }

    /// Decides, reading first what is not in memory.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read, or does not yet have the change that the request asks for. That is no answer:
    /// whoever asked has to refuse.
    pub async fn check(&self, request: &CheckRequest<'_>) -> Result<Decision, Error> {
        let began = self.begin();
        let decision = match self.answer_at_once(request) {
            Some(decision) => decision,
            None => {
                self.counters.read();
                self.decide_anew(request).await?
            }
        };
        self.end(request, &decision, began);
        Ok(decision)
    }

    /// Decides without counting or telling it.
    pub(crate) async fn answer(&self, request: &CheckRequest<'_>) -> Result<Decision, Error> {
        match self.answer_at_once(request) {
            Some(decision) => Ok(decision),
            None => self.decide_anew(request).await,
        }
    }

    async fn decide_anew(&self, request: &CheckRequest<'_>) -> Result<Decision, Error> {
        self.decide_with(request, |_, _, decision| decision).await
    }

    /// Reads what is needed, decides, and hands what it was decided by to `then`.
    pub(crate) async fn decide_with<T>(
        &self,
        request: &CheckRequest<'_>,
        then: impl FnOnce(Having<'_>, &Facts<'_>, Decision) -> T,
    ) -> Result<T, Error> {
        let (gathered, refused) = self.gather(request).await?;
        let now = self.clock.now();
        let facts = gathered.facts(request, request.resource, now, self.attributes.is_some());
        let having = gathered.having();
        if let Some(reason) = refused {
            let decision = Decision::denied(reason, having.revision());
            return Ok(then(having, &facts, decision));
        }
        let is_known = self.directory.is_some();
        if let Verdict::Decided(decision) = having.decide(&facts, is_known) {
            return Ok(then(having, &facts, decision));
        }
        let loaded = self.load(request).await?;
        let facts = gathered.facts(request, loaded.as_ref().or(request.resource), self.clock.now(), false);
        match having.decide(&facts, is_known) {
            Verdict::Decided(decision) => Ok(then(having, &facts, decision)),
            // Nothing more can be loaded, so nothing more is waited for.
            Verdict::Pending => {
                let decision = Decision::denied(Reason::AttributeMissing, having.revision());
                Ok(then(having, &facts, decision))
            }
        }
    }

    /// Reads what the request needs, and tells why it is refused whatever that is.
    pub(crate) async fn gather(
        &self,
        request: &CheckRequest<'_>,
    ) -> Result<(Gathered, Option<Reason>), Error> {
        let mut gathered = self.gather_once(request).await?;
        if let Some(wanted) = request.at_least
            && gathered.having().revision() < wanted
        {
            self.forget_roles(request.scope);
            self.forget_subject(request.scope, request.subject);
            for (group, _) in gathered.own.groups() {
                self.forget_subject(request.scope, group);
            }
            if let Some(session) = request.session {
                self.forget_session(request.scope, session);
            }
            gathered = self.gather_once(request).await?;
            if gathered.having().revision() < wanted {
                // A store that answers from a copy, or a revision of another scope.
                return Err(StoreError::new(StoreErrorKind::Unavailable, "rbac", "reach a revision").into());
            }
        }
        let profile = self.directory.is_some().then(|| gathered.profile.clone());
        let session = request.session.is_some().then(|| gathered.session.clone());
        let refused = refusal(request, profile.as_ref(), session.as_ref(), || self.clock.now());
        Ok((gathered, refused))
    }

    async fn gather_once(&self, request: &CheckRequest<'_>) -> Result<Gathered, StoreError> {
        let profile = match &self.directory {
            Some(directory) => directory.find(request.scope, request.subject).await?,
            None => None,
        };
        let session = match request.session {
            Some(session) => self.session_to_decide_by(request.scope, session).await?,
            None => None,
        };
        loop {
            let own = self.holdings(request.scope, request.subject).await?;
            let now = self.clock.now();
            let mut groups = Vec::new();
            for (group, span) in own.groups().iter().filter(|(_, span)| now < span.until) {
                groups.push((*span, self.holdings(request.scope, group).await?));
            }
            // Roles may have been read anew in between; their numbers would not be the same.
            if groups.iter().all(|(_, held)| Arc::ptr_eq(&held.view, &own.view)) {
                return Ok(Gathered { own, groups, session, profile });
            }
        }
    }

    /// Learns of the resource what the caller did not say.
    async fn load(&self, request: &CheckRequest<'_>) -> Result<Option<Resource>, StoreError> {
        let (Some(port), Some(resource)) = (&self.attributes, request.resource) else { return Ok(None) };
        let Some(id) = &resource.id else { return Ok(None) };
        let Ok(named) = ResourceRef::new(resource.kind.shared(), id.clone()) else { return Ok(None) };
        let loaded = port.load(request.scope, &named).await?;
        Ok(loaded.map(|loaded| resource.clone().completed_by(loaded)))
    }
}

impl Holdings {
    /// Decides by nothing but roles, if that is enough.
    pub(crate) fn decide_at_once(&self, request: &CheckRequest<'_>) -> Option<Decision> {
        let plain = request.session.is_none()
            && request.profile.is_none()
            && request.permission.is_exact()
            && (request.resource.is_none() || request.scope.tenant().is_some());
        let recent = request.at_least.is_none_or(|revision| revision <= self.known_until());
        if plain && recent { self.decide_plainly(request.permission, false) } else { None }
    }
}

/// Tells why a request is refused whatever the subject holds.
fn refusal(
    request: &CheckRequest<'_>,
    known: Option<&Option<Arc<SubjectProfile>>>,
    session: Option<&Option<Arc<Session>>>,
    now: impl FnOnce() -> Timestamp,
) -> Option<Reason> {
    match known {
        Some(None) => return Some(Reason::UnknownSubject),
        Some(Some(profile)) if !profile.active => return Some(Reason::InactiveSubject),
        None if request.profile.is_some_and(|profile| !profile.active) => {
            return Some(Reason::InactiveSubject);
        }
        _ => {}
    }
    let session = session?;
    let is_active = session
        .as_ref()
        .is_some_and(|session| session.subject == *request.subject && now() < session.expires_at);
    (!is_active).then_some(Reason::SessionNotActive)
}
