//! The form of an event, for the document.

use std::net::IpAddr;

use stanchion_core::{EventId, RequestId, Scope, Timestamp};
use utoipa::ToSchema;

/// Something that happened.
#[derive(ToSchema)]
#[schema(as = AuditEvent)]
#[expect(dead_code, reason = "the form of `core::Event`, for the document")]
pub(crate) struct EventBody {
    /// Its id, unique within its scope.
    #[schema(value_type = String, format = "uuid")]
    id: EventId,
    /// When it happened.
    #[schema(value_type = String, format = "date-time")]
    occurred_at: Timestamp,
    /// Whose record it belongs to: a tenant, or `platform`.
    #[schema(value_type = String)]
    scope: Scope,
    /// Who did it: `{"subject": {"subject": "user:alice", "method": "api_key", "key": …}}`, `{"system": "sweeper"}` or `"anonymous"`.
    #[schema(value_type = serde_json::Value)]
    actor: (),
    /// Whom the actor acted as, with whose rights or on whose behalf; left out when it acted for itself.
    #[schema(required = false, value_type = String, example = "user:bob")]
    acted_as: (),
    /// Every permission that was looked for before it was done, or not done; left out when there was none.
    #[schema(required = false)]
    authorization: Vec<Authorization>,
    /// What was done, object first.
    #[schema(example = "role.put")]
    action: String,
    /// The family of the action.
    category: String,
    /// What it was done to.
    #[schema(example = json!(["role/editor"]))]
    targets: Vec<String>,
    /// What it changed, field by field; left out when that is nothing, or not known.
    #[schema(required = false)]
    changes: Vec<FieldChange>,
    /// How it ended.
    outcome: String,
    /// Which of its maker's events it is, `PRODUCER/BOOT/NUMBER`; left out of events that are not numbered.
    #[schema(required = false, value_type = String)]
    producer: (),
    /// A stable code for why it ended so.
    reason: Option<String>,
    /// Whether the actor reported it: then everything but the scope and the actor is the actor's word. Left out of what Stanchion saw
    /// or did itself.
    #[schema(required = false)]
    reported: bool,
    /// How much it matters.
    severity: String,
    /// What it belongs together with.
    correlation: Correlation,
    /// Where it came from.
    source: Source,
    /// Whatever else the action's readers need, by name.
    #[schema(value_type = Object)]
    details: (),
}

/// A permission that was looked for, and what came of it.
#[derive(ToSchema)]
#[schema(as = AuditAuthorization)]
#[expect(dead_code, reason = "the form of `core::Authorization`, for the document")]
pub(crate) struct Authorization {
    /// Which one.
    #[schema(example = "document:read")]
    permission: String,
    /// On what, when it was looked for on one resource.
    #[schema(required = false, value_type = String)]
    resource: (),
    /// Whether it was there.
    granted: bool,
    /// What decided. Of a refusal it may be a role that is held and does not count.
    #[schema(required = false, value_type = String, example = "role/editor")]
    by: (),
}

/// What a change has made of one field.
#[derive(ToSchema)]
#[schema(as = AuditFieldChange)]
#[expect(dead_code, reason = "the form of `core::FieldChange`, for the document")]
pub(crate) struct FieldChange {
    /// The path of the field.
    #[schema(example = "permissions")]
    field: String,
    /// What stood there before: `{"value": …}`, or `"redacted"` for what must not be recorded; left out when nothing did.
    #[schema(required = false, value_type = serde_json::Value)]
    before: (),
    /// What stands there now, likewise.
    #[schema(required = false, value_type = serde_json::Value)]
    after: (),
}

/// What an event belongs together with.
#[derive(ToSchema)]
#[schema(as = AuditCorrelation)]
#[expect(dead_code, reason = "the form of `core::Correlation`, for the document")]
pub(crate) struct Correlation {
    /// The request that caused it.
    #[schema(value_type = Option<String>, format = "uuid")]
    request: Option<RequestId>,
    /// The trace of the caller.
    trace: Option<String>,
    /// The session it happened in.
    session: Option<String>,
    /// The event that caused it.
    #[schema(value_type = Option<String>, format = "uuid")]
    parent: Option<EventId>,
}

/// Where an event came from.
#[derive(ToSchema)]
#[schema(as = AuditSource)]
#[expect(dead_code, reason = "the form of `core::Source`, for the document")]
pub(crate) struct Source {
    /// The client's address, as far as it could be established.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// What the client called itself. Not trustworthy.
    user_agent: Option<String>,
}
