//! Events that other programs report.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stanchion_audit::{self as audit, Ack, Acknowledged, ActionType, ChainId, Digest, Draft, Mark, Marked};
use stanchion_core::{
    Actor, Category, Details, Event, EventId, FieldChange, Outcome, ProblemCode, ProducerNumber, RequestId,
    ResourceRef, Severity, Source, SubjectRef, Text, Timestamp,
};
use utoipa::{IntoParams, ToSchema};

use crate::answer::Recorded;
use crate::call::{Body, Call, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

/// The detail that says by which version of its action's schema an event was checked.
const VERSION: &str = "schema_version";
/// How far a reporter's clock may be ahead of ours.
const SKEW: Duration = Duration::from_secs(300);

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/audit/events",
            "report_audit_event",
            "audit:write",
            On::Scope,
            "Records an event that another program has seen.",
            report,
        )
        .note(
            "The actor on record is the caller, with the key it used; nothing in the body can change that. Whom it did it for goes into \
             `on_behalf_of` and is recorded as `acted_as`; the event is marked `reported`, since all else it says is the caller's word. \
             Answered once it is durable, or with `ack=checkpointed` once a checkpoint covers it, with the proof. Sent again with the same `id`, by the same key and otherwise alike, it has the same receipt; \
             with another content it is a conflict, which is recorded as well. An event has at most 65,535 bytes in its canonical form \
             and is nested at most 16 deep; numbers are whole and within ±(2^53 − 1).",
        )
        .idempotent(),
    ]
}

/// An event to record.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = AuditReport)]
pub(crate) struct Report {
    /// The id that makes it the same event when it is sent again; made here when left out. It needs `occurred_at`.
    #[schema(value_type = Option<String>, format = "uuid")]
    id: Option<EventId>,
    /// When it happened, at most five minutes from now; now when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    occurred_at: Option<Timestamp>,
    /// What was done: 2 to 8 names of `a-z 0-9 _ -` with dots between, object first. What Stanchion records itself cannot be reported.
    #[schema(value_type = String, example = "invoice.approved")]
    action: Text,
    /// The family of the action, which decides how long it is kept. Required, unless the action is a known one.
    #[schema(value_type = Option<String>, example = "billing")]
    category: Option<Category>,
    /// How it ended: `success`, `denied`, `failure`, `error` or `unknown`.
    #[schema(value_type = String)]
    outcome: Outcome,
    /// Which of its maker's events it is, if the maker numbers them densely from 1 in each of its runs: `PRODUCER/BOOT/NUMBER`, with a
    /// UUID for the run. So what never arrived is missed. It is the same when the event is sent again.
    #[schema(value_type = Option<String>)]
    producer: Option<ProducerNumber>,
    /// A stable code for why it ended so.
    #[schema(value_type = Option<String>)]
    reason: Option<Text>,
    /// How much it matters: `info`, `notice`, `warning`, `high` or `critical`; `info` when left out.
    #[schema(value_type = Option<String>)]
    severity: Option<Severity>,
    /// Whom the caller did it for, by the caller's word.
    #[schema(value_type = Option<String>, example = "user:alice")]
    on_behalf_of: Option<SubjectRef>,
    /// What it was done to.
    #[serde(default)]
    #[schema(required = false, value_type = Vec<String>, example = json!(["invoice/2026-0042"]))]
    targets: Vec<ResourceRef>,
    /// What it changed, field by field.
    #[serde(default)]
    #[schema(required = false, value_type = Vec<super::event::FieldChange>)]
    changes: Vec<FieldChange>,
    /// What it belongs together with.
    #[serde(default)]
    #[schema(required = false)]
    correlation: Correlation,
    /// Where the request came from that the caller served.
    #[serde(default)]
    #[schema(required = false)]
    source: ReportSource,
    /// Whatever else its readers need, by name.
    #[serde(default)]
    #[schema(required = false, value_type = Object)]
    details: Details,
    /// By which version of the action's schema it is checked, if the action has one; the newest when left out. It is recorded as the
    /// detail `schema_version`.
    #[schema(value_type = Option<u32>)]
    schema_version: Option<u32>,
    /// Which of its values are encrypted before they are recorded, so that only who may can read them and they can be erased.
    #[serde(default)]
    #[schema(required = false)]
    protect: Vec<super::protection::Protect>,
}

/// What a reported event belongs together with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, expecting = "an object")]
#[schema(as = AuditReportCorrelation)]
pub(crate) struct Correlation {
    /// The request of the gateway that it was done in: its `x-request-id`.
    #[schema(value_type = Option<String>, format = "uuid")]
    request: Option<RequestId>,
    /// The trace.
    #[schema(value_type = Option<String>)]
    trace: Option<Text>,
    /// The session.
    #[schema(value_type = Option<String>)]
    session: Option<Text>,
    /// The event that caused it.
    #[schema(value_type = Option<String>, format = "uuid")]
    parent: Option<EventId>,
}

/// Where a request came from.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, expecting = "an object")]
#[schema(as = AuditReportSource)]
pub(crate) struct ReportSource {
    /// The client's address.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// What the client called itself.
    #[schema(value_type = Option<String>)]
    user_agent: Option<Text>,
}

/// Where an event stands in the ledger. Kept elsewhere, it shows later whether the ledger still holds the event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditReceipt)]
pub(crate) struct Receipt {
    /// The event.
    #[schema(value_type = String, format = "uuid")]
    id: EventId,
    /// The chain it stands in: the scope and the retention class.
    #[schema(value_type = String)]
    chain: ChainId,
    /// Its number in the chain.
    sequence: Integer,
    /// The hash of the event's canonical bytes, in hexadecimal.
    #[schema(value_type = String)]
    hash: Digest,
    /// With `ack=checkpointed` the proof that the event is in the log, as C2SP's tlog-proof: it needs no ledger to be checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    proof: Option<String>,
}

/// What an answer waits for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Awaited {
    /// `durable`, which is also meant when it is left out, or `checkpointed`.
    #[serde(default)]
    #[param(value_type = String, required = false)]
    ack: Level,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    #[default]
    Durable,
    Checkpointed,
}

impl From<Level> for Ack {
    fn from(level: Level) -> Self {
        match level {
            Level::Durable => Self::Durable,
            Level::Checkpointed => Self::Checkpointed,
        }
    }
}

async fn report(
    call: Call,
    (Query(Awaited { ack }), Body(mut report)): (Query<Awaited>, Body<Report>),
) -> Result<Recorded<Receipt>, Failure> {
    let protection = &call.api.state.protection;
    let marks: Vec<Mark> = std::mem::take(&mut report.protect).into_iter().map(Mark::from).collect();
    let event = protection.seal(Marked::new(report.into_event(&call)?, marks)).await?;
    // Whoever reserves a place has the event cut down to what fits, rather than refused.
    audit::canonical(&event)?;
    let id = event.id;
    let place = call.engines().audit.reserve(call.scope);
    let place = place.map_err(|_| {
        let detail = "the audit ledger takes no more records just now";
        Failure::new(ProblemCode::Overloaded, detail).retry_after(1)
    })?;
    let (receipt, proof) = match call.api.state.prover.append(place, Draft::Event(event), ack.into()).await? {
        Acknowledged::Checkpointed(receipt, proof) => (receipt, Some(proof.to_text())),
        Acknowledged::Durable(receipt) => (receipt, None),
        Acknowledged::Accepted => return Err(Failure::internal(audit::Error::Closed)),
    };
    let audit::Receipt { chain, seq, leaf } = receipt;
    Ok(Recorded(Receipt { id, chain, sequence: Integer(seq), hash: leaf, proof }))
}

impl Report {
    /// Makes the event. Nothing but the credential and the body is in it, so that it is the same however often it is sent.
    fn into_event(self, call: &Call) -> Result<Event, Failure> {
        let category = self.category(call)?;
        let version = self.checked(call)?;
        let (id, occurred_at) = match (self.id, self.occurred_at) {
            (Some(_), None) => {
                let detail = "field `occurred_at`: say when it happened, so that with this `id` it is the same event when it is sent again";
                return Err(Failure::invalid(detail));
            }
            (id, at) => (id.unwrap_or_else(|| call.api.state.ids.event_id(call.at)), at.unwrap_or(call.at)),
        };
        if occurred_at > call.at.plus(SKEW) {
            return Err(Failure::invalid("field `occurred_at`: it is more than five minutes from now"));
        }
        let actor = Actor::from(&*call.principal);
        let mut event = Event::new(id, occurred_at, call.scope, actor, self.action, category);
        event.acted_as = self.on_behalf_of;
        event.targets = self.targets;
        event.changes = self.changes;
        event.outcome = self.outcome;
        event.producer = self.producer;
        event.reason = self.reason;
        event.reported = true;
        event.severity = self.severity.unwrap_or(Severity::Info);
        let Correlation { request, trace, session, parent } = self.correlation;
        event.correlation = stanchion_core::Correlation { request, trace, session, parent };
        event.source = Source { ip: self.source.ip, user_agent: self.source.user_agent };
        event.details = self.details;
        if let Some(version) = version {
            event.details.push(VERSION, version);
        }
        Ok(event)
    }

    /// Checks the event by the schema of its action. Returns the version it was checked by.
    fn checked(&self, call: &Call) -> Result<Option<u32>, Failure> {
        let action = self.action.as_str();
        let schemas = call.api.state.actions.get(action).map(|known| &known.schemas);
        let newest = schemas.and_then(|schemas| schemas.last_key_value());
        let Some((schemas, (newest, _))) = schemas.zip(newest) else {
            return match self.schema_version {
                Some(_) => Err(Failure::invalid(format!("field `schema_version`: `{action}` has no schema"))),
                None => Ok(None),
            };
        };
        if self.details.get(VERSION).is_some() {
            return Err(Failure::invalid(format!("field `details.{VERSION}`: say it as `{VERSION}`")));
        }
        let version = self.schema_version.unwrap_or(*newest);
        let schema = schemas.get(&version).ok_or_else(|| {
            let known: Vec<String> = schemas.keys().map(ToString::to_string).collect();
            let known = known.join(", ");
            Failure::invalid(format!("field `schema_version`: of `{action}` there is {known}"))
        })?;
        schema.check(&self.shape()).map_err(|audit::Violation { path, message }| {
            let place = if path.is_empty() { String::new() } else { format!("field `{path}`: ") };
            Failure::invalid(format!("{place}{message} (schema {version} of `{action}`)"))
        })?;
        Ok(Some(version))
    }

    /// What schemas speak of.
    fn shape(&self) -> Value {
        let Self { outcome, reason, severity, on_behalf_of, targets, changes, details, .. } = self;
        let mut shape =
            json!({ "outcome": outcome, "targets": targets, "changes": changes, "details": details });
        let given = [
            ("reason", reason.as_ref().map(|reason| json!(reason))),
            ("severity", severity.map(|severity| json!(severity))),
            ("on_behalf_of", on_behalf_of.as_ref().map(|subject| json!(subject))),
        ];
        for (name, value) in given {
            if let (Some(value), Some(shape)) = (value, shape.as_object_mut()) {
                shape.insert(name.to_owned(), value);
            }
        }
        shape
    }

    fn category(&self, call: &Call) -> Result<Category, Failure> {
        let action = self.action.as_str();
        match (call.api.state.actions.get(action), self.category) {
            (Some(ActionType { origin: audit::Origin::Own, .. }), _) => {
                let detail = format!("field `action`: only Stanchion itself records `{action}`");
                Err(Failure::invalid(detail))
            }
            (Some(known), Some(given)) if known.category != given => {
                let category = known.category;
                Err(Failure::invalid(format!("field `category`: that of `{action}` is `{category}`")))
            }
            (Some(known), _) => Ok(known.category),
            (None, _) if !audit::is_action(action) => Err(Failure::invalid(format!(
                "field `action`: {}",
                audit::InvalidAction::Name(self.action.clone())
            ))),
            (None, _) if call.api.state.actions.unknown() == audit::UnknownActions::Refuse => {
                Err(Failure::invalid(format!(
                    "field `action`: `{action}` is no known action, and only those are taken here; `GET /v1/audit/actions` lists them"
                )))
            }
            (None, Some(given)) => Ok(given),
            (None, None) => Err(Failure::invalid(format!(
                "field `category`: say which, since `{action}` is no known action"
            ))),
        }
    }
}
