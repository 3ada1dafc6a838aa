use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use rust_decimal::Decimal;
use stanchion_audit::{Draft, Reserved};
use stanchion_billing_metering::{self as metering, UsageEvent};
use stanchion_core::{
    Actor, Authorization, Category, Correlation, Detail, Event, EventId, Outcome, Principal, Problem,
    ProblemCode, RequestId, ResourceRef, Severity, Source, TenantId, Text, Timestamp,
};
use stanchion_ratelimit::{self as ratelimit, Charged, RequestOutcome};

use stanchion_tower::{Completion, Ending, RateLimitFields};

use crate::pipeline::Inner;
use crate::route::Count;
use crate::{Ack, Route};

/// An admitted request on its way: what was decided, and the records that are still owed.
///
/// The access record has its place in the ledger's queue from the moment of the decision. It is written when the answer begins; if the
/// whole exchange has ended by the time the ledger takes it, its end is in it, else a second record with the same request id follows.
#[derive(Debug)]
pub struct Exchange {
    // Boxed, since an exchange travels with the request and then with its answer through every future and body on the way.
    owed: Box<Owed>,
}

/// What an exchange knows and owes.
#[derive(Debug)]
struct Owed {
    pipeline: Arc<Inner>,
    access: Arc<Access>,
    principal: Option<Arc<Principal>>,
    limits: ratelimit::Decision,
    charged: Option<Charged>,
    records: Option<Reserved>,
    usage: Vec<metering::Place>,
}

/// What a record tells, shared by the exchange and the draft of its record.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) event: EventId,
    pub(crate) request: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) route: Arc<Route>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) actor: Actor,
    pub(crate) method: Text,
    pub(crate) path: Box<str>,
    pub(crate) ip: IpAddr,
    pub(crate) checked: Option<Checked>,
    pub(crate) state: Mutex<State>,
}

/// What came of looking for the permission that the route asks for.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) granted: bool,
    /// The role that decided.
    pub(crate) role: Option<Text>,
    /// What it was looked for on.
    pub(crate) resource: Option<ResourceRef>,
}

#[derive(Debug)]
pub(crate) enum State {
    /// The exchange goes on and its record waits.
    Open,
    /// The record was written before the exchange had ended.
    Written,
    /// The exchange has ended before its record was written.
    Ended(Completion, Timestamp),
}

impl Exchange {
    pub(crate) fn new(
        pipeline: Arc<Inner>,
        access: Access,
        principal: Option<Arc<Principal>>,
        (limits, charged): (ratelimit::Decision, Charged),
        records: Option<Reserved>,
        usage: Vec<metering::Place>,
    ) -> Self {
        let (access, charged) = (Arc::new(access), Some(charged));
        Self { owed: Box::new(Owed { pipeline, access, principal, limits, charged, records, usage }) }
    }

    /// Returns the id of the request.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.owed.access.request
    }

    /// Returns when it was decided.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.owed.access.at
    }

    /// Returns the route.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.owed.access.route
    }

    /// Returns who is calling; `None` on a public route.
    #[must_use]
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.owed.principal.as_ref()
    }

    /// Returns what the limits said.
    #[must_use]
    pub fn limits(&self) -> &ratelimit::Decision {
        &self.owed.limits
    }

    /// Returns what the answer is to tell of them.
    pub(crate) fn limit_fields(&self) -> RateLimitFields {
        let Owed { pipeline, access, principal, limits, .. } = &*self.owed;
        let asked = ratelimit::Request {
            tenant: access.tenant,
            subject: principal.as_ref().map(|principal| &principal.subject),
            key: principal.as_ref().and_then(|principal| principal.authentication.key),
            ip: Some(access.ip),
            route: Some(access.route.id().as_str()),
            ..ratelimit::Request::default()
        };
        pipeline.limit_fields().of(limits, &asked)
    }

    /// Records that the exchange is answered with `status`, before a byte of the answer is sent: queued, or with `ack = durable`
    /// committed.
    ///
    /// # Errors
    /// `backend_unavailable` when a durable record could not be committed; the answer must then not be given.
    pub async fn respond(&mut self, status: u16) -> Result<(), Problem> {
        self.owed.respond(status).await
    }

    /// Records how the exchange ended.
    pub fn finish(mut self, end: Completion) {
        self.owed.end(end);
    }
}

impl Owed {
    async fn respond(&mut self, status: u16) -> Result<(), Problem> {
        let durable = self.access.route.config().ack == Ack::Durable;
        match self.records.take() {
            Some(place) if durable => {
                *self.access.lock() = State::Written;
                let event = Draft::Event(self.access.record(None));
                place.append(event).await.map_err(|_| unrecorded())?;
            }
            Some(place) => self.submit(place),
            None => {}
        }
        // After the record: an answer that is withheld is not charged for.
        if status < 500 { self.meter(durable).await } else { Ok(()) }
    }

    fn end(&mut self, end: Completion) {
        let now = self.pipeline.clock.now();
        let took = now.since(self.access.at);
        self.access.route.stats.ended(end.status, end.request_bytes, end.response_bytes, took);
        self.meter_bytes(&end);
        if let Some(charged) = self.charged.take() {
            let is_success = end.ending == Ending::Complete && end.status.is_some_and(|status| status < 400);
            charged.end(if is_success { RequestOutcome::Success } else { RequestOutcome::Failure });
        }
        // A client that left before the answer began: the record has not been submitted yet.
        let before = std::mem::replace(&mut *self.access.lock(), State::Ended(end, now));
        if let Some(place) = self.records.take() {
            self.submit(place);
        } else if matches!(before, State::Written) {
            self.pipeline.completed(&self.access, &end, now);
        }
    }

    fn submit(&self, place: Reserved) {
        let access = Arc::clone(&self.access);
        place.submit(Draft::Late(Box::new(move || {
            let mut state = access.lock();
            match *state {
                State::Ended(end, at) => access.record(Some((&end, at))),
                State::Open | State::Written => {
                    *state = State::Written;
                    drop(state);
                    access.record(None)
                }
            }
        })));
    }

    async fn meter(&mut self, durable: bool) -> Result<(), Problem> {
        let Some(tenant) = self.access.tenant else { return Ok(()) };
        let events: Vec<UsageEvent> =
            self.metered(Count::Requests).map(|meter| self.usage(tenant, meter, 1)).collect();
        if events.is_empty() {
            return Ok(());
        }
        if durable {
            let places = self.usage.split_off(self.usage.len().saturating_sub(events.len()));
            let kept = places.into_iter().zip(events).map(|(place, event)| place.commit(event));
            return try_join_all(kept).await.map(drop).map_err(|_| unrecorded());
        }
        for event in events {
            if let Some(place) = self.usage.pop() {
                place.submit(event);
            }
        }
        Ok(())
    }

    fn meter_bytes(&mut self, end: &Completion) {
        let Some(tenant) = self.access.tenant else { return };
        if end.status.is_none_or(|status| status >= 500) {
            return;
        }
        let counts = [(Count::RequestBytes, end.request_bytes), (Count::ResponseBytes, end.response_bytes)];
        for (count, bytes) in counts {
            let events: Vec<UsageEvent> =
                self.metered(count).map(|meter| self.usage(tenant, meter, bytes)).collect();
            for event in events {
                if let Some(place) = self.usage.pop() {
                    place.submit(event);
                }
            }
        }
    }

    fn metered(&self, count: Count) -> impl Iterator<Item = &metering::MeterId> {
        let meters = self.access.route.config().meters.iter();
        meters.filter(move |metered| metered.count == count).map(|metered| &metered.meter)
    }

    fn usage(&self, tenant: TenantId, meter: &metering::MeterId, value: u64) -> UsageEvent {
        UsageEvent {
            tenant,
            source: Text::Static("gateway"),
            id: format!("{}/{meter}", self.access.request).into(),
            meter: meter.clone(),
            subject: self.principal.as_ref().map(|principal| principal.subject.clone()),
            time: self.access.at,
            value: Decimal::from(value),
            dimensions: std::iter::once((Text::Static("route"), Text::from(self.access.route.id().shared())))
                .collect(),
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let ended = matches!(*self.access.lock(), State::Ended(..));
        if !ended {
            let end =
                Completion { ending: Ending::Abandoned, status: None, request_bytes: 0, response_bytes: 0 };
            self.end(end);
        }
    }
}

fn unrecorded() -> Problem {
    Problem::new(
        ProblemCode::BackendUnavailable,
        "the request could not be recorded, so its answer is withheld",
    )
}

impl Access {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the access record; without an end its outcome is unknown until a second record tells it.
    pub(crate) fn record(&self, end: Option<(&Completion, Timestamp)>) -> Event {
        let mut event = self.event(self.event, "request.decided", self.at);
        event.outcome = Outcome::Unknown;
        event.authorization.extend(self.authorization());
        event.details.push("decision", "permit");
        event.details.push("method", self.method.clone());
        event.details.push("path", Detail::Text(self.path.to_string().into()));
        if let Some(role) = self.checked.as_ref().and_then(|checked| checked.role.as_ref()) {
            event.details.push("role", role.clone());
        }
        if let Some((end, at)) = end {
            self.tell(&mut event, end, at);
        }
        event
    }

    /// Makes the record of a request that was refused after its caller was known.
    pub(crate) fn refusal(&self, problem: ProblemCode, why: Text) -> Event {
        let mut event = self.event(self.event, "request.decided", self.at);
        event.outcome = Outcome::Denied;
        event.authorization.extend(self.authorization());
        event.severity = Severity::Notice;
        event.reason = Some(problem.as_str().into());
        event.details.push("decision", "deny");
        event.details.push("why", why);
        event.details.push("method", self.method.clone());
        event.details.push("path", Detail::Text(self.path.to_string().into()));
        event
    }

    /// Makes the second record of a request whose first was written before it had ended.
    pub(crate) fn completion(&self, id: EventId, end: &Completion, at: Timestamp) -> Event {
        let mut event = self.event(id, "request.completed", at);
        event.correlation.parent = Some(self.event);
        self.tell(&mut event, end, at);
        event
    }

    fn authorization(&self) -> Option<Authorization> {
        let Checked { granted, role, resource } = self.checked.as_ref()?;
        let permission = self.route.config().permission.as_ref()?.shared().into();
        // A role id is a slug, so it always names a resource.
        let by = role.clone().and_then(|role| ResourceRef::new("role", role).ok());
        Some(Authorization { permission, resource: resource.clone(), granted: *granted, by })
    }

    fn event(&self, id: EventId, action: &'static str, at: Timestamp) -> Event {
        let scope = self.tenant.map_or(stanchion_core::Scope::Platform, stanchion_core::Scope::Tenant);
        let mut event = Event::new(id, at, scope, self.actor.clone(), action, Category::Access);
        // A route id is a slug, so it always names a resource.
        event.targets.extend(ResourceRef::new("route", self.route.id().shared()).ok());
        event.correlation = Correlation { request: Some(self.request), ..Correlation::default() };
        event.source = Source { ip: Some(self.ip), user_agent: None };
        event
    }

    fn tell(&self, event: &mut Event, end: &Completion, at: Timestamp) {
        event.outcome = match (end.ending, end.status) {
            (Ending::Complete, Some(..400)) => Outcome::Success,
            (Ending::Complete, Some(400..500)) | (Ending::Abandoned, _) => Outcome::Failure,
            (Ending::Complete | Ending::Broken, _) => Outcome::Error,
        };
        event.reason = match end.ending {
            Ending::Complete => None,
            Ending::Broken => Some("upstream_broke_off".into()),
            Ending::Abandoned => Some("client_went_away".into()),
        };
        if let Some(status) = end.status {
            event.details.push("status", status);
        }
        event.details.push("request_bytes", end.request_bytes);
        event.details.push("response_bytes", end.response_bytes);
        let micros = u64::try_from(at.since(self.at).as_micros()).unwrap_or(u64::MAX);
        event.details.push("duration_us", micros);
    }
}
