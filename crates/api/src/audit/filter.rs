use std::collections::BTreeSet;

use serde::Deserialize;
use stanchion_audit::{self as audit, Actions, EventType, RetentionClass};
use stanchion_core::{Category, Outcome, RequestId, ResourceRef, Severity, Text, Timestamp};
use utoipa::IntoParams;

use crate::call::Call;

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryFilter {
    /// The action, `role.put`; or with `.*` at the end every action below it, `role.*`.
    #[param(value_type = String, required = false)]
    action: Option<Text>,
    /// The actor: `user:alice`, `service:etl`, `system:sweeper` or `anonymous`.
    #[param(value_type = String, required = false)]
    actor: Option<Text>,
    /// One of the targets: `role/editor`.
    #[param(value_type = String, required = false)]
    target: Option<ResourceRef>,
    /// `success`, `denied`, `failure`, `error` or `unknown`.
    #[param(value_type = String, required = false)]
    outcome: Option<Outcome>,
    /// `access`, `authentication`, `administration`, `security`, `data_access`, `billing` or `system`.
    #[param(value_type = String, required = false)]
    category: Option<Category>,
    /// The class of the chain: `security`, `data_access` or `standard`.
    #[param(value_type = String, required = false)]
    class: Option<RetentionClass>,
    /// The least severity: `info`, `notice`, `warning`, `high` or `critical`.
    #[param(value_type = String, required = false)]
    severity: Option<Severity>,
    /// What it counts as in reports: `login`, `permission_denied`.
    #[serde(rename = "type")]
    #[param(rename = "type", value_type = String, required = false)]
    event_type: Option<Text>,
    /// The request that caused it: the `x-request-id` of an answer.
    #[param(value_type = String, required = false, format = "uuid")]
    request: Option<RequestId>,
    /// The session it happened in.
    #[param(value_type = String, required = false)]
    session: Option<Text>,
    /// The trace that it belongs to, 32 hexadecimal digits.
    #[param(value_type = String, required = false)]
    trace: Option<Text>,
    /// Words that all have to be among those of its texts: letters and digits as far as they stand together, capitals or not.
    #[param(value_type = String, required = false)]
    text: Option<Text>,
    /// Recorded at this instant or later.
    #[param(value_type = String, required = false, format = "date-time")]
    since: Option<Timestamp>,
    /// Recorded before this instant.
    #[param(value_type = String, required = false, format = "date-time")]
    until: Option<Timestamp>,
}

impl From<&EntryFilter> for audit::Query {
    fn from(filter: &EntryFilter) -> Self {
        Self {
            action: filter.action.clone(),
            actor: filter.actor.clone(),
            target: filter.target.clone(),
            outcome: filter.outcome,
            category: filter.category,
            class: filter.class,
            severity: filter.severity,
            event_type: filter.event_type.as_ref().map(|name| counting_as(&Actions::default(), name)),
            request: filter.request,
            session: filter.session.clone(),
            trace: filter.trace.clone(),
            text: filter.text.clone(),
            since: filter.since,
            until: filter.until,
        }
    }
}

/// The actions that count as a type; none for a type that nobody knows.
fn counting_as(actions: &Actions, name: &Text) -> EventType {
    let unknown = || EventType { name: name.clone(), actions: BTreeSet::new() };
    actions.event_type(name.as_str()).unwrap_or_else(unknown)
}

/// Returns the query of a call, which knows the actions that are configured.
pub(crate) fn wanted(call: &Call, filter: &EntryFilter) -> audit::Query {
    let event_type = filter.event_type.as_ref();
    let event_type = event_type.map(|name| counting_as(&call.api.state.actions, name));
    audit::Query { event_type, ..audit::Query::from(filter) }
}
