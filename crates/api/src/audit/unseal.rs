//! Protected values opened, for who may, on record.

use stanchion_audit::{self as audit, Draft, Opened, Refused};
use stanchion_core::{
    Actor, Authorization, Category, Detail, Details, Event, Outcome, Page, ProblemCode, ResourceRef,
    Severity, Text,
};
use stanchion_rbac::CheckRequest;
use utoipa::PartialSchema as _;
use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;

use crate::call::{Call, Parameter, Parameters};
use crate::document::Document;
use crate::failure::Failure;

/// Lets somebody read protected values, and find entries by them.
pub(super) const UNSEAL: &str = "audit:unseal";

/// Whether protected values are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseal {
    Opened,
    Closed,
}

impl Parameter for Unseal {
    fn document(document: &mut Document) {
        let says = "`true` to have protected values opened, which takes the permission `audit:unseal` and is recorded.";
        document.parameter(ParameterIn::Query, "unseal", says, Required::False, bool::schema());
    }

    fn take(parameters: &mut Parameters) -> Result<Self, Failure> {
        match parameters.take("unseal").as_deref() {
            Some("true") => Ok(Self::Opened),
            None | Some("false") => Ok(Self::Closed),
            Some(_) => Err(Failure::invalid("parameter `unseal`: use `true` or `false`")),
        }
    }
}

/// Opens what is protected in a page of entries, if it was asked for and the caller may.
pub(crate) async fn unsealed(
    call: &Call,
    asked: Unseal,
    query: &audit::Query,
    page: Page<audit::Entry>,
) -> Result<Page<audit::Entry>, Failure> {
    if asked == Unseal::Closed {
        return Ok(page);
    }
    let filters =
        query.filters().into_iter().map(|(name, value)| (Text::from(name), Detail::from(value))).collect();
    opened(call, page, filters).await
}

/// Makes sure that a caller may open what is protected, before anything is read.
pub(crate) async fn require(call: &Call, asked: Unseal) -> Result<(), Failure> {
    if asked == Unseal::Closed {
        return Ok(());
    }
    let permission = UNSEAL.parse().map_err(Failure::internal)?;
    let (principal, state) = (&call.principal, &call.api.state);
    let check = CheckRequest::new(principal.scope, &principal.subject, &permission);
    let decision = call.engines().rbac.check(&check).await?;
    if decision.allowed {
        return Ok(());
    }
    let mut denied = Event::new(
        state.ids.event_id(call.at),
        call.at,
        principal.scope,
        Actor::from(&**principal),
        "operation.denied",
        Category::Access,
    );
    denied.targets.extend(ResourceRef::new("operation", call.operation));
    denied.authorization.push(Authorization::denied(permission.shared()));
    denied.outcome = Outcome::Denied;
    denied.severity = Severity::Notice;
    denied.reason = Some(ProblemCode::Forbidden.as_str().into());
    denied.correlation.request = Some(call.request);
    denied.source = call.source.clone();
    let denied = denied.with_detail("why", decision.reason.as_str()).with_detail("permission", UNSEAL);
    if call.engines().audit.submit(principal.scope, Draft::Event(denied)).is_err() {
        call.api.counts.unrecorded();
    }
    let detail = format!("`{}` lacks the permission `{UNSEAL}`", principal.subject);
    Err(Failure::new(ProblemCode::Forbidden, detail))
}

pub(super) async fn opened(
    call: &Call,
    mut page: Page<audit::Entry>,
    query: Details,
) -> Result<Page<audit::Entry>, Failure> {
    let mut events: Vec<Event> = page.items.iter().map(|entry| entry.event.clone()).collect();
    let Opened { opened, erased, unreadable } =
        call.api.state.protection.open(call.scope, &mut events).await?;
    let record = event(call, "audit.unsealed")
        .with_detail("query", query)
        .with_detail("entries", u64::try_from(events.len()).unwrap_or(u64::MAX))
        .with_detail("opened", opened)
        .with_detail("erased", erased)
        .with_detail("unreadable", unreadable);
    // Nothing is shown that the ledger does not tell of.
    tell(call, record).await?;
    for (entry, event) in page.items.iter_mut().zip(events) {
        entry.event = event;
    }
    Ok(page)
}

/// Begins the record of somebody who reads.
pub(super) fn event(call: &Call, action: &'static str) -> Event {
    let mut event = call.author().event(&*call.api.state.ids, call.at, call.scope, action);
    event.category = Category::DataAccess;
    event.severity = Severity::Notice;
    event
}

/// Records an event durably, before what it tells of is answered.
pub(super) async fn tell(call: &Call, event: Event) -> Result<(), Failure> {
    let place = call.engines().audit.reserve(call.scope).map_err(full)?;
    place.append(Draft::Event(event)).await?;
    Ok(())
}

pub(super) fn full(refused: Refused) -> Failure {
    Failure::new(ProblemCode::Overloaded, format!("this cannot be recorded: {refused}")).retry_after(1)
}
