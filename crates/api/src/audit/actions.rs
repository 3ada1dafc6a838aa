//! Which events there are.

use http::Method;
use serde::Serialize;
use serde_json::Value;
use stanchion_audit::{ActionType, Origin, RetentionClass};
use stanchion_core::Category;
use utoipa::ToSchema;

use super::READ;
use crate::answer::{Found, List};
use crate::call::{Call, Nothing};
use crate::failure::Failure;
use crate::operation::{On, Operation};

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/audit/actions",
            "list_audit_actions",
            READ,
            On::Scope,
            "Lists the actions of events that are known.",
            list,
        )
        .note(
            "What Stanchion records itself, what programs commonly report, and what the configuration adds. Of an action with schemas, \
             reported events are checked by the version that they name, or else by the newest.",
        ),
    ]
}

/// A kind of event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditAction)]
pub(crate) struct Action {
    /// The action, object first.
    #[schema(example = "invoice.approved")]
    action: String,
    /// The family of the action.
    #[schema(value_type = String)]
    category: Category,
    /// How long its records are kept: `security`, `data_access` or `standard`.
    #[schema(value_type = String)]
    class: RetentionClass,
    /// What people read.
    title: String,
    /// What it counts as in reports.
    event_type: Option<String>,
    /// Whether Stanchion alone records it: `own`, or any program may report it: `reported`.
    origin: &'static str,
    /// What its events have to look like, the oldest version first.
    schemas: Vec<ActionSchema>,
}

/// What events of an action have to look like.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditActionSchema)]
pub(crate) struct ActionSchema {
    /// The version.
    version: u32,
    /// A JSON Schema of an object with `outcome`, `targets`, `changes`, `details` and, when they are given, `reason`, `severity` and
    /// `on_behalf_of`.
    #[schema(value_type = Object)]
    schema: Value,
}

impl From<&ActionType> for Action {
    fn from(known: &ActionType) -> Self {
        let origin = match known.origin {
            Origin::Own => "own",
            Origin::Reported => "reported",
        };
        let schemas = known.schemas.iter();
        let schemas =
            schemas.map(|(version, of)| ActionSchema { version: *version, schema: of.document().clone() });
        Self {
            action: known.action.to_string(),
            category: known.category,
            class: known.class(),
            title: known.title.to_string(),
            event_type: known.event_type.as_ref().map(ToString::to_string),
            origin,
            schemas: schemas.collect(),
        }
    }
}

async fn list(call: Call, Nothing: Nothing) -> Result<Found<List<Action>>, Failure> {
    let items = call.api.state.actions.iter().map(Action::from).collect();
    Ok(Found(List { items, next_page: None }))
}
